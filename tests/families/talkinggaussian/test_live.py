"""TalkingGaussian live: codes however the sound is cut, frames of the whole sound, and heads that cannot."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import talkinghead as th
from talkinghead.assets import demo_phones_path, demo_speech_path
from talkinghead.audio.phones import read_phones
from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray
from talkinghead.engine.context import RunContext
from talkinghead.engine.listener import Listener, hear_all
from talkinghead.errors import OptionError
from talkinghead.families.talkinggaussian.live import KnownPhoneRows, LiveHearing, LivePhoneRows
from talkinghead.families.talkinggaussian.phone_features import BLANK
from talkinghead.families.talkinggaussian.pipeline import TalkingGaussianHead
from talkinghead.media import read_audio
from tests.engine.live.stage import HandClock, live_session

FPS = Fraction(25)


@pytest.fixture(scope="module")
def head(scene: SimpleNamespace) -> TalkingGaussianHead:
    found = th.load(
        "talkinggaussian", checkpoint=scene.model, audio_features="phones", device="cpu", precision="parity"
    )
    assert isinstance(found, TalkingGaussianHead)
    return found


@pytest.fixture(scope="module")
def speech() -> FloatArray:
    return read_audio(demo_speech_path(), SPEECH_RATE_HZ).samples[:32_000]


def codes(listener: Listener, sound: FloatArray, piece: int) -> torch.Tensor:
    found = hear_all(listener, [sound[start : start + piece] for start in range(0, len(sound), piece)]).windows
    return torch.stack([torch.cat([code.face, code.mouth]) for code in found])


def hear_known(sound: FloatArray) -> FloatArray:
    """Rows of the demo's own phones."""
    rows = KnownPhoneRows(tuple(phone for phone in read_phones(demo_phones_path()) if phone.end_s < 2))
    rows.push(sound)
    return rows.flush()


def test_rows_are_the_same_however_the_sound_is_cut(speech: FloatArray) -> None:
    whole = LivePhoneRows()
    expected = np.concatenate([whole.push(speech), whole.flush()])
    cut = LivePhoneRows()
    parts = [cut.push(speech[start : start + 333]) for start in range(0, len(speech), 333)]
    np.testing.assert_array_equal(np.concatenate([*parts, cut.flush()]), expected)
    known = hear_known(speech)
    assert expected.shape == known.shape
    agree = expected[:, 8].argmax(axis=1) == known[:, 8].argmax(axis=1)
    assert agree.mean() > 0.5
    silent = known[:, 8].argmax(axis=1) == BLANK
    assert agree[silent].mean() > 0.8
    for few in (0, 100, 700):
        short = LivePhoneRows()
        short.push(speech[:few])
        assert len(short.flush()) == (0 if few < 700 else 1)


def test_codes_come_in_time_and_are_those_of_the_whole_sound(
    head: TalkingGaussianHead, scene: SimpleNamespace, speech: FloatArray
) -> None:
    avatar, run = head.prepare(scene.data), RunContext()
    whole = codes(head.live_listener(avatar, FPS, run), speech, len(speech))
    assert len(whole) == 50
    listener = head.live_listener(avatar, FPS, run)
    given = []
    for start in range(0, len(speech), 320):
        given += listener.push(speech[start : start + 320])
        assert abs(len(given) - ((start + 320) / 16_000 - listener.lookahead_s) * 25) < 1.5 or not given
    given += listener.flush()
    for number, code in enumerate(given):  # batches of another size sum in another order
        torch.testing.assert_close(torch.cat([code.face, code.mouth]), whole[number], rtol=0, atol=1e-5)


def test_known_phones_give_the_codes_of_frames(
    head: TalkingGaussianHead, scene: SimpleNamespace, speech: FloatArray
) -> None:
    """A text that is said moves the head as it does offline."""
    avatar, run = head.prepare(scene.data), RunContext()
    phones = tuple(phone for phone in read_phones(demo_phones_path()) if phone.end_s < 2)
    offline = codes(head.listener(avatar, FPS, run, phones=phones), speech, len(speech))
    live = codes(head.live_listener(avatar, FPS, run, phones=phones), speech, 4_000)
    torch.testing.assert_close(live, offline, rtol=0, atol=1e-5)


def test_a_session_shows_what_it_hears(head: TalkingGaussianHead, scene: SimpleNamespace, speech: FloatArray) -> None:
    """The frames of a still listener's codes over the poses of the clock; silence shows rest."""
    avatar, clock = head.prepare(scene.data), HandClock()
    with live_session(head, avatar, clock) as session, live_session(head, avatar, clock) as silent:
        session.push(speech[:10_000], 16_000)
        session.end_turn()
        moments = [(next(session), next(silent)) for _ in range(20)]
        assert session.stats().late_pictures == 0
    spoken = [moment for moment, _ in moments if moment.utterance is not None]
    assert len(spoken) == 16
    assert all(moment.utterance is None for _, moment in moments)
    shape = spoken[0].picture.shape
    assert shape == (*avatar.size[::-1], 3)
    assert any((moment.picture != other.picture).any() for moment, other in moments if moment.utterance is not None)
    for moment, other in moments[:2]:
        if moment.utterance is None:
            np.testing.assert_array_equal(moment.picture, other.picture)


def test_what_cannot_be_live_says_what_can(scene: SimpleNamespace) -> None:
    deepspeech = th.load("talkinggaussian", checkpoint=scene.model, device="cpu", precision="parity")
    with pytest.raises(OptionError, match="DeepSpeech cannot be live") as error:
        deepspeech.live(deepspeech.prepare(scene.data))
    assert "--audio-features phones" in str(error.value)
    stored = th.load("talkinggaussian", checkpoint=scene.model, device="cpu", features=scene.data / "aud_ds.npy")
    with pytest.raises(OptionError, match="belong to one sound"):
        stored.live(stored.prepare(scene.data))
    hubert = LiveHearing(deepspeech.config, "hubert", lambda: None)
    with pytest.raises(OptionError, match="HuBERT"):
        hubert.listener(deepspeech.renderer)
    compat = th.load("talkinggaussian", checkpoint=scene.model, device="cpu", compat=True, audio_features="phones")
    with pytest.raises(OptionError, match="ends with the poses"):
        compat.live(compat.prepare(scene.data))
