"""Downloads from a server on this machine: whole, resumed, damaged, refused, slow, redirected, two at once."""

from __future__ import annotations

import errno
import hashlib
import http.client
import http.server
import json
import shutil
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talkinghead.errors import BackendError, UnwritableOutput, WrongCheckpoint
from talkinghead.weights import download as module
from talkinghead.weights.download import DownloadFailed, DownloadOptions, download, mirror_url

QUICK = DownloadOptions(timeout_s=2.0, attempts=3, pause_s=0.01)
DATA = np.random.default_rng(1).bytes(700_000)
SHA = hashlib.sha256(DATA).hexdigest()


@dataclass
class Server:
    """What the server does, per path, and what it was asked."""

    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(path, Range header)."""
    routes: dict[str, Callable[[Any], None]] = field(default_factory=dict)


def _send(handler: Any, data: bytes, *, cut: int | None = None, status: int = 200, headers: Any = ()) -> None:
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[:cut])


def _ranged(data: bytes, *, cut_first: int | None = None, tag: str = '"v1"') -> Callable[[Any], None]:
    """A file that can be resumed; the first answer may be cut short."""
    state = {"first": True}

    def route(handler: Any) -> None:
        cut = cut_first if state["first"] else None
        state["first"] = False
        wanted = handler.headers.get("Range", "")
        condition = handler.headers.get("If-Range", tag)
        headers = [("ETag", tag), ("Accept-Ranges", "bytes")]
        if wanted and condition == tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                _send(handler, b"", status=416)
                return
            headers.append(("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}"))
            _send(handler, data[start:], cut=cut, status=206, headers=headers)
        else:
            _send(handler, data, cut=cut, headers=headers)

    return route


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("TALKINGHEAD_OFFLINE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append((self.path, self.headers.get("Range", "")))
            route = state.routes.get(self.path)
            try:
                if route is None:
                    _send(self, b"no", status=404)
                else:
                    route(self)
            except OSError:
                pass  # the client went away

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass

    running = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{running.server_port}"
    yield state
    running.shutdown()
    running.server_close()
    thread.join(5)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder / "model.pth"


def _names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_whole(server: Server, target: Path) -> None:
    server.routes["/a"] = _ranged(DATA)
    seen: list[tuple[int, int | None]] = []
    sha, origin = download(
        [f"{server.url}/a"], target, sha256=SHA, size_bytes=len(DATA), progress=lambda *a: seen.append(a), options=QUICK
    )
    assert (sha, origin) == (SHA, f"{server.url}/a")
    assert target.read_bytes() == DATA
    assert _names(target) == ["model.pth"]
    assert seen[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_cut_connection_is_gone_on_from(server: Server, target: Path) -> None:
    server.routes["/a"] = _ranged(DATA, cut_first=300_000)
    download([f"{server.url}/a"], target, sha256=SHA, options=QUICK)
    assert target.read_bytes() == DATA
    assert server.asked == [("/a", ""), ("/a", "bytes=300000-")]


def test_stopped_by_the_user_and_gone_on_from_later(server: Server, target: Path) -> None:
    server.routes["/a"] = _ranged(DATA)

    def stop(done: int, total: int | None) -> None:
        if done > 200_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download([f"{server.url}/a"], target, sha256=SHA, options=QUICK, progress=stop)
    there = (target.parent / "model.pth.part").stat().st_size
    assert 0 < there < len(DATA)
    assert not target.exists()
    download([f"{server.url}/a"], target, sha256=SHA, options=QUICK)
    assert server.asked[-1] == ("/a", f"bytes={there}-")
    assert target.read_bytes() == DATA


def test_a_changed_file_begins_again(server: Server, target: Path) -> None:
    server.routes["/a"] = _ranged(DATA[::-1], cut_first=300_000, tag='"old"')
    with pytest.raises(DownloadFailed):
        download([f"{server.url}/a"], target, options=DownloadOptions(timeout_s=2, attempts=1))
    server.routes["/a"] = _ranged(DATA, tag='"new"')
    download([f"{server.url}/a"], target, options=QUICK)
    assert server.asked[-1] == ("/a", "bytes=300000-")
    assert target.read_bytes() == DATA


def test_a_server_without_ranges(server: Server, target: Path) -> None:
    cuts = iter([250_000, None])
    server.routes["/a"] = lambda handler: _send(handler, DATA, cut=next(cuts))
    download([f"{server.url}/a"], target, sha256=SHA, options=QUICK)
    assert target.read_bytes() == DATA


def test_always_cut_fails_and_keeps_what_came(server: Server, target: Path) -> None:
    server.routes["/a"] = lambda handler: _send(handler, DATA, cut=100_000)
    with pytest.raises(DownloadFailed, match=r"100000 of 700000 bytes(.|\n)*is kept"):
        download([f"{server.url}/a"], target, sha256=SHA, options=QUICK)
    assert not target.exists()
    assert len(server.asked) == 3


def test_a_wrong_range_is_not_trusted(server: Server, target: Path) -> None:
    def route(handler: Any) -> None:
        if handler.headers.get("Range"):
            _send(handler, DATA[5:], status=206, headers=[("Content-Range", f"bytes 5-{len(DATA) - 1}/{len(DATA)}")])
        else:
            _send(handler, DATA, cut=100_000 if len(server.asked) == 1 else None)

    server.routes["/a"] = route
    download([f"{server.url}/a"], target, sha256=SHA, options=QUICK)
    assert target.read_bytes() == DATA
    assert [header for _, header in server.asked] == ["", "bytes=100000-", ""]


@pytest.mark.parametrize(
    ("tags", "heeds"),
    [
        (("", ""), True),  # nothing tells one version from the other
        (('W/"v"', 'W/"v"'), True),  # a weak tag says nothing about bytes
        (('"old"', '"new"'), True),
        (('"old"', '"new"'), False),  # answers with a range of the new version, whatever If-Range says
        (('"old"', ""), True),
    ],
)
def test_two_versions_are_never_mixed(server: Server, target: Path, tags: tuple[str, str], heeds: bool) -> None:
    versions = (DATA[::-1], DATA)

    def route(handler: Any) -> None:
        version = min(1, len(server.asked) - 1)
        data, tag = versions[version], tags[version]
        headers = [("ETag", tag)] if tag else []
        start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start and (not heeds or handler.headers.get("If-Range", tag) == tag):
            headers.append(("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}"))
            _send(handler, data[start:], status=206, headers=headers)
        else:
            _send(handler, data, cut=None if version else 300_000, headers=headers)

    server.routes["/a"] = route
    download([f"{server.url}/a"], target, options=QUICK)
    assert target.read_bytes() == DATA


def test_wrong_hash(server: Server, target: Path) -> None:
    server.routes["/a"] = _ranged(DATA[::-1])
    with pytest.raises(WrongCheckpoint, match=SHA):
        download([f"{server.url}/a"], target, sha256=SHA, options=QUICK)
    assert _names(target) == []


def test_the_next_mirror_is_tried(server: Server, target: Path) -> None:
    server.routes["/wrong"] = _ranged(DATA[::-1])
    server.routes["/page"] = lambda handler: _send(handler, b"<html>", headers=[("Content-Type", "text/html; a=b")])
    server.routes["/short"] = lambda handler: _send(handler, DATA[:-1])
    server.routes["/right"] = _ranged(DATA)
    urls = [f"{server.url}/{name}" for name in ("missing", "wrong", "page", "short", "right")]
    _, origin = download(urls, target, sha256=SHA, size_bytes=len(DATA), options=QUICK)
    assert origin.endswith("/right")
    assert target.read_bytes() == DATA
    assert [path for path, _ in server.asked] == ["/missing", "/wrong", "/page", "/short", "/right"]


def test_another_mirror_goes_on_where_the_first_ended(server: Server, target: Path) -> None:
    server.routes["/dies"] = lambda handler: _send(handler, DATA, cut=400_000)
    server.routes["/right"] = _ranged(DATA)
    once = DownloadOptions(timeout_s=2, attempts=1)
    download([f"{server.url}/dies", f"{server.url}/right"], target, sha256=SHA, options=once)
    assert server.asked[-1] == ("/right", "bytes=400000-")
    assert target.read_bytes() == DATA


def test_404_says_so_at_once(server: Server, target: Path) -> None:
    with pytest.raises(DownloadFailed, match="status 404"):
        download([f"{server.url}/missing"], target, options=QUICK)
    assert len(server.asked) == 1
    assert _names(target) == []


def test_a_busy_server_is_asked_again(server: Server, target: Path) -> None:
    answers = iter([503, 429, 200])

    def route(handler: Any) -> None:
        status = next(answers)
        _send(handler, DATA if status == 200 else b"busy", status=status)

    server.routes["/a"] = route
    download([f"{server.url}/a"], target, sha256=SHA, options=QUICK)
    assert len(server.asked) == 3


def test_a_silent_server_is_left_in_time(server: Server, target: Path) -> None:
    release = threading.Event()

    def route(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        handler.wfile.write(DATA[:1000])
        handler.wfile.flush()
        release.wait(5)

    server.routes["/a"] = route
    started = time.monotonic()
    with pytest.raises(DownloadFailed, match="time"):
        download([f"{server.url}/a"], target, options=DownloadOptions(timeout_s=0.3, attempts=2, pause_s=0.01))
    release.set()
    assert time.monotonic() - started < 4


def test_a_slow_server_is_waited_for(server: Server, target: Path) -> None:
    def route(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "5")
        handler.end_headers()
        for i in range(5):
            time.sleep(0.1)
            handler.wfile.write(b"12345"[i : i + 1])
            handler.wfile.flush()

    server.routes["/a"] = route
    download([f"{server.url}/a"], target, options=DownloadOptions(timeout_s=0.4, attempts=1))
    assert target.read_bytes() == b"12345"


def test_nobody_there(target: Path, server: Server) -> None:
    with pytest.raises(DownloadFailed, match="refused"):
        download(["http://127.0.0.1:9/a"], target, options=DownloadOptions(attempts=2, pause_s=0.01))


def test_redirects(server: Server, target: Path) -> None:
    def to(place: str) -> Callable[[Any], None]:
        return lambda handler: _send(handler, b"", status=302, headers=[("Location", place)])

    server.routes |= {"/a": to("/b"), "/b": to(f"{server.url}/c"), "/c": _ranged(DATA, cut_first=1000)}
    download([f"{server.url}/a"], target, sha256=SHA, options=QUICK)
    assert target.read_bytes() == DATA
    assert server.asked[-1] == ("/c", "bytes=1000-")
    target.unlink()
    server.routes["/round"] = to("/round")
    server.routes["/file"] = to("file:///etc/hostname")
    server.routes["/ftp"] = to("ftp://127.0.0.1/a")
    for path in ("round", "file", "ftp"):
        with pytest.raises(DownloadFailed):
            download([f"{server.url}/{path}"], target, options=QUICK)
    assert _names(target) == []
    with pytest.raises(DownloadFailed, match="not an http address"):
        download(["file:///etc/hostname"], target, options=QUICK)


def test_a_redirect_does_not_leave_https() -> None:
    handler, request = module._Redirects(), urllib.request.Request("https://example.org/a")
    headers = http.client.HTTPMessage()
    with pytest.raises(module._Refused, match=r"redirects to http://example\.org/b"):
        handler.redirect_request(request, None, 302, "Found", headers, "http://example.org/b")
    followed = handler.redirect_request(request, None, 302, "Found", headers, "https://example.org/b")
    assert followed.full_url == "https://example.org/b"


def test_endless_and_oversized(server: Server, target: Path) -> None:
    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(DATA)

    server.routes["/endless"] = endless
    server.routes["/large"] = _ranged(DATA)
    limit = DownloadOptions(timeout_s=2, attempts=1, max_bytes=100_000)
    for path in ("endless", "large"):
        with pytest.raises(DownloadFailed, match="more than"):
            download([f"{server.url}/{path}"], target, options=limit)
    server.routes["/empty"] = lambda handler: _send(handler, b"")
    with pytest.raises(WrongCheckpoint):
        download([f"{server.url}/empty"], target, options=QUICK)


def test_disk_full(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.routes["/a"] = _ranged(DATA)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_copy", full)
        with pytest.raises(UnwritableOutput, match="No room"):
            download([f"{server.url}/a"], target, options=QUICK)
    assert _names(target) == []
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
        with pytest.raises(UnwritableOutput, match="free"):
            download([f"{server.url}/a"], target, options=QUICK)


@pytest.mark.parametrize("variable", ["TALKINGHEAD_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(BackendError, match=variable):
        download([f"{server.url}/a"], target)
    assert server.asked == []


def test_the_hub_cache_is_used(target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("TALKINGHEAD_OFFLINE", "1")
    blobs = tmp_path / "hf" / "hub" / "models--owner--repo" / "blobs"
    blobs.mkdir(parents=True)
    url = "https://huggingface.co/owner/repo/resolve/main/a.pt"
    (blobs / SHA).write_bytes(DATA[::-1])  # damaged: not taken
    with pytest.raises(BackendError, match="TALKINGHEAD_OFFLINE"):
        download([url], target, sha256=SHA)
    (blobs / SHA).write_bytes(DATA)
    assert download([url], target, sha256=SHA)[0] == SHA
    assert target.read_bytes() == DATA
    assert (blobs / SHA).exists()


def test_hub_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert mirror_url("https://huggingface.co/a/b") == "https://mirror.example/a/b"
    assert mirror_url("https://huggingface.company/a") == "https://huggingface.company/a"


def test_a_damaged_note_beside_the_part(server: Server, target: Path) -> None:
    server.routes["/a"] = _ranged(DATA)
    target.with_name("model.pth.part").write_bytes(b"rubbish")
    for note in ("{", json.dumps([]), json.dumps({"url": "x"})):
        target.with_name("model.pth.part.json").write_text(note)
        download([f"{server.url}/a"], target, options=QUICK)
        assert target.read_bytes() == DATA
        target.with_name("model.pth.part").write_bytes(b"rubbish")


def test_a_part_longer_than_the_file(server: Server, target: Path) -> None:
    server.routes["/a"] = _ranged(DATA)
    target.with_name("model.pth.part").write_bytes(DATA + b"more")
    target.with_name("model.pth.part.json").write_text(json.dumps({"url": f"{server.url}/a", "etag": '"v1"'}))
    download([f"{server.url}/a"], target, sha256=SHA, options=QUICK)
    assert target.read_bytes() == DATA
