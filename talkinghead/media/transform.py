"""What happens to a decoded picture before anyone sees it: turn, square pixels, resize, rotate, crop."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np

from talkinghead.contracts import Frame
from talkinghead.errors import OptionError
from talkinghead.media.options import FrameOptions

if TYPE_CHECKING:
    import av

_NO_QUARTER = "The file asks for a rotation that is no quarter turn; the nearest one is used."
DECODER = 2
"""Raised when the same file and options give other pixels."""
_ROTATE = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True)
class Turn:
    """Mirroring, then a clockwise rotation: the eight ways in which a file can ask to be shown."""

    mirror: bool = False
    """Left and right are exchanged first."""
    degrees: int = 0
    """Clockwise, 0, 90, 180 or 270."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after the turn."""
        return (height, width) if self.degrees in (90, 270) else (width, height)

    def then(self, other: Turn) -> Turn:
        """This turn and another after it, as one."""
        own = -self.degrees if other.mirror else self.degrees
        return Turn(self.mirror != other.mirror, (own + other.degrees) % 360)

    @property
    def undone(self) -> Turn:
        """The turn that takes this one back."""
        return Turn(self.mirror, self.degrees if self.mirror else -self.degrees % 360)

    def apply(self, frame: Frame) -> Frame:
        """The turned picture; the same array if there is nothing to do."""
        if self.mirror:
            frame = np.asarray(cv2.flip(frame, 1), np.uint8)
        return np.asarray(cv2.rotate(frame, _ROTATE[self.degrees]), np.uint8) if self.degrees else frame


NO_TURN = Turn()


@dataclass(frozen=True)
class Transform:
    """All geometric steps from the decoded picture to the frame that comes out."""

    turn: Turn
    stretched: tuple[int, int] | None
    """(width, height) with square pixels, before the turn; None if they are square."""
    resized: tuple[int, int] | None
    """(width, height) after `resize_factor`; None if it is 1."""
    rotate: Turn
    crop_yyxx: tuple[int, int, int, int] | None
    """top, bottom, left, right; None for no crop."""
    size: tuple[int, int]
    """(width, height) that comes out."""

    @classmethod
    def plan(
        cls, width: int, height: int, options: FrameOptions, turn: Turn = NO_TURN, pixel_aspect: Fraction | None = None
    ) -> Transform:
        """Work the steps out for pictures of one size.

        Args:
            width, height: as stored in the file.
            turn: what the file's metadata asks for.
            pixel_aspect: width of a stored pixel over its height; None or 1 is square.
        Raises:
            OptionError: nothing would be left.
        """
        stretched = None
        if options.square_pixels and pixel_aspect is not None and pixel_aspect > 0 and pixel_aspect != 1:
            stretched = (max(1, round(width * pixel_aspect)), height)
        shown = turn.size(*(stretched or (width, height)))
        size, resized = shown, None
        if options.resize_factor > 1:
            size = resized = (shown[0] // options.resize_factor, shown[1] // options.resize_factor)
            if min(size) < 1:
                raise OptionError(
                    f"resize_factor {options.resize_factor} leaves nothing of {shown[0]}x{shown[1]} pixels.",
                    accepted=f"1 to {min(shown)}",
                )
        rotate = Turn(degrees=options.rotate)
        size = rotate.size(*size)
        crop = None
        if options.crop is not None:
            crop = _absolute_crop(options.crop, *size)
            size = (crop[3] - crop[2], crop[1] - crop[0])
        return cls(turn, stretched, resized, rotate, crop, size)

    def apply(self, frame: Frame) -> Frame:
        """Apply the steps. Returns RGB uint8 [H, W, 3], C-contiguous; the same array if nothing changes."""
        if self.stretched:
            frame = resized(frame, self.stretched)
        if self.resized:  # before the turn: there is less to turn
            frame = resized(frame, self.turn.size(*self.resized))
        frame = self.rotate.apply(self.turn.apply(frame))
        if self.crop_yyxx:
            top, bottom, left, right = self.crop_yyxx
            frame = frame[top:bottom, left:right]
        return np.ascontiguousarray(frame)


def resized(frame: Frame, size: tuple[int, int]) -> Frame:
    """The frame at (width, height), bilinear."""
    return np.asarray(cv2.resize(frame, dsize=size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _absolute_crop(crop: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    top, bottom, left, right = crop
    bottom = height if bottom == -1 else bottom
    right = width if right == -1 else right
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise OptionError(
            f"crop {' '.join(map(str, crop))} leaves the picture, which is {width}x{height} at that point.",
            accepted=f"top bottom left right with bottom up to {height} and right up to {width}; -1: the edge",
        )
    return top, bottom, left, right


def display_turn(frame: av.VideoFrame) -> tuple[Turn, list[str]]:
    """How a file wants to be turned, from the display matrix of its first frame, and sentences about oddities."""
    from av.sidedata.sidedata import Type

    try:
        data: Any = cast(Any, frame.side_data).get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV cannot look past side data of a kind that it does not know, such as EXIF
        notes = [_NO_QUARTER] if frame.rotation % 90 else []
        return Turn(degrees=round(-frame.rotation / 90) * 90 % 360), notes
    if data is None:
        return Turn(), []
    values = np.frombuffer(bytes(data), np.int32).astype(np.float64)
    matrix = values[[0, 1, 3, 4]] / 65536  # x' = a x + c y, y' = b x + d y as a, b, c, d
    best, fit = Turn(), -math.inf
    for mirror in (False, True):
        for degrees, quarter in {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}.items():
            a, b, c, d = quarter
            candidate = np.array((-a, -b, c, d) if mirror else (a, b, c, d), dtype=np.float64)
            if float(candidate @ matrix) > fit:
                best, fit = Turn(mirror, degrees), float(candidate @ matrix)
    norm = float(np.linalg.norm(matrix))
    if norm == 0:
        return Turn(), ["The file's display matrix is empty and is ignored."]
    if fit / norm < 0.999 * math.sqrt(2):
        return best, [_NO_QUARTER]
    return best, []


def content_digest(file_sha256: str, options: FrameOptions, kind: str) -> str:
    """Hex digest of a file's content and of everything that changes its frames: a cache key."""
    facts: dict[str, Any] = {
        "decoder": DECODER,
        "kind": kind,
        "file": file_sha256,
        "fps": str(options.fps),
        "crop": options.crop,
        "resize_factor": options.resize_factor,
        "rotate": options.rotate,
        "start_s": options.start_s,
        "duration_s": options.duration_s,
        "square_pixels": options.square_pixels,
        "untagged_matrix": options.untagged_matrix,
    }
    return hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()


def frame_indices(start: int, stop: int | None, step: int, count: int) -> range:
    """The frames that `read(start, stop, step)` means: like `range`, cut to what exists.

    Going backwards, `stop=None` and `stop=-1` both include frame 0.
    """
    if start < 0 or step == 0:
        raise ValueError(f"read needs start >= 0 and step != 0, not start {start}, step {step}")
    if step > 0:
        return range(start, count if stop is None else min(max(stop, 0), count), step)
    if start >= count:
        start -= -(-(start - count + 1) // -step) * -step  # the first member of the range that exists
    return range(start, -1 if stop is None else max(stop, -1), step)
