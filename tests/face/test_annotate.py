"""Pictures with numbered boxes."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.face import annotate_faces
from talkinghead.face.annotate import COLOURS_RGB


def test_boxes_are_drawn_and_the_frame_is_not_changed(tools) -> None:
    frame = np.full((200, 300, 3), 100, np.uint8)
    before = frame.copy()
    faces = [tools.face(40, 60, 120, 150, points=True), tools.face(180, 60, 260, 150)]
    picture = annotate_faces(frame, faces)
    assert picture.shape == frame.shape
    assert np.array_equal(frame, before)
    for face, colour in zip(faces, COLOURS_RGB, strict=False):
        x1, y1, x2, y2 = face.box_xyxy.astype(int)
        assert tuple(picture[(y1 + y2) // 2, x1]) == colour
        assert tuple(picture[y2 - 1, (x1 + x2) // 2]) == colour
        assert tuple(picture[(y1 + y2) // 2, x2 + 4]) == (100, 100, 100)
    points = faces[0].key_points
    assert points is not None
    for x, y in np.rint(points).astype(int):
        assert tuple(picture[y, x]) == COLOURS_RGB[0]


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (40, 30), (2000, 20)])
@pytest.mark.parametrize("box", [(-1e9, -1e9, 1e9, 1e9), (0, 0, 1, 1), (500, 500, 600, 600), (-50, -50, -10, -10)])
def test_boxes_may_lie_anywhere(tools, size, box) -> None:
    picture = annotate_faces(np.zeros((*size, 3), np.uint8), [tools.face(*box)], labels=["somebody"])
    assert picture.shape == (*size, 3)
