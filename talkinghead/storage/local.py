"""Folders of this machine, or those that look like it (network drives)."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat as modes
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from talkinghead import files
from talkinghead.errors import OutputExists, StorageError
from talkinghead.storage.address import Address
from talkinghead.storage.base import PARTIAL, Stat, Store, changed, nothing_there
from talkinghead.system import remove, replace


class LocalStore(Store):
    """A folder."""

    def stat(self, address: Address) -> Stat | None:
        try:
            status = address.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise _unreadable(address, error) from error
        return _stat_of(status) if modes.S_ISREG(status.st_mode) else None

    def _download(self, address: Address, target: Path, check: Callable[[Stat], None]) -> Stat:
        stat = self.stat(address)
        if stat is None:
            raise nothing_there(address)
        check(stat)
        _copy(address, target)
        if self.stat(address) != stat or target.stat().st_size != stat.size:
            raise changed(address)
        return stat

    def write_bytes(self, address: Address, data: bytes, *, exclusive: bool = False) -> bool:
        files.make_folder(address.path.parent)
        if not exclusive:
            files.write_bytes(address.path, data)
            return True
        try:
            with files.PendingOutput(address.path, overwrite=False) as pending, pending.writing():
                pending.temporary.write_bytes(data)
                if _link(pending.temporary, address.path, data):
                    return True
        except OutputExists:
            pass
        return self._holds(address, data)

    def publish(self, source: Path, address: Address, *, mark: str, check: Callable[[], None] | None = None) -> None:
        part = self.partial(address, mark).path
        files.make_folder(part.parent)
        files.make_folder(address.path.parent)
        try:
            _copy(Address.of(source), part)
            try:
                files.flush_file(part)
            except OSError as error:
                raise files.unwritable(part, error) from error
            if check is not None:
                check()
            try:
                replace(part, address.path)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise files.unwritable(address.path, error) from error
                self._from_other_disk(part, address.path)
            files.flush_folder(address.path.parent)
        finally:
            with contextlib.suppress(OSError):
                remove(part)

    def _from_other_disk(self, part: Path, final: Path) -> None:
        """The folder of an output is mounted from elsewhere: what is complete is moved by way of a hidden sibling."""
        with files.PendingOutput(final) as pending:
            _copy(Address.of(part), pending.temporary)
            pending.commit()

    def list(self, folder: Address, *, deep: bool = False) -> Iterator[tuple[Address, Stat]]:
        try:
            with os.scandir(folder.path) as found:
                entries = list(found)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise _unreadable(folder, error) from error
        for entry in entries:
            address = Address(entry.path)
            if deep and entry.is_dir(follow_symlinks=False):
                yield from self.list(address, deep=True)
            elif not (entry.name.startswith(".") and entry.name.endswith(".part")):
                stat = self.stat(address)
                if stat is not None:
                    yield address, stat

    def delete(self, address: Address) -> None:
        try:
            remove(address.path)
        except NotADirectoryError:
            return
        except OSError as error:
            raise StorageError(f"{address.shown!r} cannot be removed: {error.strerror or error}.") from error

    def sweep(self, *, older_than_s: float = 24 * 3600.0) -> int:
        count = 0
        for address, _ in self.list(self.root.join(PARTIAL)):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - address.path.stat().st_mtime >= older_than_s:
                    self.delete(address)
                    count += 1
        return count


def _stat_of(status: os.stat_result) -> Stat:
    return Stat(status.st_size, f"{status.st_mtime_ns}-{status.st_size}")


def _copy(address: Address, target: Path) -> None:
    """Copy a file's bytes; which side failed shows in the error."""
    try:
        source = address.path.open("rb")
    except FileNotFoundError as error:
        raise nothing_there(address) from error
    except OSError as error:
        raise _unreadable(address, error) from error
    with source:
        try:
            with target.open("wb") as written:
                shutil.copyfileobj(source, written, 1 << 20)
        except OSError as error:
            raise files.unwritable(target, error) from error


def _link(temporary: Path, final: Path, data: bytes) -> bool:
    """Give a file its name if nobody has it yet."""
    files.flush_file(temporary)
    try:
        os.link(temporary, final)
    except FileExistsError:
        return False
    except OSError:  # no hard links here (some network drives)
        try:
            with final.open("xb") as file:
                file.write(data)
        except FileExistsError:
            return False
        files.flush_file(final)
    files.flush_folder(final.parent)
    return True


def _unreadable(address: Address, error: Exception) -> StorageError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StorageError(f"{address.shown!r} cannot be read: {reason}.")
