"""Faces that stand on their side or upside down."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from talkinghead.contracts import FrameSource
from talkinghead.engine.cache import Cache
from talkinghead.face import FaceOptions, load_detector
from talkinghead.face.upright import stood_up, turned_note
from talkinghead.media.transform import Turn
from talkinghead.media.turned import TurnedSource

ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def upright_picture(number: int = 0) -> np.ndarray:
    """Bright above, dark below; wider than high."""
    picture = np.zeros((40, 64, 3), np.uint8)
    picture[:20] = 200
    picture[:, :, 2] = number
    return picture


class Looker:
    """Sees a face in what is bright above, as surely as it is told; and elsewhere something doubtful."""

    name, has_key_points, batch_size, looks_at_pixels, network = "looker", False, 4, True, None
    identity = description = "looker"

    def __init__(self, tools, score: float = 0.9, doubtful: float = 0.5, without: tuple[int, ...] = ()) -> None:
        self.tools, self.score, self.doubtful, self.without = tools, score, doubtful, without
        self.looks = 0

    def detect(self, frames):
        self.looks += len(frames)
        return [self._faces(frame) for frame in frames]

    def _faces(self, frame):
        if int(frame[0, 0, 2]) in self.without:
            return []
        height = len(frame)
        stands = frame[: height // 2, :, 0].mean() > 150 and frame[height // 2 :, :, 0].mean() < 50
        return [self.tools.face(5, 5, 20, 20, score=self.score if stands else self.doubtful)]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_face_is_set_upright(tools, degrees: int) -> None:
    stored = cv2.rotate(upright_picture(), ROTATIONS[360 - degrees])
    source, turn = stood_up(tools.MemorySource([stored]), Looker(tools))
    assert turn == Turn(degrees=degrees)
    (frame,) = source.read()
    assert np.array_equal(frame, upright_picture())
    assert source.size == (64, 40)
    assert f"--rotate {degrees}" in turned_note(turn)


def test_an_upright_face_is_looked_at_once(tools) -> None:
    detector, source = Looker(tools), tools.MemorySource([upright_picture(i) for i in range(30)])
    assert stood_up(source, detector) == (source, None)
    assert detector.looks == 1


def test_a_video_may_begin_with_a_title(tools) -> None:
    frames = [cv2.rotate(upright_picture(i), cv2.ROTATE_180) for i in range(20)]
    source, turn = stood_up(tools.MemorySource(frames), Looker(tools, without=(0, 10)))
    assert turn == Turn(degrees=180)
    assert [int(frame[0, 0, 2]) for frame in source.read(0, 20, 7)] == [0, 7, 14]


@pytest.mark.parametrize(("score", "doubtful"), [(0.5, 0.2), (0.7, 0.7), (0.7, 0.68)])
def test_what_is_no_better_otherwise_stays(tools, score: float, doubtful: float) -> None:
    source = tools.MemorySource([cv2.rotate(upright_picture(), cv2.ROTATE_180)])
    assert stood_up(source, Looker(tools, score, doubtful)) == (source, None)


def test_eyes_above_each_other_are_no_upright_face(tools) -> None:
    """Some detectors see faces any way up, and say by their key points how they stand."""

    class Turning(Looker):
        def _faces(self, frame):
            (face,) = super()._faces(frame)
            angle = 0.0 if face.score > 0.8 else np.pi / 2
            across = np.array([np.cos(angle), np.sin(angle)]) * 5
            points = np.array([[10, 10], np.add([10, 10], across), [12, 12], [10, 15], [15, 15]], np.float32)
            return [replace(face, score=0.85, key_points=points)]

    source = tools.MemorySource([cv2.rotate(upright_picture(), cv2.ROTATE_90_CLOCKWISE)])
    assert stood_up(source, Turning(tools))[1] == Turn(degrees=270)


def test_the_turn_is_remembered(tools, tmp_path) -> None:
    detector, source = Looker(tools), tools.MemorySource([cv2.rotate(upright_picture(), cv2.ROTATE_180)])
    cache = Cache(tmp_path)
    first = stood_up(source, detector, cache=cache)[1]
    looks = detector.looks
    assert stood_up(source, detector, cache=cache)[1] == first == Turn(degrees=180)
    assert detector.looks == looks


def test_a_fixed_box_is_not_turned(tools) -> None:
    source = tools.MemorySource([upright_picture()])
    assert stood_up(source, load_detector(FaceOptions(box=(1, 1, 20, 20)))) == (source, None)


def test_a_turned_source_is_a_source(tools) -> None:
    under = tools.MemorySource([upright_picture(i) for i in range(4)])
    source = TurnedSource(under, Turn(degrees=90))
    assert isinstance(source, FrameSource)
    assert (len(source), source.fps, source.warnings) == (4, under.fps, ())
    assert source.content_hash != under.content_hash
    assert [int(frame[0, 0, 2]) for frame in source.read(3, None, -1)] == [3, 2, 1, 0]


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turn_is_undone(mirror: bool, degrees: int) -> None:
    turn, picture = Turn(mirror, degrees), np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(turn.undone.apply(turn.apply(picture)), picture)
