"""No function of the Python API, no step and no published program writes over what it reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import talkinghead
from talkinghead.contracts import AudioClip, MouthCue, Speech
from talkinghead.engine.head import LoadOptions, PrepareOptions, RenderOptions
from talkinghead.errors import OptionError
from talkinghead.face.detectors.options import FaceOptions
from talkinghead.service.batch import Batch
from talkinghead.service.planning import check_all_apart
from talkinghead.service.request import Request, SoundFile
from tests.synthetic_media import make_picture, make_sound, make_video

CLIP = AudioClip(np.zeros(1600, np.float32), 16_000)


@pytest.fixture
def files(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """A file that is read, and another name of it: a hard link."""

    def make(suffix: str) -> tuple[Path, Path]:
        path, other = tmp_path / f"read{suffix}", tmp_path / f"other{suffix}"
        path.write_bytes(b"precious")
        os.link(path, other)
        return path, other

    return make


# Requests -------------------------------------------------------------------------------------------------------------

READ: dict[str, Callable[[Request, Path], Request]] = {
    "source": lambda request, path: replace(request, source=path),
    "source as text": lambda request, path: replace(request, source=str(path)),
    "sound": lambda request, path: replace(request, speech=SoundFile(path)),
    "phones": lambda request, path: replace(request, speech=SoundFile(Path("a.wav"), phones=path)),
    "read sound": lambda request, path: replace(request, speech=Speech(CLIP, path)),
    "samples of a file": lambda request, path: replace(request, speech=replace(CLIP, source=str(path))),
    "checkpoint": lambda request, path: replace(request, load=LoadOptions(checkpoint=path)),
    "detector": lambda request, path: replace(request, prepare=PrepareOptions(faces=FaceOptions(detector_model=path))),
}
WRITTEN: dict[str, Callable[[Request, Path], Request]] = {
    "video": lambda request, path: replace(request, output=path),
    "report": lambda request, path: replace(request, report=path),
    "motion": lambda request, path: replace(request, render=replace(request.render, motion=path.with_suffix(".npz"))),
    "cues": lambda request, path: replace(request, render=replace(request.render, cues=path.with_suffix(".json"))),
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("read", READ)
def test_a_request_does_not_write_what_it_reads(
    tmp_path: Path, files: Callable[[str], tuple[Path, Path]], read: str, written: str
) -> None:
    path, other = files({"motion": ".npz", "cues": ".json"}.get(written, ".mp4"))
    request = READ[read](Request("a.png", SoundFile(Path("a.wav")), tmp_path / "o.mp4"), path)
    check_all_apart([request])
    wrong = WRITTEN[written](request, other)
    for check in (lambda: check_all_apart([wrong]), lambda: talkinghead.service.run.run(wrong), lambda: Batch([wrong])):
        with pytest.raises(OptionError, match="one of the inputs"):
            check()
    for first, second in (("video", "report"), ("report", "video")):
        both = WRITTEN[second](WRITTEN[first](request, tmp_path / "new.mp4"), tmp_path / "NEW.mp4")
        with pytest.raises(OptionError, match="one file"):
            check_all_apart([both])


def test_of_several_none_writes_what_another_reads_or_writes(tmp_path: Path) -> None:
    sounds = [make_sound(tmp_path / f"{name}.wav", 0.1) for name in "ab"]
    face = make_picture(tmp_path / "a.png")
    requests = [Request(face, SoundFile(sound), tmp_path / f"{sound.stem}.mp4") for sound in sounds]
    Batch(requests)
    later = replace(requests[1], speech=SoundFile(requests[0].output))
    for wrong in ([requests[0], later], [requests[0], requests[0]]):
        with pytest.raises(OptionError):
            Batch(wrong)


def test_a_request_that_makes_its_folder_is_data(tmp_path: Path) -> None:
    request = Request("a.png", SoundFile(Path("a.wav")), tmp_path / "new" / "o.mp4", make_folder=True)
    row = request.to_dict()
    assert row["make_folder"] is True
    assert Request.from_dict(row).to_dict() == row
    assert "make_folder" not in replace(request, make_folder=False).to_dict()
    with pytest.raises(OptionError, match="make_folder"):
        Request.from_dict({**row, "make_folder": "yes"})


# Functions ------------------------------------------------------------------------------------------------------------


def test_generate_render_and_the_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from talkinghead.audio.cues import write_speech_cues
    from talkinghead.media import write_video
    from talkinghead.registry import FAMILIES
    from tests.stripes import FACTS

    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)
    face, sound = make_video(tmp_path / "face.mp4", 5), make_sound(tmp_path / "a.wav", 0.2)
    for name in ("face", "sound"):
        os.link(face if name == "face" else sound, tmp_path / f"{name}.mkv")
    (tmp_path / "sound.json").symlink_to("a.wav")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    head = talkinghead.load("stripes")
    avatar, speech = head.prepare(face), talkinghead.listen(sound)
    black = [np.zeros((48, 64, 3), np.uint8)]
    for write in (
        lambda: talkinghead.generate(face, sound, tmp_path / "face.mkv", model="stripes"),
        lambda: talkinghead.generate(str(face), str(sound), str(tmp_path / "sound.mkv"), model=head),
        lambda: head.render(avatar, speech, tmp_path / "face.mkv"),
        lambda: head.render(avatar, speech, tmp_path / "sound.mkv"),
        lambda: head.render(avatar, speech, tmp_path / "o.mp4", RenderOptions(cues=tmp_path / "sound.json")),
        lambda: write_video(tmp_path / "sound.mkv", black, fps=Fraction(25), soundtrack=sound),
        lambda: write_speech_cues(tmp_path / "sound.json", speech, ()),
    ):
        with pytest.raises(OptionError, match="one of the inputs"):
            write()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


# Steps and published programs -----------------------------------------------------------------------------------------


def wav2lip_steps(path: Path, other: Path, folder: Path) -> list[Callable[[], object]]:
    from talkinghead.engine.picture_steps import encode_video
    from talkinghead.enhance.config import EnhanceConfig
    from talkinghead.enhance.step import enhance_frames
    from talkinghead.families.wav2lip import steps
    from talkinghead.families.wav2lip.chain import ChainOptions, run_chain
    from talkinghead.service.features import extract_features

    there = folder / "output.mp4"
    os.link(path, there)
    choice = steps.FaceChoice(detector_model=path)
    return [
        lambda: steps.extract_mel(path, other, force=True),
        lambda: steps.chunk_mel(path, other, force=True),
        lambda: steps.load_frames(path, other, force=True),
        lambda: steps.detect_faces(path, other, force=True),
        lambda: steps.detect_faces(folder / "frames", other, choice=choice, force=True),
        lambda: steps.run_wav2lip(path, folder / "f", folder / "m", folder / "c", other, force=True),
        lambda: steps.paste_patches(folder / "f", folder / "p", path, other, force=True),
        lambda: encode_video(folder / "f", path, other, force=True),
        lambda: extract_features(path, other, "ave", force=True),
        lambda: extract_features(folder / "a.wav", other, "ave", encoder=path, force=True),
        lambda: enhance_frames(folder / "f", other, EnhanceConfig(enhance=path), force=True),
        lambda: run_chain(ChainOptions(path, path, folder, checkpoint=path)),
    ]


def talkinggaussian_steps(path: Path, other: Path, folder: Path) -> list[Callable[[], object]]:
    from talkinghead.families.talkinggaussian import steps
    from talkinghead.families.talkinggaussian.config import TalkingGaussianConfig
    from talkinghead.families.talkinggaussian.published import FuseOptions, synthesize_fuse

    config, scene, none = TalkingGaussianConfig(), folder / "scene", folder / "none"
    given = replace(config, background=path, poses=str(path))
    video = folder / "model" / "test" / "ours_None" / "renders" / "out.mp4"
    video.parent.mkdir(parents=True)
    os.link(path, video)
    return [
        lambda: steps.extract_features(path, other, checkpoint=none, config=config, force=True),
        lambda: steps.write_motion(path, scene, other, checkpoint=none, config=config, force=True),
        lambda: steps.render_motion(none, scene, other, checkpoint=path, config=config, force=True),
        lambda: steps.compose_frames(none, scene, other, config=given, force=True),
        lambda: synthesize_fuse(FuseOptions(scene, folder / "model", audio=path)),
    ]


def synctalk2d_programs(path: Path, other: Path, folder: Path) -> list[Callable[[], object]]:
    from talkinghead.families.synctalk2d.build import BuildOptions, build_template
    from talkinghead.families.synctalk2d.published import FrameGenerationPipeline

    for name in ("full_body_img", "landmarks"):
        (folder / name).mkdir()
    os.link(path, folder / "aud.wav")
    pipeline = object.__new__(FrameGenerationPipeline)
    pipeline.unet_model = SimpleNamespace(checkpoint_path=str(path))  # type: ignore[assignment]
    return [
        lambda: pipeline.generate_video(path, folder, path, other),
        lambda: pipeline.generate_frames_only(path, folder, _frames(path, folder)),
        lambda: pipeline.generate_reference_outputs(path, folder, _frames(path, folder)),
        lambda: build_template(path, folder, force=True),
        lambda: build_template(folder / "v.mp4", folder, BuildOptions(encoder=path), force=True),
    ]


def _frames(path: Path, folder: Path) -> Path:
    """A folder whose first frame would be a file that is read."""
    made = folder / "frames"
    made.mkdir(exist_ok=True)
    if not (made / "frame_00000.jpg").exists():
        os.link(path, made / "frame_00000.jpg")
    return made


def artalk_program(path: Path, other: Path, folder: Path) -> list[Callable[[], object]]:
    from talkinghead.families.artalk.published import run

    engine: Any = SimpleNamespace(output_dir=folder)
    os.link(path, folder / f"{path.stem}_default_mesh.mp4")
    return [lambda: run(engine, path)]


@pytest.mark.parametrize("family", [wav2lip_steps, talkinggaussian_steps, synctalk2d_programs, artalk_program])
def test_steps_and_published_programs(
    tmp_path: Path,
    files: Callable[[str], tuple[Path, Path]],
    family: Callable[[Path, Path, Path], list[Callable[[], object]]],
) -> None:
    path, other = files(".mp4")
    folder = tmp_path / "folder"
    folder.mkdir()
    for write in family(path, other, folder):
        with pytest.raises(OptionError, match="one of the inputs"):
            write()
    assert path.read_bytes() == b"precious"
    assert path.samefile(other)


def test_a_cue_needs_no_file(tmp_path: Path) -> None:
    """Speech that is in memory has no sound that could be lost."""
    from talkinghead.audio.cues import write_speech_cues

    made = write_speech_cues(tmp_path / "c.json", Speech(CLIP, CLIP), ())
    assert all(isinstance(cue, MouthCue) for cue in made)
