"""One frame before a long job: the face that was found, what the model will change, and every mouth shape.

    head = load("viseme")
    seen = preview(head, head.prepare("me.jpg"), shape="D")
    write_png("seen.png", seen.picture(layers=("box", "landmarks", "mask")))

Nothing here knows a model: a mouth shape is the frame that the model makes while the bundled sentence shows that
shape, and the mask is what differs from the source.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Detection, FaceStatus, FloatArray, Frame, MouthCue, Phone, Speech
from talkinghead.engine.context import CancelToken
from talkinghead.engine.head import RenderOptions
from talkinghead.errors import OptionError, choices

if TYPE_CHECKING:
    from talkinghead.engine.head import AnyHead, Avatar

SHAPES = "XABCDEFGH"
"""Mouth shapes, the closed mouth at rest first (see `talkinghead.audio.cues`)."""
LAYER_NAMES = {"box": "face box", "landmarks": "landmarks", "mask": "mask"}
LAYERS = tuple(LAYER_NAMES)
LEAD_S = 0.3
"""Sound before the moment that is shown, so that the mouth is on its way as in a whole sentence."""
TAIL_S = 0.2
CHANGED = 5
"""A pixel counts as changed from this difference of any channel on; less is rounding."""
MASK_RGB = (255, 64, 160)
MASK_STRENGTH = 0.45
CLOSE_UP_SIDE = 640
"""Small faces are enlarged to about this many pixels in a close-up."""


@dataclass(frozen=True, eq=False)
class Preview:
    """What a model makes of one frame."""

    source: Frame | None
    """The source frame; None where the model renders whole frames."""
    result: Frame
    """The frame with the mouth shape, RGB uint8 [H, W, 3]."""
    shape: str
    face: Detection | None
    """The box that is used, and its key points; None where there is none."""
    status: FaceStatus | None
    """How the box was found."""
    landmarks: FloatArray | None
    """[n, 2] float32, pixels."""
    mask: NDArray[np.bool_] | None
    """[H, W]: pixels that the model changed while it spoke; None where it renders whole frames."""

    def picture(self, layers: Sequence[str] = (), *, close_up: bool = False) -> Frame:
        """The result with layers drawn over it.

        Args:
            layers: any of LAYERS; those that there are none of are left out.
            close_up: cut out the face with some room around it, enlarged where it is small.
        Raises:
            OptionError: no such layer.
        """
        from talkinghead.face.annotate import annotate_faces

        for layer in layers:
            if layer not in LAYERS:
                raise OptionError(f"There is no layer {layer!r}.", accepted=choices(LAYERS))
        picture, face, points, mask = self.result, self.face, self.landmarks, self.mask
        if close_up and face is not None:
            left, top, right, bottom = _surroundings(face, picture)
            factor = max(1, round(CLOSE_UP_SIDE / max(right - left, bottom - top)))
            corner = np.array([left, top], np.float32)
            picture = _enlarged(picture[top:bottom, left:right], factor)
            mask = None if mask is None else np.kron(mask[top:bottom, left:right], np.ones((factor, factor), bool))
            points = None if points is None else (points - corner + np.float32(0.5)) * factor - np.float32(0.5)
            keys = None if face.key_points is None else (face.key_points - corner) * factor
            face = Detection((face.box_xyxy - np.tile(corner, 2)) * factor, face.score, keys)
        if "mask" in layers and mask is not None:
            picture = _tinted(picture, mask)
        if "box" in layers and face is not None:
            picture = annotate_faces(picture, [face], [self._label()])
        if "landmarks" in layers and points is not None:
            picture = _dotted(picture, points)
        return picture

    def _label(self) -> str:
        if self.face is None or self.status is None:
            return ""
        return f"face {self.face.score:.2f}" if self.status == FaceStatus.DETECTED else self.status.name.lower()

    @property
    def available(self) -> tuple[str, ...]:
        """Which of LAYERS there are."""
        there = {"box": self.face, "landmarks": self.landmarks, "mask": self.mask}
        return tuple(layer for layer in LAYERS if there[layer] is not None)

    def sentence(self, layers: Sequence[str] = ()) -> str:
        """What was found, in words, and which of the layers that were asked for there are none of."""
        height, width = self.result.shape[:2]
        parts = [f"{width} x {height} pixels"]
        if self.face is not None:
            x1, y1, x2, y2 = (round(float(edge)) for edge in self.face.box_xyxy)
            parts.append(f"face of {x2 - x1} x {y2 - y1} pixels")
        if self.mask is not None:
            parts.append(f"{100 * float(self.mask.mean()):.0f}% of the picture moves")
        missing = [LAYER_NAMES[layer] for layer in LAYERS if layer in layers and layer not in self.available]
        note = f" This model has no {' and no '.join(missing)} to show." if missing else ""
        return ", ".join(parts) + "." + note


def preview(
    head: AnyHead,
    avatar: Avatar,
    *,
    shape: str = "X",
    options: RenderOptions | None = None,
    cancel: CancelToken | None = None,
) -> Preview:
    """Show a prepared face with a mouth shape.

    Args:
        avatar: prepared by this head; of a video its first half second is used.
        shape: one of SHAPES.
    Raises:
        OptionError: no such shape.
    """
    if shape not in SHAPES:
        raise OptionError(f"There is no mouth shape {shape!r}.", accepted=choices(list(SHAPES)))
    options = options or RenderOptions()
    speech = shape_speech(shape)
    plan = head.plan(avatar, speech, options)
    wanted = min(len(plan) - 1, int(Fraction(LEAD_S).limit_denominator(100) * plan.fps))
    result: Frame | None = None
    source: Frame | None = None
    mask: NDArray[np.bool_] | None = None
    with closing(_frames(head, avatar, speech, options, cancel)) as frames:
        for index, finished in enumerate(frames):
            frame = finished if avatar.turn is None else avatar.turn.apply(finished)  # upright, as its source is
            if index == wanted:
                result = frame
            if avatar.source is None:
                if result is not None:
                    break
                continue
            before = _source_frame(avatar, int(plan.indices[index]))
            if index == wanted:
                source = before
            if before.shape == frame.shape:
                changed = np.abs(frame.astype(np.int16) - before).max(axis=2) >= CHANGED
                mask = changed if mask is None else mask | changed
    if result is None:
        raise OptionError("The model made no frame.", remedy="another face, or other options")
    at = int(plan.indices[wanted])
    return Preview(
        source=source,
        result=result,
        shape=shape,
        face=_face(avatar, at),
        status=FaceStatus(int(avatar.track.status[at])) if avatar.track is not None else None,
        landmarks=head.landmarks(avatar, at),
        mask=mask,
    )


def _frames(
    head: AnyHead, avatar: Avatar, speech: Speech, options: RenderOptions, cancel: CancelToken | None
) -> Generator[Frame, None, None]:
    yield from head.frames(avatar, speech, options, cancel=cancel)


def shape_speech(shape: str) -> Speech:
    """A piece of the bundled sentence that shows a mouth shape `LEAD_S` after its beginning, with exact phones."""
    from talkinghead.assets import demo_speech_path
    from talkinghead.engine.speech_input import listen

    phones, cues = _sentence()
    cue = max(
        (cue for cue in cues if cue.shape == shape and (cue.start_s + cue.end_s) / 2 >= LEAD_S),
        key=lambda cue: cue.end_s - cue.start_s,
    )
    start_s = (cue.start_s + cue.end_s) / 2 - LEAD_S
    end_s = start_s + LEAD_S + TAIL_S
    part = tuple(
        replace(phone, start_s=max(phone.start_s, start_s) - start_s, end_s=min(phone.end_s, end_s) - start_s)
        for phone in phones
        if phone.end_s > start_s and phone.start_s < end_s
    )
    return listen(demo_speech_path(), start_s=start_s, duration_s=end_s - start_s, phones=part)


@cache
def _sentence() -> tuple[tuple[Phone, ...], tuple[MouthCue, ...]]:
    from talkinghead.assets import demo_phones_path
    from talkinghead.audio.cues import mouth_cues
    from talkinghead.audio.phones import read_phones

    phones = read_phones(demo_phones_path())
    return phones, mouth_cues(phones)


def _source_frame(avatar: Avatar, index: int) -> Frame:
    assert avatar.source is not None
    return next(iter(avatar.source.read(index, index + 1)))


def _face(avatar: Avatar, index: int) -> Detection | None:
    track = avatar.track
    if track is None:
        return None
    points = track.key_points[index] if track.key_points is not None else None
    return Detection(track.boxes_xyxy[index].astype(np.float32), float(track.scores[index]), points)


def _surroundings(face: Detection, picture: Frame) -> tuple[int, int, int, int]:
    """The face with half of its size around it, inside the picture."""
    x1, y1, x2, y2 = (float(edge) for edge in face.box_xyxy)
    height, width = picture.shape[:2]
    reach_x, reach_y = 0.5 * (x2 - x1), 0.5 * (y2 - y1)
    left, top = max(0, int(x1 - reach_x)), max(0, int(y1 - reach_y))
    return left, top, min(width, int(x2 + reach_x) + 1), min(height, int(y2 + reach_y) + 1)


def _enlarged(picture: Frame, factor: int) -> Frame:
    import cv2

    if factor == 1:
        return np.ascontiguousarray(picture)
    height, width = picture.shape[:2]
    return np.asarray(cv2.resize(picture, (width * factor, height * factor), interpolation=cv2.INTER_CUBIC), np.uint8)


def _tinted(picture: Frame, mask: NDArray[np.bool_]) -> Frame:
    import cv2

    filled = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    mask = cv2.morphologyEx(filled, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)).astype(bool)
    tinted = picture.copy()
    colour = np.array(MASK_RGB, np.float32)
    tinted[mask] = np.rint(picture[mask] * (1 - MASK_STRENGTH) + colour * MASK_STRENGTH).astype(np.uint8)
    return tinted


def _dotted(picture: Frame, points: FloatArray) -> Frame:
    import cv2

    dotted = picture.copy()
    radius = max(1, round(max(picture.shape[:2]) / 300))
    for x, y in points:
        if np.isfinite((x, y)).all():
            cv2.circle(dotted, (round(float(x)), round(float(y))), radius, (80, 255, 255), thickness=cv2.FILLED)
    return dotted
