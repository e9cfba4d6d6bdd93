"""The nodes from end to end, with ComfyUI faked: frames, sound, files, options, interrupts, errors."""

from __future__ import annotations

import io
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import talkinghead as th
from talkinghead.assets.portrait import portrait_path
from talkinghead.cli.main import main
from talkinghead.engine.options import config_class, option_fields
from talkinghead.media import open_frames, probe, read_audio_native, read_picture, write_png
from talkinghead.provenance.origin import SYNTHETIC_LABEL
from talkinghead.registry import FAMILIES
from talkinghead.service.run import hear
from tests.comfyui.conftest import Interrupted, VideoFromComponents, VideoFromFile, audio_from, bytes_of, image_from
from tests.synthetic_media import make_sound, speech_like
from tests.thin import thin_generator, thin_weights

BOX = "140,150,372,418"
"""The face of the first portrait: nothing needs to be looked for."""


def generated(folder: Path, *arguments: object) -> np.ndarray:
    """Frames of `talkinghead generate`, before they are encoded: [n, H, W, 3] uint8."""
    assert main(["generate", *map(str, arguments), "--codec", "png", "-q", "-o", str(folder)]) == 0
    return np.stack([read_picture(path) for path in sorted(folder.glob("*.png"))])


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """0.4 s in two channels that differ, at a rate that networks do not hear at."""
    left, right = speech_like(0.4, 44_100), speech_like(0.4, 44_100, seed=1)
    return make_sound(tmp_path_factory.mktemp("sound") / "stereo.wav", rate=44_100, samples=np.stack([left, right], 1))


@pytest.fixture
def audio(stereo: Path) -> Any:
    return audio_from(*read_audio_native(stereo))


@pytest.fixture
def small() -> np.ndarray:
    """A portrait in 128x128, [1, H, W, 3]."""
    return read_picture(portrait_path())[None, ::4, ::4]


@pytest.fixture
def shown(bench: Any, small: np.ndarray) -> tuple[Any, Any]:
    """A head, and a small face."""
    head = bench.head()
    options = bench.run("TalkingHeadFaceOptions", box="35,37,93,104")[0]
    return head, bench.face(head, image=image_from(small), face_options=options)


# Frames ---------------------------------------------------------------------------------------------------------------


def test_frames_are_those_of_generate(bench, audio, stereo, shown, small, tmp_path):
    """Bit for bit, of a picture and a sound in stereo; the sound is as long as the frames."""
    head, face = shown
    manner = {"expressiveness": 1.3, "seed": 4}
    images, sound, fps, mask = bench.run("TalkingHeadSpeak", head=head, face=face, audio=audio, **manner)
    write_png(tmp_path / "face.png", small[0])
    expected = generated(
        tmp_path / "frames", "--face", tmp_path / "face.png", "--audio", stereo, "--box", "35,37,93,104",
        "--strength", 1.3, "--seed", 4,
    )  # fmt: skip
    assert images.dtype == torch.float32
    assert np.array_equal(bytes_of(images), expected)
    assert fps == 25
    assert sound["waveform"].shape == (1, 2, 44_100 * len(images) // 25)
    assert np.array_equal(sound["waveform"][0, :, :1000], audio["waveform"][0, :, :1000])
    assert mask.shape == images.shape[:3]
    assert not mask.any()


def test_a_text_is_heard_with_the_times_of_its_sounds(pack, bench, monkeypatch):
    """An AUDIO carries them as long as its samples are the same: a node that changes these and hands its other keys on
    does not make the mouth wrong."""
    pytest.importorskip("espeakng_loader")
    from a_folder_of_custom_nodes import values, voices  # as ComfyUI named it

    said = []
    monkeypatch.setattr(voices, "hear", lambda *given, **more: said.append(hear(*given, **more)) or said[-1])
    audio = bench.run("TalkingHeadSpeechFromText", text="Go.")[0]
    with values.speech_of(audio) as speech:
        assert speech.phones == said[0].phones
        assert speech.phones
        assert np.array_equal(speech.clip.samples, said[0].clip.samples)
    with values.speech_of({**audio, "waveform": audio["waveform"][..., 100:]}) as speech:
        assert speech.phones is None


@pytest.mark.thorough
def test_a_video_is_read_from_its_file_and_frames_from_memory(bench, audio, stereo, small, tmp_path, host):
    """As a VIDEO from a file, from bytes, of components, and as an IMAGE of several pictures: the same frames."""
    from talkinghead.media import write_video

    path = tmp_path / "face.mp4"
    write_video(path, iter([np.roll(small[0], shift, 1) for shift in (0, 1, 2, 1)]), fps=Fraction(25))
    images = image_from(np.stack(list(open_frames(path).read())))
    head = bench.head()
    options = bench.run("TalkingHeadFaceOptions", box="35,37,93,104")[0]
    expected = generated(tmp_path / "frames", "--face", path, "--audio", stereo, "--box", "35,37,93,104")
    for given in (
        {"video": VideoFromFile(str(path))},
        {"video": VideoFromFile(io.BytesIO(path.read_bytes()))},
        {"video": VideoFromComponents(images, Fraction(25))},
        {"image": images, "image_fps": 25.0},
    ):
        face = bench.face(head, face_options=options, **given)
        made = bench.run("TalkingHeadSpeak", head=head, face=face, audio=audio)[0]
        assert np.array_equal(bytes_of(made), expected), given


def test_a_network_speaks_with_a_checkpoint_of_comfyui(bench, audio, stereo, tmp_path, host):
    """Wav2Lip with constructed weights in models/talkinghead, and options of its own."""
    from talkinghead.weights import write_safetensors

    path = host.folder / "models" / "talkinghead" / "thin.safetensors"
    write_safetensors(thin_weights(), path)
    with thin_generator():
        own = bench.run("TalkingHeadOptions_wav2lip", paste="box", feather=0.0)[0]
        head = bench.head(model="wav2lip", checkpoint="thin.safetensors", precision="parity", options=own)
        finding = bench.run("TalkingHeadFaceOptions", box=BOX)[0]
        face = bench.face(head, source="portrait: hazel", face_options=finding)
        images = bench.run("TalkingHeadSpeak", head=head, face=face, audio=audio)[0]
        expected = generated(
            tmp_path / "frames", "--model", "wav2lip", "--checkpoint", path, "--face", portrait_path(),
            "--audio", stereo, "--box", BOX, "--paste", "box", "--feather", 0, "--precision", "parity",
        )  # fmt: skip
    assert np.array_equal(bytes_of(images), expected)
    path.unlink()


def test_a_face_speaks_in_any_manner(bench, audio, shown, small, stereo):
    """The face that was prepared once moves as it does where it is prepared for that manner."""
    from talkinghead.engine.head import PrepareOptions
    from talkinghead.face import FaceOptions

    head, face = shown
    still, lively = (
        bytes_of(bench.run("TalkingHeadSpeak", head=head, face=face, audio=audio, head_movement=movement)[0])
        for movement in (0.0, 1.0)
    )
    other = th.load("viseme", head_motion=0.0)
    avatar = other.prepare(small[0], PrepareOptions(faces=FaceOptions(box=(35, 37, 93, 104))))
    assert np.array_equal(still, np.stack(list(other.frames(avatar, th.listen(stereo)))))
    assert not np.array_equal(still, lively)


@pytest.mark.thorough
def test_an_avatar_has_a_mask(bench, audio):
    """A 3D head on a transparent background: 1 where nothing is drawn, as Load Image has it."""
    own = bench.run("TalkingHeadOptions_artalk", image_size=64, antialias=1)[0]
    head = bench.head(model="artalk", options=own)
    face = bench.face(head, source="avatar: mesh")
    images, _, _, mask = bench.run("TalkingHeadSpeak", head=head, face=face, audio=audio, fps=25.0)
    assert mask.shape == images.shape[:3]
    assert mask[0, 0, 0] in (0, 1)
    assert mask[0, 32, 32] == 0


def test_a_preview_shows_what_changes(bench, shown, small):
    head, face = shown
    image, mask, found = bench.run("TalkingHeadPreviewFace", head=head, face=face, head_movement=0.0, show_mask=True)
    assert image.shape == (1, 128, 128, 3)
    assert mask.shape == (1, 128, 128)
    assert mask[0, 64:].sum() > 0.9 * mask.sum() > 0, "the lower face, with the lids at most"
    assert "face of 58 x 67 pixels" in found


# Files ----------------------------------------------------------------------------------------------------------------


def test_a_file_has_the_whole_sound_and_says_what_it_is(bench, audio, shown, host):
    head, face = shown
    options = bench.run("TalkingHeadVideoOptions", crf="30")[0]
    made = bench.run("TalkingHeadSpeakToVideo", head=head, face=face, audio=audio, video_options=options)
    video, path = made["result"]
    assert made["ui"]["images"] == [{"filename": "talkinghead_00001_.mp4", "subfolder": "video", "type": "output"}]
    assert path == video.file == str(host.folder / "output" / "video" / "talkinghead_00001_.mp4")
    (sound,) = probe(path).audio
    assert (sound.num_channels, sound.sample_rate_hz) == (2, 44_100)
    assert len(open_frames(path)) == 10
    with av.open(path) as container:
        assert container.metadata["comment"] == SYNTHETIC_LABEL
    assert host.outputs() == ["talkinghead_00001_.mp4"], "no other file is left"


def test_the_bar_moves_and_pictures_are_shown(bench, audio, shown, host):
    head, face = shown
    for name in ("TalkingHeadSpeak", "TalkingHeadSpeakToVideo"):
        host.bar.clear()
        bench.run(name, head=head, face=face, audio=audio)
        steps = [(value, total) for value, total, _ in host.bar if total == 10]
        assert steps == [(i, 10) for i in range(1, 11)]
        kind, picture, side = next(preview for _, _, preview in host.bar if preview is not None)
        assert (kind, picture.size, side) == ("JPEG", (128, 128), 512)


@pytest.mark.parametrize("name", ["TalkingHeadSpeak", "TalkingHeadSpeakToVideo"])
def test_an_interrupt_stops_within_a_frame_or_two(bench, shown, host, name):
    """Nothing is left, and the same nodes work again."""
    head, face = shown
    audio = audio_from(speech_like(2.0)[:, None], 16_000)
    host.stop_at = 4
    host.bar.clear()
    before = len(host.bar)
    with pytest.raises(Interrupted):
        bench.run(name, head=head, face=face, audio=audio)
    assert [value for value, total, _ in host.bar[before:] if total == 50] == [1, 2, 3, 4]
    assert host.outputs() == []
    assert not host.is_interrupted, "ComfyUI's own mark is taken away"


def test_an_interrupt_from_elsewhere_stops_while_nothing_is_counted(pack, host):
    """The user interrupts where the bar does not move."""
    from a_folder_of_custom_nodes.host import Work

    from talkinghead.errors import Cancelled

    def wait() -> None:
        with Work() as work:
            host.is_interrupted = True
            assert work.cancel._event.wait(10)
            work.cancel.check()

    def stop() -> None:
        with Work():
            raise Cancelled

    for call in (wait, stop):
        with pytest.raises(Interrupted):
            call()


# What cannot be -------------------------------------------------------------------------------------------------------


def refused(call: Any) -> str:
    """The message of a node's error, in words of nodes."""
    from a_folder_of_custom_nodes.words import NodeError

    with pytest.raises(NodeError) as caught:
        call()
    assert not re.search(r"--[a-z]", str(caught.value)), caught.value
    return str(caught.value)


def test_frames_that_do_not_fit_name_the_other_node(bench, audio, shown, host):
    head, face = shown
    host.free_bytes = 2 * 10 * 128 * 128 * 12
    bench.run("TalkingHeadSpeak", head=head, face=face, audio=audio)
    host.free_bytes -= 1
    assert "Speak to Video" in refused(lambda: bench.run("TalkingHeadSpeak", head=head, face=face, audio=audio))
    bench.run("TalkingHeadSpeakToVideo", head=head, face=face, audio=audio)


def test_what_does_not_go_together_is_refused(bench, audio, shown, small):
    head, face = shown
    speak = {"head": head, "face": face, "audio": audio}
    wav2lip = bench.run("TalkingHeadOptions_wav2lip")[0]
    assert "Options: Built-in animator" in refused(lambda: bench.head(options=wav2lip))
    assert "not installed" in refused(lambda: bench.head(model="wav2lip", checkpoint="store: wav2lip-gan"))
    other = bench.head(options=bench.run("TalkingHeadOptions_viseme", jaw=0.5)[0])
    assert "other options" in refused(lambda: bench.run("TalkingHeadSpeak", **{**speak, "head": other}))
    images = image_from(small)
    both = {"image": images, "video": VideoFromComponents(images, Fraction(25))}
    assert "disconnect" in refused(lambda: bench.face(head, **both))
    grey = torch.full((1, 64, 64, 3), 0.5)
    assert "face" in refused(lambda: bench.face(head, image=grey))
    timed = bench.run("TalkingHeadFaceOptions", start_s=1.0)[0]
    assert "start_s" in refused(lambda: bench.face(head, image=images, face_options=timed))
    assert "a picture or video of a face" in refused(lambda: bench.face(head, source="avatar: mesh"))
    two = {"waveform": torch.zeros(2, 1, 100), "sample_rate": 16_000}
    assert "[2, 1, 100]" in refused(lambda: bench.run("TalkingHeadSpeak", **{**speak, "audio": two}))
    none = {"waveform": torch.zeros(1, 1, 0), "sample_rate": 16_000}
    assert "no samples" in refused(lambda: bench.run("TalkingHeadSpeak", **{**speak, "audio": none}))
    assert "crop is" in refused(lambda: bench.run("TalkingHeadFaceOptions", crop="a,b"))


def test_a_manner_that_a_model_does_not_have_is_refused(bench, host):
    from talkinghead.weights import write_safetensors

    path = host.folder / "models" / "talkinghead" / "thin.safetensors"
    write_safetensors(thin_weights(), path)
    with thin_generator():
        head = bench.head(model="wav2lip", checkpoint="thin.safetensors")
    path.unlink()
    usual = {"expressiveness": 1.0, "head_movement": 1.0, "blinks_per_minute": 14.0}
    assert head.speaking({**usual, "seed": 7}) is head.head, "nothing is random: a seed has no effect"
    assert "head_movement at 1.0" in refused(lambda: head.speaking({**usual, "head_movement": 0.5, "seed": 0}))


def test_flags_become_inputs(pack):
    from a_folder_of_custom_nodes.words import in_nodes

    assert in_nodes("--face me.jpg for a picture of your own") == (
        "the image, the video or the source of Prepare Face for a picture of your own"
    )
    assert in_nodes("leave --no-silence-gate out, or --crf") == "leave silence_gate off out, or crf"


def test_a_text_is_checked_before_anything_runs(pack):
    node = pack.NODE_CLASS_MAPPINGS["TalkingHeadSpeechFromText"]
    assert node.VALIDATE_INPUTS(text="Hello.") is True
    assert node.VALIDATE_INPUTS() is True
    assert "text" in node.VALIDATE_INPUTS(text="  ")


# What is declared -----------------------------------------------------------------------------------------------------


def test_every_node_says_what_comfyui_asks_for(pack):
    assert set(pack.NODE_DISPLAY_NAME_MAPPINGS) == set(pack.NODE_CLASS_MAPPINGS)
    for name, node in pack.NODE_CLASS_MAPPINGS.items():
        inputs = node.INPUT_TYPES()
        assert set(inputs) <= {"required", "optional"}
        assert callable(getattr(node, node.FUNCTION)), name
        assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES), name
        assert node.DESCRIPTION
        assert node.CATEGORY.startswith("talkinghead")
        for part in inputs.values():
            for key, (kind, facts) in part.items():
                if isinstance(kind, list):
                    assert facts["default"] in kind, (name, key)
                elif kind in ("INT", "FLOAT"):
                    assert facts["min"] <= facts["default"] <= facts["max"], (name, key)


def test_options_are_those_of_the_configurations(pack, bench):
    """Defaults change nothing; every number, switch and choice is a widget, of Speak or of the model's own node."""
    for name, facts in FAMILIES.items():
        node = f"TalkingHeadOptions_{name}"
        assert bench.run(node)[0].values == {}
        shown = set(pack.NODE_CLASS_MAPPINGS[node].INPUT_TYPES()["optional"])
        wanted = {
            item.name
            for item in option_fields(config_class(facts.config))
            if item.type in (bool, int, float) or item.choices or item.name == "enhance"
        }
        assert wanted <= shown | {"strength", "head_motion", "blinks_per_minute", "seed"}
    reading, finding = bench.run("TalkingHeadFaceOptions")[0]
    assert (reading, finding) == (type(reading)(), type(finding)())
    assert bench.run("TalkingHeadVideoOptions")[0] == th.engine.head.EncodeOptions()


def test_a_card_of_comfyui_is_used_and_room_asked_for(pack, host):
    from types import SimpleNamespace

    from a_folder_of_custom_nodes.host import device_for, make_room

    assert device_for("auto") == "cpu"
    host.device = SimpleNamespace(type="cuda", index=0)
    assert device_for("auto") == "auto"
    assert device_for("cpu") == "cpu"
    host.device = SimpleNamespace(type="cuda", index=1)
    assert device_for("auto") == "cuda:1"
    make_room("cpu")
    assert host.made_room == []
    make_room("cuda:1")
    assert len(host.made_room) == 1


def test_bytes_come_back_whether_cut_or_rounded(pack):
    from a_folder_of_custom_nodes.values import frames_of_images, put_frame

    frame = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    images = torch.empty((1, 16, 16, 3))
    put_frame(images, 0, frame)
    assert np.array_equal(bytes_of(images)[0], frame)
    assert np.array_equal(frames_of_images(images)[0], frame)
    clear = torch.zeros((1, 2, 2, 4))
    assert frames_of_images(clear)[0].min() == 255, "transparency is laid on white"


def test_the_wheel_of_the_package_does_not_have_the_pack():
    import tomllib

    from setuptools import find_packages

    from tests.conftest import ROOT

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = find_packages(str(ROOT), include=project["tool"]["setuptools"]["packages"]["find"]["include"])
    assert found
    assert not [name for name in found if "integrations" in name or "comfyui" in name]


def test_without_the_package_the_import_says_what_to_do(pack, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    from tests.comfyui.conftest import PACK

    spec = importlib.util.spec_from_file_location("another_folder", PACK / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(ImportError, match="pip install -r"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
