"""The page in a real browser: what people do, and that nothing leaves the machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from talkinghead.contracts import STAGES
from talkinghead.media import probe
from tests.webui.conftest import Open


def generated(page: Any) -> str:
    """Wait for the end of a job; the text of its status."""
    page.locator("#status .th-done, #status .th-error").wait_for()
    return str(page.locator("#status").inner_text())


def upload(page: Any, where: str, path: Path) -> None:
    page.locator(f"{where} input[type=file]").set_input_files(str(path))


def test_two_clicks_give_a_video_on_a_fresh_machine(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    assert page.locator("#gallery-face").count() == 1
    assert page.locator("#gallery-face:visible, :text('Textbox'):visible").count() == 0
    page.locator("#example-portrait").click()
    page.locator("#go").click()  # at once: it waits until the example is filled in
    assert "145 frames of 512 x 512" in generated(page)

    player = page.locator("#player video")
    player.wait_for()
    page.wait_for_function("document.querySelector('#player video').readyState >= 2")
    assert player.evaluate("video => video.videoWidth") == 512

    for name, check in {
        "video": lambda path: probe(path).main_video.num_frames == 145,  # type: ignore[union-attr]
        "motion": lambda path: path.suffix == ".npz",
        "cues": lambda path: len(json.loads(path.read_text())["mouthCues"]) > 20,
        "report": lambda path: json.loads(path.read_text())["model"] == "viseme",
    }.items():
        with page.expect_download() as download:
            page.locator(f"#download-{name}").click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert check(path), name

    page.get_by_role("tab", name="Timing").click()
    timing = page.locator("#timing").inner_text()
    assert STAGES["compose"] in timing
    assert "times real time" in timing
    page.get_by_role("tab", name="Side by side").click()
    page.locator("#compare img").wait_for()
    page.locator("#compare video").first.wait_for()
    page.locator("#play-both").click()
    page.wait_for_function("!document.querySelector('#compare video:last-of-type').paused")
    page.get_by_role("tab", name="History").click()
    page.locator("#history button.thumbnail-item, #history .thumbnail-lg, #history .gallery-item").first.click()
    page.locator("#status", has_text="Video 1 of this session").wait_for()


def test_uploads_progress_and_cancel(open_page: Open, face: Path, voice: Path) -> None:
    page = open_page()
    page.get_by_role("radio", name="Picture").check()
    upload(page, "#picture", face)
    page.locator("#picture img").wait_for()
    upload(page, "#sound", voice)
    page.locator("#sound .timestamps").wait_for()
    page.locator("#go").click()
    assert "13 frames of 256 x 256" in generated(page)
    page.get_by_role("radio", name="Text").check()
    page.locator("#text textarea").fill("One two three four five six seven eight nine ten. " * 12)
    page.locator("#go").click()
    page.locator("#status .th-working").wait_for()
    stop = page.locator("#stop:not([disabled])")
    stop.wait_for()
    page.wait_for_function("() => /\\d+ of \\d+ frames.*left/s.test(document.querySelector('#status').innerText)")
    bar = page.locator("#status [role=progressbar][aria-valuenow]")
    assert 0 <= int(bar.first.get_attribute("aria-valuenow")) <= 100
    assert page.locator("#go").is_disabled()
    stop.click()
    page.locator("#status", has_text="Cancelled.").wait_for()
    page.locator("#go:not([disabled])").wait_for()
    assert page.locator("#stop").is_disabled()


def test_microphone_and_webcam(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("radio", name="Microphone").check()
    page.locator("#recording button", has_text="Record").click()
    page.locator("#recording .stop-button").wait_for()
    page.wait_for_timeout(1500)
    page.locator("#recording .stop-button").click()
    page.locator("#recording .timestamps").wait_for()

    page.get_by_role("radio", name="Picture").check()
    page.locator("#picture").get_by_label("Capture from camera").click()
    page.locator("#picture button", has_text="Access Webcam").click()
    page.locator("#picture").get_by_label("capture photo").click()
    page.locator("#picture img").wait_for()
    page.locator("#go").click()
    assert re.search(r"\d\d frames of 640 x 480", generated(page))

    page.get_by_role("radio", name="Video").check()
    page.locator("#face-video").get_by_label("Capture from camera").click()
    page.locator("#face-video button", has_text="Access Webcam").click()
    page.locator("#face-video button", has_text="Record").click()
    page.locator("#face-video button", has_text="Stop").wait_for()
    page.wait_for_timeout(1500)
    page.locator("#face-video button", has_text="Stop").click()
    page.wait_for_function("/file=/.test(document.querySelector('#face-video video')?.currentSrc)")
    page.locator("#go").click()
    page.locator("#status .th-working").wait_for()
    assert re.search(r"\d\d frames of 640 x 480", generated(page))


def test_two_visitors_wait_in_line_and_see_only_their_own(open_page: Open, served: Any, voice: Path) -> None:
    pytest.importorskip("espeakng_loader")
    first, second = open_page(), open_page()
    first.get_by_role("radio", name="Text").check()
    first.locator("#text textarea").fill("One two three four five six seven eight nine ten. " * 4)
    upload(second, "#sound", voice)
    second.locator("#sound .timestamps").wait_for()
    first.locator("#go").click()
    first.locator("#status .th-working").wait_for()
    second.locator("#go").click()
    second.locator("#status .th-waiting", has_text="In line: position 1 of 1").wait_for()
    assert re.search(r"\d{3} frames of 512 x 512", generated(first))
    assert "13 frames of 512 x 512" in generated(second)

    sources = []
    for page in (first, second):
        player = page.locator("#player video")
        player.wait_for()
        sources.append(str(player.get_attribute("src")))
        page.get_by_role("tab", name="History").click()
        assert page.locator("#history .gallery-item").count() == 1
    folders = [re.search(r"(.*/session-([0-9a-f]{32}))/", source) for source in sources]
    assert folders[0]
    assert folders[1]
    assert folders[0][2] != folders[1][2]
    for page, own, other in ((first, folders[0], folders[1]), (second, folders[1], folders[0])):
        assert other[2] not in page.content()
        guesses = (
            own[1].rpartition("/")[0],  # the folder of all sessions, for a list of names
            own[1],
            f"{own[1]}/../session-{'0' * 32}/result-1/viseme-1.mp4",
            f"{own[1]}/result-2/viseme-2.mp4",
        )
        for guess in guesses:
            assert page.request.get(guess).status in (403, 404), guess


def test_errors_are_sentences(open_page: Open, tmp_path: Path) -> None:
    page = open_page(allow=("Waveform load error",))  # gradio's player, of the file that is no sound
    page.locator("#go").click()
    assert "There is no speech yet." in generated(page)
    wrong = tmp_path / "song.wav"
    wrong.write_bytes(b"this is no sound, whatever its name says" * 20)
    upload(page, "#sound", wrong)
    alert = page.locator("#voice-error [role=alert]")
    alert.wait_for()
    assert "'song.wav' is a text file" in alert.inner_text()
    assert "/tmp" not in alert.inner_text()
    page.locator("#model input").click()
    page.get_by_role("option", name=re.compile("Wav2Lip")).click()
    page.locator("#model-note", has_text="talkinghead models pull wav2lip-gan").wait_for()
    page.locator("#example-portrait").click()
    page.locator("#model-note", has_text="needs no weights").wait_for()


def test_preview_shows_mouth_shapes(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("tab", name="Preview").click()
    page.locator("#look").click()
    picture = page.locator("#preview-picture img")
    picture.wait_for()
    first = picture.get_attribute("src")
    page.locator("#preview-status", has_text="Mouth shape X").wait_for()
    page.locator("#shape input[type=range]").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.locator("#preview-status", has_text="Mouth shape D, wide open").wait_for()
    assert picture.get_attribute("src") != first
    page.get_by_label("Mask: what will move").check()
    page.wait_for_function("src => document.querySelector('#preview-picture img').src != src", arg=first)


@pytest.mark.parametrize("width", [360, 768])
def test_narrow_windows_need_no_scrolling_sideways(open_page: Open, width: int) -> None:
    page = open_page(width=width, height=800)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("radio", name="Text").check()
    page.locator("#text textarea").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("#go", "#example-head", "#text"):
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width + 1


def test_dark_mode_follows_the_system(open_page: Open) -> None:
    def brightness(page: Any) -> float:
        page.locator(".th-head h1").wait_for()
        colours = page.evaluate(
            "() => [getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('.th-head h1')).color]"
        )
        back, text = (sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3 for colour in colours)
        assert abs(back - text) > 120, colours
        return back

    assert brightness(open_page(color_scheme="dark")) < 60
    assert brightness(open_page(color_scheme="light")) > 200


def test_keyboard_alone_makes_a_video(open_page: Open) -> None:
    page = open_page()
    _tab_to(page, "example-text")
    page.keyboard.press("Enter")
    page.locator("#text textarea").wait_for()
    page.wait_for_function("document.querySelector('#text textarea').value.length > 10")
    page.locator("#text textarea").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("Hello.")
    _tab_to(page, "go")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    page.keyboard.press("Enter")
    assert "frames of 512 x 512" in generated(page)
    page.keyboard.press("Control+Enter")
    page.locator("#status .th-working, #status .th-waiting").wait_for()
    assert "frames of 512 x 512" in generated(page)


def _tab_to(page: Any, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == name:
            return
    pytest.fail(f"#{name} cannot be reached with the Tab key")
