"""The fuzzing itself: that it sees every kind of harm, and that nothing which once did harm does so again."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from talkinghead.errors import InputError
from tests.conftest import ROOT
from tests.fuzz.limits import MB, Watch, read_limited, watching
from tests.fuzz.mutate import mutated
from tests.fuzz.readers import READERS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and memory are counted by Linux")


@pytest.mark.thorough
def test_seeds_and_findings_do_no_harm() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "replay", "--seconds", "60"], cwd=ROOT, capture_output=True, text=True,
        timeout=600, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    with watching() as found:
        yield found


def refuse(path: Path) -> None:
    raise InputError(f"{path.name} is not one.")


def hang(path: Path) -> None:
    time.sleep(60)


def spin(path: Path) -> None:
    while True:
        pass


def allocate(path: Path) -> None:
    held = b"x" * (600 * MB)
    assert held


def allocate_without_end(path: Path) -> None:
    held = []
    while True:
        held.append(bytes(100 * MB))  # never touched: the limit is reached at once on a busy machine, too


def abort(path: Path) -> None:
    os.abort()


def end(path: Path) -> None:
    os._exit(3)


def fail(path: Path) -> None:
    int("no number")


def write_beside(path: Path) -> None:
    path.with_name("beside").write_text("x")


def write_outside(path: Path) -> None:
    (ROOT / "results").mkdir(exist_ok=True)
    (ROOT / "results" / "outside.txt").write_text("x")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (Path.read_bytes, "read"), (refuse, "refused"), (hang, "hang"), (spin, "hang"), (allocate, "memory"),
        (allocate_without_end, "memory"), (abort, "crash"), (end, "crash"), (fail, "traceback"),
        (write_beside, "read"), (write_outside, "outside"),
    ],
)  # fmt: skip
def test_every_kind_of_harm_is_seen(read: Callable[[Path], object], kind: str, watch: Watch, tmp_path: Path) -> None:
    path = tmp_path / "input.bin"
    path.write_bytes(b"abc")
    outcome = read_limited(read, path, watch, seconds=1.5 if kind == "hang" else 60.0)
    assert (outcome.kind, outcome.is_finding) == (kind, kind not in ("read", "refused")), outcome


def test_what_lies_outside_is_watched(watch: Watch, tmp_path: Path) -> None:
    path = tmp_path / "input.bin"
    path.write_bytes(b"abc")

    def look(_: Path) -> None:
        (watch.folder / "secret.png").read_bytes()

    def call(_: Path) -> None:
        host, port = watch.address.split(":")
        socket.create_connection((host, int(port)), timeout=5).close()

    assert read_limited(look, path, watch, seconds=5).kind == "outside"
    assert read_limited(call, path, watch, seconds=5).kind == "outside"
    assert read_limited(Path.read_bytes, path, watch, seconds=5).kind == "read"


def test_damage_repeats_with_its_seed_and_changes_the_file() -> None:
    for reader in READERS:
        assert reader.seeds, reader.name
        contents = [path.read_bytes() for path in reader.seeds]
        first, second = (
            [mutated(contents[0], contents, rng) for _ in range(20)] for rng in (random.Random(1), random.Random(1))
        )
        assert first == second, reader.name
        assert sum(data != contents[0] for data in first) > 15, reader.name
