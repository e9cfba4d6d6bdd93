"""A folder of this machine for copies of what lies elsewhere and for outputs on their way, of bounded size."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from talkinghead import files, owned
from talkinghead.errors import StorageError
from talkinghead.places import fitted_name, portable_name
from talkinghead.storage.address import Address
from talkinghead.storage.base import UNKNOWN_SIZE, Stat, Store, StoreOptions, nothing_there
from talkinghead.storage.store import Stores
from talkinghead.system import remove_tree

_PREFIX = "scratch-"


_CHANGES = 4
"""How often a file may become another one between the look at it and its copy."""


class _Changed(StorageError):
    pass


@dataclass
class _Copy:
    """A file that was fetched."""

    path: Path
    size: int
    users: int = 0
    ready: threading.Event = field(default_factory=threading.Event)
    failed: bool = False


class Scratch:
    """Room on this machine's disk for one process. May be used from several threads.

    Below `folder` it has a folder of its own, which goes when it is closed; those of processes that died are removed
    when the next one is made.

    Args:
        folder: made where it is missing.
        max_bytes: how much the copies and outputs of this process may have together.
        options: how other places are reached.
    Raises:
        UnwritableOutput
    """

    def __init__(self, folder: Path, max_bytes: int, *, options: StoreOptions | None = None) -> None:
        self.max_bytes = max_bytes
        self._guard = threading.Lock()
        self._copies: OrderedDict[tuple[Address, str], _Copy] = OrderedDict()
        """Least recently used first."""
        self._reserved = 0
        self._stores = Stores(options)
        self._own = contextlib.ExitStack()
        files.make_folder(folder)
        remove_dead(folder)
        try:
            self.folder = self._own.enter_context(owned.owned_folder(folder, _PREFIX))
        except OSError as error:
            raise files.unwritable(folder, error) from error

    @property
    def used_bytes(self) -> int:
        """Of copies, and of what was asked for outputs."""
        with self._guard:
            return self._used()

    @contextlib.contextmanager
    def have(self, address: Address | str, *, store: Store | None = None) -> Iterator[Path]:
        """A path of this machine with the content of an address, for a block that reads it.

        What is local is given as it is. Anything else is fetched, and kept by address and version until its room is
        needed; it is never removed in the block.

        Raises:
            NothingThere, StorageError: it cannot be fetched, or there is no room for it.
            UnwritableOutput
        """
        address = Address.of(address)
        if address.is_local:
            if not address.path.exists():
                raise nothing_there(address)
            yield address.path
            return
        key, copy = self._taken(address, store or self._stores(address))
        try:
            yield copy.path
        finally:
            with self._guard:
                copy.users -= 1
            if not key[1]:  # without a version nothing would tell that it is another one the next time
                self._forget(key, copy)

    @contextlib.contextmanager
    def room(self, expected_bytes: int) -> Iterator[Path]:
        """An empty folder for a block that writes outputs; it is removed afterwards.

        Args:
            expected_bytes: counted as used during the block.
        Raises:
            StorageError: there is not so much room.
        """
        with self._guard:
            self._make_room(expected_bytes, "an output")
            self._reserved += expected_bytes
        folder = self.folder / f"out-{secrets.token_hex(6)}"
        try:
            files.make_folder(folder)
            yield folder
        finally:
            remove_tree(folder)
            with self._guard:
                self._reserved -= expected_bytes

    def close(self) -> None:
        """Remove everything."""
        self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _taken(self, address: Address, store: Store) -> tuple[tuple[Address, str], _Copy]:
        """A copy that counts as used, of the version that is there now."""
        for left in reversed(range(_CHANGES)):
            stat = store.stat(address)
            if stat is None:
                raise nothing_there(address)
            try:
                return (address, stat.version), self._copy(address, stat, store)
            except _Changed:
                if not left:
                    raise
        raise AssertionError("the last time returns or raises")

    def _copy(self, address: Address, stat: Stat, store: Store) -> _Copy:
        """A copy that counts as used; fetched by one thread, waited for by others."""
        key = (address, stat.version)
        while True:
            with self._guard:
                copy = self._copies.get(key)
                mine = copy is None
                if copy is None:
                    copy = _Copy(self._place(address, stat), max(0, stat.size))
                    self._make_room(copy.size, repr(address.shown))
                    self._copies[key] = copy
                copy.users += 1
                self._copies.move_to_end(key)
            if mine:
                self._fetch(key, copy, stat, store)
                return copy
            copy.ready.wait()
            if not copy.failed:
                return copy
            with self._guard:
                copy.users -= 1

    def _fetch(self, key: tuple[Address, str], copy: _Copy, stat: Stat, store: Store) -> None:
        address, version = key

        def check(found: Stat) -> None:
            if found.version != version or (stat.size != UNKNOWN_SIZE and found.size != stat.size):
                raise _Changed(f"{address.shown!r} is changed all the time.", remedy="again when it is complete")
            if stat.size == UNKNOWN_SIZE and found.size > copy.size:
                with self._guard:
                    self._make_room(found.size - copy.size, repr(address.shown))
                    copy.size = found.size

        try:
            files.make_folder(copy.path.parent)
            store.fetch(address, copy.path, check=check)
        except BaseException:
            copy.failed = True
            copy.users -= 1
            self._forget(key, copy)
            raise
        finally:
            copy.ready.set()

    def _place(self, address: Address, stat: Stat) -> Path:
        """A path with the name that the address has: its end tells readers what it is."""
        mark = hashlib.sha256(f"{address.text}\n{stat.version}".encode(errors="surrogateescape")).hexdigest()[:16]
        name = portable_name(address.name)
        suffix = Path(name).suffix[:20]
        stem = name.removesuffix(suffix) or "file"
        return self.folder / f"in-{mark}-{secrets.token_hex(4)}" / fitted_name(stem, suffix)

    def _forget(self, key: tuple[Address, str], copy: _Copy) -> None:
        with self._guard:
            if self._copies.get(key) is copy and copy.users == 0:
                del self._copies[key]
                remove_tree(copy.path.parent)

    def _used(self) -> int:
        return self._reserved + sum(copy.size for copy in self._copies.values())

    def _make_room(self, needed: int, what: str) -> None:
        """Remove what was used longest ago and is not in use, until there is room. Called with the guard held."""
        if needed > self.max_bytes:
            raise StorageError(
                f"The scratch folder may have {self.max_bytes} bytes; {what} needs {needed}.",
                remedy="allow more (--scratch-gb), on a disk that has it",
            )
        free = self.max_bytes - self._used()
        for key, copy in list(self._copies.items()):
            if free >= needed:
                break
            if copy.users == 0:
                del self._copies[key]
                remove_tree(copy.path.parent)
                free += copy.size
        if free < needed:
            raise StorageError(
                f"The scratch folder may have {self.max_bytes} bytes, of which {self.max_bytes - free} are in use; "
                f"{what} needs {needed}.",
                remedy="allow more (--scratch-gb), on a disk that has it",
            )


def remove_dead(folder: Path) -> None:
    """Remove the folders of processes that are gone."""
    owned.remove_dead(folder, _PREFIX)
