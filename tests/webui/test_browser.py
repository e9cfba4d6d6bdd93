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


def choose(page: Any, model: str) -> None:
    page.locator("#models").get_by_role("radio", name=re.compile(model)).check()


def speaks(page: Any, way: str) -> None:
    """Choose where the speech comes from."""
    page.locator("#sound-from").get_by_role("radio", name=way).check()


def test_one_click_gives_a_video_on_a_fresh_machine(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    page.wait_for_function("() => { const hero = document.querySelector('#hero'); return hero.currentTime > 0; }")
    assert page.locator("#try-faces button").all_inner_texts() == ["Hazel", "Rowan", "Olive", "Basil", "Iris", "Reed"]
    page.locator("#try-faces").get_by_role("button", name="Iris").click()
    assert "5.8 s of video, 512 x 512" in generated(page)
    assert page.locator("#portraits").get_by_role("radio", name="Iris").is_checked()

    page.wait_for_function("document.querySelector('#player').readyState >= 2")
    assert page.locator("#player").evaluate("video => video.videoWidth") == 512
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

    assert STAGES["compose"] not in page.locator("#details").inner_text()
    page.locator("#details summary").click()
    assert STAGES["compose"] in page.locator("#details").inner_text()
    page.locator("#compare").click()
    assert page.locator(".th-source img").bounding_box()["width"] > 100
    page.wait_for_function("!document.querySelector('#player').paused")


def test_what_is_made_next_takes_the_place_of_what_was_made(open_page: Open) -> None:
    page = open_page()
    page.locator("#go").click()
    generated(page)
    page.locator("#portraits").get_by_role("radio", name="Basil").check()
    page.locator("#stage [data-state=still] img[alt=Basil]").wait_for()
    for old in ("#player", "#download-video", "#status .th-done", "#details summary"):
        assert page.locator(old).count() == 0, old
    page.locator("#go").click()
    page.locator("#stage [data-state=working] img[alt=Basil]").wait_for()
    assert page.locator("#go").count() == 0
    generated(page)
    page.locator("#go").wait_for()
    videos = page.locator("#history li")
    assert videos.count() == 2
    videos.nth(1).get_by_role("button", name=re.compile("^Show Video 1: ")).click()
    page.locator("#history li.th-current").nth(0).wait_for()
    page.wait_for_function("document.querySelectorAll('#history li')[1].matches('.th-current')")
    videos.nth(1).get_by_role("button", name=re.compile("^Delete")).click()
    page.wait_for_function("document.querySelectorAll('#history li').length == 1")
    source = page.locator("#player").get_attribute("src")
    assert page.request.get(f"{page.url}{source}").ok
    videos.nth(0).get_by_role("button", name=re.compile("^Delete")).click()
    page.locator("#stage", has_text="Your video appears here.").wait_for()
    assert page.request.get(f"{page.url}{source}").status in (403, 404)


def test_uploads_progress_and_cancel(open_page: Open, face: Path, voice: Path) -> None:
    page = open_page()
    upload(page, "#face-drop", face)
    page.locator("#stage [data-state=still] img[alt='Your face']").wait_for()
    assert page.locator("#portraits input:checked").count() == 0
    speaks(page, "File")
    upload(page, "#sound-drop", voice)
    page.locator("#sound-taken audio").wait_for()
    page.locator("#go").click()
    assert "256 x 256" in generated(page)
    page.locator("#face-drop").get_by_role("button", name="Remove").click()
    page.locator("#stage img[alt=Hazel]").wait_for()
    speaks(page, "Text")
    page.locator("#text textarea").fill("One two three four five six seven eight nine ten. " * 12)
    page.locator("#go").click()
    page.locator("#status .th-working").wait_for()
    stop = page.locator("#stop")
    page.locator("#status", has_text=re.compile(r"\d+ s left")).wait_for()
    bar = page.locator("#status [role=progressbar][aria-valuenow]")
    assert 0 <= int(bar.first.get_attribute("aria-valuenow")) <= 100
    assert page.locator("#go").count() == 0
    stop.click()
    page.locator("#status", has_text="Cancelled.").wait_for()
    page.locator("#go").wait_for()
    assert stop.count() == 0


def test_microphone_and_webcam(open_page: Open) -> None:
    # gradio's bar of an upload asks without a number when its camera goes
    page = open_page(allow=("Failed to load resource: the server responded with a status of 404", "Response"))
    speaks(page, "Record")
    page.locator("#recording button", has_text="Record").click()
    page.locator("#recording .stop-button").wait_for()
    page.wait_for_timeout(1500)
    page.locator("#recording .stop-button").click()
    page.locator("#recording .timestamps").wait_for()

    page.locator("#use-photo").click()
    page.locator("#photo button", has_text="Access Webcam").click()
    page.locator("#photo").get_by_label("capture photo").click()
    page.locator("#stage [data-state=still] img[alt='Your face']").wait_for()
    page.locator("#go").click()
    assert "640 x 480" in generated(page)

    page.locator("#use-film").click()
    page.locator("#film button", has_text="Access Webcam").click()
    page.locator("#film button", has_text="Record").click()
    page.locator("#film button", has_text="Stop").wait_for()
    page.wait_for_timeout(1500)
    page.locator("#film button", has_text="Stop").click()
    page.locator("#stage [data-state=still] img[alt='Your face']").wait_for()
    page.locator("#go").click()
    page.locator("#status .th-working").wait_for()
    assert "640 x 480" in generated(page)
    assert page.locator(".th-source video").count() == 1


def test_two_visitors_wait_in_line_and_see_only_their_own(open_page: Open, served: Any, voice: Path) -> None:
    pytest.importorskip("espeakng_loader")
    first, second = open_page(), open_page()
    speaks(first, "Text")
    first.locator("#text textarea").fill("One two three four five six seven eight nine ten. " * 4)
    speaks(second, "File")
    upload(second, "#sound-drop", voice)
    second.locator("#sound-taken audio").wait_for()
    first.locator("#go").click()
    first.locator("#status .th-working").wait_for()
    second.locator("#go").click()
    second.locator("#status .th-waiting", has_text="In line: position 1 of 1").wait_for()
    assert "512 x 512" in generated(first)
    assert "0.5 s of video, 512 x 512" in generated(second)

    sources = []
    for page in (first, second):
        sources.append(str(page.locator("#player").get_attribute("src")))
        assert page.locator("#history li").count() == 1
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
            assert page.request.get(f"{page.url}{guess}").status in (403, 404), guess


def test_errors_are_sentences(open_page: Open, tmp_path: Path, voice: Path) -> None:
    page = open_page()
    speaks(page, "File")
    page.locator("#go").click()
    assert "There is no speech yet." in generated(page)
    wrong = tmp_path / "song.wav"
    wrong.write_bytes(b"this is no sound, whatever its name says" * 20)
    upload(page, "#sound-drop", wrong)
    alert = page.locator("#voice-error [role=alert]")
    alert.wait_for()
    assert "'song.wav' is a text file" in alert.inner_text()
    assert "/tmp" not in alert.inner_text()
    upload(page, "#face-drop", voice)
    page.locator("#face-error", has_text="is a sound.").wait_for()
    large = tmp_path / "large.mov"
    with large.open("wb") as file:
        file.truncate(21_000_000)
    upload(page, "#face-drop", large)
    page.locator("#face-drop", has_text="At most 20 MB are taken.").wait_for()
    choose(page, "Wav2Lip")
    page.locator("#model-note", has_text="talkinghead models pull wav2lip-gan").wait_for()
    page.locator("#status .th-error").wait_for(state="detached")
    page.locator("#example-portrait").click()
    page.locator("#model-note", has_text="nothing to download").wait_for()
    assert page.locator("#models").get_by_role("radio", name=re.compile("Built-in")).is_checked()


def test_preview_and_its_choice_use_the_same_words(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Look at one frame first").click()
    page.locator("#look").click()
    picture = page.locator("#preview-picture img")
    picture.wait_for()
    first = picture.get_attribute("src")
    page.locator("#preview-status", has_text="Mouth shape: At rest").wait_for()
    page.locator("#shape").get_by_role("radio", name="Wide open (ah)").check()
    page.locator("#preview-status", has_text="Mouth shape: Wide open (ah)").wait_for()
    assert picture.get_attribute("src") != first
    page.get_by_label("What will move").check()
    page.wait_for_function("src => document.querySelector('#preview-picture img').src != src", arg=first)


@pytest.mark.parametrize("width", [360, 768])
def test_narrow_windows_need_no_scrolling_sideways(open_page: Open, width: int) -> None:
    page = open_page(width=width, height=800)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    speaks(page, "Text")
    page.locator("#text textarea").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("#go", "#example-head", "#text"):
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width + 1


SIZES = ((390, 844, "light"), (768, 1024, "dark"), (1366, 768, "dark"), (1920, 1080, "light"))
TOUCH_PX = 44
SMALL = """() => [...document.querySelectorAll('button, a, input[type=radio], input[type=checkbox], summary')]
  .filter((element) => { const box = (element.closest('label') || element).getBoundingClientRect();
    return box.width > 0 && box.height > 0 && box.height < 43.5 && element.getBoundingClientRect().height > 0; })
  .map((element) => element.outerHTML.slice(0, 120))"""


@pytest.mark.thorough
def test_every_state_at_every_size_is_accessible(open_page: Open, tmp_path: Path) -> None:
    """axe-core finds nothing, nothing is wider than the window, and fingers find what they want."""
    axe_module = pytest.importorskip("axe_playwright_python.sync_playwright")
    axe, faults = axe_module.Axe(), []
    wrong = tmp_path / "song.wav"
    wrong.write_bytes(b"this is no sound, whatever its name says" * 20)

    def look(page: Any, state: str) -> None:
        where = f"{page.viewport_size['width']} {state}"
        for violation in axe.run(page).response["violations"]:
            faults.extend(f"{where}: {violation['id']} {node['html'][:200]}" for node in violation["nodes"])
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            faults.append(f"{where}: wider than the window")
        if page.viewport_size["width"] < 1000:
            faults.extend(f"{where}: less than {TOUCH_PX} pixels: {html}" for html in page.evaluate(SMALL))

    for width, height, scheme in SIZES:
        page = open_page(width=width, height=height, color_scheme=scheme)
        look(page, "empty")
        speaks(page, "Text")
        look(page, "text")
        speaks(page, "File")
        upload(page, "#sound-drop", wrong)
        page.locator("#voice-error [role=alert]").wait_for()
        page.locator("#go").click()
        generated(page)
        look(page, "error")
        speaks(page, "Sample")
        page.locator("#go").click()
        page.locator("#status .th-working").wait_for()
        look(page, "running")
        generated(page)
        stage = page.locator("#stage").bounding_box()
        assert stage["y"] >= -1, "the video is in sight"
        assert stage["y"] + stage["height"] <= height + 1, "the video is in sight"
        look(page, "result")
        page.locator("#details summary").click()
        page.locator("#expert button").first.click()
        page.locator("#look-panel button").first.click()
        page.locator("#look").click()
        page.locator("#preview-picture img").wait_for()
        look(page, "everything open")
        if width == SIZES[-1][0]:
            assert stage["height"] > 600, "the result is large"
        page.context.close()
    assert faults == []


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
    assert "512 x 512" in generated(page)
    page.keyboard.press("Control+Enter")
    page.locator("#status .th-working, #status .th-waiting").wait_for()
    page.wait_for_function("document.activeElement.id == 'stop'")
    assert "512 x 512" in generated(page)


def _tab_to(page: Any, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == name:
            return
    pytest.fail(f"#{name} cannot be reached with the Tab key")
