"""Folders of servers: what the dead left behind goes, what lives is left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from talkinghead.hosting.folders import LOCK, PREFIX, server_folder, sweep

LIVE = """
import sys, time
from pathlib import Path
from talkinghead.hosting.folders import server_folder
with server_folder(Path(sys.argv[1])) as folder:
    (folder / "upload.png").write_text("mine")
    print(folder, flush=True)
    time.sleep(60)
"""


def started(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another server that lives, and its folder."""
    process = subprocess.Popen([sys.executable, "-c", LIVE, str(parent)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def ended(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_folder_is_private_and_goes_with_its_lock(tmp_path: Path) -> None:
    with server_folder(tmp_path) as folder:
        (folder / "a").mkdir()
        assert folder.stat().st_mode & 0o077 == 0
        assert len(folder.name) > 16 + len(PREFIX) - 1
        assert sweep(tmp_path) == 0
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_only_folders_of_dead_servers_are_swept(tmp_path: Path) -> None:
    dead, left = started(tmp_path)
    living, kept = started(tmp_path)
    try:
        assert sweep(tmp_path) == 0
        ended(dead)
        assert (left / "upload.png").is_file()
        assert sweep(tmp_path) == 1
        assert not left.exists()
        assert (kept / "upload.png").read_text() == "mine"
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([kept.name, kept.name + LOCK])
    finally:
        ended(living)


def test_what_is_not_a_servers_is_left_alone(tmp_path: Path) -> None:
    old = tmp_path / f"{PREFIX}old"
    old.mkdir()  # without a lock nobody knows whose it is
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "photo.png").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(other)
    (tmp_path / f"{PREFIX}link{LOCK}").touch()
    (tmp_path / f"{PREFIX}linked{LOCK}").symlink_to(other / "photo.png")
    (tmp_path / f"{PREFIX}linked").mkdir()
    assert sweep(tmp_path) == 0
    assert old.is_dir()
    assert (other / "photo.png").is_file()
    assert (tmp_path / f"{PREFIX}linked").is_dir()


SWEEP = """
import sys, time
from pathlib import Path
from talkinghead.hosting.folders import sweep
print("ready", flush=True)
end = time.monotonic() + 20
while time.monotonic() < end:
    sweep(Path(sys.argv[1]))
"""


def test_a_lock_that_was_swept_while_it_was_taken_is_made_again(tmp_path: Path) -> None:
    sweeper = subprocess.Popen([sys.executable, "-c", SWEEP, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert sweeper.stdout is not None
        assert sweeper.stdout.readline() == "ready\n"
        for _ in range(100):
            with server_folder(tmp_path) as folder:
                assert folder.is_dir()
                assert folder.with_name(folder.name + LOCK).is_file()
    finally:
        ended(sweeper)
    assert list(tmp_path.iterdir()) == []
