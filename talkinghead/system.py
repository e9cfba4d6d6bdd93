"""What Linux, macOS and Windows do differently, in one place: files in use, locks, processes.

On Windows a file that is open or mapped, by this process or by a virus scanner that looks at what is new, can be
neither removed nor replaced; a locked part of a file cannot be read by others; and signals are no way to ask for a
process. Callers of this module need not know.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

WINDOWS = sys.platform == "win32"
"""Read when it is used, so that tests may try both ways."""

IN_USE = frozenset({5, 32, 33})
"""Errors of Windows that pass when others close the file: access denied, a sharing violation, a lock violation."""
PATIENCE_S = 2.0
"""How long a file may be in use by others, in all,"""
_FIRST_WAIT_S = 0.01
"""and the first of the waits, each twice as long as the one before."""

_LOCKED_BYTE = 0x7FFF_0000
"""Which byte of a file stands for all of it on Windows: far beyond what any has, since what is locked is not read."""


# Files that may be in use ---------------------------------------------------------------------------------------------


def _waits() -> Iterator[float]:
    wait_s, left_s = _FIRST_WAIT_S, PATIENCE_S
    while left_s > 0:
        yield min(wait_s, left_s)
        wait_s, left_s = 2 * wait_s, left_s - wait_s


def _patiently(action: Callable[[], object]) -> None:
    """Do something to a file; on Windows again for a while where somebody has it open."""
    for wait_s in _waits() if WINDOWS else ():
        try:
            action()
        except PermissionError as error:
            if getattr(error, "winerror", 5) not in IN_USE:
                raise
            gc.collect()  # what this process holds in circles: maps of files, containers
            time.sleep(wait_s)
        else:
            return
    action()


def replace(source: Path, target: Path) -> None:
    """Give a file or a folder another name in one instant; a file that has that name is replaced.

    Raises:
        OSError: also if it is in use for longer than a moment (Windows).
    """
    _patiently(lambda: source.replace(target))


def remove(path: Path, *, missing_ok: bool = True) -> None:
    """Remove a file.

    Raises:
        OSError: also if it is in use for longer than a moment (Windows).
    """
    _patiently(lambda: path.unlink(missing_ok=missing_ok))


def remove_tree(folder: Path, *, strict: bool = False) -> None:
    """Remove a folder with all that is in it. Links are removed, not followed.

    Args:
        strict: whether what cannot be removed is an error; else it stays.
    Raises:
        OSError: only where strict.
    """
    if strict:
        _patiently(lambda: shutil.rmtree(folder))
        return
    shutil.rmtree(folder, ignore_errors=True)
    if WINDOWS and folder.is_dir():
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                path.chmod(stat.S_IWRITE)  # what is marked as read-only is not removed
        with contextlib.suppress(OSError):
            _patiently(lambda: shutil.rmtree(folder))


def open_file(path: Path, flags: int, mode: int = 0o666) -> int:
    """As `os.open`, and the bytes are those that are written, on Windows too.

    Raises:
        OSError
    """
    return os.open(path, flags | getattr(os, "O_BINARY", 0), mode)


# Locks between processes ----------------------------------------------------------------------------------------------

if sys.platform != "win32":
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Lock an open file for this process; False where another has it. The system lets go when the process ends."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Let go of a lock."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)

else:
    import msvcrt

    def try_lock(descriptor: int) -> bool:
        """Lock an open file for this process; False where another has it. The system lets go when the process ends."""
        try:
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Let go of a lock."""
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)


def is_file_of(descriptor: int, path: Path) -> bool:
    """Whether an open file still has a name: nobody removed it, or put another in its place."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def end_lock(descriptor: int, path: Path) -> None:
    """Remove a file that is open and locked by `try_lock`, let go of it, and close it.

    It goes before the lock does, so that nobody locks what is about to go; on Windows it is closed first, since no open
    file can be removed there: who has opened it meanwhile keeps it.
    """
    if WINDOWS:
        with contextlib.suppress(OSError):
            unlock(descriptor)
        os.close(descriptor)
        with contextlib.suppress(OSError):
            path.unlink()
        return
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(descriptor)  # with it goes the lock


# Processes ------------------------------------------------------------------------------------------------------------


def is_running(number: int) -> bool:
    """Whether there is a process of this number; one that has ended, and was not asked how, does not count.

    Where the system does not tell, it is said to run.
    """
    if number <= 0:
        return False
    if sys.platform == "win32":
        return _runs_on_windows(number)
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    try:
        state = Path(f"/proc/{number}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:  # no /proc
        return True
    return state[:1] != ["Z"]


def _runs_on_windows(number: int) -> bool:
    """As `is_running`. Signal 0 would be Ctrl-C for a whole group of processes there."""
    import ctypes

    synchronize, timed_out = 0x0010_0000, 0x102
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(synchronize, False, number)
    if not handle:
        return bool(ctypes.get_last_error() == 5)  # type: ignore[attr-defined,unused-ignore]  # somebody else's
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == timed_out)
    finally:
        kernel.CloseHandle(handle)


def end_process(number: int) -> None:
    """Have a process end at once; nothing happens where there is none, or it is somebody else's."""
    import signal

    with contextlib.suppress(OSError):
        os.kill(number, getattr(signal, "SIGKILL", signal.SIGTERM))


def user_number() -> int:
    """The number of the user who runs this; 0 on Windows, where each user has a folder for temporary files anyway."""
    return os.getuid() if sys.platform != "win32" else 0


def is_ours(path: Path) -> bool:
    """Whether a file or folder, not what a link leads to, belongs to the user who runs this."""
    try:
        return sys.platform == "win32" or path.lstat().st_uid == os.getuid()
    except OSError:
        return False
