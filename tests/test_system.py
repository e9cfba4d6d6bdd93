"""What systems do differently: files in use, locks, processes. Windows is emulated: see tests/platforms/windows.py."""

from __future__ import annotations

import errno
import gc
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from talkinghead import system
from talkinghead.errors import UnwritableOutput
from talkinghead.files import file_sha256, unwritable, write_bytes
from talkinghead.fleet.lease import still_holds, take
from talkinghead.fleet.ledger import Entry, entries_of, open_journal
from talkinghead.hosting.folders import server_folder, sweep
from talkinghead.places import temporary_folder
from talkinghead.storage.address import Address
from talkinghead.storage.scratch import Scratch, remove_dead
from talkinghead.storage.store import open_store
from tests.platforms.windows import SharingViolation, files_of_windows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="emulated on Linux")


@pytest.fixture
def windows(monkeypatch):
    with files_of_windows(monkeypatch):
        yield


# Files in use ---------------------------------------------------------------------------------------------------------


class Busy:
    """Refuses a number of times, as Windows does while a virus scanner looks at a file."""

    def __init__(self, times: int, code: int = 32) -> None:
        self.left, self.code, self.calls = times, code, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls <= self.left:
            error = SharingViolation(errno.EACCES, "It is used by another process")
            error.winerror = self.code
            raise error


@pytest.fixture
def waits(monkeypatch):
    found = []
    monkeypatch.setattr(time, "sleep", found.append)
    monkeypatch.setattr(gc, "collect", lambda: 0)
    return found


def test_a_file_that_is_in_use_for_a_moment_is_waited_for(monkeypatch, waits):
    monkeypatch.setattr(system, "WINDOWS", True)
    action = Busy(3)
    system._patiently(action)
    assert action.calls == 4
    assert waits == [0.01, 0.02, 0.04]


def test_one_that_stays_in_use_is_an_error_after_two_seconds(monkeypatch, waits):
    monkeypatch.setattr(system, "WINDOWS", True)
    with pytest.raises(PermissionError):
        system._patiently(Busy(1000))
    assert sum(waits) == pytest.approx(system.PATIENCE_S)


@pytest.mark.parametrize(("windows", "code"), [(False, 32), (True, 19)], ids=["elsewhere", "another error"])
def test_nothing_else_is_waited_for(monkeypatch, waits, windows, code):
    monkeypatch.setattr(system, "WINDOWS", windows)
    action = Busy(1, code)
    with pytest.raises(PermissionError):
        system._patiently(action)
    assert (action.calls, waits) == (1, [])


def test_an_output_that_a_player_has_open_is_told_as_such(windows, tmp_path):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with target.open("rb"), pytest.raises(UnwritableOutput, match="another program has it open"):
        write_bytes(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.mp4"]
    write_bytes(target, b"new")
    assert target.read_bytes() == b"new"


def test_a_map_that_is_held_in_a_circle_does_not_keep_a_file(windows, tmp_path):
    import numpy as np

    path = tmp_path / "weights"
    path.write_bytes(b"x" * 5000)
    circle = SimpleNamespace(data=np.memmap(path, np.uint8, "r"))
    circle.itself = circle
    del circle
    system.remove(path)
    assert not path.exists()


def test_a_folder_goes_with_what_is_read_only_and_without_what_is_in_use(windows, tmp_path):
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "marked").write_bytes(b"")
    (folder / "inner" / "marked").chmod(0o400)
    used = folder / "used"
    with used.open("wb"):
        system.remove_tree(folder)
        assert [path.name for path in folder.rglob("*")] == ["used"]
        with pytest.raises(OSError, match="used"):
            system.remove_tree(folder, strict=True)
    system.remove_tree(folder, strict=True)
    assert not folder.exists()


def test_what_was_written_a_moment_ago_is_hashed_again(tmp_path):
    path = tmp_path / "file"
    before = time.time_ns()
    found = set()
    for content in (b"one", b"two"):
        path.write_bytes(content)
        os.utime(path, ns=(before, before))  # a file system with coarse times
        found.add(file_sha256(path))
    assert len(found) == 2


# Locks ----------------------------------------------------------------------------------------------------------------


def test_folders_of_this_process_go_with_their_locks(windows, tmp_path):
    with Scratch(tmp_path, 1000) as scratch, scratch.room(10) as room:
        (room / "part").write_bytes(b"x")
    with server_folder(tmp_path) as folder:
        (folder / "upload").write_bytes(b"x")
    assert os.listdir(tmp_path) == []


def test_what_dead_processes_left_goes_with_its_locks(windows, tmp_path):
    for name in ("scratch-1-ab", "talkinghead-app-ab"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.lock").write_bytes(b"")
    remove_dead(tmp_path)
    assert sweep(tmp_path) == 1
    assert os.listdir(tmp_path) == []


@pytest.fixture
def msvcrt(monkeypatch) -> SimpleNamespace:
    """A stand-in for the module of Windows, which notes where it locks; `system` as it is read there."""
    locks: set[int] = set()

    def locking(descriptor: int, mode: int, count: int) -> None:
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        assert count == 1
        if mode == 2 and place in locks:
            raise OSError(errno.EACCES, "locked")
        (locks.add if mode == 2 else locks.discard)(place)

    fake = ModuleType("msvcrt")
    fake.LK_NBLCK, fake.LK_UNLCK, fake.locking = 2, 0, locking
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    monkeypatch.setattr(sys, "platform", "win32")
    spec = importlib.util.spec_from_file_location("system_of_windows", system.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.undo()
    return SimpleNamespace(system=module, locks=locks)


def test_a_lock_of_windows_covers_nothing_that_is_read(msvcrt, tmp_path):
    path = tmp_path / "lock"
    descriptor = msvcrt.system.open_file(path, os.O_RDWR | os.O_CREAT)
    assert msvcrt.system.WINDOWS
    assert msvcrt.system.try_lock(descriptor)
    (place,) = msvcrt.locks
    assert 2**30 < place < 2**31  # beyond any record, and what a signed number of 32 bits holds
    assert not msvcrt.system.try_lock(descriptor)
    msvcrt.system.unlock(descriptor)
    assert msvcrt.system.try_lock(descriptor)
    msvcrt.system.end_lock(descriptor, path)
    assert not path.exists()
    assert msvcrt.system.user_number() == 0
    assert msvcrt.system.is_ours(tmp_path)


def test_ledger_and_lease_are_written_as_bytes(monkeypatch, tmp_path):
    """Without O_BINARY each end of a line would become two bytes on Windows."""
    opened = []
    binary = 1 << 30
    actual = os.open

    def noting(path, flags, *more, **named):
        opened.append((os.path.basename(path), bool(flags & binary)))
        return actual(path, flags & ~binary, *more, **named)

    monkeypatch.setattr(os, "O_BINARY", binary, raising=False)
    monkeypatch.setattr(os, "open", noting)
    out = Address.of(tmp_path)
    store = open_store(out)
    lease = take(store, out)
    assert still_holds(store, out, lease.token)
    journal = open_journal(store, out, "worker")
    journal.add(Entry("given", "", 1))
    journal.close()
    lease.release()
    assert {name for name, flag in opened if flag} >= {"lock", "worker.jsonl"}
    assert [entry.row for entry in entries_of(store, out, "worker")] == [1]


# Processes ------------------------------------------------------------------------------------------------------------


def test_processes_that_run_and_that_have_ended():
    assert system.is_running(os.getpid())
    assert not system.is_running(0)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child:
        assert system.is_running(child.pid)
        system.end_process(child.pid)
        deadline = time.monotonic() + 20
        while system.is_running(child.pid):  # until it is a zombie, which does not count
            assert time.monotonic() < deadline
            time.sleep(0.005)
    system.end_process(child.pid)


def test_without_proc_a_process_that_can_be_asked_runs(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError()))
    assert system.is_running(os.getpid())


def test_cores_are_counted_where_the_system_does_not_tell_which_are_ours(monkeypatch):
    from talkinghead.cores import CORES_VARIABLE, available_cores

    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setenv(CORES_VARIABLE, "64")
    assert 1 <= available_cores() <= 3


def test_a_port_is_had_by_one_alone():
    from talkinghead.errors import OptionError
    from talkinghead.hosting.running import listening_socket

    with listening_socket("127.0.0.1", 0, "This") as first, pytest.raises(OptionError, match="another port"):
        listening_socket("127.0.0.1", first.getsockname()[1], "That")


# The package without what only POSIX has ------------------------------------------------------------------------------

WITHOUT = """
import builtins, importlib, json, os, pkgutil, signal, sys
sys.path[:] = json.loads(sys.argv[1])
posix = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog"}
plain = builtins.__import__

def without_posix(name, variables=None, *more, **named):
    if name in posix and str((variables or {}).get("__name__", "")).startswith("talkinghead"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return plain(name, variables, *more, **named)

import msvcrt_stand_in as fake
import typer, numpy, av, cv2, subprocess, multiprocessing, asyncio, concurrent.futures, tempfile, socket, logging
sys.modules["msvcrt"] = fake
builtins.__import__ = without_posix
for name in (
    "fork", "forkpty", "getuid", "geteuid", "getgid", "killpg", "setsid", "register_at_fork", "sched_getaffinity",
    "sched_getscheduler", "sysconf", "mkfifo", "statvfs", "nice", "getloadavg", "set_blocking", "O_NOFOLLOW",
):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGSTOP", "SIGUSR1", "SIGPIPE", "SIGALRM"):
    delattr(signal, name)
sys.platform = "win32"
import talkinghead.errors, talkinghead.system
sys.platform = "linux"  # for other packages, which are those of Linux
failed = {}
for found in pkgutil.walk_packages(talkinghead.__path__, "talkinghead."):
    if found.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(found.name)
    except talkinghead.errors.MissingDependency:
        pass
    except Exception as error:
        if not getattr(error, "name", None) or error.name.partition(".")[0] in ("talkinghead", *posix):
            failed[found.name] = repr(error)
print(json.dumps(failed), flush=True)
os._exit(0)  # what was taken out above may be wanted at the end
"""


@pytest.mark.thorough
def test_every_module_is_imported_without_what_only_posix_has(tmp_path):
    (tmp_path / "msvcrt_stand_in.py").write_text("LK_NBLCK = LK_UNLCK = 0\ndef locking(*_): pass\n")
    folders = json.dumps([str(tmp_path), *sys.path, str(Path(system.__file__).parents[1])])
    done = subprocess.run([sys.executable, "-c", WITHOUT, folders], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}


def test_temporary_folders_may_hold_what_is_still_open(windows):
    with temporary_folder() as folder:
        file = (folder / "open").open("wb")
    file.close()
    system.remove_tree(folder)


def test_errors_of_windows_have_their_sentence():
    error = SharingViolation(errno.EACCES, "The process cannot access the file")
    assert "another program has it open" in str(unwritable(Path("out.mp4"), error))
