"""Files behind HTTP: whole or not at all, from no other place than was allowed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("httpx")

from talkinghead.errors import NothingThere, StorageError
from talkinghead.storage.address import Address
from talkinghead.storage.store import Stat, Store, StoreOptions, open_store

CONTENT = bytes(range(256)) * 100
Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A server of this machine; `pages` says what it answers, one answer after the other, the last one for good."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.pages: dict[str, list[Answer]] = {}
        self.asked: list[str] = []


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Nothing is written to the terminal."""

        def do_GET(self) -> None:
            site.asked.append(f"{self.command} {self.path}")
            answers = site.pages.get(self.path, [status(404)])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            with contextlib.suppress(ConnectionError):
                answer(self)

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site = Site(server.server_port)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield site
    server.shutdown()
    server.server_close()


@pytest.fixture
def site(running: Site) -> Site:
    running.pages.clear()
    running.asked.clear()
    return running


def whole(content: bytes = CONTENT, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        for name, value in ({"Content-Length": str(len(content)), "ETag": '"v1"'} | headers).items():
            if value:
                handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content)

    return answer


def status(number: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(number)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def cut(handler: BaseHTTPRequestHandler) -> None:
    whole(CONTENT[: len(CONTENT) // 2], Content_Length=str(len(CONTENT)))(handler)


def hung_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def opened(site: Site, **changes: object) -> Store:
    quick = StoreOptions(tries=3, first_wait_s=0, longest_wait_s=0, timeout_s=5)
    return open_store(site.url, options=replace(quick, **changes))


@pytest.mark.parametrize(
    "faults",
    [[], [cut, cut], [hung_up, status(503)], [status(500), cut], [status(429, Retry_After="9")], [status(408)]],
    ids=["none", "cut", "hung up, busy", "broken, cut", "too many", "slow"],
)
def test_what_may_pass_is_tried_again(site: Site, tmp_path: Path, faults: list[Answer]) -> None:
    site.pages["/x.mp4"] = [*faults, whole()]
    stat = opened(site).fetch(Address.of(f"{site.url}/x.mp4"), tmp_path / "x.mp4")
    assert stat == Stat(len(CONTENT), "v1")
    assert (tmp_path / "x.mp4").read_bytes() == CONTENT
    assert len(site.asked) == len(faults) + 1


@pytest.mark.parametrize("number", [400, 401, 403, 404, 410, 451])
def test_what_will_not_pass_is_not(site: Site, tmp_path: Path, number: int) -> None:
    site.pages["/x"] = [status(number)]
    with pytest.raises(StorageError, match="There is no file" if number in (404, 410) else str(number)) as caught:
        opened(site).fetch(Address.of(f"{site.url}/x"), tmp_path / "x")
    assert not caught.value.retryable
    assert isinstance(caught.value, NothingThere) == (number in (404, 410))
    assert len(site.asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_cut_again_and_again_is_given_up(site: Site, tmp_path: Path) -> None:
    site.pages["/x"] = [cut]
    with pytest.raises(StorageError, match="cannot be read") as caught:
        opened(site).fetch(Address.of(f"{site.url}/x"), tmp_path / "x")
    assert caught.value.retryable
    assert list(tmp_path.iterdir()) == []


def test_stat_asks_without_moving_anything(site: Site) -> None:
    site.pages["/x"] = [whole()]
    site.pages["/times"] = [whole(ETag="", Last_Modified="Mon, 02 Nov 2026 10:00:00 GMT")]
    store = opened(site)
    assert store.stat(Address.of(f"{site.url}/x")) == Stat(len(CONTENT), "v1")
    assert store.stat(Address.of(f"{site.url}/times")) == Stat(len(CONTENT), "Mon, 02 Nov 2026 10:00:00 GMT")
    assert store.stat(Address.of(f"{site.url}/absent")) is None
    assert all(line.startswith("HEAD") for line in site.asked)


def test_stat_where_only_get_was_signed(site: Site) -> None:
    def ranged(handler: BaseHTTPRequestHandler) -> None:
        assert handler.headers["Range"] == "bytes=0-0"
        handler.send_response(206)
        handler.send_header("Content-Range", "bytes 0-0/1234")
        handler.send_header("Content-Length", "1")
        handler.send_header("ETag", '"v2"')
        handler.end_headers()
        handler.wfile.write(b"x")

    site.pages["/x?sig=1"] = [status(403), ranged]
    assert opened(site).stat(Address.of(f"{site.url}/x?sig=1")) == Stat(1234, "v2")


def test_what_has_no_version_is_known_by_its_content(site: Site) -> None:
    site.pages["/x"] = [whole(ETag="")]
    store, there = opened(site), Address.of(f"{site.url}/x")
    before = store.identity(there)
    site.pages["/x"] = [whole(CONTENT[::-1], ETag="")]
    assert before is not None
    assert before.startswith("sha256-")
    assert store.identity(there) != before


def test_large_files_are_refused_before_or_while_they_come(site: Site, tmp_path: Path) -> None:
    site.pages["/x"] = [whole()]
    site.pages["/unsaid"] = [whole(Content_Length="")]
    for page in ("x", "unsaid"):
        with pytest.raises(StorageError, match="larger than"):
            opened(site, max_bytes=20000).fetch(Address.of(f"{site.url}/{page}"), tmp_path / "x")
        assert list(tmp_path.iterdir()) == []
    assert opened(site).fetch(Address.of(f"{site.url}/unsaid"), tmp_path / "x") == Stat(len(CONTENT), "v1")


def test_more_than_was_said_is_refused(site: Site, tmp_path: Path) -> None:
    site.pages["/x"] = [whole(Content_Encoding="gzip", Content_Length="20")]
    with pytest.raises(StorageError):
        opened(site, max_bytes=20000).fetch(Address.of(f"{site.url}/x"), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "s3://b/x", "http://me:secret12@127.0.0.1/x", "/x?again", "//"],
)
def test_redirects_lead_to_http_alone(site: Site, tmp_path: Path, location: str) -> None:
    site.pages["/x"] = site.pages["/x?again"] = [status(302, Location=location)]
    with pytest.raises(StorageError, match="leads") as caught:
        opened(site).fetch(Address.of(f"{site.url}/x"), tmp_path / "x")
    assert not caught.value.retryable
    assert "secret12" not in str(caught.value)
    assert len(site.asked) <= 6
    assert list(tmp_path.iterdir()) == []


def test_redirects_do_not_leave_https() -> None:
    from talkinghead.storage.web import _moved

    with pytest.raises(StorageError, match="leads to"):
        _moved(Address.of("https://h/x"), "http://h/x")
    assert str(_moved(Address.of("http://h/x"), "https://h/y?z=1")) == "https://h/y?z=1"
    assert str(_moved(Address.of("https://h/a/x"), "../y")) == "https://h/y"


def test_redirects_are_followed_where_that_is_allowed(site: Site, tmp_path: Path) -> None:
    site.pages["/x"] = [status(301, Location="/y")]
    site.pages["/y"] = [whole()]
    there = Address.of(f"{site.url}/x")
    opened(site).fetch(there, tmp_path / "x")

    def allow(address: Address) -> None:
        if address.name == "y":
            raise StorageError("not there")

    site.asked.clear()
    with pytest.raises(StorageError, match="not there"):
        opened(site, allow=allow).fetch(there, tmp_path / "y")
    assert site.asked == ["GET /x"]


def test_nothing_is_written_behind_http(site: Site, tmp_path: Path) -> None:
    store, there = opened(site), Address.of(f"{site.url}/x")
    (tmp_path / "x").touch()
    for writes in (
        lambda: store.write_bytes(there, b""),
        lambda: store.publish(tmp_path / "x", there, mark="m"),
        lambda: store.delete(there),
        lambda: store.sweep(),
        lambda: list(store.list(there)),
    ):
        with pytest.raises(StorageError, match=r"only read|cannot be listed"):
            writes()
    assert site.asked == []


def test_what_comes_too_slowly_is_given_up(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 10**6, 10))
    monkeypatch.setattr("talkinghead.storage.web.time.monotonic", lambda: float(next(now)))
    site.pages["/x"] = [whole()]
    with pytest.raises(StorageError, match="too slowly") as caught:
        opened(site, tries=1).fetch(Address.of(f"{site.url}/x"), tmp_path / "x")
    assert caught.value.retryable
