"""Several faces: which is taken, and what is said of the others."""

from __future__ import annotations

import numpy as np
import pytest

from talkinghead.face import FaceOptions, track_faces

COUNT = 12
POSTER, PERSON = (10, 10, 70, 90), (90, 30, 140, 95)


def room(tools, moving: tuple[int, int, int, int] | None):
    """Frames of a room in which one box changes from frame to frame."""
    frames = tools.numbered_frames(COUNT)
    rng = np.random.default_rng(3)
    if moving is not None:
        x1, y1, x2, y2 = moving
        for frame in frames:
            shade = rng.integers(-6, 7)
            frame[y1:y2, x1:x2] = np.clip(frame[y1:y2, x1:x2].astype(int) + shade, 0, 255)
    return tools.MemorySource(frames)


@pytest.fixture
def tracked(tools):
    def run(source, faces, **options):
        script = {number: [tools.face(*box) for box in faces(number)] for number in range(COUNT)}
        return track_faces(source, FaceOptions(smoothing=0, **options), detector=tools.ScriptedDetector(script))

    return run


def both(_: int):
    return POSTER, PERSON


def test_a_face_that_moves_is_taken_before_a_poster(tools, tracked) -> None:
    track = tracked(room(tools, PERSON), both)
    assert track.boxes_xyxy[5].tolist() == list(PERSON)
    assert track.notes == (
        "2 faces are seen in frame 0; number 1 from the left, counted from 0, is taken, the largest that moves "
        "(--select index:K or nearest:X,Y takes another).",
    )


@pytest.mark.parametrize("moving", [None, POSTER])
def test_the_largest_is_taken_where_it_moves_or_nobody_does(tools, tracked, moving) -> None:
    track = tracked(room(tools, moving), both)
    assert track.boxes_xyxy[5].tolist() == list(POSTER)
    assert "number 0 from the left, counted from 0, is taken, the largest (" in track.notes[0]


def test_somebody_far_behind_may_move(tools, tracked) -> None:
    far = (120, 60, 138, 84)
    track = tracked(room(tools, far), lambda _: (POSTER, far))
    assert track.boxes_xyxy[5].tolist() == list(POSTER)


def test_who_is_named_is_taken(tools, tracked) -> None:
    track = tracked(room(tools, PERSON), both, select="index:0")
    assert track.boxes_xyxy[5].tolist() == list(POSTER)
    assert track.notes == ()


def test_one_face_needs_no_word(tools, tracked) -> None:
    assert tracked(room(tools, PERSON), lambda _: (PERSON,)).notes == ()
    assert tracked(room(tools, PERSON), lambda number: both(number) if number == 4 else (PERSON,)).notes == ()


def test_faces_of_a_picture_are_counted(tools) -> None:
    source = tools.MemorySource(tools.numbered_frames(1))
    detector = tools.ScriptedDetector({0: [tools.face(*PERSON), tools.face(*POSTER), tools.face(145, 5, 158, 22)]})
    (note,) = track_faces(source, FaceOptions(), detector=detector).notes
    assert note.startswith("3 faces are seen; number 0 from the left, counted from 0, is taken, the largest (--select")
