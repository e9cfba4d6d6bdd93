"""The family behind the public interface: prepare, hear, frames, describe."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import talkinghead as th
from talkinghead.contracts import AudioClip, FaceStatus, FaceTrack, MouthMotion, NetworkRun, Phone, Speech
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import PrepareOptions, RenderOptions
from talkinghead.errors import OptionError
from talkinghead.face import FaceOptions
from talkinghead.families.viseme.animator import VisemeAvatar, mouth_poses
from talkinghead.families.viseme.compose import animated_region
from talkinghead.families.viseme.config import VisemeConfig
from talkinghead.families.viseme.pipeline import VisemeHead
from tests.families.viseme.faces import Drawing, draw_face

PHONES = (
    Phone(0.0, 0.2, "SIL"),
    Phone(0.2, 0.3, "M"),
    Phone(0.3, 0.6, "AA"),
    Phone(0.6, 0.7, "P"),
    Phone(0.7, 0.9, "IY"),
    Phone(0.9, 1.2, "SIL"),
)


def speech() -> Speech:
    rng = np.random.default_rng(0)
    samples = (0.2 * rng.normal(size=19_200)).astype(np.float32)
    samples[:3200] *= 0.001
    samples[14_400:] *= 0.001
    clip = AudioClip(samples, 16_000)
    return Speech(clip=clip, soundtrack=clip, phones=PHONES)


FACE = draw_face(Drawing(eye_distance=44))


def options(box: np.ndarray | None = None) -> PrepareOptions:
    where = FACE.box_xyxy if box is None else box
    return PrepareOptions(faces=FaceOptions(box=tuple(int(v) for v in where)))  # type: ignore[arg-type]


def head(**family: object) -> VisemeHead:
    loaded = th.load("viseme", **family)
    assert isinstance(loaded, VisemeHead)
    return loaded


@pytest.fixture(scope="module")
def avatar() -> VisemeAvatar:
    return head().prepare(FACE.frame, options())


def test_prepared_picture(avatar: VisemeAvatar) -> None:
    assert avatar.is_still
    assert avatar.size == (FACE.frame.shape[1], FACE.frame.shape[0])
    assert avatar.fps is None
    assert [stage.name for stage in avatar.times] == ["open-face", "detect-faces", "analyse-face"]
    assert len(avatar.eyes) == 2


def test_one_frame_per_frame_of_sound(avatar: VisemeAvatar) -> None:
    frames = list(head().frames(avatar, speech()))
    assert len(frames) == 30
    assert all(frame.shape == FACE.frame.shape and frame.dtype == np.uint8 for frame in frames)


def test_silence_without_idle_motion_is_the_picture_and_speech_is_not(avatar: VisemeAvatar) -> None:
    frames = list(head(idle_motion=False).frames(avatar, speech()))
    assert avatar.path is not None
    region = animated_region(avatar.path.at(0), avatar.size)
    outside = np.ones(FACE.frame.shape[:2], bool)
    outside[region.slices] = False
    changed = []
    for frame in frames:
        assert np.array_equal(frame[outside], FACE.frame[outside])
        changed.append(float((frame != FACE.frame).mean()))
    assert changed[0] == 0
    assert changed[-1] < 0.25 * max(changed)
    assert max(changed) > 0.02


def test_idle_motion_moves_the_head_even_in_silence(avatar: VisemeAvatar) -> None:
    frames = list(head(idle_motion=True).frames(avatar, speech()))
    assert not np.array_equal(frames[0], frames[4])


def test_same_seed_same_frames(avatar: VisemeAvatar) -> None:
    first, second = (list(head(seed=3).frames(avatar, speech())) for _ in range(2))
    other = list(head(seed=4).frames(avatar, speech()))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("overlap", [True, False])
def test_overlapped_and_sequential_runs_agree(avatar: VisemeAvatar, overlap: bool) -> None:
    frames = list(head().frames(avatar, speech(), RenderOptions(overlap=overlap)))
    expected = list(head().frames(avatar, speech()))
    assert all(np.array_equal(a, b) for a, b in zip(frames, expected, strict=True))


def test_strength_and_factors(avatar: VisemeAvatar) -> None:
    model = head()
    columns = model.motion_arrays(model.hear(avatar, speech(), Fraction(25)))
    motion = MouthMotion(fps=Fraction(25), **columns)
    plain = mouth_poses(motion, VisemeConfig())
    assert max(pose.lips for pose in plain) > 0.2
    assert not any(pose.lips or pose.jaw for pose in mouth_poses(motion, VisemeConfig(strength=0.0)))
    half = mouth_poses(motion, VisemeConfig(strength=0.5))
    for a, b in zip(plain, half, strict=True):
        assert b.lips == pytest.approx(0.5 * a.lips, abs=1e-6)
        assert b.jaw == pytest.approx(0.5 * a.jaw, abs=1e-6)
    big = mouth_poses(motion, VisemeConfig(strength=2.0, jaw=2.0, width=2.0))
    assert max(pose.jaw for pose in big) < 1.6001
    assert all(abs(pose.width) < 1.2501 for pose in big)


def test_description_says_what_ran(avatar: VisemeAvatar) -> None:
    model = head(idle_motion=False)
    run = RunContext()
    described = model.describe(avatar, model.hear(avatar, speech(), run=run), run)
    assert described.model_details["phones"] == "given"
    assert described.model_details["idle_motion"] is False
    assert described.model_details["own_teeth"] is False
    assert run.warnings == ()


@pytest.mark.thorough
def test_a_featureless_picture_is_warned_about() -> None:
    blank = np.full((200, 180, 3), 128, np.uint8)
    model = head()
    given = model.prepare(blank, options(np.array([40, 30, 140, 165])))
    assert given.track is not None
    avatar = replace(given, track=replace(given.track, is_given=False))
    run = RunContext()
    model.describe(avatar, model.hear(avatar, speech(), run=run), run)
    assert any("mouth" in warning for warning in run.warnings)
    assert any("blink" in warning for warning in run.warnings)
    assert len(list(model.frames(avatar, speech()))) == 30


def test_frames_without_a_face_are_left_alone(avatar: VisemeAvatar) -> None:
    track = FaceTrack(
        FACE.box_xyxy[None], np.full(1, FaceStatus.MISSING, np.uint8), np.zeros(1, np.float32), None, "none"
    )
    frames = list(head().frames(replace(avatar, track=track), speech()))
    assert all(frame is frames[0] or np.array_equal(frame, FACE.frame) for frame in frames)


def test_video(tmp_path: Path) -> None:
    """Eight frames, written and read back, shown to and fro; the cache gives the same geometry."""
    from talkinghead.engine.cache import Cache
    from talkinghead.media import write_video

    file = tmp_path / "a face.mp4"
    silence = AudioClip(np.zeros(16_000 * 8 // 25, np.float32), 16_000)
    write_video(file, (FACE.frame for _ in range(8)), fps=Fraction(25), soundtrack=silence, num_frames=8)
    model = head()
    cached = replace(options(), cache=Cache(tmp_path / "cache"))
    first = model.prepare(file, cached)
    again = model.prepare(file, cached)
    assert not first.is_still
    assert first.eyes == ()
    assert first.path is not None
    assert again.path is not None
    assert np.array_equal(first.path.contours, again.path.contours)
    frames = list(model.frames(first, speech()))
    assert len(frames) == 30
    height, width = frames[0].shape[:2]
    assert (width, height) == first.size
    opened = max(float(np.abs(f.astype(int) - frames[0]).max()) for f in frames)
    assert opened > 40


@pytest.mark.parametrize(
    "options_",
    [
        {"strength": -0.1},
        {"strength": 3.0},
        {"jaw": 2.5},
        {"width": float("nan")},
        {"head_motion": -1.0},
        {"blinks_per_minute": 100.0},
        {"seed": -1},
        {"no_such_option": 1},
    ],
)
def test_options_out_of_range(options_: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        th.load("viseme", **options_)


def test_the_report_names_the_network_that_found_the_face(avatar: VisemeAvatar, tmp_path: Path) -> None:
    """Behind the model's own, and says what it ran as."""
    assert avatar.track is not None
    found = NetworkRun("face detector made up", "onnx", precision="bfloat16", psnr_db=51.0)
    track = replace(avatar.track, network=found, fallbacks=("It was meant to run elsewhere.",))
    report = head().render(replace(avatar, track=track), speech(), tmp_path / "v.mp4").report
    assert [run.name for run in report.networks] == ["animator", found.name]
    assert report.networks[1] == found
    assert (report.backend, report.precision) == ("numpy", "float32")
    assert report.fallbacks == track.fallbacks
    box = head().render(avatar, speech(), tmp_path / "v.mp4").report
    assert [run.name for run in box.networks] == ["animator"]


def test_a_face_that_was_set_upright_stands_as_before_in_the_video(avatar: VisemeAvatar) -> None:
    """Finished frames are turned back, into the size that the avatar tells."""
    from talkinghead.media.transform import Turn

    loaded = head(idle_motion=False)
    turned = replace(avatar, turn=Turn(degrees=90), size=avatar.size[::-1])
    upright = list(loaded.frames(avatar, speech()))
    lying = list(loaded.frames(turned, speech()))
    assert len(upright) == len(lying)
    assert all(np.array_equal(np.rot90(a), b) for a, b in zip(upright, lying, strict=True))


def test_frames_without_the_face_do_not_make_the_mouth_doubtful(avatar: VisemeAvatar) -> None:
    """Seven of ten frames are a title: the mouth of the others was seen well."""
    confidence = np.array([1.0] * 3 + [1e-3] * 7)
    status = np.array([0, 1, 0] + [FaceStatus.MISSING] * 7, np.uint8)
    track = FaceTrack(np.repeat(avatar.track.boxes_xyxy, 10, axis=0), status, np.ones(10, np.float32))  # type: ignore[union-attr]
    titled = replace(avatar, track=track, path=replace(avatar.path, confidence=confidence))
    run = RunContext()
    details = head().describe(titled, head().hear(avatar, speech()), run).model_details
    assert details["mouth_confidence"] == 1.0
    assert not [warning for warning in run.warnings if "could not be seen well" in warning]


@pytest.mark.parametrize("given", [True, False])
def test_nobody_is_contradicted_who_says_where_the_face_is(avatar: VisemeAvatar, given: bool) -> None:
    assert avatar.track is not None
    track = replace(avatar.track, is_given=given)
    doubtful = replace(avatar, track=track, path=replace(avatar.path, confidence=np.array([0.1])))
    run = RunContext()
    head().describe(doubtful, head().hear(avatar, speech()), run)
    assert any("could not be seen well" in warning for warning in run.warnings) != given


@pytest.mark.parametrize(
    "box", [(20, 30, 120, 160), (20, 30, 180, 130), (40, 20, 90, 170)], ids=["face", "low", "tall"]
)
def test_a_mouth_is_where_the_box_says(box: tuple[int, int, int, int]) -> None:
    """Whatever is there: fur, metal, stone."""
    rng = np.random.default_rng(4)
    fur = np.clip(rng.normal(130, 30, (200, 220, 1)) + rng.normal(0, 8, (200, 220, 3)), 0, 255).astype(np.uint8)
    mouth = head().prepare(fur, options(np.array(box))).path.at(0).mouth
    assert box[0] < mouth.centre[0] - mouth.half_width
    assert mouth.centre[0] + mouth.half_width < box[2]
    assert (box[1] + box[3]) / 2 < mouth.centre[1] < box[3]
    assert 0.08 < mouth.half_width / (box[2] - box[0]) < 0.32
