"""Prepared faces that the tests of the built-in animator share."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from talkinghead.contracts import FaceStatus, FaceTrack, Frame
from talkinghead.families.viseme.analyse import analyse_picture
from talkinghead.families.viseme.animator import VisemeAvatar, appearance
from talkinghead.families.viseme.compose import Face
from talkinghead.families.viseme.fine import fine_picture
from talkinghead.families.viseme.idle import head_region
from talkinghead.families.viseme.inner_mouth import without_inside
from talkinghead.media.arrays import ArraySource
from tests.families.viseme.faces import Drawing, draw_face

Prepared = tuple[Frame, Face]


def prepare_face(frame: Frame, track: FaceTrack, *, fine: bool = False) -> Face:
    """What `VisemeHead.prepare` computes for a picture."""
    path, eyes = analyse_picture(frame, track)
    palette, own, lids = appearance([frame], path, [0], eyes)
    geometry = path.at(0)
    box = head_region(geometry, (frame.shape[1], frame.shape[0]))
    picture = fine_picture(without_inside(frame, geometry.mouth), box) if fine else None
    return Face(geometry, palette, own, lids, picture)


@lru_cache(maxsize=32)
def _drawn(drawing: Drawing, fine: bool) -> Prepared:
    face = draw_face(drawing)
    return face.frame, prepare_face(face.frame, face.track(key_points=True), fine=fine)


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Prepared]:
    """A drawn face, prepared: `drawn(eye_distance=30, ...)`."""

    def prepare(*, fine: bool = False, **options: object) -> Prepared:
        frame, face = _drawn(Drawing(**options), fine)  # type: ignore[arg-type]
        frame.setflags(write=False)
        return frame, face

    return prepare


@pytest.fixture(scope="session")
def astronaut() -> Frame:
    """A photograph of a smiling face, 512 x 512."""
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut())


ASTRONAUT_BOX = np.array([[185, 58, 266, 172]], np.int32)


@pytest.fixture(scope="session")
def astronaut_track() -> FaceTrack:
    return FaceTrack(ASTRONAUT_BOX, np.full(1, FaceStatus.DETECTED, np.uint8), np.ones(1, np.float32), None, "given")


@pytest.fixture(scope="session")
def astronaut_face(astronaut: Frame, astronaut_track: FaceTrack) -> Face:
    return prepare_face(astronaut, astronaut_track)


@pytest.fixture(scope="session")
def still_avatar(astronaut: Frame, astronaut_track: FaceTrack) -> VisemeAvatar:
    """The astronaut, ready to be moved."""
    path, _ = analyse_picture(astronaut, astronaut_track)
    palette, own, _ = appearance([astronaut], path, [0], None)
    source = ArraySource([astronaut])
    fine = fine_picture(without_inside(astronaut, path.at(0).mouth), head_region(path.at(0), source.size))
    return VisemeAvatar(
        source, astronaut_track, source.size, source.fps, 1,
        frames=source, path=path, palette=palette, own_teeth=own, fine=fine,
    )  # fmt: skip
