"""The mouth of frames whose phones become known bit by bit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from talkinghead.audio.mouth import mouth_motion
from talkinghead.contracts import MOUTH_COLUMNS, AudioClip, Phone
from talkinghead.families.viseme.animator import VisemeAvatar, motion_of, mouth_poses, poses
from talkinghead.families.viseme.config import VisemeConfig
from talkinghead.families.viseme.spoken import ROWS_AT_ONCE, SpokenRows

FPS = Fraction(25)
SECONDS = 12
LABELS = ("AA", "P", "IY", "SIL", "M", "UW", "F", "SIL")


def speech() -> tuple[tuple[Phone, ...], AudioClip]:
    edges = np.cumsum(np.random.default_rng(4).uniform(0.05, 0.4, 200))
    edges = [0.0, *edges[edges < SECONDS], float(SECONDS)]
    phones = tuple(Phone(a, b, LABELS[k % len(LABELS)]) for k, (a, b) in enumerate(pairwise(edges)))
    samples = np.random.default_rng(5).normal(0, 0.1, 16000 * SECONDS).astype(np.float32)
    return phones, AudioClip(samples, 16000)


class Listener:
    """Knows a third more of the phones each time it is asked."""

    def __init__(self, phones: Sequence[Phone]) -> None:
        self.phones, self.asked = phones, 0

    def known(self, after_s: float) -> tuple[Sequence[Phone], float]:
        self.asked += 1
        if self.asked >= 3:
            return self.phones, math.inf
        some = self.phones[: self.asked * len(self.phones) // 3]
        assert some[-1].end_s > after_s
        return some, some[-1].end_s


def test_rows_are_those_of_the_whole_sound_and_come_as_soon_as_they_are_known() -> None:
    phones, clip = speech()
    listener = Listener(phones)
    rows = SpokenRows(clip, FPS, listener.known)
    assert len(rows) == SECONDS * 25
    assert listener.asked == 0
    np.asarray(rows[0])
    assert listener.asked == 1
    np.asarray(rows[ROWS_AT_ONCE])
    assert listener.asked == 1
    whole = mouth_motion(phones, clip, FPS, len(rows))
    expected = np.stack([getattr(whole, name) for name in MOUTH_COLUMNS], axis=1)
    np.testing.assert_allclose(np.asarray(rows), expected, atol=1e-6)
    assert listener.asked == 3


def test_rows_do_not_depend_on_when_their_phones_became_known() -> None:
    phones, clip = speech()
    late, early = SpokenRows(clip, FPS, Listener(phones).known), SpokenRows(clip, FPS, lambda _: (phones, math.inf))
    np.testing.assert_array_equal(np.asarray(late), np.asarray(early))


@pytest.mark.parametrize("still", [True, False])
def test_poses_ask_for_no_more_rows_than_the_next_frames_need(still: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    phones, clip = speech()
    listener = Listener(phones)
    rows = SpokenRows(clip, FPS, listener.known)
    monkeypatch.setattr(VisemeAvatar, "is_still", still)
    made = poses(VisemeAvatar.__new__(VisemeAvatar), rows, FPS, VisemeConfig())
    first = next(made)
    assert listener.asked <= 2
    everyone = [first, *made]
    assert [pose.mouth for pose in everyone] == mouth_poses(motion_of(rows[:], FPS), VisemeConfig())
    assert all((pose.head is not None) == still for pose in everyone)
