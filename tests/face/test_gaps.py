"""Frames of a gap: held while the face is still there, left alone where something else is in its place."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from talkinghead.contracts import FaceStatus, Frame
from talkinghead.face import FaceOptions, track_faces

BOX = (50, 30, 90, 80)
COUNT = 20
GAP = range(8, 12)


def texture(seed: int, size: tuple[int, int]) -> Frame:
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def pictures(inside: dict[int, Frame]) -> list[Frame]:
    """Frames of one room with a face; in some, something else is in its place."""
    x1, y1, x2, y2 = BOX
    frames = []
    for number in range(COUNT):
        frame = texture(1, (160, 120))
        frame[y1:y2, x1:x2] = inside.get(number, texture(2, (x2 - x1, y2 - y1)))
        frame[0, 0] = (0, number, 77)
        frames.append(frame)
    return frames


@pytest.fixture
def statuses(tools):
    def run(inside: dict[int, Frame], every: int = 1, seen=None):
        script = {n: [tools.face(*BOX)] for n in range(COUNT) if (n not in GAP if seen is None else n in seen)}
        source = tools.MemorySource(pictures(inside))
        options = FaceOptions(smoothing=0, every=every)
        return track_faces(source, options, detector=tools.ScriptedDetector(script))

    return run


WALL = texture(9, (40, 50))
BLURRED = np.asarray(cv2.GaussianBlur(texture(2, (40, 50)), (0, 0), 3), np.uint8)
DARKER = (texture(2, (40, 50)) * 0.6).astype(np.uint8)
COVERED_BELOW = texture(2, (40, 50))
COVERED_BELOW[25:] = texture(5, (40, 25))


@pytest.mark.parametrize(
    ("what", "status"),
    [
        (BLURRED, FaceStatus.HELD),
        (DARKER, FaceStatus.HELD),
        (WALL, FaceStatus.MISSING),
        (COVERED_BELOW, FaceStatus.MISSING),
        (np.full((50, 40, 3), 255, np.uint8), FaceStatus.MISSING),
    ],
    ids=["blurred", "darker", "a wall", "a hand over the mouth", "a flash"],
)
def test_a_face_is_held_where_it_is_still_seen(statuses, what: Frame, status: FaceStatus) -> None:
    track = statuses(dict.fromkeys(GAP, what))
    assert set(track.status[list(GAP)]) == {status}
    assert (np.delete(track.status, list(GAP)) == FaceStatus.DETECTED).all()
    told = "4 take the face's last place" if status == FaceStatus.HELD else "4 are left as they are"
    assert track.notes == (f"No face was found in 4 of 20 frames: {told}.",)


def test_each_frame_of_a_gap_is_judged_by_itself(statuses) -> None:
    track = statuses({9: WALL, 10: WALL})
    assert track.status[7:13].tolist() == [0, FaceStatus.HELD, FaceStatus.MISSING, FaceStatus.MISSING, 2, 0]


def test_frames_that_were_not_looked_at_are_judged_beside_a_gap(statuses) -> None:
    """Looked at 6, 9 and 12; the wall is there from 7 to 10."""
    track = statuses(dict.fromkeys(range(7, 11), WALL), every=3, seen=set(range(COUNT)) - {9})
    assert (track.status[7:11] == FaceStatus.MISSING).all()
    assert track.status[11] != FaceStatus.MISSING


def test_a_face_at_the_border_is_compared_within_the_frame(tools) -> None:
    script = {n: [tools.face(-10, -8, 30, 42)] for n in range(COUNT) if n not in GAP}
    source = tools.MemorySource(pictures({}))
    track = track_faces(source, FaceOptions(smoothing=0), detector=tools.ScriptedDetector(script))
    assert (track.status[list(GAP)] == FaceStatus.HELD).all()
