"""Reads one file in a process of its own, with limits, and says what happened.

The process is forked, so that nothing is imported again; it is single, so nothing that a library started is lost. Linux
only: memory is what the kernel counted.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

with suppress(ModuleNotFoundError):  # read elsewhere, too, where its tests are skipped
    import resource

from talkinghead.errors import TalkingHeadError

MB = 1_000_000
SECONDS = 10.0
"""Longest time for one file."""
MEMORY_FREE = 500 * MB
"""What a reader may take besides twice its file."""

Kind = Literal["read", "refused", "hang", "memory", "crash", "traceback", "outside"]


@dataclass(frozen=True)
class Outcome:
    """What one file did."""

    kind: Kind
    """The first two are right, the others findings."""
    seconds: float
    grown_bytes: int
    """Most memory that was taken."""
    detail: str = ""

    @property
    def is_finding(self) -> bool:
        return self.kind not in ("read", "refused")


@dataclass(frozen=True)
class Watch:
    """Things outside that no reader may touch: a folder with files, and an address that listens."""

    folder: Path
    address: str
    _server: socket.socket
    _inotify: int

    @property
    def words(self) -> tuple[bytes, ...]:
        """What damaged files name, to lead a reader there."""
        names = [str(self.folder / name) for name in ("secret.png", "secret.wav", "secret.npy", "secret.m3u8")]
        names += [f"file://{names[0]}", f"http://{self.address}/a.png", f"tcp://{self.address}", f"concat:{names[1]}"]
        return tuple(name.encode() for name in names)

    def touched(self) -> str:
        """What was done there since the last look; empty if nothing."""
        try:
            connection, _ = self._server.accept()
            connection.close()
            return f"connected to {self.address}"
        except BlockingIOError:
            pass
        try:
            return f"opened something in {self.folder}" if os.read(self._inotify, 65536) else ""
        except BlockingIOError:
            return ""


@contextmanager
def watching() -> Iterator[Watch]:
    """A folder and an address to watch."""
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory(prefix="talkinghead-secret-") as name, socket.socket() as server:
        folder = Path(name)
        for each in ("secret.png", "secret.wav", "secret.npy", "secret.m3u8"):
            (folder / each).write_bytes(b"secret")
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        inotify = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        opened, changed, made, removed = 0x20, 0x2, 0x100, 0x200
        if inotify < 0 or libc.inotify_add_watch(inotify, os.fsencode(folder), opened | changed | made | removed) < 0:
            raise OSError(ctypes.get_errno(), "inotify cannot watch a folder here")
        try:
            yield Watch(folder, f"127.0.0.1:{server.getsockname()[1]}", server, inotify)
        finally:
            os.close(inotify)


def read_limited(
    read: Callable[[Path], object], path: Path, watch: Watch, *, seconds: float = SECONDS, size: int | None = None
) -> Outcome:
    """Read a file in a forked process.

    Args:
        read: raises a `TalkingHeadError` for what it refuses.
        path: what it is given; its folder is the only one that it may write to.
        size: bytes of the file, where it lies in a folder with others.
    """
    size = path.stat().st_size if size is None else size
    receive, send = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _in_child(read, path, send, seconds, size)
    os.close(send)
    try:
        said = _said(receive, started + seconds)
    finally:
        os.close(receive)
    if said is None:
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    spent = time.monotonic() - started
    outside = watch.touched()
    if outside:
        return Outcome("outside", spent, 0, outside)
    if said is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return Outcome("hang", spent, usage.ru_maxrss * 1024)
    if not said:
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit status {os.WEXITSTATUS(status)}"
        return Outcome("crash", spent, usage.ru_maxrss * 1024, how)
    kind, detail, grown = json.loads(said)
    if kind in ("read", "refused") and grown > 2 * size + MEMORY_FREE:
        return Outcome("memory", spent, grown, f"{grown / MB:.0f} MB for a file of {size} bytes")
    return Outcome(kind, spent, grown, detail)


def _said(receive: int, until: float) -> bytes | None:
    """All that the child writes before it ends; None when its time is over."""
    said = b""
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([receive], [], [], left)[0]:
            return None
        part = os.read(receive, 65536)
        if not part:
            return said
        said += part


def _in_child(read: Callable[[Path], object], path: Path, send: int, seconds: float, size: int) -> None:
    """Never returns."""
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        before = _memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
        limit = _memory("VmSize") + 2 * size + MEMORY_FREE + 1000 * MB
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        reached = _refuse_outside(path.parent)
        kind, detail = _outcome(read, path)
        if reached:
            kind, detail = "outside", "; ".join(reached)
        os.write(send, json.dumps([kind, detail[:2000], _memory("VmHWM") - before]).encode())
    finally:
        os._exit(0)


def _outcome(read: Callable[[Path], object], path: Path) -> tuple[str, str]:
    try:
        read(path)
    except TalkingHeadError as error:
        return "refused", f"{type(error).__name__}: {error.what}"
    except MemoryError as error:
        return "memory", f"more than allowed {error}"
    except BaseException as error:  # noqa: BLE001 (every other exception is a finding)
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "talkinghead" in frame.filename and "tests" not in frame.filename]
        frame = (ours or list(frames))[-1]
        return "traceback", f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}: {error}"
    return "read", ""


def _refuse_outside(folder: Path) -> list[str]:
    """Note from now on what Python does outside a folder: files written, connections, programs."""
    reached: list[str] = []
    inside = os.path.realpath(folder)
    temporary = os.path.join(tempfile.gettempdir(), "")
    allowed = (inside, f"{temporary}talkinghead-", f"{temporary}tmp", os.devnull)
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and given[0] == sys.executable:
            return  # a native library is tried on the file apart (`talkinghead.reading.trial`)
        if event == "open" and isinstance(given[0], str) and isinstance(given[2], int) and given[2] & writes:
            place = os.path.realpath(given[0])
            if not place.startswith(allowed):
                reached.append(f"wrote {given[0]}")
        elif event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "os.fork"):
            reached.append(f"{event} {given[:1]}")

    sys.addaudithook(hook)
    return reached


def _memory(name: str) -> int:
    """Bytes of a row of /proc/self/status."""
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0
