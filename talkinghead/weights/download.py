"""Fetching one file over HTTP: resumed, verified, from several mirrors. Only ever called because the user asked."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from talkinghead.bounds import Between, check_fields
from talkinghead.errors import BackendError, InputError, UnwritableOutput, WrongCheckpoint
from talkinghead.files import unwritable
from talkinghead.places import given_folder
from talkinghead.reading import read_json, reading
from talkinghead.system import remove, replace
from talkinghead.weights.offline import offline_reason

Progress = Callable[[int, int | None], None]
"""Called with bytes there and bytes in all (None if the server does not say). What it raises stops the download."""

HUB = "https://huggingface.co"
BLOCK = 1 << 18
MAX_REDIRECTS = 5


@dataclass(frozen=True)
class DownloadOptions:
    """How patient a download is."""

    timeout_s: Annotated[float, Between(0, 86_400, above=True)] = 30.0
    """Seconds without a single byte after which a connection counts as lost."""
    attempts: Annotated[int, Between(1, 1_000)] = 3
    """Tries per mirror; each goes on where the last one ended."""
    pause_s: Annotated[float, Between(0, 3_600)] = 1.0
    """Rest before a further try; doubles each time."""
    max_bytes: Annotated[int, Between(1, 10**15)] = 20_000_000_000
    """Largest file that is taken where its size is not known."""

    def __post_init__(self) -> None:
        check_fields(self)


class DownloadFailed(BackendError):
    """No mirror gave the file."""


class _Refused(Exception):
    """This mirror will not do; a further try of it is no use."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects; never to another kind of address, nor from https to http."""

    max_redirections = MAX_REDIRECTS
    max_repeats = 2

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme != "https"):
            raise _Refused(f"it redirects to {newurl[:100]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def mirror_url(url: str) -> str:
    """The address, at the Hugging Face mirror that `HF_ENDPOINT` names, if it is one of the hub."""
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    return endpoint + url.removeprefix(HUB) if endpoint and url.startswith(HUB + "/") else url


def in_hub_cache(url: str, sha256: str) -> Path | None:
    """The file in the Hugging Face cache (`HF_HOME`, `HF_HUB_CACHE`), whose large files are named by their SHA-256."""
    if not sha256 or not url.startswith(HUB + "/"):
        return None
    home = given_folder(os.environ.get("HF_HOME") or "~/.cache/huggingface")
    cache = given_folder(os.environ.get("HF_HUB_CACHE") or str(home / "hub"))
    owner, repository = url.removeprefix(HUB + "/").split("/")[:2]
    blob = cache / f"models--{owner}--{repository}" / "blobs" / sha256
    return blob if blob.is_file() else None


def download(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str = "",
    size_bytes: int | None = None,
    progress: Progress | None = None,
    options: DownloadOptions | None = None,
) -> tuple[str, str]:
    """Fetch a file from the first mirror that has it.

    What has arrived stays in `<target>.part` when a connection is lost or the user stops, and is not fetched again.

    Args:
        urls: mirrors of one file, best first.
        target: where it goes; appears only when complete and verified.
        sha256, size_bytes: what the file must be; "" and None if not known.
    Returns:
        SHA-256 of the file, and the address (or cache) that it came from.
    Raises:
        DownloadFailed: no mirror gave it; the message says why for each. BackendError: offline mode.
        WrongCheckpoint: what came has another hash. UnwritableOutput: no room, no permission.
    """
    options = options or DownloadOptions()
    reasons: list[str] = []
    wrong: WrongCheckpoint | None = None
    for url in urls:
        if (blob := in_hub_cache(url, sha256)) is not None:
            part = target.with_name(target.name + ".part")
            try:
                shutil.copyfile(blob, part)
            except OSError as error:
                remove(part)
                raise unwritable(target, error) from error
            with contextlib.suppress(WrongCheckpoint):
                return _accept(part, target, sha256, size_bytes, str(blob)), str(blob)
    if reason := offline_reason():
        raise BackendError(
            f"{target.name} would have to be downloaded, and {reason} forbids the network.",
            remedy="talkinghead models import FILE takes a file that you have",
        )
    for url in urls:
        try:
            address = mirror_url(url)
            return _from_mirror(address, target, sha256, size_bytes, progress, options), address
        except _Refused as error:
            reasons.append(f"{_host(url)}: {error}")
        except WrongCheckpoint as error:
            wrong = error
            reasons.append(f"{_host(url)}: wrong content")
    if wrong is not None:
        raise wrong
    raise DownloadFailed(
        f"{target.name} could not be downloaded ({'; '.join(reasons)}).",
        remedy="try again later: what has arrived is kept; or download it by hand and run talkinghead models import",
    )


def _from_mirror(
    url: str, target: Path, sha256: str, size: int | None, progress: Progress | None, options: DownloadOptions
) -> str:
    pause = options.pause_s
    part = target.with_name(target.name + ".part")
    for attempt in range(options.attempts):
        had = part.stat().st_size if part.exists() else 0
        try:
            _fetch(url, part, size, progress, options, bool(sha256))
            return _accept(part, target, sha256, size, _host(url))
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            status = error.code if isinstance(error, urllib.error.HTTPError) else None
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            if status is not None and status < 500 and status not in (408, 416, 429):
                raise _Refused(f"status {status}") from error
            if status == 416:
                remove(part)  # longer than the file: begin again
            if attempt + 1 == options.attempts:
                raise _Refused(_why(error)) from error
            if part.exists() and part.stat().st_size > had:
                pause = options.pause_s  # it moves, so go on soon
            time.sleep(pause)
            pause *= 2
    raise AssertionError("the last attempt returns or raises")


def _why(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"status {error.code}"
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return str(reason) or type(reason).__name__


def _fetch(
    url: str, part: Path, size: int | None, progress: Progress | None, options: DownloadOptions, verified: bool
) -> None:
    """One request; what comes is added to the part.

    Args:
        verified: the whole file will be held against a known hash.
    Raises:
        _Refused: this is not the file. ConnectionError and the like: it ended too early.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise _Refused("not an http address")
    have, tag = _resumable(part, url, verified)
    headers = {"User-Agent": "talkinghead", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag:
            headers["If-Range"] = tag
    if size is not None and have == size:
        return
    opener = urllib.request.build_opener(_Redirects)
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the scheme was checked)
    with opener.open(request, timeout=options.timeout_s) as answer:
        have = _goes_on_from(answer, part, have, "" if verified else tag)
        limit = size if size is not None else options.max_bytes
        total = _length_of_all(answer, have, size, limit)
        _check_room(part, (total or size or 0) - have)
        _note_origin(part, url, answer.headers.get("ETag", ""))
        try:
            with part.open("ab" if have else "wb") as file:
                _copy(answer, file, have, total, limit, progress)
        except OSError as error:
            if error.errno is None or isinstance(error, TimeoutError | ConnectionError):
                raise
            _remove(part)
            raise unwritable(part, error) from error
        if total is not None and part.stat().st_size < total:
            raise ConnectionError(f"the connection ended after {part.stat().st_size} of {total} bytes")


def _goes_on_from(answer: Any, part: Path, have: int, tag: str) -> int:
    """How many of the bytes that are there the answer goes on from: all or none.

    Args:
        tag: of the bytes that are there, where nothing else tells whether the answer is of the same file; else "".
    """
    if answer.status != 206:
        return 0
    start = answer.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
    if start != str(have):
        remove(part)
        raise ConnectionError("it resumed at another place")
    if tag and answer.headers.get("ETag", tag) != tag:  # it did not heed If-Range
        remove(part)
        raise ConnectionError("the file was changed meanwhile")
    return have


def _length_of_all(answer: Any, have: int, size: int | None, limit: int) -> int | None:
    """Bytes of the whole file, where the server says it; refuses what cannot be the file."""
    if answer.headers.get_content_type() == "text/html":
        raise _Refused("a web page instead of the file")
    length = answer.headers.get("Content-Length", "")
    if not length.isdigit():
        return None
    total = have + int(length)
    if size is not None and total != size:
        raise _Refused(f"a file of {total} bytes instead of {size}")
    if total > limit:
        raise _Refused(f"a file of {total} bytes, more than the {limit} that are taken")
    return total


def _copy(answer: Any, file: BinaryIO, have: int, total: int | None, limit: int, progress: Progress | None) -> None:
    while True:
        block = answer.read1(BLOCK)
        if not block:
            return
        have += len(block)
        if have > limit:
            raise _Refused(f"more than {limit} bytes")
        file.write(block)
        if progress is not None:
            progress(have, total)


def _check_room(part: Path, wanted: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if wanted > free:
        raise UnwritableOutput(
            f"The download needs {wanted / 1e6:.0f} MB, and {part.parent} has {free / 1e6:.0f} MB free.",
            remedy="free some space, or set TALKINGHEAD_HOME to another disk",
        )


def _origin(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _note_origin(part: Path, url: str, tag: str) -> None:
    strong = tag if tag and not tag.startswith("W/") else ""
    _origin(part).write_text(json.dumps({"url": url, "etag": strong}), encoding="utf-8")


def _resumable(part: Path, url: str, verified: bool) -> tuple[int, str]:
    """Bytes that are there and can be gone on from, and the tag that they carry.

    Something must tell whether what follows belongs to the same file: a known hash of the whole, which also lets
    another mirror go on, or the tag of the server. Else the file is fetched again from its beginning.
    """
    with contextlib.suppress(InputError), reading(part):
        origin = read_json(_origin(part))
        tag = str(origin["etag"]) if origin["url"] == url else ""
        if part.is_file() and (tag or verified):
            return part.stat().st_size, tag
    return 0, ""


def _remove(part: Path) -> None:
    remove(part)
    remove(_origin(part))


def _accept(part: Path, target: Path, sha256: str, size: int | None, origin: str) -> str:
    """Verify what has arrived and give it its name; what is wrong is removed."""
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    length = part.stat().st_size
    if (sha256 and found != sha256) or (size is not None and length != size) or length == 0:
        _remove(part)
        raise WrongCheckpoint(
            f"{target.name} from {origin} is not the file that is wanted: {length} bytes, SHA-256 {found}.",
            accepted=f"SHA-256 {sha256}" if sha256 else f"{size} bytes",
            remedy="another mirror, or try again: the file was damaged on the way, or was changed at its source",
        )
    replace(part, target)
    remove(_origin(part))
    return found


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc or url
