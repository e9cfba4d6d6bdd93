"""Files that are fetched: from where an operator allowed, and from nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from talkinghead.errors import OptionError, TalkingHeadError
from talkinghead.serve.addresses import Allowed
from talkinghead.storage.address import Address
from tests.serve.conftest import client_of, ended, opened


@pytest.fixture
def shop(media: dict[str, Path]) -> Iterator[str]:
    """A server of files; /media/away leads out of /media."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/media/away.wav":
                self.send_response(302)
                self.send_header("Location", "/private/hello.wav")
                self.end_headers()
                return
            path = {"me.mp4": media["face"], "hello.wav": media["audio"]}.get(self.path.rpartition("/")[2])
            self.send_response(200 if path else 404)
            data = path.read_bytes() if path else b""
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_are_fetched_from_where_it_is_allowed(stripes: None, shop: str) -> None:
    with opened(allow_addresses=[f"{shop}/media/"]) as running, client_of(running) as anna:

        def order(face: str, audio: str) -> Any:
            return anna.post("/v1/videos", json={"model": "stripes", "face": shop + face, "audio": shop + audio})

        def fate(face: str, audio: str) -> tuple[str, str]:
            done = ended(anna, order(face, audio).json()["id"])
            return done["status"], (done["error"] or {"type": ""})["type"]

        assert fate("/media/me.mp4", "/media/hello.wav") == ("completed", "")
        assert fate("/media/me.mp4", "/media/away.wav") == ("failed", "OptionError")
        assert fate("/media/nobody.mp4", "/media/hello.wav") == ("failed", "NothingThere")
        assert order("/private/me.mp4", "/media/hello.wav").status_code == 400
        bad_option = {"model": "stripes", "face": f"{shop}/media/me.mp4", "audio": f"{shop}/media/hello.wav"}
        assert anna.post("/v1/videos", json={**bad_option, "options": {"nose": {}}}).status_code == 400


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("https://cdn.example.com/faces/a.png", True),
        ("https://cdn.example.com/faces/a.png?sig=x", True),
        ("https://cdn.example.com/faces", False),
        ("https://cdn.example.com/facesandmore/a.png", False),
        ("https://cdn.example.com.evil.example/faces/a.png", False),
        ("https://cdn.example.com/other/a.png?/faces/", False),
        ("http://cdn.example.com/faces/a.png", False),
        ("s3://bucket/faces/a.png", False),
        ("/etc/passwd", False),
    ],
)
def test_what_is_allowed(address: str, is_allowed: bool) -> None:
    allowed = Allowed.of(["https://cdn.example.com/faces/"])
    if is_allowed:
        allowed.check(Address.of(address))
        return
    with pytest.raises(OptionError, match=r"Nothing is fetched|no address"):
        allowed.check(Address.of(address))


@pytest.mark.parametrize(
    "address",
    ["https://cdn.example.com/faces/../secret/a.png", "https://cdn.example.com/faces/%2e%2e/secret/a.png",
     "https://user:password@cdn.example.com/faces/a.png"],
)  # fmt: skip
def test_ways_around_are_refused(address: str) -> None:
    with pytest.raises(TalkingHeadError):
        Allowed.of(["https://cdn.example.com/faces/"]).check(Address.of(address))


@pytest.mark.parametrize("given", ["/srv/faces", "file:///srv/faces/", "https://cdn.example.com/a?b=c"])
def test_what_an_operator_cannot_allow(given: str) -> None:
    with pytest.raises(OptionError):
        Allowed.of([given])
