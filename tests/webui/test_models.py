"""The page with models that are installed: Wav2Lip, a drawn person of SyncTalk_2D, a constructed Gaussian head."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from talkinghead.media import probe
from talkinghead.weights import write_safetensors
from tests.docs.desk import Shop
from tests.golden_files import network_weights
from tests.webui.conftest import Open, at_home, served_with

pytestmark = pytest.mark.thorough

gradio_client = pytest.importorskip("gradio_client")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A machine with models in the store, and a folder with a template and a scene."""
    from talkinghead.service.models import model_store

    shop = Shop(tmp_path_factory.mktemp("shop"))
    home = tmp_path_factory.mktemp("house")
    gallery = home / "people"
    gallery.mkdir()
    (gallery / "may").symlink_to(shop.person / "template")
    (gallery / "head").symlink_to(shop.head3d / "data")
    with at_home(home):
        checkpoint = home / "wav2lip_gan.safetensors"
        write_safetensors(network_weights("wav2lip/wav2lip96"), checkpoint)
        model_store().import_file(checkpoint)
        model_store().import_file(shop.person / "model" / "1.safetensors", name="may")
        model_store().import_file(shop.person / "model" / "audio_visual_encoder.safetensors")
        model_store().import_file(shop.head3d / "model" / "chkpnt_fuse_latest.pth", name="head")
        yield home


@pytest.fixture(autouse=True)
def _there(house: Path) -> Iterator[None]:
    """Each test would have an empty store otherwise."""
    with at_home(house):
        yield


@pytest.fixture(scope="module")
def served(house: Path) -> Iterator[Any]:
    from talkinghead.webui import AppOptions

    with served_with(AppOptions(port=0), folders=[house / "people"]) as app:
        yield app


@pytest.fixture(scope="module")
def client(served: Any) -> Iterator[Any]:
    made = gradio_client.Client(served.url, verbose=False, download_files=False)
    yield made
    made.close()


CASES = [
    ("wav2lip", "hazel", {}, (512, 512)),
    ("synctalk2d", "may", {}, (320, 180)),
    ("talkinggaussian", "head", {}, (160, 160)),
]


@pytest.mark.parametrize(("model", "source", "options", "size"), CASES)
def test_preview_and_generate(
    client: Any, house: Path, voice: Path, model: str, source: str, options: dict[str, Any], size: tuple[int, int]
) -> None:
    rows = {row["name"]: row for row in client.predict(api_name="/models")}
    assert rows[model]["ready"]
    assert source in rows[model]["sources"]
    asked = {"model": model, "source": source, "options": options}
    picture, sentence = client.predict(shape="D", **asked, api_name="/preview")
    assert picture
    assert f"{size[0]} x {size[1]} pixels" in sentence
    video, _, _, report = client.predict(sound=gradio_client.handle_file(str(voice)), **asked, api_name="/generate")
    stream = probe(video["path"] if isinstance(video, dict) else video).main_video
    assert stream is not None
    assert (stream.width, stream.height, stream.num_frames) == (*size, 13)
    assert report["model"] == model
    told = [text for text in report["fallbacks"] if "speech network of this head" in text]
    assert len(told) == (model == "talkinggaussian")
    assert str(house) not in json.dumps(report)


def test_landmarks_of_a_template_are_shown(client: Any) -> None:
    pictures = []
    for layers in ([], ["landmarks"]):
        picture, _ = client.predict(model="synctalk2d", source="may", layers=layers, api_name="/preview")
        pictures.append(Path(picture["path"] if isinstance(picture, dict) else picture).read_bytes())
    assert pictures[0] != pictures[1]


def test_what_is_missing_is_said_in_the_words_of_the_page(client: Any, house: Path, voice: Path) -> None:
    sound = gradio_client.handle_file(str(voice))
    with pytest.raises(Exception, match="DeepSpeech") as caught:
        client.predict(
            sound=sound, model="talkinggaussian", source="head", options={"model": {"audio_features": "trained"}},
            api_name="/generate",
        )  # fmt: skip
    assert 'the option "What the head listens to": Recognised speech sounds' in str(caught.value)
    assert str(house) not in str(caught.value)
    with pytest.raises(Exception, match="There is no template 'june'") as caught:
        client.predict(sound=sound, model="synctalk2d", source="june", api_name="/generate")
    assert "may" in str(caught.value)


def test_choosing_each_on_the_page(open_page: Open, voice: Path) -> None:
    page = open_page()
    page.locator("#sound-from").get_by_role("radio", name="File").check()
    page.locator("#sound-drop input[type=file]").set_input_files(str(voice))
    page.locator("#sound-taken audio").wait_for()
    page.locator("#look-panel button").first.click()
    for title, made in (("Wav2Lip", "512 x 512"), ("SyncTalk_2D", "320 x 180"), ("TalkingGaussian", "160 x 160")):
        page.locator("#models").get_by_role("radio", name=re.compile(f"^{title} ")).check()
        note = {"Wav2Lip": "new lips", "SyncTalk_2D": "the one person", "TalkingGaussian": "in 3D"}[title]
        page.locator("#model-note", has_text=note).wait_for()
        assert page.locator("#slider-strength").count() == 0
        page.locator("#look").click()
        page.locator("#preview-status", has_text=f"{made} pixels").wait_for()
        page.locator("#go").click()
        page.locator("#status .th-done", has_text=f"0.5 s of video, {made}").wait_for()
        told = page.locator("#details", has_text="The speech network of this head is not installed")
        assert told.count() == (title == "TalkingGaussian")
    assert page.locator("#compare").count() == 0
