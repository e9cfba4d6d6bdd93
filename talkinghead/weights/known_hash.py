"""The hash of a large file, computed while other work goes on, and remembered from run to run.

A checkpoint of 430 MB takes a third of a second to hash, which is a tenth of a short job. What is remembered belongs to
a path with its size, its time of change and its inode: whoever changes the file changes these.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from talkinghead.cache import Cache, cache_key
from talkinghead.weights.checkpoint import file_sha256

YOUNG_S = 2.0
"""A file changed less than this long ago is not remembered: another change could bear the same time."""


class FileHash:
    """The SHA-256 of a file. `start` begins the work early; `hex` waits for it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock = threading.Lock()
        self._hex: str | None = None

    def start(self, cache: Cache) -> None:
        """Take the hash from a cache, or compute it in a thread and leave it there."""
        if self._hex is None:
            threading.Thread(target=self._find, args=(cache,), daemon=True, name="hash").start()

    @property
    def hex(self) -> str:
        """64 hexadecimal digits."""
        return self._find(None)

    def _find(self, cache: Cache | None) -> str:
        with self._lock:
            if self._hex is None:
                self._hex = file_sha256(self.path) if cache is None else self._remembered(cache)
            return self._hex

    def _remembered(self, cache: Cache) -> str:
        status = self.path.stat()
        facts = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]
        key = cache_key("file-sha256/1", path=str(self.path), facts=facts)
        known = cache.get(key)
        if known is not None:
            return known["sha256"].tobytes().hex()
        found = file_sha256(self.path)
        if time.time() - max(status.st_mtime, status.st_ctime) > YOUNG_S:
            cache.put(key, {"sha256": np.frombuffer(bytes.fromhex(found), np.uint8)})
        return found
