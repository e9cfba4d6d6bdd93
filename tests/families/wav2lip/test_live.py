"""Frames while somebody still speaks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from talkinghead.contracts import AudioClip, Speech  # noqa: E402
from talkinghead.engine.cache import NullCache  # noqa: E402
from talkinghead.engine.head import LoadOptions, PrepareOptions, RenderOptions  # noqa: E402
from talkinghead.engine.live import LiveOptions  # noqa: E402
from talkinghead.errors import OptionError  # noqa: E402
from talkinghead.face import FaceOptions  # noqa: E402
from talkinghead.families.wav2lip.engine import Engine  # noqa: E402
from talkinghead.families.wav2lip.pipeline import Wav2LipHead  # noqa: E402
from talkinghead.families.wav2lip.postprocess import paste_box, to_faces_bgr  # noqa: E402
from talkinghead.families.wav2lip.preprocess import from_coords, mirror_index, network_faces  # noqa: E402
from talkinghead.media.arrays import ArraySource  # noqa: E402
from tests.families.wav2lip.test_pipeline import StandInSession, stand_in  # noqa: E402
from tests.golden_files import Golden  # noqa: E402

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(3)]
WAVE = np.concatenate([np.zeros(6400, np.float32), RNG.uniform(-0.4, 0.4, 16_000).astype(np.float32)])


@pytest.fixture(scope="module")
def checkpoint(thin_checkpoint: Path) -> Path:
    return thin_checkpoint


@pytest.fixture
def avatar_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Wav2LipHead], Any]:
    source = ArraySource(PICTURES, fps=Fraction(25))
    monkeypatch.setattr("talkinghead.media.sources.open_frames", lambda *_, **__: source)
    options = PrepareOptions(faces=FaceOptions(box=(8, 8, 56, 56)), cache=NullCache())
    return lambda head: head.prepare("x.mp4", options)


@pytest.fixture(autouse=True)
def stand_in_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator of the golden files: quick, and the same in batches of any size."""
    windows: dict[bytes, np.ndarray] = {}
    monkeypatch.setattr(Engine, "session", lambda self, part, task: StandInSession(part, windows))
    monkeypatch.setattr(Engine, "open_ahead", lambda *_: None)
    monkeypatch.setattr(Wav2LipHead, "_splits", lambda *_: False)


def load(checkpoint: Path, **family: Any) -> Wav2LipHead:
    compat = family.pop("compat", False)
    options = LoadOptions(checkpoint=checkpoint, device="cpu", precision="parity", compat=compat, family=family)
    return Wav2LipHead(options)


def test_golden_frames() -> None:
    data = Golden("wav2lip/livetalking_stream")
    index = mirror_index(int(data["start"]) + np.arange(int(data["batch"])), len(data["frames"]))
    np.testing.assert_array_equal(index, data["index"])
    faces = data["faces"][index]
    planes = network_faces(faces)
    np.testing.assert_array_equal(np.rint(planes[[0, -1]] * 255).astype(np.uint8), data["input_u8"])
    made = to_faces_bgr(stand_in(data["chunks"][int(data["step_used"])], planes))
    boxes = from_coords(data["coords"])
    for i, shown in enumerate(index):
        frame = np.ascontiguousarray(data["frames"][shown][..., ::-1])
        np.testing.assert_array_equal(paste_box(frame, made[i], boxes[shown])[..., ::-1], data["written"][i])


@pytest.mark.parametrize(
    "family",
    [
        {"silence_gate": False},
        {"compat": True},
        {"windows": "livetalking", "step_frames": 4},
        {"windows": "livetalking", "step_frames": 2, "compat": True},
    ],
    ids=["sound", "published", "livetalking", "livetalking, published"],
)
def test_streamed_frames_are_those_of_the_whole_sound(
    family: dict[str, Any], checkpoint: Path, avatar_of: Callable[[Wav2LipHead], Any]
) -> None:
    head = load(checkpoint, **family)
    avatar = avatar_of(head)
    assert head.can_stream(avatar)
    clip = AudioClip(WAVE, 16_000)
    whole = list(head.frames(avatar, Speech(clip, clip)))
    given = 0

    def pieces() -> Iterator[np.ndarray]:
        nonlocal given
        for piece in np.split(WAVE, range(800, len(WAVE), 800)):
            given += len(piece)
            yield piece

    streamed = []
    for frame in head.stream(avatar, pieces(), RenderOptions(overlap=False)):
        late = given / 16_000 - len(streamed) / 25 - head.lookahead_s(avatar)
        assert late < 800 / 16_000 + 1e-9  # the frame left before more sound than it needs was taken
        streamed.append(frame)
    assert len(streamed) == len(whole)
    np.testing.assert_array_equal(streamed, whole)
    np.testing.assert_array_equal(list(head.stream(avatar, iter([WAVE]))), whole)


def test_livetalking_shows_mirrored_frames_and_sources_of_silent_steps(
    checkpoint: Path, avatar_of: Callable[[Wav2LipHead], Any]
) -> None:
    head = load(checkpoint, windows="livetalking", step_frames=2)
    avatar = avatar_of(head)
    frames = list(head.stream(avatar, [WAVE]))
    shown = mirror_index(np.arange(len(frames)), 3)
    assert shown.tolist()[:8] == [0, 1, 2, 2, 1, 0, 0, 1]
    changed = [bool((frame != PICTURES[index]).any()) for frame, index in zip(frames, shown, strict=True)]
    first = math.floor(6400 / 640)
    assert not any(changed[: first - 1])
    assert all(changed[first + 1 :])
    assert all((frame[:8] == PICTURES[index][:8]).all() for frame, index in zip(frames, shown, strict=True))
    with pytest.raises(OptionError, match="30 frames per second"):
        head.plan(avatar, Speech(AudioClip(WAVE, 16_000), AudioClip(WAVE, 16_000)), RenderOptions(fps=Fraction(30)))


def test_the_silence_gate_hears_the_whole_sound(checkpoint: Path, avatar_of: Callable[[Wav2LipHead], Any]) -> None:
    head = load(checkpoint)
    avatar = avatar_of(head)
    assert math.isinf(head.lookahead_s(avatar))
    assert not head.can_stream(avatar)
    with pytest.raises(OptionError, match="the silence gate: how loud the speech is"):
        next(iter(head.stream(avatar, [WAVE])))


@pytest.mark.parametrize("family", [{}, {"windows": "livetalking", "step_frames": 4, "silence_gate": False}])
def test_a_session_shows_the_frames_of_the_whole_sound(
    family: dict[str, Any], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the mouth has come in, pictures are those of the sound listened to as a whole; silence shows the source."""
    monkeypatch.setattr("talkinghead.media.sources.open_frames", lambda *_, **__: ArraySource(PICTURES[:1]))
    options = PrepareOptions(faces=FaceOptions(box=(8, 8, 56, 56)), cache=NullCache())
    plain = load(checkpoint, **{**family, "silence_gate": False})
    clip = AudioClip(WAVE, 16_000)
    whole = list(plain.frames(plain.prepare("x.png", options), Speech(clip, clip)))
    head = load(checkpoint, reuse=False, **family)  # the stand-in is one network, not a face encoder and a decoder
    avatar = head.prepare("x.png", options)
    with head.live(avatar, LiveOptions(sample_rate_hz=16_000)) as session, head.live(avatar) as silent:
        for piece in np.split(WAVE, range(800, len(WAVE), 800)):
            session.push(piece, 16_000)
        session.end_turn()
        moments = [(moment, next(silent)) for moment, _ in zip(session, range(50), strict=False)]
        assert session.stats().sessions == 2
    spoken = [moment for moment, _ in moments if moment.utterance is not None]
    assert len(spoken) == len(whole)
    np.testing.assert_array_equal(np.concatenate([moment.sound for moment in spoken])[: len(WAVE)], WAVE)
    in_time = [(shown.picture, frame) for shown, frame in zip(spoken, whole, strict=True) if shown.picture is not None]
    assert len(in_time) > 20
    for picture, frame in in_time[2:]:
        np.testing.assert_array_equal(picture, frame)
    for moment, other in moments:
        for each in (other, moment) if moment.index < 2 else (other,):
            assert each.picture is None or (each.picture == PICTURES[0]).all()
