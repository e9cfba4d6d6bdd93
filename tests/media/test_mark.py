"""The visible mark: there when asked for, readable on every background, and nowhere else."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.errors import OptionError
from talkinghead.media import EncodeOptions, read_picture, write_video
from talkinghead.media.mark import Mark

NOISE = np.random.default_rng(0).integers(0, 256, (144, 256, 3), np.uint8)


def luminance(frame: np.ndarray) -> np.ndarray:
    """Relative luminance of grey values, as WCAG 2 defines it."""
    value = frame[..., 0] / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("size", [(128, 128), (512, 512), (1920, 1080)])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_letters_stand_out_from_every_background(size: tuple[int, int], grey: int) -> None:
    marked = Mark("AI-generated", size).on(np.full((size[1], size[0], 3), grey, np.uint8))
    corner = luminance(marked[-size[1] // 5 :, -size[0] * 7 // 10 :])
    darkest, lightest = np.quantile(corner, 0.02), corner.max()
    assert (lightest + 0.05) / (darkest + 0.05) > 4.5  # WCAG 2, level AA


@pytest.mark.parametrize("place", ["bottom-right", "bottom-left", "top-right", "top-left"])
def test_it_is_in_its_corner_alone_and_leaves_the_frame_as_it_was(place: str) -> None:
    before = NOISE.copy()
    marked = Mark("AI", (256, 144), place).on(NOISE)  # type: ignore[arg-type]
    assert (before == NOISE).all()
    ys, xs = np.nonzero((marked != NOISE).any(axis=2))
    assert (ys.min() > 72) == place.startswith("bottom")
    assert (xs.min() > 128) == place.endswith("right")
    assert min(ys.min(), xs.min(), 143 - ys.max(), 255 - xs.max()) >= 1
    assert len(ys) < 0.02 * NOISE[..., 0].size


def test_it_grows_with_the_picture() -> None:
    def changed(size: tuple[int, int]) -> int:
        blank = np.full((size[1], size[0], 3), 255, np.uint8)
        return int((Mark("AI-generated", size).on(blank) != blank).any(axis=2).sum())

    assert changed((1920, 1080)) / changed((960, 540)) == pytest.approx(4, rel=0.15)


def test_what_is_transparent_is_covered() -> None:
    marked = Mark("AI", (256, 144), opacity=1).on(np.zeros((144, 256, 4), np.uint8))
    assert marked[..., 3].max() == 255
    assert marked[0, 0].tolist() == [0, 0, 0, 0]
    rgb = Mark("AI", (256, 144)).on(NOISE)
    rgba = Mark("AI", (256, 144)).on(np.dstack((NOISE, np.full((144, 256), 255, np.uint8))))
    assert np.abs(rgba[..., :3].astype(int) - rgb).max() <= 1


@pytest.mark.parametrize("text", ["Généré par l’IA".replace("’", "'"), "KI-generiert für Öl", "Sztuczną, İstanbul, ő"])
def test_accents_are_drawn(text: str) -> None:
    plain = "".join(c for c in text if c.isascii()) or text
    blank = np.zeros((400, 900, 3), np.uint8)
    assert (Mark(text, (900, 400)).on(blank) != Mark(plain, (900, 400)).on(blank)).any()


@pytest.mark.parametrize("text", ["人工智能", "ИИ", "AI \U0001f600", "", "  ", "\u0301a"])
def test_what_cannot_be_drawn_is_refused_before_the_work(text: str) -> None:
    with pytest.raises(OptionError, match="cannot be drawn"):
        EncodeOptions(mark=text)


def test_what_does_not_fit_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="does not fit into frames of 48x32"):
        write_video(tmp_path / "a.mp4", [NOISE[:32, :48]], fps=Fraction(25), options=EncodeOptions(mark="AI-generated"))
    assert not list(tmp_path.iterdir())


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=20), st.integers(16, 400), st.integers(16, 300))
def test_any_text_is_drawn_inside_the_frame_or_refused(text: str, width: int, height: int) -> None:
    frame = np.full((height, width, 3), 200, np.uint8)
    try:
        marked = Mark(text, (width, height)).on(frame)
    except OptionError:
        return
    assert marked.shape == frame.shape
    assert (marked[0] == frame[0]).all()


def test_a_video_has_it_in_every_frame_and_none_without(tmp_path: Path) -> None:
    frames = [np.full((144, 256, 3), 40 * i, np.uint8) for i in range(4)]
    for name, mark in (("with", "AI"), ("without", None)):
        write_video(tmp_path / name, frames, fps=Fraction(25), options=EncodeOptions(mark=mark))
    for i, frame in enumerate(frames):
        with_mark, without = (read_picture(tmp_path / name / f"{i:06d}.png") for name in ("with", "without"))
        assert (with_mark == Mark("AI", (256, 144)).on(frame)).all()
        assert (without == frame).all()
