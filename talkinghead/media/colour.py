"""Colour: decoded frames of any pixel format to RGB, and RGB to what encoders take.

Both directions are exact to rounding for 8-bit 4:2:0: chroma is repeated on the way to RGB and averaged on the way
back, so a frame that nobody touched has the same luma and chroma again (up to the rounding of RGB). The usual fast
paths of libswscale are avoided because they darken by one level on each pass; going by planar RGB with accurate
rounding does not.
"""

from __future__ import annotations

import os

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from talkinghead.contracts import Frame

HD_WIDTH, HD_HEIGHT = 1280, 577
"""From this width or height on, players take a video that names no colour matrix for BT.709."""

_UNSPECIFIED = 2
_REPEAT_CHROMA = Interpolation.POINT | Interpolation.ACCURATE_RND
_AVERAGE_CHROMA = Interpolation.AREA | Interpolation.ACCURATE_RND


def conversion_threads() -> int:
    """Threads for one colour conversion: it is limited by memory, more do not help."""
    return min(2, os.cpu_count() or 1)


class ToRgb:
    """Converts decoded frames to RGB; keep one per thread.

    Args:
        untagged_matrix: "bt601", "bt709" or "auto", for frames that do not name their matrix.
    """

    def __init__(self, untagged_matrix: str = "auto") -> None:
        self._untagged = untagged_matrix
        self._reformatter = VideoReformatter()
        self._threads = conversion_threads()

    def __call__(self, frame: av.VideoFrame) -> Frame:
        """RGB uint8 [H, W, 3], C-contiguous; transparent parts show white."""
        kind = frame.format
        if kind.is_rgb or kind.has_palette:
            if _has_alpha(kind):
                return _on_white(self._packed(frame, "rgba"))
            return np.ascontiguousarray(self._packed(frame, "rgb24"))
        matrix = self._matrix(frame)
        if _has_alpha(kind):
            return _on_white(self._packed(frame, "rgba", matrix))
        planar = self._reformatter.reformat(
            frame, format="gbrp", src_colorspace=matrix, interpolation=_REPEAT_CHROMA, threads=self._threads
        )
        green, blue, red = (_plane(plane) for plane in planar.planes)
        return np.asarray(cv2.merge([red, green, blue]), np.uint8)

    def _packed(self, frame: av.VideoFrame, name: str, matrix: Colorspace | None = None) -> Frame:
        converted = self._reformatter.reformat(
            frame, format=name, src_colorspace=matrix, interpolation=_REPEAT_CHROMA, threads=self._threads
        )
        return np.asarray(converted.to_ndarray(), np.uint8)

    def _matrix(self, frame: av.VideoFrame) -> Colorspace | None:
        if frame.colorspace != _UNSPECIFIED:
            return None
        if self._untagged == "auto":
            hd = frame.width >= HD_WIDTH or frame.height >= HD_HEIGHT
            return Colorspace.ITU709 if hd else Colorspace.ITU601
        return Colorspace.ITU709 if self._untagged == "bt709" else Colorspace.ITU601


class FromRgb:
    """Converts RGB frames to a YUV pixel format, BT.709, limited range; keep one per thread."""

    def __init__(self, pixel_format: str) -> None:
        self.pixel_format = pixel_format
        self._reformatter = VideoReformatter()
        self._threads = conversion_threads()

    def __call__(self, frame: Frame) -> av.VideoFrame:
        """A new video frame; the array is read, not kept.

        Args:
            frame: RGB uint8 [H, W, 3] with contiguous rows.
        """
        wrapped = av.VideoFrame.from_numpy_buffer(frame, format="rgb24")
        return self._reformatter.reformat(
            wrapped,
            format=self.pixel_format,
            src_colorspace=Colorspace.DEFAULT,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=_AVERAGE_CHROMA,
            threads=self._threads,
        )


def _has_alpha(kind: av.VideoFormat) -> bool:
    return any(component.is_alpha for component in kind.components) or kind.has_palette


def _plane(plane: av.video.plane.VideoPlane) -> Frame:
    stored: Frame = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return stored[: plane.height, : plane.width]


def _on_white(rgba: Frame) -> Frame:
    alpha = rgba[:, :, 3:]
    if np.all(alpha == 255):
        return np.ascontiguousarray(rgba[:, :, :3])
    opacity = alpha.astype(np.float32) / np.float32(255)
    mixed = rgba[:, :, :3].astype(np.float32) * opacity + 255 * (1 - opacity)
    return np.asarray(np.rint(mixed), np.uint8)
