"""Landmarks over time: they do not shake on a still head, and do not lag behind a moving one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from talkinghead.contracts import FaceTrack, Frame
from talkinghead.face import FaceOptions, track_faces
from talkinghead.face.mesh.networks import load_mesh
from talkinghead.families.viseme.analyse import analyse_video
from talkinghead.media.arrays import ArraySource

FPS, COUNT = 25, 40
NOISE = 5.0
"""Standard deviation of the pictures' noise, in levels of 255."""


def clip(astronaut: Frame, amplitude_px: float) -> tuple[list[Frame], np.ndarray]:
    """A noisy head that swings from left to right, 0.8 times a second; and where it is, in pixels."""
    rng = np.random.default_rng(0)
    places = amplitude_px * np.sin(2 * np.pi * 0.8 * np.arange(COUNT) / FPS)
    part = astronaut[20:260, 100:340]
    frames = []
    for place in places:
        moved = cv2.warpAffine(part, np.array([[1, 0, place], [0, 1, 0]]), (240, 240), borderMode=cv2.BORDER_REPLICATE)
        frames.append(np.clip(moved + rng.normal(0, NOISE, moved.shape), 0, 255).astype(np.uint8))
    return frames, places


def shaking(values: np.ndarray) -> float:
    """Standard deviation of what is not a steady movement, per coordinate, pixels."""
    return float(np.std(np.diff(values, 2, axis=0)) / np.sqrt(6))


def lag_frames(found: np.ndarray, true: np.ndarray) -> float:
    """How many frames later a movement is seen."""
    speed = np.gradient(true)
    error = found - true
    return float(-(error - error.mean()) @ speed / (speed @ speed))


def mouths(frames: list[Frame], track: FaceTrack, mesh_file: Path) -> np.ndarray:
    """[n, 2] middles of the mouth as the animator sees them."""
    path = analyse_video(lambda: iter(frames), track, FPS, None, load_mesh(mesh_file))
    assert path.used_mesh
    return np.array([path.at(index).mouth.centre for index in range(len(frames))])


@pytest.mark.thorough
def test_it_is_steady_and_does_not_lag(installed_mesh: Path, astronaut: Frame) -> None:
    still, _ = clip(astronaut, 0.0)
    moving, places = clip(astronaut, 8.0)
    raw = track_faces(ArraySource(still), FaceOptions(smoothing=0))
    smooth = track_faces(ArraySource(still), FaceOptions())
    assert raw.key_points is not None
    assert smooth.key_points is not None
    assert shaking(smooth.key_points) < 0.5 * shaking(raw.key_points)
    assert shaking(mouths(still, smooth, installed_mesh)) < 0.5 * shaking(raw.key_points[:, 3:].mean(axis=1))
    track = track_faces(ArraySource(moving), FaceOptions())
    assert track.key_points is not None
    nose = track.key_points[:, 2, 0].astype(np.float64)
    mouth = mouths(moving, track, installed_mesh)[:, 0]
    for seen in (nose, mouth):
        assert abs(lag_frames(seen, places)) < 0.1
        assert np.ptp(seen) == pytest.approx(np.ptp(places), rel=0.15)
