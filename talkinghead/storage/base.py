"""What every place for files can do, and how long it is tried."""

from __future__ import annotations

import contextlib
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from talkinghead import files
from talkinghead.bounds import Between, check_fields
from talkinghead.errors import NothingThere, StorageError
from talkinghead.places import partial_name, temporary_folder
from talkinghead.storage.address import Address
from talkinghead.system import remove, replace

PARTIAL = ".talkinghead/partial"
"""Below the root of a store: what is not complete yet."""
UNKNOWN_SIZE = -1
T = TypeVar("T")


@dataclass(frozen=True)
class Stat:
    """What a place says of a file without giving it away."""

    size: int
    """Bytes; -1 where a server does not say before it is asked for the content."""
    version: str
    """Changes when the content does: an ETag, or time and size. Empty where the place says nothing that would."""


@dataclass(frozen=True)
class StoreOptions:
    """How a place is reached, and how patiently."""

    tries: Annotated[int, Between(1, 1_000)] = 6
    """How often something is tried that may pass: answers of 5xx, timeouts, connections that are cut."""
    first_wait_s: Annotated[float, Between(0, 3_600)] = 0.3
    """Before the second try; twice as long before each further one, and up to half of it less, by chance."""
    longest_wait_s: Annotated[float, Between(0, 3_600)] = 20.0
    timeout_s: Annotated[float, Between(0, 86_400, above=True)] = 60.0
    """For a connection, and for a sign of life on it."""
    slowest_bytes_per_s: Annotated[float, Between(0, 10**12, above=True)] = 50_000.0
    """A transfer may take `timeout_s` and its size over this."""
    max_bytes: Annotated[int | None, Between(0, 2**50)] = None
    """Larger files are not fetched."""
    part_bytes: Annotated[int, Between(1, 5 * 2**30)] = 50 * 2**20
    """S3 takes files of twice this and more in parts of this size; its smallest is 5 MiB."""
    redirects: Annotated[int, Between(0, 100)] = 5
    """How often an address behind HTTP may lead to another one."""
    allow: Callable[[Address], None] | None = None
    """Called with an address behind HTTP, and with each that it leads to, before it is asked; raises to refuse it."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the library of an object storage takes (`key`, `endpoint_url`, …). Empty: it looks where its tools do."""

    def __post_init__(self) -> None:
        check_fields(self)

    def transfer_s(self, size: int) -> float:
        """How long a transfer of so many bytes may take."""
        return self.timeout_s + max(0, size) / self.slowest_bytes_per_s


class Store(ABC):
    """One place for files: a folder of this machine, a bucket, a server. May be used from several threads.

    Every call either does all that it says or leaves nothing that anybody takes for a file, and may be repeated.

    Args:
        root: folder that the store stands for. Other addresses of the same kind are taken too.
        options: as above.
        sleep: waits between tries.
    """

    def __init__(
        self, root: Address, options: StoreOptions | None = None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.root = root
        self.options = options or StoreOptions()
        self._sleep = sleep

    @abstractmethod
    def stat(self, address: Address) -> Stat | None:
        """Size and version of a file; None where there is none (or a folder).

        Raises:
            StorageError: it cannot be known.
        """

    @abstractmethod
    def _download(self, address: Address, target: Path, check: Callable[[Stat], None]) -> Stat:
        """One try to write a file's content to `target`; calls `check` before anything is moved."""

    @abstractmethod
    def write_bytes(self, address: Address, data: bytes, *, exclusive: bool = False) -> bool:
        """Write a small file whole.

        Args:
            exclusive: only if there is none yet, also where several ask at once: only one content is ever there. An
                answer may be lost and the call repeated, so that True is also said where the same bytes are there
                already: let `data` say who wrote it.
        Returns:
            False: another content was there, and stays as it is.
        Raises:
            StorageError
        """

    @abstractmethod
    def publish(self, source: Path, address: Address, *, mark: str, check: Callable[[], None] | None = None) -> None:
        """Give a finished file its place: complete under a temporary name first, then one commit.

        A file that is there is replaced in that instant. If the call fails or its process dies, there is the old file
        or the new one; what is left under the temporary name is for `sweep`.

        Args:
            source: stays as it is.
            mark: a name that no other attempt has.
            check: called when all of it is there under its temporary name; raises to leave it at that. The commit
                follows at once.
        Raises:
            StorageError, UnwritableOutput
        """

    @abstractmethod
    def list(self, folder: Address, *, deep: bool = False) -> Iterator[tuple[Address, Stat]]:
        """The files in a folder, in no order; none where there is no such folder.

        Some object storages list what was written a moment ago only later: that a file is absent is known by `stat`.

        Args:
            deep: also those in folders below it.
        Raises:
            StorageError
        """

    @abstractmethod
    def delete(self, address: Address) -> None:
        """Remove a file; nothing happens where there is none.

        Raises:
            StorageError
        """

    @abstractmethod
    def sweep(self, *, older_than_s: float = 24 * 3600.0) -> int:
        """Remove what unfinished calls of `publish` left below the root, uploads in parts among it.

        Args:
            older_than_s: younger ones may still be in work.
        Returns:
            How many were removed.
        Raises:
            StorageError
        """

    def fetch(self, address: Address, target: Path, *, check: Callable[[Stat], None] | None = None) -> Stat:
        """Copy a file to this machine, whole or not at all.

        Args:
            target: replaced in the instant when the copy is complete. Its folder must be there.
            check: called before anything is moved, with what the place says of the file; raises to refuse it.
        Returns:
            What was copied; its size is known.
        Raises:
            NothingThere, StorageError
            UnwritableOutput: the target.
        """

        def checked(stat: Stat) -> None:
            self.check_size(address, stat.size)
            if check is not None:
                check(stat)

        part = target.with_name(partial_name(target.name))
        try:
            stat = self._retried(lambda: self._download(address, part, checked))
            try:
                replace(part, target)
            except OSError as error:
                raise files.unwritable(target, error) from error
        finally:
            with contextlib.suppress(OSError):
                remove(part)
        return stat

    def read_bytes(self, address: Address, limit: int) -> bytes:
        """The content of a small file.

        Args:
            limit: bytes that it may have.
        Raises:
            NothingThere, StorageError
        """

        def check(stat: Stat) -> None:
            if stat.size > limit:
                raise StorageError(f"{address.shown!r} has {stat.size} bytes.", accepted=f"up to {limit} bytes")

        with temporary_folder() as folder:
            path = folder / "content"
            self.fetch(address, path, check=check)
            data = path.read_bytes()
        check(Stat(len(data), ""))
        return data

    def identity(self, address: Address) -> str | None:
        """A text that changes when a file's content does; None where there is no file.

        The size and version that the place gives; where it gives no version, the content is fetched and hashed.

        Raises:
            StorageError
        """
        stat = self.stat(address)
        if stat is None:
            return None
        if stat.version:
            return f"{stat.size}-{stat.version}"
        with temporary_folder() as folder:
            path = folder / "content"
            self.fetch(address, path)
            return f"sha256-{files.file_sha256(path)}"

    def check_size(self, address: Address, size: int) -> None:
        """Refuse what is larger than the options allow.

        Raises:
            StorageError
        """
        if self.options.max_bytes is not None and size > self.options.max_bytes:
            raise StorageError(
                f"{address.shown!r} is larger than files may be here.", accepted=f"up to {self.options.max_bytes} bytes"
            )

    def partial(self, address: Address, mark: str) -> Address:
        """The temporary name of what is on its way to `address`."""
        if "/" in mark:
            raise ValueError(f"a mark is one name, not {mark!r}")
        folder = self.root if address.is_inside(self.root) else address.parent
        return folder.join(f"{PARTIAL}/{mark}")

    def _holds(self, address: Address, data: bytes) -> bool:
        """Whether a file is there with this content."""
        stat = self.stat(address)
        return stat is not None and stat.size == len(data) and self.read_bytes(address, len(data)) == data

    def _retried(self, attempt: Callable[[], T]) -> T:
        """Do something again while it fails for a reason that may pass."""
        wait_s = self.options.first_wait_s
        for left in reversed(range(self.options.tries)):
            try:
                return attempt()
            except StorageError as error:
                if not error.retryable or not left:
                    raise
                asked_s = error.after_s or 0.0
            self._sleep(max(min(asked_s, self.options.longest_wait_s), wait_s * random.uniform(0.5, 1.0)))
            wait_s = min(2 * wait_s, self.options.longest_wait_s)
        raise AssertionError("the last try returns or raises")


def nothing_there(address: Address) -> NothingThere:
    """The error for a file that is not there."""
    return NothingThere(f"There is no file {address.shown!r}.", remedy="check the spelling")


def cut(address: Address, given: int, expected: int) -> StorageError:
    """The error for a transfer that ended early."""
    return StorageError(f"{address.shown!r} was cut: {given} of {expected} bytes.", retryable=True)


def changed(address: Address) -> StorageError:
    """The error for a file that became another one while it was read."""
    return StorageError(f"{address.shown!r} was changed while it was read.", retryable=True)
