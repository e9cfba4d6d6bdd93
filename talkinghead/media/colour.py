"""Colour: decoded frames of any pixel format to RGB, and RGB to what encoders take.

Both directions are exact to rounding: chroma is repeated on the way to RGB and averaged on the way back, so a frame
that nobody touched has the same luma and chroma again (up to the rounding of RGB), however often it is decoded and
encoded. libswscale's usual ways are avoided on purpose: the fast one darkens by one level on each pass, and with the
chroma location that H.264 decoders set, its nearest neighbour moves the chroma by a pixel each time.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import cast

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from talkinghead.contracts import Frame
from talkinghead.cores import available_cores
from talkinghead.media.srgb import HDR_TRANSFERS

BAND_PIXELS = 1 << 22
"""Larger frames are converted in bands of rows, so that what lies between takes little memory."""
HD_WIDTH, HD_HEIGHT = 1280, 577
"""From this width or height on, players take a video that names no colour matrix for BT.709."""

RED_BLUE_WEIGHTS = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020": (0.2627, 0.0593),
}
"""Weights of red and blue in luma (ITU-T H.273, table 4)."""

MATRIX_NAMES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
"""Matrices by their number in H.273, which is FFmpeg's."""

_UNSPECIFIED, _FULL_RANGE, _BT709, _BT2020 = 2, 2, 1, 9
_REPEAT_CHROMA = Interpolation.POINT | Interpolation.ACCURATE_RND
_AVERAGE_CHROMA = Interpolation.AREA | Interpolation.ACCURATE_RND
_PACKED = {name: name.replace("24", "") for name in ("rgb24", "bgr24", "rgba", "bgra", "argb", "abgr", "rgb0", "bgr0")}
"""Pixel formats of 8 bits whose names tell the order of the channels."""
_PLANAR_8_BIT = {f"yuv{j}{kind}p" for j in ("", "j") for kind in ("420", "422", "444", "440", "411", "410")}


_hdr_lock = threading.Lock()
_hdr_reformatter = VideoReformatter()
"""Shared, because libswscale works two seconds on its table of colours."""


def conversion_threads() -> int:
    """Threads for one colour conversion: it is limited by memory, more do not help."""
    return min(2, available_cores())


class ToRgb:
    """Converts decoded frames to RGB; keep one per thread.

    Args:
        untagged_matrix: "bt601", "bt709" or "auto", for frames that do not name their matrix.
    """

    def __init__(self, untagged_matrix: str = "auto") -> None:
        self._untagged = untagged_matrix
        self._reformatter = VideoReformatter()
        self._threads = conversion_threads()
        self._work = np.zeros(0, np.uint8)

    def __call__(self, frame: av.VideoFrame) -> Frame:
        """RGB uint8 [H, W, 3], C-contiguous; transparent parts show white; high dynamic range becomes standard."""
        kind = frame.format
        if kind.name in _PLANAR_8_BIT and (frame.colorspace in MATRIX_NAMES or frame.colorspace == _UNSPECIFIED):
            full = kind.name.startswith("yuvj") or frame.color_range == _FULL_RANGE
            wanted = work_bytes(frame.width, frame.height)
            if len(self._work) < wanted:
                self._work = np.empty(wanted, np.uint8)
            return rgb_from_planes([_plane(plane) for plane in frame.planes], self._matrix(frame), full, self._work)
        if kind.is_rgb or kind.has_palette:
            if kind.name in _PACKED or kind.has_palette:
                return _from_packed(frame)
            if has_alpha(kind):
                return self._packed_on_white(frame)
            return np.ascontiguousarray(self._packed(frame, "rgb24"))
        frame = without_chroma_location(frame)
        if has_alpha(kind):
            return self._packed_on_white(frame)
        if frame.color_trc in HDR_TRANSFERS:
            return _standard_range(frame, self._threads)
        green, blue, red = (_plane(plane) for plane in self._reformat(frame, "gbrp").planes)
        return np.asarray(cv2.merge([red, green, blue]), np.uint8)

    def _packed_on_white(self, frame: av.VideoFrame) -> Frame:
        rgba = self._packed(frame, "rgba")
        return on_white(np.ascontiguousarray(rgba[:, :, :3]), rgba[:, :, 3:])

    def _packed(self, frame: av.VideoFrame, name: str) -> Frame:
        return np.asarray(self._reformat(frame, name).to_ndarray(), np.uint8)

    def _reformat(self, frame: av.VideoFrame, name: str) -> av.VideoFrame:
        untagged = frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb
        hd = untagged and self._matrix(frame) == "bt709"
        matrix = (Colorspace.ITU709 if hd else Colorspace.ITU601) if untagged else None
        return self._reformatter.reformat(
            frame, format=name, src_colorspace=matrix, interpolation=_REPEAT_CHROMA, threads=self._threads
        )

    def _matrix(self, frame: av.VideoFrame) -> str:
        if frame.colorspace in MATRIX_NAMES:
            return MATRIX_NAMES[frame.colorspace]
        if self._untagged == "auto":
            return "bt709" if frame.width >= HD_WIDTH or frame.height >= HD_HEIGHT else "bt601"
        return self._untagged


def rgb_from_hdr(picture: NDArray[np.uint16], transfer: int, primaries: int | None) -> Frame:
    """RGB uint8 [H, W, 3] in the standard range of a picture of high dynamic range, mapped as videos are.

    Args:
        picture: RGB uint16 [H, W, 3], 65535 is the highest number.
        transfer: a key of HDR_TRANSFERS.
        primaries: by their number in H.273; None is BT.2020.
    """
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb48le")
    frame.color_trc, frame.color_primaries = transfer, primaries if primaries not in (None, _UNSPECIFIED) else _BT2020
    frame.color_range = _FULL_RANGE
    return _standard_range(frame, conversion_threads())


def _standard_range(frame: av.VideoFrame, threads: int) -> Frame:
    """High dynamic range and wide gamut mapped to BT.709 by libswscale: reference white becomes white."""
    with _hdr_lock:
        mapped = _hdr_reformatter.reformat(
            frame,
            format="rgb24",
            dst_color_trc=_BT709,
            dst_color_primaries=_BT709,
            interpolation=_REPEAT_CHROMA,
            threads=threads,
        )
    return np.ascontiguousarray(np.asarray(mapped.to_ndarray(), np.uint8))


def rgb_of_still(frame: av.VideoFrame, matrix: str) -> NDArray[np.uint16]:
    """RGB uint16 [H, W, 3], 65535 is full, of planar YUV of 8 to 16 bits; its colours are not mapped in any way.

    Chroma is interpolated, as programs for photographs do; videos repeat it (see above).

    Args:
        matrix: a name from RED_BLUE_WEIGHTS, for frames that do not name their own.
    """
    bits = frame.format.components[0].bits
    kind = np.dtype("<u2" if bits > 8 else "u1")
    size = (frame.width, frame.height)
    planes = []
    for plane in frame.planes[:3]:
        rows = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)
        rows = rows[: plane.height, : plane.width].astype(np.float32)
        planes.append(cv2.resize(rows, dsize=size, interpolation=cv2.INTER_LINEAR))
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    scale = 255 / (2**bits - 1) if full else 2.0 ** (8 - bits)
    middle = 128 - 2 ** (bits - 1) * scale  # of chroma, in units of 8 bits
    stack = [planes[0] * scale, *(plane * scale + middle for plane in planes[1:])]
    stack = stack if len(stack) == 3 else [stack[0], *[np.full_like(stack[0], 128)] * 2]
    rgb = cv2.transform(cv2.merge(stack), rgb_from_yuv(MATRIX_NAMES.get(frame.colorspace, matrix), full))
    return np.asarray(np.clip(np.rint(rgb * 257), 0, 65535), np.uint16)


def work_bytes(width: int, height: int) -> int:
    """Bytes of memory between the planes and the RGB of a picture of this size."""
    return _WORK_PLANES * width * min(height, _band_rows(width, height))


_WORK_PLANES = 5
"""The two planes of chroma at full size, and all three side by side."""


def _band_rows(width: int, height: int) -> int:
    """Rows of a picture that are converted at once."""
    return height if width * height <= BAND_PIXELS else max(4, BAND_PIXELS // width // 4 * 4)


def rgb_from_planes(
    planes: list[NDArray[np.uint8]], matrix: str, full_range: bool, work: NDArray[np.uint8] | None = None
) -> Frame:
    """RGB from 8-bit luma and two planes of chroma of the same or a smaller size, which is repeated.

    Args:
        planes: Y [H, W], Cb and Cr [h, w] uint8.
        matrix: a name from RED_BLUE_WEIGHTS.
        full_range: luma 0-255 instead of 16-235.
        work: at least `work_bytes` uint8, overwritten; new memory for every picture takes longer than the arithmetic.
    Returns:
        RGB uint8 [H, W, 3], rounded and clipped.
    """
    luma, *chroma = planes
    matrix_3x4 = rgb_from_yuv(matrix, full_range)
    height, width = luma.shape
    if work is None:
        work = np.empty(work_bytes(width, height), np.uint8)
    out: Frame = np.empty((height, width, 3), np.uint8)
    shared = [-(-height // len(plane)) for plane in chroma]  # rows of luma for one of chroma: 1, 2 or 4
    rows = _band_rows(width, height)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        parts = [plane[top // each : -(-bottom // each)] for plane, each in zip(chroma, shared, strict=True)]
        _rgb_band(luma[top:bottom], parts, matrix_3x4, work, out[top:bottom])
    return out


def _rgb_band(
    luma: Frame, chroma: list[Frame], matrix_3x4: NDArray[np.float64], work: NDArray[np.uint8], out: Frame
) -> None:
    size = luma.size
    wide = work[: 2 * size].reshape(2, *luma.shape)
    for plane, target in zip(chroma, wide, strict=True):
        _repeat(plane, target)
    together = work[2 * size : _WORK_PLANES * size].reshape(*luma.shape, 3)
    cv2.merge([luma, *wide], together)
    cv2.transform(together, matrix_3x4, out)


def _repeat(plane: Frame, target: Frame) -> None:
    """Each value as often along and down as it takes to fill the target; halves, the usual case, take a third of the
    time of OpenCV's nearest neighbour."""
    height, width = plane.shape
    if target.shape == (2 * height, 2 * width):
        rows = target.view(np.uint16).reshape(height, 2, width)
        np.multiply(plane, np.uint16(0x0101), out=rows[:, 0], dtype=np.uint16)
        rows[:, 1] = rows[:, 0]
    else:
        cv2.resize(plane, dsize=target.shape[::-1], dst=target, interpolation=cv2.INTER_NEAREST)


@cache
def rgb_from_yuv(matrix: str, full_range: bool) -> NDArray[np.float64]:
    """[3, 4] float64: RGB = M [Y, Cb, Cr, 1], all in units of 8 bits."""
    kr, kb = RED_BLUE_WEIGHTS[matrix]
    kg = 1 - kr - kb
    rgb_from_unit = np.array(
        [
            [1, 0, 2 * (1 - kr)],
            [1, -2 * (1 - kb) * kb / kg, -2 * (1 - kr) * kr / kg],
            [1, 2 * (1 - kb), 0],
        ]
    )
    scale, zero = ((1, 1, 1), (0, 128, 128)) if full_range else ((255 / 219, 255 / 224, 255 / 224), (16, 128, 128))
    linear = rgb_from_unit * np.array(scale)
    return np.column_stack([linear, -linear @ np.array(zero)])


def without_chroma_location(frame: av.VideoFrame) -> av.VideoFrame:
    """A copy that does not say where chroma is sampled: libswscale then repeats and averages it symmetrically."""
    copy = av.VideoFrame(frame.width, frame.height, frame.format.name)
    for source, target in zip(frame.planes, copy.planes, strict=True):
        rows = np.frombuffer(memoryview(source), np.uint8).reshape(-1, source.line_size)
        padded = np.zeros((target.buffer_size // target.line_size, target.line_size), np.uint8)
        height, width = min(len(rows), len(padded)), min(source.line_size, target.line_size)
        padded[:height, :width] = rows[:height, :width]
        target.update(padded.tobytes())
    copy.colorspace, copy.color_range = frame.colorspace, frame.color_range
    copy.color_trc, copy.color_primaries = frame.color_trc, frame.color_primaries
    return copy


class FromRgb:
    """Converts RGB (or RGBA) frames to a YUV pixel format, BT.709, limited range; keep one per thread."""

    def __init__(self, pixel_format: str) -> None:
        self.pixel_format = pixel_format
        self._reformatter = VideoReformatter()
        self._threads = conversion_threads()
        self._work = np.empty((0, 0, 3), np.uint8)

    def __call__(self, frame: Frame) -> av.VideoFrame:
        """A new video frame; the array is read, not kept.

        Args:
            frame: RGB uint8 [H, W, 3] or RGBA [H, W, 4] with contiguous rows.
        """
        height, width, channels = frame.shape
        is_even = not height % 2 and not width % 2 and min(height, width) >= _LEAST_HALVED
        if self.pixel_format == "yuv420p" and channels == 3 and is_even:
            return self._halved(frame)
        wrapped = av.VideoFrame.from_numpy_buffer(frame, format="rgb24" if channels == 3 else "rgba")
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

    def _halved(self, frame: Frame) -> av.VideoFrame:
        """4:2:0, what nearly every video has: as exact on decoded frames as libswscale, at a fraction of its time."""
        height, width, _ = frame.shape
        rows = min(height, max(2, _NEAR_PIXELS // width // 2 * 2))
        if self._work.shape != (rows, width, 3):
            self._work = np.empty((rows, width, 3), np.uint8)
        planes = np.empty(height * width * 3 // 2, np.uint8)
        luma = planes[: height * width].reshape(height, width)
        chroma = planes[height * width :].reshape(2, height // 2, width // 2)
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            band = frame[top:bottom]
            full = cv2.transform(band, _YUV_FROM_RGB, self._work[: bottom - top])
            cv2.extractChannel(full, 0, luma[top:bottom])
            # Averages that lie between two values are rounded up: in colours that cancels, in chroma it would not.
            half = cv2.resize(band, (width // 2, (bottom - top) // 2), interpolation=cv2.INTER_AREA)
            cv2.transform(half, _YUV_FROM_RGB, half)
            for channel in (1, 2):
                cv2.extractChannel(half, channel, chroma[channel - 1, top // 2 : bottom // 2])
        made = av.VideoFrame.from_numpy_buffer(planes.reshape(height * 3 // 2, width), format="yuv420p")
        made.colorspace, made.color_range = Colorspace.ITU709, ColorRange.MPEG
        return made


def _yuv_from_rgb() -> NDArray[np.float64]:
    """[3, 4] float64, BT.709 in limited range. OpenCV rounds its numbers to 1/1024, by which luma would be up
    to 0.1 too low."""
    rgb = rgb_from_yuv("bt709", full_range=False)
    yuv = np.linalg.inv(rgb[:, :3])
    return np.column_stack([yuv, -yuv @ rgb[:, 3] + (_LUMA_LIFT, 0, 0)])


_LUMA_LIFT = 0.07
_LEAST_HALVED = 16
"""Side in pixels of the smallest pictures that are converted here: encoders refuse rows of a byte or two."""
_NEAR_PIXELS = 1 << 18
"""Of the bands in which frames are converted: what lies between stays near the processor."""
_YUV_FROM_RGB = _yuv_from_rgb()


def has_alpha(kind: av.VideoFormat) -> bool:
    """Whether a pixel format can be transparent."""
    return any(component.is_alpha for component in kind.components) or kind.has_palette


def _plane(plane: av.video.plane.VideoPlane) -> Frame:
    stored: Frame = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return stored[: plane.height, : plane.width]


def _from_packed(frame: av.VideoFrame) -> Frame:
    """RGB of a frame whose channels lie side by side, or in a palette: without another copy of all of it."""
    if frame.format.has_palette:
        indices, palette = cast("tuple[Frame, Frame]", frame.to_ndarray())  # alpha, red, green and blue of 256 colours
        colours = on_white(palette[np.newaxis, :, 1:].copy(), palette[np.newaxis, :, :1])[0]
        out: Frame = np.empty((frame.height, frame.width, 3), np.uint8)
        rows = max(1, BAND_PIXELS // frame.width)
        for top in range(0, frame.height, rows):
            out[top : top + rows] = colours[indices[top : top + rows]]
        return out
    order = _PACKED[frame.format.name]
    stored = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)
    pixels = stored[: frame.height, : frame.width * len(order)].reshape(frame.height, frame.width, len(order))
    out = np.empty((frame.height, frame.width, 3), np.uint8)
    for channel, name in enumerate("rgb"):
        out[:, :, channel] = pixels[:, :, order.index(name)]
    if "a" in order:
        place = order.index("a")
        on_white(out, pixels[:, :, place : place + 1])
    return out


def on_white(rgb: Frame, alpha: Frame) -> Frame:
    """Lay an RGB picture [H, W, 3] on white, in its own memory, by its alpha [H, W, 1]."""
    rows = max(1, BAND_PIXELS // rgb.shape[1])
    for top in range(0, len(rgb), rows):
        band, over = rgb[top : top + rows], alpha[top : top + rows]
        if not np.all(over == 255):
            opacity = over.astype(np.float32) / np.float32(255)
            band[:] = np.rint(band.astype(np.float32) * opacity + 255 * (1 - opacity))
    return rgb
