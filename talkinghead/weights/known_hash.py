"""The hash of a large file, computed while other work goes on, and remembered from run to run.

A checkpoint of 430 MB takes a third of a second to hash, which is a tenth of a short job. What is remembered belongs to
a path with its size, its time of change and its inode: whoever changes the file changes these.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from talkinghead.contracts import ArrayStore
from talkinghead.files import cache_key, file_sha256

YOUNG_S = 2.0
"""A file changed less than this long ago is not remembered: another change could bear the same time."""


class FileHash:
    """The SHA-256 of a file. `start` begins the work early; `hex` waits for it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock = threading.Lock()
        self._hex: str | None = None

    def start(self, cache: ArrayStore) -> None:
        """Take the hash from a cache, or compute it in a thread and leave it there."""
        if self._hex is not None:
            return
        key = self._key()
        known = cache.get(key)
        if known is not None:
            self._hex = known["sha256"].tobytes().hex()
        else:
            threading.Thread(target=self._compute, args=(cache, key), daemon=True, name="hash").start()

    @property
    def is_known(self) -> bool:
        """Whether `hex` answers at once."""
        return self._hex is not None

    @property
    def hex(self) -> str:
        """64 hexadecimal digits."""
        return self._compute(None, "")

    def _key(self) -> str:
        status = self.path.stat()
        facts = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]
        return cache_key("file-sha256/1", path=str(self.path), facts=facts)

    def _compute(self, cache: ArrayStore | None, key: str) -> str:
        with self._lock:
            if self._hex is None:
                status = self.path.stat()
                found = file_sha256(self.path)
                old = time.time() - max(status.st_mtime, status.st_ctime) > YOUNG_S
                if cache is not None and old and self._key() == key:
                    cache.put(key, {"sha256": np.frombuffer(bytes.fromhex(found), np.uint8)})
                self._hex = found
            return self._hex
