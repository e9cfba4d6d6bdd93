"""Object storage by way of fsspec: Google Cloud Storage, memory for trying things out, and what all have in common."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from talkinghead.errors import BadAddress, MissingDependency, NothingThere, StorageError
from talkinghead.places import DISK_FULL
from talkinghead.storage.address import Address
from talkinghead.storage.base import PARTIAL, Stat, Store, StoreOptions, changed, cut, nothing_there
from talkinghead.storage.masking import masked

_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}
_VERSIONS = ("ETag", "etag", "generation", "md5Hash", "created", "mtime")
"""Under which names the libraries tell what changes with the content; the first that is there counts."""
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")
_PASSING_STATUS = {408, 409, 425, 429}
"""Beside 5xx. 409: another writer is at the same object."""
_PASSING_CODES = {"SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "InternalError", "IncompleteBody", "BadDigest"}
_PASSING_ERRNO = {
    errno.EBUSY,
    errno.EIO,
    getattr(errno, "EREMOTEIO", errno.EIO),
    errno.EAGAIN,
    errno.ECONNRESET,
    errno.EPIPE,
    errno.ETIMEDOUT,
}
_PASSING_NAMES = re.compile(
    r"(?i)timeout|timedout|connection|incompleteread|payload|disconnected|responseparser|transport|httpclienterror"
)
"""Names of the exceptions of aiohttp, botocore, requests, Google and Azure for what the network did."""


class ObjectStore(Store):
    """A bucket, or a part of it. Objects appear there whole or not at all, and are copied on the other side."""

    def __init__(
        self, root: Address, options: StoreOptions | None = None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(root, options, sleep=sleep)
        self._keeps_the_first = False
        """Whether it was seen that an exclusive write leaves what is there."""
        kind = _library(root.scheme)
        try:
            self._fs = kind(**kind._get_kwargs_from_urls(root.text), **self._settings())
        except Exception as error:  # noqa: BLE001 - each library has its own
            problem = StorageError(f"{root.shown!r} cannot be opened: {_told(error)}.", remedy=_CREDENTIALS)
        else:
            return
        raise problem from None

    def _settings(self) -> dict[str, Any]:
        """What the library is opened with: nothing that it read once is believed later."""
        return {"use_listings_cache": False, "skip_instance_cache": True, **self.options.settings}

    def stat(self, address: Address) -> Stat | None:
        return self._retried(lambda: self._stat(address))

    def _stat(self, address: Address) -> Stat | None:
        try:
            info = self._call(address, "read", "info", self._key(address))
        except NothingThere:
            return None
        return stat_of(info) if info["type"] == "file" else None

    def _download(self, address: Address, target: Path, check: Callable[[Stat], None]) -> Stat:
        stat = self._stat(address)
        if stat is None:
            raise nothing_there(address)
        check(stat)
        self._call(address, "read", "get_file", self._key(address), str(target), size=stat.size)
        given = target.stat().st_size if target.exists() else 0
        if self._stat(address) != stat:
            raise changed(address)
        if given != stat.size:
            raise cut(address, given, stat.size)
        return stat

    def write_bytes(self, address: Address, data: bytes, *, exclusive: bool = False) -> bool:
        mode = {"mode": "create"} if exclusive else {}

        def attempt() -> bool:
            try:
                self._call(address, "write", "pipe_file", self._key(address), data, size=len(data), **mode)
            except _IsThere:
                return False
            return True

        is_new = self._retried(attempt)
        if exclusive and is_new and not self._keeps_the_first:
            if self._retried(attempt):
                raise StorageError(
                    f"The storage of {address.shown!r} writes over what is there, though it is asked not to (a write "
                    "with If-None-Match): two runs could not be kept apart.",
                    remedy="a newer server, or another one",
                )
            self._keeps_the_first = True
        # Where an answer is lost the request is sent again, also unseen by the HTTP client: what is there may be ours.
        return is_new or self._holds(address, data)

    def publish(self, source: Path, address: Address, *, mark: str, check: Callable[[], None] | None = None) -> None:
        part = self.partial(address, mark)
        size = source.stat().st_size
        try:
            self._retried(lambda: self.upload(source, part, size))
            if check is not None:
                check()
            self._retried(lambda: self._commit(part, address, size))
        finally:
            with contextlib.suppress(StorageError):  # else it is for `sweep`; the file is in its place or it is not
                self.delete(part)

    def upload(self, source: Path, address: Address, size: int) -> None:
        """One try to write a file; it is there whole or not at all."""
        self._call(address, "write", "put_file", str(source), self._key(address), size=size)
        self._check(address, size)

    def _check(self, address: Address, size: int) -> None:
        stat = self._stat(address)
        if stat is None or stat.size != size:
            raise cut(address, stat.size if stat else 0, size)

    def _commit(self, part: Address, address: Address, size: int) -> None:
        try:
            self._call(address, "write", "cp_file", self._key(part), self._key(address), size=size)
        except NothingThere as error:
            error.retryable = True  # it was there a moment ago
            raise
        self._check(address, size)

    def list(self, folder: Address, *, deep: bool = False) -> Iterator[tuple[Address, Stat]]:
        for address, info in self._infos(folder, deep=deep):
            yield address, stat_of(info)

    def _infos(self, folder: Address, *, deep: bool) -> Iterator[tuple[Address, Mapping[str, Any]]]:
        """Files below a folder with all that the place says of them."""
        key = self._key(folder)

        def found() -> list[Mapping[str, Any]]:
            if deep:
                return list(self._call(folder, "read", "find", key, detail=True).values())
            return list(self._call(folder, "read", "ls", key, detail=True))

        try:
            infos = self._retried(found)
        except NothingThere:
            return
        for info in infos:
            if info["type"] == "file":
                address = below(folder, str(info["name"]).lstrip("/").removeprefix(key.lstrip("/")))
                if address is not None:
                    yield address, info

    def delete(self, address: Address) -> None:
        with contextlib.suppress(NothingThere):
            self._retried(lambda: self._call(address, "remove", "rm_file", self._key(address)))

    def sweep(self, *, older_than_s: float = 24 * 3600.0) -> int:
        count, now = 0, datetime.now(UTC)
        for address, info in self._infos(self.root.join(PARTIAL), deep=False):
            then = next(filter(None, (_moment(info.get(name)) for name in _TIMES)), None)
            if then is None or (now - then).total_seconds() >= older_than_s:
                self.delete(address)
                count += 1
        return count

    def _key(self, address: Address) -> str:
        """As the library names it: bucket and key."""
        return str(type(self._fs)._strip_protocol(address.text))

    def _call(self, address: Address, doing: str, method: str, /, *args: Any, size: int = 0, **kwargs: Any) -> Any:
        """Call the library once, within the time that is allowed for so many bytes."""
        limit_s = self.options.transfer_s(size)
        try:
            if not self._fs.async_impl:
                return getattr(self._fs, method)(*args, **kwargs)

            async def bounded() -> Any:
                return await asyncio.wait_for(getattr(self._fs, f"_{method}")(*args, **kwargs), limit_s)

            return _sync(self._fs.loop, bounded)
        except Exception as error:  # noqa: BLE001 - each library has its own
            problem = _problem(address, doing, error)
        # Not `from error`: what the libraries say may hold signatures and keys, and a traceback would show it.
        raise problem from None


def below(folder: Address, rest: str) -> Address | None:
    """The address of a key in a folder; None for what is no file: the mark of a folder, a key with empty steps."""
    try:
        return folder.join(rest.removeprefix("/")) if rest.startswith("/") else None
    except BadAddress:
        return None


class AzureStore(ObjectStore):
    """Azure. It copies an object when it finds the time, so that the commit is the end of the upload itself: until then
    the blocks that were sent are nothing that can be read, and Azure forgets them after a week."""

    def publish(
        self,
        source: Path,
        address: Address,
        *,
        mark: str,
        check: Callable[[], None] | None = None,
    ) -> None:
        self.partial(address, mark)  # refuses marks that others would refuse
        if check is not None:
            check()
        self._retried(lambda: self.upload(source, address, source.stat().st_size))


class _IsThere(StorageError):
    """A file that was to be new."""


def _sync(loop: asyncio.AbstractEventLoop, function: Callable[[], Any]) -> Any:
    from fsspec.asyn import sync

    return sync(loop, function)


def _library(scheme: str) -> Any:
    """The class of fsspec for a scheme."""
    try:
        import fsspec
    except ImportError as error:
        raise MissingDependency("fsspec", extra="fleet", purpose="Object storage") from error
    try:
        return fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        missing = MissingDependency(
            _PACKAGES.get(scheme, "fsspec"), extra="fleet", purpose=f"An address with {scheme}://"
        )
        missing.remedy = f"pip install {missing.package}"  # no extra brings those of all storages
        raise missing from error


_CREDENTIALS = "check the credentials and the region where the storage's own tools look for them"


def _problem(address: Address, doing: str, error: Exception) -> StorageError:
    """What a library's exception means for who asked."""
    chain = list(_chain(error))
    status = next(filter(None, map(_status, chain)), None)
    codes = {code for code in map(_code, chain) if code}
    shown = f"{address.shown!r} cannot be {_DONE[doing]}: {_told(error)}."
    if any(isinstance(one, FileExistsError) for one in chain) or "PreconditionFailed" in codes:
        return _IsThere(shown)
    passes = (
        (status is not None and (status >= 500 or status in _PASSING_STATUS))
        or bool(codes & _PASSING_CODES)
        or any(isinstance(one, TimeoutError | ConnectionError | asyncio.IncompleteReadError) for one in chain)
        or any(_PASSING_NAMES.search(type(one).__name__) for one in chain)
        or any(isinstance(one, OSError) and one.errno in _PASSING_ERRNO and status is None for one in chain)
    )
    if passes:
        return StorageError(shown, remedy="again later", retryable=True)
    if any(isinstance(one, FileNotFoundError) for one in chain) or status == 404:
        return NothingThere(shown, remedy="check the spelling of the bucket and the name")
    local = next((one for one in chain if isinstance(one, OSError) and one.errno in DISK_FULL), None)
    if local is not None:
        return StorageError(shown, remedy="free some space")
    return StorageError(shown, remedy=_CREDENTIALS)


_DONE = {"read": "read", "write": "written", "remove": "removed"}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """The status of HTTP that an exception of botocore, aiohttp, Google or Azure carries."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        found: object = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = next((getattr(error, name, None) for name in ("status", "status_code", "code")), None)
    try:
        number = int(found)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return None
    return number if 100 <= number < 600 else None


def _code(error: BaseException) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, Mapping) else ""


def _told(error: BaseException) -> str:
    """An exception's text for people: in one line, without secrets."""
    text = " ".join(masked(str(error)).split()).rstrip(".")
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def stat_of(info: Mapping[str, Any]) -> Stat:
    """What a library tells of a file, as far as it is the same for all."""
    value = next((info[name] for name in _VERSIONS if info.get(name)), "")
    then = _moment(value)
    return Stat(int(info["size"] or 0), then.isoformat() if then else str(value).strip('"'))


def _moment(value: object) -> datetime | None:
    """A time as the libraries give it: with or without a zone, as text, or in seconds."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
        value = datetime.fromisoformat(value)
    if isinstance(value, float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return None
