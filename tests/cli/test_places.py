"""Where a command runs: no home, homes and caches that cannot be used, a folder that is gone, a disk that is full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Ran
from tests.conftest import ROOT
from tests.synthetic_media import make_sound, make_video

pytestmark = pytest.mark.usefixtures("stripes")

pwd = pytest.importorskip("pwd", reason="accounts of POSIX")
Run = Callable[..., Ran]
OWN = ("TALKINGHEAD_HOME", "TALKINGHEAD_CACHE")


@pytest.fixture
def job(tmp_path: Path) -> list[object]:
    """A job that keeps a hash of its face in the cache; its inputs and outputs have whole paths."""
    desk = tmp_path / "desk"
    desk.mkdir()
    face, sound = make_video(desk / "a.mp4", 5), make_sound(desk / "a.wav", 0.2)
    return ["generate", "--model", "stripes", "--face", face, "--audio", sound, "-o", desk / "o.mp4"]


HOMES: dict[str, dict[str, str | None]] = {
    "none": {"HOME": None},
    "empty": {"HOME": ""},
    "relative": {"HOME": "home"},
    "missing": {"HOME": "/nonexistent/home"},
    "a file": {"HOME": os.devnull},
    "xdg relative": {"XDG_CACHE_HOME": "here", "XDG_DATA_HOME": "here"},
    "xdg empty": {"XDG_CACHE_HOME": "", "XDG_DATA_HOME": ""},
    "xdg missing": {"XDG_CACHE_HOME": "/proc/none", "XDG_DATA_HOME": "/proc/none"},
}


@pytest.mark.parametrize("account", ["known", "unknown"])
@pytest.mark.parametrize("home", HOMES.values(), ids=list(HOMES))
def test_whatever_the_home_is(
    run: Run,
    job: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    home: dict[str, str | None],
    account: str,
) -> None:
    def find(_: int) -> object:
        if account == "unknown":
            raise KeyError("uid not found")
        return type("Account", (), {"pw_dir": str(tmp_path / "account")})

    monkeypatch.setattr(pwd, "getpwuid", find)
    monkeypatch.setenv("HOME", str(tmp_path / "usual"))
    for name, value in {**dict.fromkeys(OWN), "XDG_CACHE_HOME": None, "XDG_DATA_HOME": None, **home}.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    monkeypatch.chdir(cwd)
    for arguments in (job, ["models", "list"], ["cache", "size"], ["cache", "clear"]):
        ran = run(*arguments)
        assert ran.status == 0, ran.err
        assert "fault" not in ran.err
    assert os.listdir(cwd) == []
    assert set(os.listdir(tmp_path)) <= {"desk", "cwd", "account", "usual"}


@pytest.mark.parametrize("kind", ["a file", "in a file", "in /proc", "no home"])
def test_a_cache_that_cannot_be_written_is_done_without_and_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from talkinghead.engine.cache import Cache

    file = tmp_path / "file"
    file.write_bytes(b"")
    places = {"a file": file, "in a file": file / "cache", "in /proc": Path("/proc/cache"), "no home": Path("~/x")}
    monkeypatch.setenv("TALKINGHEAD_CACHE", str(places[kind]))
    if kind == "no home":
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr(pwd, "getpwuid", lambda _: (_ for _ in ()).throw(KeyError()))

    with pytest.warns(UserWarning, match="goes on without the cache"):
        Cache().put("0" * 64, {"x": np.zeros(1)})
    assert Cache().get("0" * 64) is None
    assert run("cache", "size").status == 0
    assert run("cache", "clear").status == 0


def test_models_without_a_home(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from talkinghead.weights import write_safetensors

    monkeypatch.setenv("TALKINGHEAD_HOME", "~/x")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: (_ for _ in ()).throw(KeyError()))
    monkeypatch.chdir(tmp_path)
    write_safetensors({"x": np.zeros(3, np.float32)}, tmp_path / "x.safetensors")
    assert run("models", "list").status == 0
    ran = run("models", "import", "x.safetensors", "--name", "mine")
    assert ran.status in (1, 2)
    assert "fault" not in ran.err
    assert os.listdir(tmp_path) == ["x.safetensors"]


@pytest.mark.parametrize("kind", ["missing", "relative", "a file"])
def test_temporary_folders(
    run: Run, job: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    given = {"missing": "/nonexistent", "relative": "nonexistent", "a file": str(file)}[kind]
    monkeypatch.setenv("TMPDIR", given)
    sound = job[job.index("--audio") + 1]
    for arguments, found in ((job, None), (["cues", sound], given), (job, given), (["bench", "stripes"], given)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", found)  # None: looked for; else as if there were no other
            ran = run(*arguments)
        assert ran.status in ((0,) if found is None else (0, 1)), ran
        assert "fault" not in ran.err
        assert ran.status == 0 or "TMPDIR" in ran.err


@pytest.fixture
def gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder in which the process runs does not exist any more."""
    folder = tmp_path / "gone"
    folder.mkdir()
    before = Path.cwd()
    os.chdir(folder)
    folder.rmdir()
    yield
    os.chdir(before)


@pytest.mark.usefixtures("gone")
def test_in_a_folder_that_is_gone(run: Run, job: list[object]) -> None:
    assert run(*job).status == 0
    sound = job[job.index("--audio") + 1]
    for arguments, status in (
        (["cues", sound], 0),
        (["models", "list"], 0),
        (["cues", sound, "-o", "x.json"], 1),
        ([*job[:-1], "o.mp4"], 1),
        ([*job[:-1], "new/"], 1),
        ([*job, "--report", "r.json"], 1),
        (["cues", "a.wav"], 2),
        (["stage", "extract-mel", "--audio", sound, "--out", "mel.npy"], 1),
    ):
        ran = run(*arguments)
        assert ran.status == status, (arguments, ran)
        assert "fault" not in ran.err


FULL = """
import json, resource, signal, sys
from pathlib import Path
from talkinghead.cli.main import main
from talkinghead.registry import FAMILIES
from tests.stripes import FACTS

FAMILIES[FACTS.name] = FACTS
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
for line in Path(sys.argv[1]).read_text().splitlines():
    arguments = json.loads(line)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(arguments.pop()), limits[1]))
    status = main(arguments)
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    print("STATUS", status, flush=True)
"""


@pytest.mark.thorough
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """One message that names the output, and nothing is left, whatever is written: a limit on the size of files."""
    noise = np.random.default_rng(0).integers(0, 255, (5, 96, 128, 3), np.uint8)
    face, sound = make_video(tmp_path / "face.mp4", frames=list(noise)), make_sound(tmp_path / "a.wav", 1.0)
    np.savez(tmp_path / "w.npz", x=np.zeros(4000, np.float32))
    out = tmp_path / "out"
    out.mkdir()
    base = ["generate", "--model", "stripes", "--face", face, "--audio", sound, "-q", "-o"]
    kinds: list[list[object]] = [
        [*base, out / "o1.mp4", 3000],
        [*base, out / "o2", "--codec", "png", 3000],
        ["stage", "extract-mel", "--audio", sound, "--out", out / "o3.npy", 3000],
        ["stage", "load-frames", "--face", face, "--out", out / "o4", 3000],
        ["cues", sound, "-o", out / "o5.json", 100],
        ["models", "convert", tmp_path / "w.npz", out / "o6.safetensors", 3000],
    ]
    jobs = tmp_path / "jobs"
    jobs.write_text("".join(json.dumps([str(word) for word in kind]) + "\n" for kind in kinds))
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(jobs)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.count("STATUS 1\n") == len(kinds), done
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    named = [str(out / f"o{number}") for number in range(1, len(kinds) + 1)]
    assert [name in line for name, line in zip(named, errors, strict=True)] == [True] * len(kinds), errors
    assert "fault" not in done.stderr
    assert os.listdir(out) == []
