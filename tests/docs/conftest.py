"""A folder with what the pages name, and a shop for checkpoints on this machine."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.docs.desk import Shop
from tests.thin import thin_generator


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(autouse=True, scope="module")
def _thin() -> Iterator[None]:
    """`wav2lip_gan.pth` has fewer channels than the published one."""
    with thin_generator():
        yield


@pytest.fixture
def short_sentence(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled sentence is as short as the other sounds."""
    path = shop.make("hello.wav")
    monkeypatch.setattr("talkinghead.assets.demo_speech_path", lambda: path)


@pytest.fixture(scope="session")
def shelf() -> Iterator[Any]:
    """Serves files: `shelf(name, path)` gives the address."""
    files: dict[str, Path] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files[self.path].read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()

    def put(name: str, path: Path) -> str:
        files[f"/{name}"] = path
        return f"http://127.0.0.1:{server.server_port}/{name}"

    yield put
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def stocked(shop: Shop, shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`models pull wav2lip-gan` fetches constructed weights from this machine; the reader accepts the licence."""
    import talkinghead.cli.models as command
    from talkinghead.service import models

    path = shop.make("wav2lip_gan.pth")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    url = shelf(path.name, path)
    known = models.catalogue()
    row = replace(known["wav2lip-gan"], urls=(url,), sha256=sha256, size_bytes=path.stat().st_size)
    monkeypatch.setattr(models, "catalogue", lambda: {**known, row.name: row})
    monkeypatch.setattr(command, "_ask", lambda entry: True)
    for name in ("TALKINGHEAD_OFFLINE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
