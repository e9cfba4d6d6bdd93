"""A picture that moves by parts of a pixel keeps its detail."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from talkinghead.contracts import Frame
from talkinghead.families.viseme.animator import VisemeAvatar
from talkinghead.families.viseme.bench import idle_frames, upper_face
from talkinghead.families.viseme.compose import Face, sample
from talkinghead.families.viseme.fine import EMPHASIS, MAX_PIXELS, between_pixels, enlarged, fine_picture
from talkinghead.families.viseme.geometry import Region
from talkinghead.families.viseme.idle import head_region
from talkinghead.measure.detail import detail_kept


def noise(height: int, width: int) -> Frame:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("factor", EMPHASIS)
def test_pixels_of_the_picture_stay(factor: int) -> None:
    picture = noise(70, 33)
    large = enlarged(picture, factor)
    assert large.shape == (factor * 69 + 1, factor * 32 + 1, 3)
    assert np.array_equal(large[::factor, ::factor], picture)


@pytest.mark.parametrize("factor", EMPHASIS)
def test_new_pixels_lie_on_the_wave_that_the_picture_shows(factor: int) -> None:
    """An independent truth: a wave of eight pixels, computed where the new pixels are."""
    xs, ys = np.meshgrid(np.arange(80.0), np.arange(64.0))

    def wave(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 128 + 90 * np.sin(2 * np.pi * (x + 0.5 * y) / 8)

    large = enlarged(np.repeat(np.rint(wave(xs, ys))[..., None], 3, axis=2).astype(np.uint8), factor)
    inner = np.s_[20 * factor : 40 * factor, 20 * factor : 40 * factor]
    grid = np.meshgrid(np.arange(large.shape[1]) / factor, np.arange(large.shape[0]) / factor)
    # What the new pixels gain on purpose: twice the emphasis for each axis, at this wave's frequencies.
    gain = 1 + 4 * EMPHASIS[factor] * (1 - np.cos(2 * np.pi / 8))
    assert np.abs(large[inner][..., 0] - wave(*grid)[inner]).max() < 1.5 + 90 * (gain - 1)


@pytest.mark.parametrize("factor", EMPHASIS)
def test_plain_colour_stays_plain(factor: int) -> None:
    assert np.allclose(between_pixels(factor).sum(axis=1), 1, atol=1e-6)
    assert (enlarged(np.full((20, 20, 3), 201, np.uint8), factor) == 201).all()


def test_the_larger_the_picture_the_less_it_is_enlarged() -> None:
    factors = []
    for side in (64, round((MAX_PIXELS / 10) ** 0.5), round((MAX_PIXELS / 5) ** 0.5)):
        fine = fine_picture(np.broadcast_to(np.uint8(0), (side, side, 3)), Region(0, 0, side, side))
        assert fine is not None
        factors.append(fine.factor)
    assert factors == [4, 3, 2]
    assert fine_picture(np.broadcast_to(np.uint8(0), (5000, 5000, 3)), Region(0, 0, 5000, 5000)) is None
    assert fine_picture(noise(8, 8), Region(3, 3, 3, 8)) is None


def shifted_by_half(picture: Frame) -> np.ndarray:
    """Half way to the next pixel on both axes, by the Fourier transform."""
    rows, columns = (np.fft.fftfreq(size) for size in picture.shape[:2])
    turn = np.exp(1j * np.pi * (rows[:, None] + columns[None, :]))
    return np.real(np.fft.ifft2(np.fft.fft2(picture.astype(float), axes=(0, 1)) * turn[..., None], axes=(0, 1)))


def test_between_pixels_it_is_as_sharp_as_can_be(astronaut: Frame, astronaut_face: Face) -> None:
    box = head_region(astronaut_face.geometry, (512, 512))
    fine = fine_picture(astronaut, box)
    assert fine is not None
    inner = np.s_[box.y1 + 30 : box.y2 - 30, box.x1 + 30 : box.x2 - 30]
    points = np.stack(np.meshgrid(np.arange(512) + 0.5, np.arange(512) + 0.5), axis=-1).astype(np.float32)[inner]
    ours = sample(astronaut, (points - [box.x1, box.y1]).astype(np.float32) * fine.factor, fine).astype(float)
    linear = cv2.remap(astronaut, points, None, cv2.INTER_LINEAR).astype(float)
    lanczos = cv2.remap(astronaut, points, None, cv2.INTER_LANCZOS4).astype(float)
    best = np.clip(shifted_by_half(astronaut)[inner], 0, 255)
    assert np.abs(ours - best).mean() < 0.35 * np.abs(linear - best).mean()
    assert np.abs(ours - best).mean() < np.abs(lanczos - best).mean()


def test_a_head_in_idle_motion_stays_sharp(astronaut: Frame, astronaut_face: Face, still_avatar: VisemeAvatar) -> None:
    """Reading the picture itself, or one enlarged only twice, keeps 0.5 to 0.8 and swings by a tenth."""
    part = upper_face(astronaut_face.geometry, (512, 512)).slices
    kept = detail_kept(idle_frames(astronaut, still_avatar, 40), astronaut, part)
    assert kept.lowest > 0.9
    assert kept.mean < 1.05
    assert kept.swing < 0.03
    plain = detail_kept(idle_frames(astronaut, replace(still_avatar, fine=None), 40), astronaut, part)
    assert plain.lowest < 0.85
