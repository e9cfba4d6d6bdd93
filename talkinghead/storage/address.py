"""Where a file lies: a path of this machine, or an address in object storage or behind HTTP."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from talkinghead import system
from talkinghead.errors import BadAddress
from talkinghead.places import name_fault
from talkinghead.storage.masking import masked

OBJECTS = ("s3", "gs", "az", "abfs", "abfss", "memory")
"""Schemes of places that hold objects by key."""
WEB = ("http", "https")
"""Schemes of what is only read."""
ACCEPTED = "a path, or an address that begins with s3://, gs:// (gcs://), az:// (abfs://), https:// or http://"
_SAME = {"gcs": "gs"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*(?:::[A-Za-z0-9+.:-]*)?)://", re.ASCII)
_MISSPELLED = re.compile(r"(?:file|s3|gs|gcs|az|abfss?|https?|memory):", re.IGNORECASE)
"""Begins a path only by mistake: `s3:/bucket/x`."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_URL_SAFE = "!$&'()*+,;=:@"
"""What a step of a path in a URL holds as it is, beside letters and digits (RFC 3986, pchar)."""


@dataclass(frozen=True, order=True)
class Address:
    """A file or a folder by its whole name. Built by `Address.of`; equal where the text is.

    What is local is an absolute path without `..`; elsewhere the scheme is in small letters and no step of the path is
    empty, `.` or `..`. An address may carry a signature in its query (`https://…?X-Amz-Signature=…`), so that `str` is
    for those who open it and `shown` for those who read it.
    """

    text: str

    @staticmethod
    def of(given: str | os.PathLike[str] | Address) -> Address:
        """The address that a text or a path stands for.

        Args:
            given: a path (a relative one belongs to the current folder), `file:///…`, or an address with a scheme.
        Raises:
            BadAddress: unknown scheme, a name and password in it, steps that lead upwards, characters without a sign.
        """
        if isinstance(given, Address):
            return given
        text = os.fspath(given)
        if not text or _CONTROL.search(text):
            raise BadAddress(f"{text[:200]!r} is no address.", accepted=ACCEPTED)
        match = _SCHEME.match(text) if isinstance(given, str) and not _is_drive(text) else None
        if match is None:
            if isinstance(given, str) and _MISSPELLED.match(text):
                raise BadAddress(f"{masked(text[:200])!r} is no address: '://' is missing.", accepted=ACCEPTED)
            return Address(_whole_path(text))
        scheme = _SAME.get(match[1].lower(), match[1].lower())
        rest = text[match.end() :]
        if scheme == "file":
            return Address(_path_of_url(text))
        if scheme in WEB:
            return Address(_web(scheme, rest))
        if scheme in OBJECTS:
            return Address(_object(scheme, rest))
        raise BadAddress(f"{masked(text[:200])!r} has the scheme {match[1]!r}.", accepted=ACCEPTED)

    @property
    def scheme(self) -> str:
        """`file` for what is local, else what stands before `://`."""
        return "file" if self.is_local else self.text.partition("://")[0]

    @property
    def is_local(self) -> bool:
        """Whether it is a path of this machine."""
        return _SCHEME.match(self.text) is None

    @property
    def is_web(self) -> bool:
        """Whether it is read by HTTP, and never written."""
        return self.scheme in WEB

    @property
    def path(self) -> Path:
        """The path of what is local.

        Raises:
            ValueError: it is elsewhere.
        """
        if not self.is_local:
            raise ValueError(f"{self.shown!r} is no path")
        return Path(self.text)

    @property
    def name(self) -> str:
        """The last step: of an URL decoded and without its query; empty for a bucket, a host or the root."""
        if self.is_local:
            return self.path.name
        if self.is_web:
            return unquote(urlsplit(self.text).path.rpartition("/")[2])
        return self.text.partition("://")[2].partition("/")[2].rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The end of the name from its last dot on, or nothing."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Address:
        """The folder; itself for a bucket, a host or the root. A query does not belong to it."""
        if self.is_local:
            return Address(str(self.path.parent))
        scheme, _, rest = (
            urlunsplit(urlsplit(self.text)._replace(query="")).partition("://")
            if self.is_web
            else (self.text.partition("://"))
        )
        return Address(f"{scheme}://{rest.rstrip('/').rpartition('/')[0] or rest.rstrip('/')}")

    @property
    def shown(self) -> str:
        """For messages, tables and logs: without what a query may hold of secrets."""
        return self.text if self.is_local else masked(self.text)

    def join(self, name: str) -> Address:
        """What lies below this folder.

        Args:
            name: steps separated by `/`: `a.mp4`, `part 1/a.mp4`.
        Raises:
            BadAddress: it leads elsewhere (`..`, an absolute path, a scheme), or has empty steps or signs that no file
                system takes.
        """
        steps = name.split("/")
        fault = next(filter(None, map(name_fault, steps)), None) if system.WINDOWS else None
        if (
            _SCHEME.match(name)
            or _CONTROL.search(name)
            or "\\" in name
            or any(step in ("", ".", "..") for step in steps)
            or fault
        ):
            raise BadAddress(
                f"{name[:200]!r} is no name of a file below {self.shown!r}{f': {fault}' if fault else ''}.",
                accepted="a relative name without '..' and '\\', such as 'lesson 1/intro.mp4'",
            )
        if self.is_local:
            return Address(str(self.path.joinpath(*steps)))
        if self.is_web:
            if urlsplit(self.text).query:
                raise BadAddress(f"{self.shown!r} has a query and is no folder.")
            name = "/".join(quote(step, safe=_URL_SAFE, errors="surrogatepass") for step in steps)
        return Address(f"{self.text.rstrip('/')}/{name}")

    def is_inside(self, folder: Address) -> bool:
        """Whether it lies below a folder, at whatever depth."""
        if self.is_local and folder.is_local:
            return folder.path in self.path.parents
        return self.text.startswith(folder.text.rstrip("/") + "/") and self != folder

    def relative_to(self, folder: Address) -> str:
        """Its steps below a folder: `folder.join(it.relative_to(folder)) == it`.

        Raises:
            ValueError: it does not lie below it.
        """
        if not self.is_inside(folder):
            raise ValueError(f"{self.shown!r} is not in {folder.shown!r}")
        if self.is_local:
            return self.path.relative_to(folder.path).as_posix()
        rest = self.text[len(folder.text.rstrip("/")) + 1 :]
        return unquote(rest) if self.is_web else rest

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def _whole_path(text: str) -> str:
    """An absolute path; one with `..` is followed on the disk, where `a/..` may be elsewhere than beside `a`."""
    path = Path(text)
    try:
        return str(path.resolve() if ".." in path.parts else path.absolute())
    except (OSError, RuntimeError, ValueError) as error:
        raise BadAddress(f"{text[:200]!r} is no path: {error}.", accepted=ACCEPTED) from error


def _path_of_url(text: str) -> str:
    split = urlsplit(text)
    if split.netloc not in ("", "localhost") or not split.path.startswith("/"):
        raise BadAddress(f"{text[:200]!r} names a file of another machine.", accepted="file:///folder/name")
    path = unquote(split.path, errors="surrogateescape")
    if _CONTROL.search(path):
        raise BadAddress(f"{text[:200]!r} is no address.", accepted=ACCEPTED)
    return _whole_path(path.removeprefix("/") if _is_drive(path.removeprefix("/")) else path)


def _is_drive(text: str) -> bool:
    """Whether a path begins with a drive: `C:\\…`, and `C://…`, which is no scheme."""
    return system.WINDOWS and re.match(r"[A-Za-z]:", text) is not None


def _web(scheme: str, rest: str) -> str:
    shown = masked(f"{scheme}://{rest[:200]}")
    try:
        split = urlsplit(f"{scheme}://{rest}")
        host, _ = split.hostname, split.port
    except ValueError as error:
        raise BadAddress(f"{shown!r} is no URL: {error}.") from error
    if "@" in split.netloc:
        raise _with_password(shown)
    if not host or any(sign in rest for sign in " \\") or not rest.isascii():
        raise BadAddress(
            f"{shown!r} is no URL.", accepted="https://host/path; blanks and other signs as %20 and the like"
        )
    if {".", ".."} & set(re.split(r"[/\\]", unquote(split.path))):  # also `..%2f..`, which some servers decode
        raise BadAddress(f"{shown!r} leads upwards.", accepted="a path without '.' and '..'")
    return urlunsplit((scheme, split.netloc.lower(), split.path, split.query, ""))


def _object(scheme: str, rest: str) -> str:
    shown = masked(f"{scheme}://{rest[:200]}")
    place, _, key = rest.rstrip("/").partition("/")
    if "@" in place and (":" in place or not scheme.startswith("abfs") or place.count("@") > 1):
        raise _with_password(shown)
    if not place:
        raise BadAddress(f"{shown!r} names no bucket.", accepted=f"{scheme}://bucket/folder/name")
    if key and any(step in ("", ".", "..") for step in key.split("/")):
        raise BadAddress(f"{shown!r} has an empty step, '.' or '..' in it.", accepted=f"{scheme}://bucket/folder/name")
    return f"{scheme}://{place}/{key}" if key else f"{scheme}://{place}"


def _with_password(shown: str) -> BadAddress:
    return BadAddress(
        f"{shown!r} has a name or a password in it.",
        accepted="an address without; credentials are found where the storage's own tools find them",
        remedy="environment variables (AWS_ACCESS_KEY_ID, …), a profile, the role of the machine, or ~/.config/fsspec",
    )
