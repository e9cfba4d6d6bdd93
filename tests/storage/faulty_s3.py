"""An S3 server on this machine, and a proxy in front of it that does what networks and busy servers do."""

from __future__ import annotations

import contextlib
import http.client
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from talkinghead.storage.base import StoreOptions

FAULTS = ("busy", "broken", "late_error", "no_answer", "cut_upload", "cut_download", "slow", "stale_list", "stale_stat")
"""busy: 503 at once. broken: 500 at once. late_error: it is done, and the answer is 500. no_answer: it is done, and the
connection is cut. cut_upload: half of the body arrives. cut_download: half of the answer arrives. slow: an answer after
the time that is waited for. stale_list: the list is that of an empty folder. stale_stat: what is there is not seen.
Not among them: forgetful, a server that does not know If-None-Match."""
SETTINGS = {"key": "AKIAEXAMPLE000000001", "secret": "not-a-secret-of-anybody"}
_BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_BROKEN = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
_EMPTY = b"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>"


@dataclass
class Faults:
    """What is to go wrong with the next requests."""

    plan: Callable[[str, str], str | None] = lambda method, path: None
    """Method and path with query of a request -> one of FAULTS, or None."""
    slow_s: float = 0.0
    seen: list[tuple[str, str, str | None]] = field(default_factory=list, repr=False)
    """Method, path and fault of every request so far."""

    def row(self, faults: list[str | None]) -> None:
        """Let one request after the other have these; none when the row is over."""
        guard, left = threading.Lock(), list(faults)

        def plan(method: str, path: str) -> str | None:
            with guard:
                return left.pop(0) if left else None

        self.plan = plan


@dataclass
class FaultyS3:
    """The server with its proxy."""

    url: str
    """Of the proxy."""
    direct_url: str
    faults: Faults

    def options(self, **changes: Any) -> StoreOptions:
        """How a store gets there: without waiting between its tries."""
        settings = {**SETTINGS, "endpoint_url": self.url, "client_kwargs": {"region_name": "us-east-1"}}
        return StoreOptions(
            settings=settings, **{"first_wait_s": 0.0, "longest_wait_s": 0.0, "timeout_s": 5.0, **changes}
        )


@contextlib.contextmanager
def faulty_s3() -> Iterator[FaultyS3]:
    """Start both; they end with the block."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    faults = Faults()
    proxy = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Proxy", (_Proxy,), {"upstream": (host, port), "faults": faults})
    )
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield FaultyS3(f"http://127.0.0.1:{proxy.server_port}", f"http://{host}:{port}", faults)
    finally:
        proxy.shutdown()
        proxy.server_close()
        moto.stop()


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream: tuple[str, int]
    faults: Faults

    def log_message(self, *args: object) -> None:
        """Nothing is written to the terminal."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the other side has left
            super().handle()

    def _do(self) -> None:
        method, path, faults = self.command, self.path, self.faults
        fault = faults.plan(method, path)
        if fault == "cut_download" and method != "GET":
            fault = "no_answer"
        if fault == "cut_upload" and not int(self.headers.get("Content-Length", 0)):
            fault = "no_answer"
        if (fault == "stale_list" and "list-type" not in path) or (fault == "stale_stat" and method != "HEAD"):
            fault = None
        faults.seen.append((method, path, fault))
        size = int(self.headers.get("Content-Length", 0))
        if fault == "cut_upload":
            self.rfile.read(size // 2)
            self._cut()
            return
        body = self.rfile.read(size)
        if fault in ("busy", "broken"):
            self._answer(503 if fault == "busy" else 500, _BUSY if fault == "busy" else _BROKEN)
            return
        if fault == "stale_stat":
            self._answer(404, b"")
            return
        if fault == "slow":
            time.sleep(faults.slow_s)
        status, headers, answer = self._forward(method, path, body, ("if-none-match",) if fault == "forgetful" else ())
        if fault == "late_error":
            self._answer(500, _BROKEN)
        elif fault == "no_answer":
            self._cut()
        elif fault == "stale_list":
            self._answer(200, _EMPTY)
        else:
            self._send(status, headers, answer, cut=fault == "cut_download")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _do

    def _forward(
        self, method: str, path: str, body: bytes, without: tuple[str, ...]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.upstream, timeout=30)
        try:
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("connection", "expect", *without)
            }
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, body: bytes) -> None:
        self._send(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))], body)

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if not re.fullmatch(r"(?i)connection|transfer-encoding|content-length", name) or (
                name.lower() == "content-length" and self.command == "HEAD"
            ):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
