"""Hashes of large files are remembered, and never for another content."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from talkinghead.engine.cache import Cache, NullCache
from talkinghead.weights import known_hash
from talkinghead.weights.known_hash import FileHash


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_hash_is_found_again_without_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_hash, "YOUNG_S", -1.0)
    file, cache = tmp_path / "w.pth", Cache(tmp_path / "cache")
    file.write_bytes(b"weights")
    first = FileHash(file)
    first.start(cache)
    assert first.hex == digest(b"weights")
    monkeypatch.setattr(known_hash, "file_sha256", lambda _: pytest.fail("it was read again"))
    again = FileHash(file)
    again.start(cache)
    assert again.is_known
    assert again.hex == digest(b"weights")


def test_another_content_has_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_hash, "YOUNG_S", -1.0)
    file, cache = tmp_path / "w.pth", Cache(tmp_path / "cache")
    for content in (b"one", b"two"):  # of one size
        file.write_bytes(content)
        os.utime(file, ns=(1, 1))  # and one time of change
        time.sleep(0.02)
        hashed = FileHash(file)
        hashed.start(cache)
        assert hashed.hex == digest(content)


def test_young_files_and_no_cache_are_not_remembered(tmp_path: Path) -> None:
    file, cache = tmp_path / "w.pth", Cache(tmp_path / "cache")
    file.write_bytes(b"weights")
    for place in (cache, NullCache()):
        hashed = FileHash(file)
        hashed.start(place)
        assert hashed.hex == digest(b"weights")
    assert len(cache) == 0
