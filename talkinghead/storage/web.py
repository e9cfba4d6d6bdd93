"""Files behind HTTP, to be read."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urljoin

from talkinghead import files
from talkinghead.errors import BadAddress, MissingDependency, StorageError
from talkinghead.storage.address import Address
from talkinghead.storage.base import UNKNOWN_SIZE, Stat, Store, StoreOptions, cut, nothing_there
from talkinghead.storage.masking import masked

if TYPE_CHECKING:
    import httpx

_PASSING_STATUS = {408, 425, 429}
_MOVED = {301, 302, 303, 307, 308}
_GONE = {404, 410}
_NO_HEAD = {400, 401, 403, 405, 501}
"""What servers answer where only GET is offered, or where only GET was signed."""


class WebStore(Store):
    """A server that is asked by GET. Redirects lead to http and https alone, and never from https to http."""

    def __init__(
        self, root: Address, options: StoreOptions | None = None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(root, options, sleep=sleep)
        try:
            import httpx
        except ImportError as error:
            raise MissingDependency("httpx", extra="fleet", purpose="Reading from addresses with https") from error
        self._client = httpx.Client(
            timeout=httpx.Timeout(self.options.timeout_s, connect=min(10.0, self.options.timeout_s)),
            headers={"Accept-Encoding": "identity", "User-Agent": "talkinghead"},
        )

    def stat(self, address: Address) -> Stat | None:
        return self._retried(lambda: self._stat(address))

    def _stat(self, address: Address) -> Stat | None:
        with self._answer("HEAD", address) as answer:
            if answer.status_code not in _NO_HEAD:
                return None if answer.status_code in _GONE else _stat_of(_good(address, answer))
        with self._answer("GET", address, {"Range": "bytes=0-0"}) as answer:
            return None if answer.status_code in _GONE else _stat_of(_good(address, answer))

    def _download(self, address: Address, target: Path, check: Callable[[Stat], None]) -> Stat:
        with self._answer("GET", address) as answer:
            if answer.status_code in _GONE:
                raise nothing_there(address)
            stat = _stat_of(_good(address, answer))
            check(stat)
            size = self._save(address, answer, target, check, stat)
        if stat.size not in (UNKNOWN_SIZE, size):
            raise cut(address, size, stat.size)
        return Stat(size, stat.version)

    def _save(
        self, address: Address, answer: httpx.Response, target: Path, check: Callable[[Stat], None], stat: Stat
    ) -> int:
        size, began = 0, time.monotonic()
        try:
            file = target.open("wb")
        except OSError as error:
            raise files.unwritable(target, error) from error
        with file:
            for piece in answer.iter_bytes(1 << 16):
                size += len(piece)
                if stat.size == UNKNOWN_SIZE:
                    check(Stat(size, stat.version))
                elif size > stat.size:
                    raise cut(address, size, stat.size)
                if time.monotonic() - began > self.options.transfer_s(size):
                    raise StorageError(f"{address.shown!r} comes too slowly.", remedy="again later", retryable=True)
                try:
                    file.write(piece)
                except OSError as error:
                    raise files.unwritable(target, error) from error
        return size

    @contextlib.contextmanager
    def _answer(self, method: str, address: Address, headers: dict[str, str] | None = None) -> Iterator[httpx.Response]:
        """What a server says, after redirects."""
        import httpx

        problem: StorageError
        try:
            with contextlib.ExitStack() as stack:
                at = address
                for _ in range(self.options.redirects + 1):
                    if self.options.allow is not None:
                        self.options.allow(at)
                    answer = stack.enter_context(self._client.stream(method, at.text, headers=headers or {}))
                    if answer.status_code not in _MOVED or "location" not in answer.headers:
                        yield answer
                        return
                    at = _moved(at, answer.headers["location"])
                    answer.close()
                problem = StorageError(f"{address.shown!r} leads on and on to other addresses.")
        except httpx.InvalidURL as error:
            problem = StorageError(f"{address.shown!r} is no URL: {masked(str(error))}.")
        except httpx.HTTPError as error:
            passes = isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)
            told = masked(f"{type(error).__name__}: {error}".rstrip(": "))
            problem = StorageError(
                f"{address.shown!r} cannot be read: {told}.", remedy="again later" if passes else None, retryable=passes
            )
        raise problem from None

    def write_bytes(self, address: Address, data: bytes, *, exclusive: bool = False) -> bool:  # noqa: ARG002
        self._only_read(address)

    def publish(
        self,
        source: Path,  # noqa: ARG002
        address: Address,
        *,
        mark: str,  # noqa: ARG002
        check: Callable[[], None] | None = None,  # noqa: ARG002
    ) -> None:
        self._only_read(address)

    def list(self, folder: Address, *, deep: bool = False) -> Iterator[tuple[Address, Stat]]:  # noqa: ARG002
        raise StorageError(f"{folder.shown!r} cannot be listed.", accepted="addresses of single files behind HTTP")

    def delete(self, address: Address) -> None:
        self._only_read(address)

    def sweep(self, *, older_than_s: float = 24 * 3600.0) -> int:  # noqa: ARG002
        self._only_read(self.root)

    def _only_read(self, address: Address) -> NoReturn:
        raise StorageError(f"{address.shown!r} is only read.", accepted="for writing: a folder, s3://, gs:// or az://")


def _moved(address: Address, location: str) -> Address:
    try:
        there = Address.of(urljoin(address.text, location))
    except (BadAddress, ValueError) as error:
        raise StorageError(f"{address.shown!r} leads to what is not read: {masked(location[:200])!r}.") from error
    if not there.is_web or (address.scheme == "https" and there.scheme != "https"):
        raise StorageError(f"{address.shown!r} leads to {there.shown!r}.", accepted="https (or http from http)")
    return there


def _good(address: Address, answer: httpx.Response) -> httpx.Response:
    status = answer.status_code
    if status in (200, 203) or (status == 206 and answer.request.headers.get("range")):
        return answer
    passes = status >= 500 or status in _PASSING_STATUS
    raise StorageError(
        f"{address.shown!r} cannot be read: the server answers {status}.",
        remedy="again later" if passes else None,
        retryable=passes,
        after_s=_seconds(answer.headers.get("retry-after")),
    )


def _stat_of(answer: httpx.Response) -> Stat:
    headers: Any = answer.headers
    size = headers.get("content-length", "")
    if answer.status_code == 206:
        size = headers.get("content-range", "").rpartition("/")[2]
    if headers.get("content-encoding", "identity") != "identity":
        size = ""
    version = headers.get("etag") or headers.get("last-modified") or ""
    return Stat(int(size) if size.isascii() and size.isdigit() else UNKNOWN_SIZE, version.strip('"'))


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else None
