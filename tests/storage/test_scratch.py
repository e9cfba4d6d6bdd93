"""Copies of what lies elsewhere: fetched once, kept while there is room, never more than that."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("fsspec")

from talkinghead.errors import NothingThere, StorageError
from talkinghead.storage.address import Address
from talkinghead.storage.scratch import Scratch
from talkinghead.storage.store import Store, open_store


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    with Scratch(tmp_path / "scratch", 1000) as scratch:
        yield scratch


@pytest.fixture
def place() -> Store:
    return open_store(f"memory://{secrets.token_hex(8)}")


def put(place: Store, name: str, size: int) -> Address:
    there = place.root.join(name)
    place.write_bytes(there, name[:1].encode() * size)
    return there


def on_disk(scratch: Scratch) -> int:
    return sum(path.stat().st_size for path in scratch.folder.rglob("*") if path.is_file())


def test_what_is_local_is_given_as_it_is(scratch: Scratch, tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(b"x" * 5000)
    with scratch.have(str(path)) as given:
        assert given == path
    assert path.exists()
    assert scratch.used_bytes == 0
    with pytest.raises(NothingThere), scratch.have(str(tmp_path / "absent")):
        pass


def test_a_copy_is_fetched_once(scratch: Scratch, place: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    there = put(place, "voice 1.wav", 300)
    with scratch.have(there) as first:
        assert first.name == "voice 1.wav"
        assert first.read_bytes() == b"v" * 300
    monkeypatch.setattr(type(place), "fetch", None)
    with scratch.have(there) as second:
        assert second == first
    assert scratch.used_bytes == 300


def test_another_version_is_another_copy(scratch: Scratch, place: Store) -> None:
    there = put(place, "x", 300)
    with scratch.have(there) as first:
        place.write_bytes(there, b"new")
        with scratch.have(there) as second:
            assert second.read_bytes() == b"new"
            assert first.read_bytes() == b"x" * 300


def test_what_was_used_longest_ago_goes_first(scratch: Scratch, place: Store) -> None:
    a, b, c = (put(place, name, 400) for name in "abc")
    with scratch.have(a) as path_a:
        pass
    with scratch.have(b) as path_b:
        pass
    with scratch.have(a), scratch.have(c):
        assert path_a.exists()
        assert not path_b.exists()
        with pytest.raises(StorageError, match="800 are in use"), scratch.have(b):
            pass
        with pytest.raises(StorageError, match="800 are in use"), scratch.room(201):
            pass
        with scratch.room(200) as folder:
            assert list(folder.iterdir()) == []
    with scratch.have(b):
        assert on_disk(scratch) <= 1000


def test_what_never_fits_is_refused_before_it_is_fetched(scratch: Scratch, place: Store) -> None:
    there = put(place, "x", 1001)
    with pytest.raises(StorageError, match="1000 bytes"), scratch.have(there):
        pass
    with pytest.raises(StorageError, match="1000 bytes"), scratch.room(1001):
        pass
    with pytest.raises(NothingThere), scratch.have(place.root.join("absent")):
        pass
    assert on_disk(scratch) == scratch.used_bytes == 0


def test_outputs_go_with_their_block(scratch: Scratch) -> None:
    folders = []

    def make() -> None:
        with scratch.room(600) as folder:
            folders.append(folder)
            (folder / "x.mp4").write_bytes(b"x")
            assert scratch.used_bytes == 600
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make()
    assert not folders[0].exists()
    assert scratch.used_bytes == 0


def test_what_changes_before_it_is_fetched_is_the_new_one(
    scratch: Scratch, place: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, stat = put(place, "x", 300), type(place).stat
    left = [b"new"]

    def changing(self: Store, address: Address) -> object:
        found = stat(self, address)
        if left:
            place.write_bytes(there, left.pop())
        return found

    monkeypatch.setattr(type(place), "stat", changing)
    with scratch.have(there) as path:
        assert path.read_bytes() == b"new"
    assert on_disk(scratch) == scratch.used_bytes == 3


def test_a_copy_that_failed_leaves_nothing(scratch: Scratch, place: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    there = put(place, "x", 300)

    def fails(*args: object, **kwargs: object) -> None:
        raise StorageError("cut", retryable=True)

    with monkeypatch.context() as patch:
        patch.setattr(type(place), "fetch", fails)
        with pytest.raises(StorageError, match="cut"), scratch.have(there):
            pass
    assert scratch.used_bytes == 0
    with scratch.have(there) as path:
        assert path.read_bytes() == b"x" * 300


def test_threads_share_one_copy(scratch: Scratch, place: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    there, fetched, paths = put(place, "x", 300), [], []
    fetch, all_there = type(place).fetch, threading.Barrier(6)

    def counted(self: Store, *args: object, **kwargs: object) -> object:
        fetched.append(1)
        return fetch(self, *args, **kwargs)

    monkeypatch.setattr(type(place), "fetch", counted)

    def use() -> None:
        all_there.wait()
        with scratch.have(there) as path:
            assert path.read_bytes() == b"x" * 300
            paths.append(path)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 6
    assert len(set(paths)) == len(fetched) == 1


USES = st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=30)
SIZES = {"a": 100, "b": 900, "c": 450, "d": 0, "e": 550, "f": 1000}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(uses=USES)
def test_there_is_never_more_than_allowed(scratch: Scratch, uses: list[tuple[str, bool]]) -> None:
    place = open_store(f"memory://{secrets.token_hex(8)}")
    there = {name: put(place, name, size) for name, size in SIZES.items()}
    held: dict[str, object] = {}
    for name, keep in uses:
        if name in held:
            held.pop(name).__exit__(None, None, None)
            continue
        block = scratch.have(there[name])
        try:
            path = block.__enter__()
        except StorageError:
            assert sum(SIZES[other] for other in held) + SIZES[name] > 1000
            continue
        assert path.read_bytes() == name.encode() * SIZES[name]
        if keep:
            held[name] = block
        else:
            block.__exit__(None, None, None)
        assert on_disk(scratch) == scratch.used_bytes <= 1000
    for block in held.values():
        block.__exit__(None, None, None)


def test_folders_of_dead_processes_are_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from talkinghead.storage.scratch import Scratch\n"
        "scratch = Scratch(Path(sys.argv[1]), 1000); (scratch.folder / 'x').touch(); print(scratch.folder); os._exit(1)"
    )
    with Scratch(tmp_path, 1000) as living:
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
        dead = Path(done.stdout.strip())
        assert (dead / "x").exists(), done.stderr
        with Scratch(tmp_path, 1000) as other:
            assert not dead.exists()
            assert living.folder.exists()
            assert other.folder.exists()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a" * 250 + ".mp4", "ü" * 120 + ".wav", "what?*.mp4", "CON:x.mp4", "x" * 300])
def test_names_fit_every_file_system(scratch: Scratch, place: Store, name: str) -> None:
    with scratch.have(put(place, name, 3)) as path:
        assert path.suffix == Path(name).suffix
        assert not set(path.name) & set('?*:"<>|')
