"""What every family owes a live session, on a clock that is moved by hand."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import talkinghead as th
from talkinghead.assets import demo_speech_path
from talkinghead.contracts import FloatArray, Frame, Picture
from talkinghead.engine.cache import NullCache
from talkinghead.engine.head import AnyHead, Avatar, PrepareOptions
from talkinghead.engine.live import LiveOptions, LiveSession, Moment
from talkinghead.errors import OptionError
from talkinghead.face import FaceOptions
from talkinghead.media import read_audio
from tests.engine.live.stage import HandClock, live_session
from tests.thin import thin_generator, thin_weights

pytest.importorskip("torch")

RATE = 16_000
Prepare = Callable[[], Avatar]


def viseme(_: Path) -> tuple[AnyHead, Prepare]:
    from tests.families.viseme.faces import Drawing, draw_face

    face = draw_face(Drawing(eye_distance=30))
    options = PrepareOptions(faces=FaceOptions(box=tuple(face.box_xyxy.tolist())), cache=NullCache())
    head = th.load("viseme")
    return head, lambda: head.prepare(face.frame, options)


def wav2lip(folder: Path) -> tuple[AnyHead, Prepare]:
    from talkinghead.weights import write_safetensors

    write_safetensors(thin_weights(), folder / "wav2lip.safetensors")
    head = th.load("wav2lip", checkpoint=folder / "wav2lip.safetensors", precision="parity", device="cpu")
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    options = PrepareOptions(faces=FaceOptions(box=(8, 8, 56, 56)), cache=NullCache())
    return head, lambda: head.prepare(picture, options)


def synctalk2d(folder: Path) -> tuple[AnyHead, Prepare]:
    from talkinghead.families.synctalk2d.procedural import write_models, write_template

    template = write_template(folder / "template", num_frames=3, width=160, height=120)
    head = th.load(
        "synctalk2d",
        checkpoint=write_models(folder / "model", "160"),
        ave_encoder=folder / "model" / "audio_visual_encoder.safetensors",
        backend="onnx",
        precision="parity",
    )
    return head, lambda: head.prepare(template, PrepareOptions(cache=NullCache()))


def talkinggaussian(folder: Path) -> tuple[AnyHead, Prepare]:
    from tests.families.talkinggaussian.conftest import write_data, write_model

    write_data(folder / "data")
    write_model(folder / "model")
    head = th.load(
        "talkinggaussian", checkpoint=folder / "model", audio_features="phones", device="cpu", precision="parity"
    )
    return head, lambda: head.prepare(folder / "data", PrepareOptions(cache=NullCache()))


def artalk(_: Path) -> tuple[AnyHead, Prepare]:
    head = th.load("artalk", driver="viseme", image_size=64, antialias=1)
    return head, lambda: head.prepare("mesh")


FAMILIES = {maker.__name__: maker for maker in (viseme, wav2lip, synctalk2d, talkinggaussian, artalk)}


def test_every_family_is_listed() -> None:
    assert set(FAMILIES) == set(th.models())


SLOW = ("synctalk2d", "talkinggaussian")
"""Those that take more than a second."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.thorough] * (name in SLOW)) for name in FAMILIES],
)
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[AnyHead, Prepare]]:
    with thin_generator():
        yield FAMILIES[request.param](tmp_path_factory.mktemp(request.param))


def taken(session: LiveSession[Any], count: int) -> list[Moment]:
    return list(itertools.islice(session, count))


def pixels(moment: Moment) -> Frame:
    assert moment.picture is not None
    return moment.picture.frame if isinstance(moment.picture, Picture) else moment.picture


@lru_cache
def voice() -> FloatArray:
    """The package's own sentence, from its first word on."""
    samples: FloatArray = read_audio(demo_speech_path(), RATE).samples[RATE // 4 :]
    return samples


def test_a_conversation(stage: tuple[AnyHead, Prepare]) -> None:
    """Idle, speech, an interruption, another face, what is no sound, closing; a second session notices nothing."""
    head, prepare = stage
    clock, avatar, sound = HandClock(), prepare(), voice()[:9_600]
    options = LiveOptions(sample_rate_hz=RATE)
    with live_session(head, avatar, clock, options) as session, live_session(head, avatar, clock, options) as other:
        idle = taken(session, 2)
        width, height = session.size
        for moment in idle:
            assert pixels(moment).shape == (height, width, 3)
            assert pixels(moment).dtype == np.uint8
            assert moment.utterance is None
            assert not moment.sound.any()

        number = session.push(sound, RATE)
        session.end_turn()
        silent = taken(other, 2)
        speech = []
        while not speech or not speech[-1].is_last:
            speech += taken(session, 1)
            silent += taken(other, 1)
        spoken = [moment for moment in speech if moment.utterance == number]
        heard = np.concatenate([moment.sound for moment in spoken])
        np.testing.assert_array_equal(heard[: len(sound)], sound)
        assert len(heard) < len(sound) + 2 * RATE / session.fps
        moved = [(pixels(one) != pixels(two)).any() for one, two in zip(speech, silent[2:], strict=True)]
        assert sum(moved) > len(spoken) // 2  # the same face without the speech
        assert not any(moment.sound.any() for moment in silent)

        session.push(voice()[:RATE], RATE)
        begun = taken(session, 8)
        assert begun[-1].utterance == number + 1
        told = session.interrupt()
        assert told.played_s + told.thrown_away_s == pytest.approx(1)
        after = taken(session, 4)
        assert not any(moment.sound.any() for moment in after)

        session.show(prepare())
        garbage = np.full(2_400, np.nan, np.float32)
        garbage[::2] = 0.3
        session.push(garbage, 8_000)
        session.end_turn()
        shown = taken(session, 24)
        assert sum(moment.is_last for moment in shown) == 1
        assert all(np.isfinite(moment.sound).all() for moment in shown)
        assert session.stats().cleaned_samples == 1_200
        assert session.stats().late_pictures == other.stats().late_pictures == 0
        assert session.stats().sessions == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("live-")]
    with pytest.raises(RuntimeError, match="closed"):
        session.push(sound, RATE)
    assert list(session) == []


def test_short_sounds(stage: tuple[AnyHead, Prepare]) -> None:
    """A word of two samples, of a frame, and a turn that ends without any."""
    head, prepare = stage
    clock = HandClock()
    with live_session(head, prepare(), clock, LiveOptions(sample_rate_hz=RATE)) as session:
        taken(session, 2)
        session.end_turn()
        for count in (2, 640, 1_500):
            sound = voice()[:count]
            session.push(sound, RATE)
            session.end_turn()
            spoken = [moment for moment in taken(session, 9) if moment.utterance is not None]
            heard = np.concatenate([moment.sound for moment in spoken])
            np.testing.assert_array_equal(heard[:count], sound)
            assert spoken[-1].is_last


def test_faces_are_not_restored_live(stage: tuple[AnyHead, Prepare]) -> None:
    """What a session cannot do is said when it is opened."""
    head, prepare = stage
    if not hasattr(head, "enhancement"):
        pytest.skip("has no faces to restore")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(head.enhancement), "works", True)
        with pytest.raises(OptionError, match="leave enhance out"):
            head.live(prepare())
