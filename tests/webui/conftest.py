"""A page that is served for the tests, and a real browser that looks at it."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.synthetic_media import make_sound

REQUIRE = os.environ.get("TALKINGHEAD_REQUIRE_BROWSER") == "1"
Open = Callable[..., Any]
WAIT_MS = 60_000
"""Longest wait for something that takes a second or two on a quiet machine."""
LIMIT_S = 300.0
"""After this long a test's browser is ended; the longest takes about 15 s on a quiet machine."""
OURS = f"--class=talkinghead-tests-{os.getpid()}"
"""Tells the browser of these tests from every other."""


def chromium() -> str | None:
    """The browser of the system: TALKINGHEAD_BROWSER, else Chromium or Chrome in the path."""
    named = os.environ.get("TALKINGHEAD_BROWSER")
    names = ("chromium", "chromium-browser", "google-chrome")
    return named or next(filter(None, (shutil.which(name) for name in names)), None)


def needs(condition: bool, why: str) -> None:
    """Skip without a browser; with TALKINGHEAD_REQUIRE_BROWSER=1 that is a failure."""
    if condition:
        return
    if REQUIRE:
        pytest.fail(f"TALKINGHEAD_REQUIRE_BROWSER=1, and {why}")
    pytest.skip(why)


@contextmanager
def served_with(options: Any, **more: Any) -> Iterator[Any]:
    """Serve a page. What gradio leaves to the garbage collector (event loops, sockets) is collected here, quietly."""
    from talkinghead.webui import open_app

    with open_app(options, **more) as app:
        _collect()
        yield app
    _collect()


def _collect() -> None:
    asyncio.set_event_loop(None)  # that of this thread is the last one that gradio made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture(scope="module", autouse=True)
def _leave_nothing_to_others() -> Iterator[None]:
    """What servers and their clients left to the garbage collector goes here, not in a test of another module."""
    yield
    _collect()


@contextmanager
def at_home(home: Path) -> Iterator[None]:
    """With the model store and the cache in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALKINGHEAD_HOME", str(home / "data"))
        patch.setenv("TALKINGHEAD_CACHE", str(home / "cache"))
        patch.setenv("GRADIO_HEARTBEAT_INTERVAL", "0.5")  # seconds between looks whether a page is still open
        yield


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and cache folder of the served page."""
    return tmp_path_factory.mktemp("web-home")


@pytest.fixture(scope="session")
def served(home: Path) -> Iterator[Any]:
    """The page, served for all tests, with a low limit on uploads."""
    pytest.importorskip("gradio")
    from talkinghead.webui import AppOptions

    with at_home(home), served_with(AppOptions(port=0, max_upload_mb=20, max_minutes=1)) as app:
        yield app


OTHERS = ("gradio", "starlette", "fastapi", "uvicorn", "websockets", "httpx", "anyio", "pydantic", "pandas", "pydub")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deprecations of gradio and its server are not ours to fix; every other warning stays an error."""
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            # what gradio leaves to the garbage collector: the picture that it looks at, event loops and their sockets
            for left in ("unclosed file.*talkinghead-app-", "unclosed event loop", "unclosed .socket.*family=1"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore:{left}:ResourceWarning"))
            for module in OTHERS:
                for category in ("DeprecationWarning", "PendingDeprecationWarning"):
                    item.add_marker(pytest.mark.filterwarnings(f"ignore::{category}:{module}.*"))


@pytest.fixture(scope="session")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait as a file."""
    data = pytest.importorskip("skimage.data")
    from talkinghead.media import write_png

    path = tmp_path_factory.mktemp("face") / "me.png"
    write_png(path, np.ascontiguousarray(data.astronaut()[:256, 100:356]))
    return path


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of sound."""
    return make_sound(tmp_path_factory.mktemp("voice") / "tone.wav", 0.5)


@pytest.fixture(scope="session")
def devices(tmp_path_factory: pytest.TempPathFactory, face: Path) -> list[str]:
    """Options of Chromium: a microphone that says the bundled sentence, a camera that shows a portrait."""
    import cv2

    from talkinghead.assets import demo_speech_path

    picture = cv2.resize(cv2.imread(str(face)), (480, 480))
    picture = cv2.copyMakeBorder(picture, 0, 0, 80, 80, cv2.BORDER_CONSTANT)
    camera = tmp_path_factory.mktemp("camera") / "portrait.mjpeg"
    camera.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes() * 2)
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={demo_speech_path()}",
        f"--use-file-for-fake-video-capture={camera}",
    ]


@pytest.fixture(scope="session")
def browser_program() -> str:
    """The path of Chromium; skips without it, before anything is served."""
    program = chromium()
    needs(program is not None and find_spec("playwright") is not None, "there is no Chromium, or no playwright")
    return str(program)


@pytest.fixture(scope="module")
def browser(browser_program: str, devices: list[str]) -> Iterator[Any]:
    """Chromium, driven by playwright; `browser()` is the one that runs, started again if it was ended."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened: list[Any] = []

        def running() -> Any:
            if not opened or not opened[-1].is_connected():
                opened.append(
                    playwright.chromium.launch(
                        executable_path=browser_program,
                        args=[
                            OURS, "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                            "--autoplay-policy=no-user-gesture-required", *devices,
                        ],
                    )
                )  # fmt: skip
            return opened[-1]

        yield running
        for one in opened:
            one.close()


@pytest.fixture
def limited() -> Iterator[None]:
    """End the browser when a test takes too long: the test fails then, whatever the browser is stuck in."""
    timer = threading.Timer(LIMIT_S, _end_browser)
    timer.start()
    yield
    timer.cancel()


def _end_browser() -> None:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if OURS.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)


class Watch:
    """What a page asked for and complained about."""

    def __init__(self, page: Any, home: str, allow: tuple[str, ...]) -> None:
        self.home, self.allow = home, allow
        self.away: list[str] = []
        self.complaints: list[str] = []
        page.on("request", self._asked)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.home, "data:", "blob:")):
            self.away.append(request.url)

    def _said(self, message: Any) -> None:
        if message.type == "error" and not message.text.startswith(self.allow):
            self.complaints.append(message.text)


@pytest.fixture
def open_page(
    browser_program: str,  # first of all
    browser: Any,
    served: Any,
    limited: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Any]]:
    """Open the page in a window of its own: `open_page(width=390, color_scheme="dark")`.

    Afterwards nothing may have been asked of any other place, and the console must be clean.
    """
    monkeypatch.chdir(tmp_path)  # gradio gives away what lies in the current folder; an installed package does not
    opened: list[tuple[Any, Watch]] = []

    def open_one(width: int = 1400, height: int = 950, allow: tuple[str, ...] = (), **settings: Any) -> Any:
        context = browser().new_context(viewport={"width": width, "height": height}, **settings)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        watch = Watch(page, served.url, allow)
        opened.append((context, watch))
        page.goto(served.url)
        page.locator("#go:not([disabled])").wait_for()
        return page

    yield open_one
    for context, _ in opened:
        context.close()
    assert [away for _, watch in opened for away in watch.away] == []
    assert [text for _, watch in opened for text in watch.complaints] == []
