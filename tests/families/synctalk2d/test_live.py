"""SyncTalk_2D live: windows are those of the whole sound, pictures those of its frames, and silence rests the mouth."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import talkinghead as th
from talkinghead.contracts import AudioClip, FloatArray
from talkinghead.engine.context import RunContext
from talkinghead.engine.listener import Listener, hear_all
from talkinghead.errors import OptionError
from talkinghead.families.synctalk2d.pipeline import SyncTalk2DHead
from talkinghead.families.synctalk2d.procedural import write_models, write_template
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS
from tests.audio.encoders.test_encoders import small_encoder
from tests.engine.live.stage import HandClock, live_session

RNG = np.random.default_rng(0)
SOUND = np.concatenate(
    [RNG.uniform(-0.3, 0.3, 9_000), np.zeros(3_000), RNG.uniform(-0.1, 0.1, 7_777)],
).astype(np.float32)


def cut(listener: Listener[FloatArray], sound: FloatArray, piece: int) -> FloatArray:
    pieces = [sound[start : start + piece] for start in range(0, len(sound), piece)]
    return np.asarray(hear_all(listener, pieces).windows)


@pytest.fixture(scope="module")
def head160(models: Path) -> Any:
    return th.load(
        "synctalk2d", checkpoint=models / "160.pth", mode="ave", backend="onnx", precision="parity", threads=2
    )


@pytest.mark.parametrize(
    ("options", "fps"),
    [
        ({}, 25),
        ({"window_edges": "repeat", "smooth_features": True}, 25),
        ({}, 30),
        pytest.param({"compat": True}, 25, marks=pytest.mark.thorough),
    ],
    ids=["as set", "smooth, repeated", "30 a second", "published"],
)
def test_windows_of_ave_are_those_of_the_whole_sound(
    models: Path, template160: Path, head160: Any, options: dict[str, Any], fps: int
) -> None:
    head = head160 if not options else th.load(
        "synctalk2d", checkpoint=models / "160.pth", mode="ave", backend="onnx", threads=2, **options
    )  # fmt: skip
    check_windows(head, head.prepare(template160), Fraction(fps))


def check_windows(head: Any, avatar: Any, fps: Fraction) -> None:
    run = RunContext()
    for sound in (SOUND, SOUND[:700]):
        whole = np.asarray(hear_all(head.listener(avatar, fps, run), [sound]).windows[:])
        for piece in (640, 100_000):
            np.testing.assert_array_equal(cut(head.live_listener(avatar, fps, run), sound, piece), whole)
    listener = head.live_listener(avatar, fps, run)
    given = 0
    for start in range(0, len(SOUND), 320):
        given += len(listener.push(SOUND[start : start + 320]))
        heard_s = (start + 320) / 16_000
        assert abs(given - (heard_s - listener.lookahead_s) * fps) < 2 or given == 0


def test_windows_of_wenet_are_those_of_the_whole_sound(tmp_path: Path, template160: Path) -> None:
    from tests.families.synctalk2d.conftest import golden_weights, write_checkpoint

    checkpoint = write_checkpoint(tmp_path / "w.pth", golden_weights("unet160_wenet"))
    head = th.load(
        "synctalk2d", checkpoint=checkpoint, wenet_encoder=small_encoder(tmp_path / "encoder.onnx"), backend="onnx"
    )
    check_windows(head, head.prepare(template160), Fraction(20))


def test_modes_that_hear_the_whole_sound_say_so(tmp_path: Path, models: Path, template160: Path, head160: Any) -> None:
    hubert = th.load("synctalk2d", checkpoint=models / "160.pth", mode="hubert")
    with pytest.raises(OptionError, match="HuBERT hears every row") as error:
        hubert.live(hubert.prepare(template160))
    assert "ave" in str(error.value)
    np.save(tmp_path / "f.npy", np.zeros((40, 512), np.float32))
    given = head160.reconfigured(features=tmp_path / "f.npy")
    with pytest.raises(OptionError, match="belong to one sound"):
        given.live(given.prepare(template160))


def test_a_session_shows_the_frames_of_the_whole_sound(head160: Any, template160: Path) -> None:
    avatar = head160.prepare(template160)
    clip = AudioClip(SOUND, 16_000)
    clock = HandClock()
    with live_session(head160, avatar, clock) as session, live_session(head160, avatar, clock) as silent:
        session.push(SOUND, 16_000)
        session.end_turn()
        moments = [(next(session), next(silent)) for _ in range(40)]
        assert session.stats().late_pictures == 0
    spoken = [moment for moment, _ in moments if moment.utterance is not None]
    first = spoken[0].index
    order = head160.plan(avatar, th.listen(clip), th.RenderOptions()).indices
    whole = list(head160.frames(avatar, th.listen(clip)))
    assert len(spoken) == len(whole)
    # The same window over the template of the same number: pictures differ by the batch of the audio branch alone.
    compared = 0
    for number, moment in enumerate(spoken):
        key = session_template(avatar, moment.index)
        if key == order[number] and number > 1:
            compared += 1
            assert np.abs(moment.picture.astype(int) - whole[number]).max() <= 1
    assert compared > 5
    assert first <= 4
    for _, moment in moments:
        assert moment.utterance is None


def session_template(avatar: Any, index: int) -> int:
    from talkinghead.families.synctalk2d.template import template_at

    return int(template_at(np.array([index]), avatar.num_frames, 0)[0])


def test_the_constructed_network_hears_phones_and_rests(tmp_path: Path) -> None:
    """Open in speech, shut in silence."""
    template = write_template(tmp_path / "template", num_frames=2, width=320, height=240)
    head: SyncTalk2DHead = th.load("synctalk2d", checkpoint=write_models(tmp_path / "model", "160"))
    avatar = head.prepare(template)
    assert head.live_listener(avatar, Fraction(25), RunContext()).lookahead_s == 0.2
    audio = AUDIO_VARIANTS["ave"]
    face = head.live_face(avatar, Fraction(25), RunContext())
    assert face.rest.shape == audio.input_shape
    wide = np.ones_like(face.rest)
    np.testing.assert_array_equal(face.eased(wide, 0.0), face.rest)
    np.testing.assert_array_equal(face.eased(wide, 1.0), wide)
