"""From a frame to the network's picture and back: crop, resize, mask, paste.

    frame ──crop──► crop ──resize──► canvas (328x328) ──[4:324]──► picture (320x320) ──mask──► masked copy
    frame ◄─paste── crop ◄─resize── canvas with the generated picture in its middle

A ring of 4 pixels of the canvas is never seen by the network: it stays the template's own, so the seam is soft.
Pictures here are uint8 [H, W, 3] in either colour order: every step treats the channels alike.
Source: SyncTalk_2D `inference_328.py` and `inference.py`; reference notes, sections 1 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, IntArray
from talkinghead.errors import FaceError
from talkinghead.families.synctalk2d.variants import BORDER_PX, SizeVariant

Picture = NDArray[np.uint8]

NUM_LANDMARKS = 110
CONTOUR_LEFT, CONTOUR_RIGHT, NOSE_BRIDGE = 1, 31, 52
"""The landmarks that the crop needs: face contour at the height of the eyes, middle of the bridge of the nose."""

CropFilter = Literal["published", "bicubic", "bilinear", "area"]
"""How crops are resized. "published" is bicubic for 328 and bilinear for 160; "area" shrinks by area and enlarges
bilinearly, as the later training tools of the ancestor do."""

PARSING_COLOURS_BGR = ((0, 0, 255), (255, 255, 255))
"""Torso and background in parsing pictures: there the template shows through."""


class CropBox(NamedTuple):
    """The square that the network redraws, half open, in pixels; inside the frame, so perhaps not square."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.x2 - self.x1, self.y2 - self.y1


@dataclass(frozen=True)
class Filters:
    """OpenCV interpolation flags of both ways."""

    down: int
    up: int


def resize_filters(size: SizeVariant, name: CropFilter = "published") -> Filters:
    """The flags of a filter."""
    import cv2

    if name == "published":
        name = "bicubic" if size.bicubic else "bilinear"
    if name == "area":
        return Filters(cv2.INTER_AREA, cv2.INTER_LINEAR)
    flag = cv2.INTER_CUBIC if name == "bicubic" else cv2.INTER_LINEAR
    return Filters(flag, flag)


def crop_box(landmarks: IntArray, width: int, height: int, *, source: str = "the frame") -> CropBox:
    """The square below the eyes.

    Args:
        landmarks: [110, 2] int32, pixels.
        width, height: size of the frame.
        source: for messages.
    Returns:
        From the left to the right contour, as high as it is wide, from the bridge of the nose down. What leaves the
        frame is cut off; the published script does so at the right and at the bottom and stops at the left and top.
    Raises:
        FaceError: the square is empty or lies outside the frame.
    """
    x1, x2, y1 = int(landmarks[CONTOUR_LEFT, 0]), int(landmarks[CONTOUR_RIGHT, 0]), int(landmarks[NOSE_BRIDGE, 1])
    y2 = y1 + (x2 - x1)
    box = CropBox(max(0, x1), max(0, y1), min(width, x2), min(height, y2))
    if box.x1 >= box.x2 or box.y1 >= box.y2:
        raise FaceError(
            f"The landmarks of {source} give no face inside the {width}x{height} frame: "
            f"left contour x = {x1}, right contour x = {x2}, nose bridge y = {y1}.",
            accepted="110 landmarks in pixels of the frame; points 1, 31 and 52 span the face",
            remedy="talkinghead template check",
        )
    return box


def leaves_frame(landmarks: IntArray) -> bool:
    """The square begins left of or above the frame, where the published script stops."""
    return int(landmarks[CONTOUR_LEFT, 0]) < 0 or int(landmarks[NOSE_BRIDGE, 1]) < 0


def resize_crop(frame: Picture, box: CropBox, size: SizeVariant, filters: Filters) -> Picture:
    """The canvas: the crop as uint8 [crop_px, crop_px, 3]; a crop that is not square is stretched."""
    import cv2

    crop = frame[box.y1 : box.y2, box.x1 : box.x2]
    resized: Picture = cv2.resize(crop, (size.crop_px, size.crop_px), interpolation=filters.down)  # type: ignore[assignment]
    return resized


def inner_picture(canvas: Picture) -> Picture:
    """What the network sees of the canvas, a view: uint8 [inner_px, inner_px, 3]."""
    return canvas[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]


def masked_picture(picture: Picture, size: SizeVariant) -> Picture:
    """A copy with the black rectangle that hides the mouth (nearly everything)."""
    x, y, width, height = size.mask_xywh
    masked = picture.copy()
    masked[y : y + height, x : x + width] = 0
    return masked


def network_input(picture_bgr: Picture, size: SizeVariant) -> FloatArray:
    """The network's six channels.

    Args:
        picture_bgr: uint8 [inner_px, inner_px, 3], BGR.
    Returns:
        [6, inner_px, inner_px] float32 in [0, 1]: blue, green, red, then the same with the black rectangle.
    """
    both = np.concatenate([picture_bgr, masked_picture(picture_bgr, size)], axis=2)
    planes: FloatArray = np.ascontiguousarray(both.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
    return planes


def picture_from_output(output: FloatArray) -> Picture:
    """Network output as a picture.

    Args:
        output: [3, H, W] float32 in [0, 1].
    Returns:
        uint8 [H, W, 3]: 255 times the value in float32, truncated as the published script does, not rounded.
    """
    return np.ascontiguousarray((output * np.float32(255)).astype(np.uint8).transpose(1, 2, 0))


def filled_canvas(canvas: Picture, picture: Picture) -> Picture:
    """A copy of the canvas with the generated picture in its middle; the ring of 4 pixels stays."""
    filled = canvas.copy()
    inner_picture(filled)[...] = picture
    return filled


def paste_crop(
    frame: Picture,
    box: CropBox,
    canvas: Picture,
    filters: Filters,
    *,
    keep: NDArray[np.bool_] | None = None,
) -> Picture:
    """Put a canvas back into its frame.

    Args:
        frame: [H, W, 3]; not modified.
        canvas: from `filled_canvas`.
        keep: [h, w] of the box: where the frame's own pixels stay.
    Returns:
        A new frame; every pixel outside the box is the frame's.
    """
    import cv2

    crop: Any = cv2.resize(canvas, box.size, interpolation=filters.up)
    out = frame.copy()
    target = out[box.y1 : box.y2, box.x1 : box.x2]
    if keep is None:
        target[...] = crop
    else:
        np.copyto(target, crop, where=~keep[:, :, None])
    return out


def parsing_keep(parsing_rgb: Picture, box: CropBox) -> NDArray[np.bool_]:
    """Where a parsing picture says torso (red) or background (white): [h, w] of the box, true where the frame stays.

    Raises:
        FaceError: the parsing picture is smaller than the frame.
    """
    part = parsing_rgb[box.y1 : box.y2, box.x1 : box.x2]
    if part.shape[:2] != (box.size[1], box.size[0]):
        raise FaceError(
            f"A parsing picture of {parsing_rgb.shape[1]}x{parsing_rgb.shape[0]} pixels does not cover its frame.",
            accepted="parsing pictures of the size of the frames",
        )
    keep = np.zeros(part.shape[:2], bool)
    for blue, green, red in PARSING_COLOURS_BGR:
        keep |= (part == (red, green, blue)).all(axis=2)
    return keep
