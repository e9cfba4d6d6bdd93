"""Two drawn heads that walk past each other, seen by the mesh."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkinghead.contracts import FaceStatus, Frame
from talkinghead.face import FaceOptions, track_faces
from talkinghead.families.artalk.config import ARTalkConfig
from talkinghead.families.artalk.mesh_avatar import mesh_drawer
from talkinghead.families.artalk.procedural.head import procedural_head

SIDE, WIDTH, HEIGHT, COUNT = 144, 400, 180, 19
WALL = (120, 140, 120)


class Passing:
    """One head passes in front of another, from edge to edge."""

    fps = Fraction(25)
    size = (WIDTH, HEIGHT)
    content_hash = "passing"

    def __init__(self) -> None:
        head = procedural_head()
        drawer = mesh_drawer(ARTalkConfig(image_size=SIDE), head.flame, procedural=True, compat=False)
        vertices = head.flame.vertices(None, np.zeros((1, 100), np.float32), np.zeros((1, 6), np.float32))[0]
        self._near = np.asarray(drawer.renderer.frame(vertices), np.uint8)
        self._far = np.round(self._near[:, ::-1] * [0.75, 0.9, 0.95]).astype(np.uint8)

    def __len__(self) -> int:
        return COUNT

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        for number in range(start, COUNT if stop is None else stop, step):
            frame = np.full((HEIGHT, WIDTH, 3), WALL, np.uint8)
            travelled = round((WIDTH - SIDE) * number / (COUNT - 1))
            for x, y, head in ((WIDTH - SIDE - travelled, 24, self._far), (travelled, 16, self._near)):
                part = frame[y : y + SIDE, x : x + SIDE]
                is_head = np.abs(head.astype(int) - head[0, 0]).sum(axis=2) > 24
                part[is_head] = head[is_head]
            yield frame


@pytest.mark.thorough
def test_drawn_heads_that_cross_keep_their_tracks(installed_mesh: Path) -> None:
    source = Passing()
    for select, begins in (("index:0", SIDE / 2), ("index:1", WIDTH - SIDE / 2)):
        track = track_faces(source, FaceOptions(detector="mesh", select=select, smoothing=0))
        seen = track.status == FaceStatus.DETECTED
        middles = track.boxes_xyxy[:, [0, 2]].mean(axis=1)
        wanted = np.linspace(begins, WIDTH - begins, COUNT)
        assert seen[[0, -1]].all(), select
        assert seen.sum() >= COUNT - 8, select
        assert np.abs(middles - wanted)[seen].max() < 10, select
