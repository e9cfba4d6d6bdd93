"""Folders that belong to one process, and what processes that were killed have left behind.

    /tmp/talkinghead-app-x8k2.lock     locked by the process while it lives
    /tmp/talkinghead-app-x8k2/         everything that it keeps

The system lets go of the lock when the process ends, however it ends. So a folder whose lock can be had belongs to
nobody, and one whose lock is not there is left alone.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talkinghead.system import end_lock, is_file_of, is_ours, open_file, remove_tree, try_lock

LOCK = ".lock"


@contextmanager
def owned_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A private folder with a name that cannot be guessed; removed afterwards, with its lock.

    Args:
        parent: where it is made.
        prefix: how its name begins.
    Raises:
        OSError: nothing can be made there.
    """
    folder = parent / f"{prefix}{secrets.token_hex(8)}"
    lock = folder.with_name(folder.name + LOCK)
    descriptor = _locked(lock)
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        remove_tree(folder)
        end_lock(descriptor, lock)


def _locked(lock: Path) -> int:
    """Make a lock and hold it. Somebody who sweeps may have it for a moment, and remove it: then it is made again."""
    while True:
        descriptor = open_file(lock, os.O_RDWR | os.O_CREAT, 0o600)
        if try_lock(descriptor) and is_file_of(descriptor, lock):
            return descriptor
        os.close(descriptor)


def remove_dead(parent: Path, prefix: str) -> int:
    """Remove the folders of processes that are dead; returns how many. Nothing of one that lives is touched.

    Args:
        prefix: how the names of their folders begin.
    """
    swept = 0
    for lock in parent.glob(f"{prefix}*{LOCK}"):
        folder = lock.with_name(lock.name.removesuffix(LOCK))
        if lock.is_symlink() or folder.is_symlink() or not is_ours(lock):
            continue
        try:
            descriptor = open_file(lock, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            continue
        if try_lock(descriptor) and is_file_of(descriptor, lock):
            swept += folder.is_dir()
            remove_tree(folder)
            end_lock(descriptor, lock)
        else:
            os.close(descriptor)
    return swept
