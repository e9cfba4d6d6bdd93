"""The page in a real browser, with a microphone that is a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiortc")
sync = pytest.importorskip("websockets.sync.client")

from tests.live.stage import ClapperStage, beep, pcm, played, quiet  # noqa: E402
from tests.webui.conftest import Watch  # noqa: E402

pytestmark = pytest.mark.thorough
Open = Callable[..., Any]
WAIT_MS = 30_000


@pytest.fixture(scope="module")
def stage() -> ClapperStage:
    return ClapperStage(size=256)


@pytest.fixture(scope="module")
def served(browser_program: str, stage: ClapperStage) -> Iterator[Any]:
    del browser_program  # first of all: without a browser nothing is served
    with played(stage) as running:
        yield running


@pytest.fixture
def open_page(browser: Any, served: Any, limited: None) -> Iterator[Open]:
    """Open the page in a window of its own; the console must stay clean, and nothing be asked of another place."""
    opened: list[tuple[Any, Watch]] = []

    def open_one(width: int = 1300, height: int = 900, session: str = "", **settings: Any) -> Any:
        context = browser().new_context(viewport={"width": width, "height": height}, **settings)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        watch = Watch(page, served.url, ())
        opened.append((context, watch))
        page.goto(served.url + (f"?session={session}" if session else ""))
        page.locator("#stage[data-state=idle]").wait_for()
        return page

    yield open_one
    for context, _ in opened:
        context.close()
    assert [away for _, watch in opened for away in watch.away] == []
    assert [text for _, watch in opened for text in watch.complaints] == []


def speaks(page: Any) -> None:
    page.locator("#stage[data-state=speaking]").wait_for()


def rests(page: Any) -> None:
    page.locator("#stage[data-state=idle]").wait_for()


def test_talk_write_drop_and_stop(open_page: Open, voice: Path) -> None:
    pytest.importorskip("espeakng_loader")
    page = open_page()
    assert page.locator("video").evaluate("video => [video.videoWidth, video.paused, video.muted]") == [
        256,
        False,
        False,
    ]
    assert page.locator("#interrupt").is_disabled()

    page.get_by_label("What shall it say?").fill("Good morning.")
    page.keyboard.press("Enter")
    speaks(page)
    rests(page)

    page.locator("#text").fill("One two three four five six seven eight nine ten. " * 3)
    page.get_by_role("button", name="Say it").click()
    speaks(page)
    page.keyboard.press("Escape")
    rests(page)

    page.locator("#sound").set_input_files(str(voice))
    speaks(page)
    rests(page)

    mirror = page.get_by_role("button", name="Talk")
    mirror.click()
    speaks(page)
    assert mirror.get_attribute("aria-pressed") == "true"
    mirror.click()
    page.locator("#status", has_text="Ready").wait_for()
    assert mirror.get_attribute("aria-pressed") == "false"

    page.locator("#corner summary").click()
    page.locator("#figures dd").first.wait_for()
    assert "late pictures" in page.locator("#figures").inner_text()


def test_another_face_and_another_model(open_page: Open, stage: ClapperStage, face: Path) -> None:
    page = open_page()
    page.locator("#choices summary").click()
    page.locator("#face-file").set_input_files(str(face))
    page.wait_for_function("() => document.querySelector('#face-name').textContent === 'me.png'")
    rests(page)
    assert face.read_bytes() in stage.faces.values()
    page.locator("#model").select_option("other")
    page.wait_for_function("() => document.querySelector('video').videoWidth === 512")
    assert page.locator("#problem").is_hidden()
    page.locator("#model").select_option("broken")
    page.locator("#problem", has_text="no model").wait_for()
    assert page.locator("#model").input_value() == "other"


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 360])
def test_it_fits_and_can_be_used_without_a_mouse(open_page: Open, width: int, look: str) -> None:
    page = open_page(width, 740, color_scheme=look)
    page.locator("#choices summary").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for one in page.locator("button:visible, input, select, summary").all():
        assert one.evaluate(NAMED), one.evaluate("each => each.outerHTML")
    page.locator("body").evaluate("() => document.activeElement.blur()")
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.parentElement.id"))
    for name in ("corner", "mic", "text", "say", "sound", "choices", "face-file", "model", "lang", "voice"):
        assert name in reached
    assert page.locator("#status").get_attribute("aria-live") == "polite"
    colours = page.locator("#mic").evaluate(
        "each => [getComputedStyle(each).color, getComputedStyle(each).backgroundColor]"
    )
    assert contrast(*colours) >= 7


NAMED = """each => Boolean(each.ariaLabel || each.labels?.length || each.getAttribute('aria-labelledby')
  || each.innerText.trim() || each.querySelector('.unseen'))"""


def contrast(one: str, other: str) -> float:
    """As the guidelines for accessible pages define it."""
    lights = []
    for colour in (one, other):
        parts = np.array([float(part) for part in colour[4:-1].split(",")]) / 255
        lights.append(
            np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
        )
    return float((max(lights) + 0.05) / (min(lights) + 0.05))


def test_flash_and_beep_reach_the_screen_together(open_page: Open, served: Any) -> None:
    """Each on its way through Chromium's own buffers; it keeps them together by the sender's reports."""
    page = open_page(session="claps", bypass_csp=True)
    page.evaluate(EAR_AND_EYE)
    with sync.connect(f"ws://127.0.0.1:{served.port}/agent/claps") as agent:
        agent.send(json.dumps({"type": "hello", "sample_rate": 48_000}))
        for _ in range(6):
            agent.send(pcm(np.concatenate([beep(0.2), quiet(0.5)])))
        agent.send('{"type": "end_turn"}')
        page.wait_for_function("flashes.length === 6 && beeps.length === 6")
    skew_ms = np.subtract(page.evaluate("flashes"), page.evaluate("beeps"))
    assert abs(np.median(skew_ms)) < 120


EAR_AND_EYE = """async () => {
  window.beeps = []; window.flashes = [];
  const video = document.querySelector('video'), context = new AudioContext();
  const tap = `registerProcessor('tap', class extends AudioWorkletProcessor {
    quiet = 1e9;
    process([[samples]]) {
      for (const sample of samples ?? []) {
        if (Math.abs(sample) < 0.1) { this.quiet++; continue; }
        if (this.quiet > 4800) this.port.postMessage(0);
        this.quiet = 0;
      }
      return true;
    } })`;
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([tap], { type: 'text/javascript' })));
  const node = new AudioWorkletNode(context, 'tap', { numberOfOutputs: 0 });
  node.port.onmessage = () => beeps.push(performance.now());
  context.createMediaStreamSource(video.srcObject).connect(node);
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  let was = false;
  const look = (now, { expectedDisplayTime }) => {
    canvas.drawImage(video, 0, 0, 8, 8);
    const bright = canvas.getImageData(0, 0, 1, 1).data[0] > 128;
    if (bright && !was) flashes.push(expectedDisplayTime);
    was = bright;
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}"""


def test_a_session_that_ends_is_opened_again(open_page: Open, served: Any) -> None:
    """The page tries again by itself, as after a server that was started anew."""
    import urllib.request

    page = open_page(session="ends")
    urllib.request.urlopen(urllib.request.Request(f"{served.url}sessions/ends", method="DELETE")).close()
    page.locator("#stage[data-state=waiting]").wait_for()
    rests(page)
