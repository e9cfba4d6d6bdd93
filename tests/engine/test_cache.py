"""The cache: whole entries or none, whatever happens beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from talkinghead.engine import cache as cache_module
from talkinghead.engine.cache import Cache, CacheWarning, NullCache, default_folder
from talkinghead.files import cache_key

KEY = cache_key("test/1", name="a")
OTHER = cache_key("test/1", name="b")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def files(cache: Cache) -> list[str]:
    return sorted(name for _, _, names in os.walk(cache.folder) for name in names)


def test_what_was_put_is_got(cache: Cache) -> None:
    arrays = {
        "boxes": np.arange(12, dtype=np.int32).reshape(3, 4),
        "empty": np.empty((0, 5, 2), np.float32),
        "scalar": np.array(3.5),
        "text": np.array(["a", "bc"]),
        "file": np.array([True, False]),
        "with/slash and space": np.arange(3)[::-1],
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    }
    assert cache.get(KEY) is None
    cache.put(KEY, arrays)
    got = cache.get(KEY)
    assert got is not None
    assert set(got) == set(arrays)
    for name, array in arrays.items():
        assert got[name].dtype == array.dtype
        assert np.array_equal(got[name], array)
    assert cache.get(OTHER) is None


@given(
    arrays=st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: "\x00" not in name and name.isprintable()),
        hnp.arrays(
            st.sampled_from([np.uint8, np.int64, np.float32, np.float64]),
            hnp.array_shapes(min_dims=0, min_side=0, max_side=4),
        ),
        max_size=3,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_arrays_survive(arrays: dict[str, np.ndarray], cache: Cache) -> None:
    cache.put(KEY, arrays)
    got = cache.get(KEY)
    assert got is not None
    assert set(got) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(got[name], array)


def test_putting_again_replaces(cache: Cache) -> None:
    cache.put(KEY, {"x": np.zeros(3)})
    cache.put(KEY, {"y": np.ones(2)})
    got = cache.get(KEY)
    assert got is not None
    assert list(got) == ["y"]
    assert len(cache) == 1


def test_equal_arrays_make_equal_files(cache: Cache) -> None:
    cache.put(KEY, {"x": np.arange(100)})
    first = cache.path(KEY).read_bytes()
    cache.put(KEY, {"x": np.arange(100)})
    assert cache.path(KEY).read_bytes() == first


def test_objects_are_never_stored(cache: Cache) -> None:
    with pytest.raises(ValueError, match="Python objects"):
        cache.put(KEY, {"x": np.array([object()], dtype=object)})
    assert files(cache) == []


@pytest.mark.parametrize("key", ["", "a", "../" * 20, "G" * 64, "A" * 64, KEY + "0", KEY[:-1] + "/"])
def test_only_hashes_are_keys(cache: Cache, key: str) -> None:
    for use in (cache.get, lambda k: cache.put(k, {})):
        with pytest.raises(ValueError, match="64 lower-case hexadecimal"):
            use(key)


# Damage.


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"not a zip file",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 255]) + data[len(data) // 2 + 1 :],
        lambda data: data.replace(b"x.npy", b"y.npy", 1),
        lambda data: bytes(len(data)),
    ],
)
def test_a_damaged_entry_is_ignored_and_replaced(cache: Cache, damage) -> None:
    cache.put(KEY, {"x": np.random.default_rng(0).integers(0, 9, 500)})
    path = cache.path(KEY)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(CacheWarning, match="Damaged cache entry"):
        assert cache.get(KEY) is None
    assert cache.get(KEY) is None
    cache.put(KEY, {"x": np.zeros(2)})
    assert cache.get(KEY) is not None


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
def test_a_flipped_byte_is_noticed_or_harmless(cache: Cache, data: st.DataObject) -> None:
    cache.put(KEY, {"x": np.arange(50)})
    path = cache.path(KEY)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)
        got = cache.get(KEY)
    assert got is None or np.array_equal(got.get("x", np.arange(50)), np.arange(50))


def test_an_entry_under_the_wrong_name_is_ignored(cache: Cache) -> None:
    cache.put(KEY, {"x": np.zeros(2)})
    cache.path(OTHER).parent.mkdir(parents=True, exist_ok=True)
    cache.path(OTHER).write_bytes(cache.path(KEY).read_bytes())
    with pytest.warns(CacheWarning, match="another key"):
        assert cache.get(OTHER) is None


def test_a_pickle_in_an_entry_is_not_loaded(cache: Cache, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(trap),))

    cache.put(KEY, {"x": np.zeros(1)})
    with cache.path(KEY).open("wb") as file:
        np.savez(file, x=np.array([Trap()], dtype=object))
    with pytest.warns(CacheWarning):
        assert cache.get(KEY) is None
    assert not trap.exists()


def test_a_zip_of_something_else_is_ignored(cache: Cache) -> None:
    cache.put(KEY, {"x": np.zeros(1)})
    with zipfile.ZipFile(cache.path(KEY), "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.warns(CacheWarning):
        assert cache.get(KEY) is None


# Where it cannot write.


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    cache = Cache(blocked)
    with pytest.warns(CacheWarning, match="cannot be written"):
        cache.put(KEY, {"x": np.zeros(1)})
    assert cache.size() == 0
    assert cache.clear() == 0


def test_a_full_disk_leaves_nothing(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.warns(CacheWarning, match="No room left"):
        cache.put(KEY, {"x": np.zeros(1)})
    assert files(cache) == []


def test_an_interrupted_put_leaves_nothing(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np.lib.format, "write_array", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.put(KEY, {"x": np.zeros(1)})
    assert files(cache) == []


# Size, clearing, the limit.


def test_size_and_clear(cache: Cache) -> None:
    assert (cache.size(), len(cache), cache.clear()) == (0, 0, 0)
    cache.put(KEY, {"x": np.zeros(1000)})
    cache.put(OTHER, {"x": np.zeros(10)})
    stranger = cache.folder / "notes.txt"
    stranger.write_text("mine")
    size = cache.size()
    assert size == sum(cache.path(key).stat().st_size for key in (KEY, OTHER))
    assert len(cache) == 2
    assert cache.clear() == size
    assert files(cache) == ["notes.txt"]
    assert cache.get(KEY) is None


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    data = {"x": np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8)}
    cache = Cache(tmp_path, max_bytes=None)
    keys = [cache_key("test/1", i=i) for i in range(5)]
    for age, key in enumerate(keys):
        cache.put(key, data)
        os.utime(cache.path(key), (time.time() - 1000 + age, time.time() - 1000 + age))
    one = cache.path(keys[0]).stat().st_size
    limited = Cache(tmp_path, max_bytes=3 * one + 100)
    assert limited.get(keys[0]) is not None  # the oldest, but just used
    newest = cache_key("test/1", i="new")
    limited.put(newest, data)
    left = {key for key in (*keys, newest) if limited.path(key).exists()}
    assert left == {keys[0], keys[4], newest}
    assert limited.size() <= 3 * one + 100


def test_an_entry_above_the_limit_is_kept_until_the_next(tmp_path: Path) -> None:
    cache = Cache(tmp_path, max_bytes=10)
    cache.put(KEY, {"x": np.arange(100)})
    assert cache.get(KEY) is not None
    cache.put(OTHER, {"x": np.arange(100)})
    assert cache.get(KEY) is None
    assert cache.get(OTHER) is not None
    with pytest.raises(ValueError, match="negative"):
        Cache(tmp_path, max_bytes=-1)


def test_what_a_killed_process_left_is_removed_in_time(cache: Cache) -> None:
    cache.put(KEY, {"x": np.zeros(1)})
    shelf = cache.path(KEY).parent
    old, young = shelf / ".partial-old", shelf / ".partial-young"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    assert cache.size() == cache.path(KEY).stat().st_size
    cache.clear()
    assert not old.exists()
    assert young.exists()


def test_the_null_cache_remembers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = NullCache()
    cache.put(KEY, {"x": np.zeros(1)})
    assert cache.get(KEY) is None
    assert (cache.size(), len(cache), cache.clear()) == (0, 0, 0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="hexadecimal"):
        cache.get("x")


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TALKINGHEAD_CACHE", str(tmp_path / "here"))
    assert default_folder() == tmp_path / "here"
    assert Cache().folder == tmp_path / "here"
    monkeypatch.delenv("TALKINGHEAD_CACHE")
    assert "talkinghead" in str(default_folder())
    assert not (tmp_path / "here").exists()


# Many at once.


def test_a_cache_cleared_in_the_middle_of_a_put_takes_the_entry(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    make_temporary = tempfile.mkstemp

    def after_another_cleared(**options: Any) -> tuple[int, str]:
        Cache(cache.folder).clear()
        return make_temporary(**options)

    monkeypatch.setattr(tempfile, "mkstemp", after_another_cleared)
    cache.put(KEY, {"x": np.zeros(1)})
    assert cache.get(KEY) is not None


@pytest.mark.parametrize("step", ["stat", "open"])
def test_an_entry_that_goes_while_it_is_read_is_absent(
    step: str, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put(KEY, {"x": np.zeros(1)})
    genuine = cache_module.read_npz

    def removed_first(path: Path) -> object:
        if step == "stat":
            path.unlink()
            return genuine(path)
        seen = path.stat()
        path.unlink()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", lambda *_, **__: seen)
            return genuine(path)

    monkeypatch.setattr(cache_module, "read_npz", removed_first)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.get(KEY) is None


def test_processes_that_read_write_and_clear_at_once_see_whole_entries(tmp_path: Path) -> None:
    worker = textwrap.dedent(
        """
        import sys, warnings
        from pathlib import Path
        import numpy as np
        warnings.simplefilter("error")
        from talkinghead.engine.cache import Cache
        from talkinghead.files import cache_key
        folder, seed = Path(sys.argv[1]), int(sys.argv[2])
        cache = Cache(folder, max_bytes=60_000)
        rng = np.random.default_rng(seed)
        hits = 0
        for turn in range(60):
            i = int(rng.integers(0, 6))
            key = cache_key("test/1", i=i)
            if rng.random() < 0.5:
                value = int(rng.integers(0, 256))
                noise = np.random.default_rng(value).integers(0, 256, 8000, dtype=np.uint8)
                cache.put(key, {"value": np.array(value), "noise": noise})
            else:
                got = cache.get(key)
                if got is not None:
                    hits += 1
                    expected = np.random.default_rng(int(got["value"])).integers(0, 256, 8000, dtype=np.uint8)
                    assert np.array_equal(got["noise"], expected)
            if seed == 0 and turn % 20 == 19:
                cache.clear()
        print(hits)
        """
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", worker, str(tmp_path), str(seed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for seed in range(4)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert sum(int(out) for out, _ in outputs) > 0
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if name.startswith(".partial")]
