"""Files that appear complete or not at all; keys made from content; imports that stay light."""

from __future__ import annotations

import enum
import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkinghead.errors import MediaNotFound, OutputExists, UnreadableMedia, UnwritableOutput
from talkinghead.files import (
    PendingOutput,
    cache_key,
    check_target,
    existing_file,
    file_sha256,
    unwritable,
    write_bytes,
)


def test_a_file_appears_only_on_commit(tmp_path: Path) -> None:
    final = tmp_path / "a.bin"
    with PendingOutput(final) as pending:
        pending.temporary.write_bytes(b"new")
        assert not final.exists()
        assert pending.temporary.parent == tmp_path
        pending.commit()
        assert final.read_bytes() == b"new"
    assert [item.name for item in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_without_commit_nothing_changes(error: type[BaseException], tmp_path: Path) -> None:
    final = tmp_path / "a.bin"
    final.write_bytes(b"old")

    def interrupted() -> None:
        with PendingOutput(final) as pending:
            pending.temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert final.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.bin"]


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    with PendingOutput(tmp_path / "a") as one, PendingOutput(tmp_path / "a") as two:
        assert one.temporary != two.temporary
        one.temporary.write_bytes(b"1")
        two.temporary.write_bytes(b"2")
        two.commit()
        one.commit()
    assert (tmp_path / "a").read_bytes() == b"1"


def test_folders(tmp_path: Path) -> None:
    with PendingOutput(tmp_path / "seq", folder=True) as pending:
        (pending.temporary / "000000.png").write_bytes(b"x")
        pending.commit()
    with PendingOutput(tmp_path / "seq", folder=True) as pending:
        (pending.temporary / "000001.png").write_bytes(b"y")
    assert [item.name for item in (tmp_path / "seq").iterdir()] == ["000000.png"]


def test_check_target(tmp_path: Path) -> None:
    assert check_target(tmp_path / "new", overwrite=False) == tmp_path.resolve() / "new"
    with pytest.raises(UnwritableOutput, match="no folder"):
        check_target(tmp_path / "none" / "a", overwrite=True)
    (tmp_path / "old").write_bytes(b"")
    with pytest.raises(OutputExists):
        check_target(tmp_path / "old", overwrite=False)
    with pytest.raises(UnwritableOutput, match="is a file"):
        check_target(tmp_path / "old", overwrite=True, folder=True)
    with pytest.raises(UnwritableOutput):
        check_target("/", overwrite=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableMedia, match="pipe"):
        existing_file(tmp_path / "pipe")
    with pytest.raises(UnwritableOutput, match="pipe"):
        check_target(tmp_path / "pipe", overwrite=True)


def test_existing_file(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFound):
        existing_file(tmp_path / "none")
    with pytest.raises((MediaNotFound, UnreadableMedia)):
        existing_file("nul\0byte")
    with pytest.raises(UnreadableMedia):
        existing_file(tmp_path / ("x" * 5000))
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(UnreadableMedia, match="empty"):
        existing_file(tmp_path / "empty")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disks_are_named(code: int, tmp_path: Path) -> None:
    error = unwritable(tmp_path / "a", OSError(code, os.strerror(code)))
    assert "No room left" in str(error)


def test_failing_writes_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UnwritableOutput, match="No room left"):
        write_bytes(tmp_path / "a", b"data")
    assert list(tmp_path.iterdir()) == []


def test_hash_follows_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = file_sha256(path)
    assert first == file_sha256(path)
    path.write_bytes(b"other")
    assert file_sha256(path) != first


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, talkinghead.media as m; m.FrameOptions(); m.EncodeOptions();"
        "print(sorted({'av', 'cv2', 'soxr', 'torch'} & set(sys.modules)), hasattr(m, 'none_such'), len(dir(m)) > 10)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["[]", "False", "True"]


def test_every_public_name_exists() -> None:
    import talkinghead.media as media

    for name in media.__all__:
        assert getattr(media, name) is not None


# Keys.


@dataclass(frozen=True)
class Options:
    a: int = 1
    b: tuple[float, ...] = (0.5,)


class Colour(enum.Enum):
    RED = 1


DIFFERENT = [
    None,
    False,
    0,
    0.0,
    -0.0,
    1,
    True,
    1.0,
    "",
    "1",
    b"1",
    (1,),
    (1, 2),
    ((1,), 2),
    (1, (2,)),
    "1, 2",
    {"a": 1},
    {"a": 2},
    {1: 1},
    {"1": 1},
    Fraction(1),
    Fraction(25, 1),
    Colour.RED,
    Options(),
    Options(a=2),
    Options(b=(0.25,)),
    np.float32(1),
    np.arange(3),
    np.arange(3.0),
    np.arange(3)[None],
    np.zeros(0),
]


def test_what_differs_has_another_key() -> None:
    keys = [cache_key("test/1", value=value) for value in DIFFERENT]
    assert len(set(keys)) == len(DIFFERENT)
    assert len({cache_key("test/1"), cache_key("test/2"), cache_key("test/1", a=1), cache_key("test/1", b=1)}) == 4


def test_what_is_equal_has_the_same_key() -> None:
    assert cache_key("k", a=1, b=2) == cache_key("k", b=2, a=1)
    assert cache_key("k", a={"x": 1, "y": 2}) == cache_key("k", a={"y": 2, "x": 1})
    assert cache_key("k", a=[1, 2]) == cache_key("k", a=(1, 2))
    assert cache_key("k", a=Options()) == cache_key("k", a=Options(1, (0.5,)))
    assert cache_key("k", a=np.arange(6).reshape(2, 3).T) == cache_key("k", a=np.arange(6).reshape(2, 3).T.copy())


def test_keys_do_not_change_between_runs_and_machines() -> None:
    assert cache_key("faces/1", source="ab", every=2, stop=None) == (
        "62bddfd17a091dc487e60f4b5c1cf494a7865fa10498cfcc1846d19ca3ae5d8e"
    )


@pytest.mark.parametrize("value", [Path("x"), object(), Options, np.array([None]), {"a": Path("x")}, [object()]])
def test_what_has_no_stable_spelling_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="cache key"):
        cache_key("k", value=value)
