"""The gap between the lips in finished pictures, against phones that are known."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from talkinghead.contracts import Frame, Phone
from talkinghead.face.mesh.networks import FaceMesh
from talkinghead.measure.mouth_pixels import CLOSED, PixelScores, inner_lip_gaps, score_gaps
from tests.families.viseme.test_from_mesh import face

FPS = Fraction(25)
PHONES = (
    Phone(0.0, 0.4, "SIL"),
    Phone(0.4, 0.6, "AA"),
    Phone(0.6, 0.7, "P"),
    Phone(0.7, 0.9, "IY"),
    Phone(0.9, 1.0, "S"),
    Phone(1.0, 1.1, "M"),
    Phone(1.1, 1.3, "EH"),
    Phone(1.3, 1.7, "SIL"),
)
OPENNESS = {"SIL": 0.0, "AA": 0.19, "IY": 0.07, "EH": 0.13, "S": 0.05, "P": 0.0, "M": 0.0}


def gaps(**changed: float) -> np.ndarray:
    """Of a mouth that does what it should, and what is changed."""
    times = (np.arange(42) + 0.5) / 25
    labels = [next(phone.label for phone in PHONES if phone.start_s <= t < phone.end_s) for t in times]
    return np.array([{**OPENNESS, **changed}[label] for label in labels])


def test_a_mouth_that_does_what_it_should() -> None:
    scores = score_gaps(gaps(), FPS, PHONES).of_one_face()
    assert (scores.bilabials, scores.closed_share, scores.closed_gap) == (2, 1.0, 0.0)
    assert (scores.false_closed_share, scores.silence_excess) == (0.0, 0.0)
    assert scores.height_correlation > 0.95
    assert scores.to_dict()["frames"] == 42


def test_what_goes_wrong_is_counted() -> None:
    scores = score_gaps(gaps(P=CLOSED + 0.001), FPS, PHONES)
    assert scores.closed_share == 0.5
    assert score_gaps(gaps(IY=0.01), FPS, PHONES).false_closed_share == pytest.approx(1 / 3)
    gaping = score_gaps(gaps(SIL=0.13), FPS, PHONES)
    assert gaping.silence_excess == pytest.approx(1.0)
    upside_down = score_gaps(gaps(AA=0.03, IY=0.2), FPS, PHONES).of_one_face()
    assert upside_down.height_correlation < -0.9


def test_frames_without_a_face_close_nothing() -> None:
    unseen = score_gaps(np.full(42, np.nan), FPS, PHONES)
    assert (unseen.closed_share, unseen.frames_unseen, unseen.vowels) == (0.0, 42, ())
    both = score_gaps(gaps(), FPS, PHONES) + unseen
    assert (both.bilabials, both.closed_share, both.frames_unseen) == (4, 0.5, 42)


def test_faces_of_other_sizes_weigh_the_same() -> None:
    small, large = (score_gaps(scale * gaps(), FPS, PHONES).of_one_face() for scale in (0.5, 2.0))
    assert (small + large).height_correlation == pytest.approx(small.height_correlation)
    assert PixelScores().height_correlation == 0.0


class Planted:
    """Stands for a `FaceMesh`: the first pixel of a frame is the gap in hundredths of a half width; 255 is no face."""

    def find(self, frame: Frame) -> list[object]:
        gap = int(frame[0, 0, 0])
        small = face(half=10.0, gap=0.9)
        return [] if gap == 255 else [small, face(gap=gap / 100)]

    def follow(self, frame: Frame, last: object) -> object | None:
        return next(iter(self.find(frame)[1:]), None)


def test_the_largest_face_is_followed_and_lost_and_found() -> None:
    assert {name for name in vars(Planted) if not name.startswith("_")} <= set(vars(FaceMesh))
    frames = [np.full((8, 8, 3), value, np.uint8) for value in (0, 40, 255, 20)]
    found = inner_lip_gaps(frames, Planted())  # type: ignore[arg-type]
    assert np.isnan(found[2])
    # The outer corners of the eyes lie 3.6 half widths apart.
    np.testing.assert_allclose(found[[0, 1, 3]], [0, 0.4 / 3.6, 0.2 / 3.6], atol=0.005)


def test_the_trembling_of_the_mesh_does_not_open_pauses() -> None:
    """Of p, b, m the smallest of a few trembling gaps counts, so it does of pauses."""
    row = [("SIL", 25), ("P", 5), ("AA", 5), ("M", 5), ("AA", 5)] * 20
    ends = np.cumsum([frames for _, frames in row]) / 25
    phones = tuple(Phone(end - frames / 25, end, label) for (label, frames), end in zip(row, ends, strict=True))
    labels = np.repeat([label for label, _ in row], [frames for _, frames in row])
    openness = np.where(labels == "AA", 0.1, 0.002)
    tremble = np.abs(np.random.default_rng(0).normal(0, 0.004, len(openness)))
    shut = score_gaps(openness + tremble, FPS, phones)
    assert abs(shut.silence_excess) < 0.005
    assert shut.silence_mean_excess > 0.015
    apart = score_gaps(openness + tremble + 0.01 * (labels == "SIL"), FPS, phones)
    assert apart.silence_excess == pytest.approx(shut.silence_excess + 0.1, abs=0.01)
