"""The numbers of a decoded picture as sRGB: profiles, wide gamuts, high dynamic range, transparency, depth.

Everything is done strip by strip, so that a large picture takes little more memory than its result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame
from talkinghead.media.icc import BrokenProfile, Profile, interpolator, read_profile, srgb_encoded

STRIP_PIXELS = 1 << 19
PRIMARIES = {
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), (0.3127, 0.3290)),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), (0.3127, 0.3290)),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), (0.3127, 0.3290)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290)),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)),
}
"""Red, green, blue and white (x, y) by their number in H.273, table 2; those of sRGB (1) need nothing."""
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
"""Transfer functions that are a power, by their number in H.273; the others of standard range count as sRGB."""
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""Transfer functions of high dynamic range, by their number in H.273."""
_SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290))
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_CUBE = 33
"""Entries along each side of the table that stands for a profile of tables."""

Numbers = NDArray[np.generic]
_Convert = Callable[[Numbers], Frame]


@dataclass(frozen=True, eq=False)
class Meaning:
    """What the numbers of a picture mean. Nothing set: sRGB."""

    profile: bytes = b""
    """An ICC profile; it counts before the numbers."""
    primaries: int | None = None
    transfer: int | None = None
    """By their numbers in H.273."""

    @property
    def hdr(self) -> str | None:
        """ "PQ", "HLG", or None."""
        return HDR_TRANSFERS.get(self.transfer or 0)


def to_srgb(
    stored: Numbers,
    full: float,
    meaning: Meaning,
    *,
    premultiplied: bool = False,
) -> tuple[Frame, list[str]]:
    """The picture as RGB; transparent parts show white.

    Args:
        stored: as OpenCV decodes: grey [H, W] or [H, W, 1], BGR [H, W, 3], with opacity last [H, W, 2 or 4], of any
            type. It is overwritten where that saves memory.
        full: the number that stands for full light, or full opacity.
        premultiplied: colours are stored as they appear on black.
    Returns:
        RGB uint8 [H, W, 3], and sentences about colours that could not be taken as they are meant.
    """
    if stored.ndim == 2:
        stored = stored[:, :, np.newaxis]
    channels = stored.shape[2]
    opaque = channels in (1, 3)
    whole = np.issubdtype(stored.dtype, np.integer) and full <= 65535
    top = int(full) if whole else 65535
    found, notes = _conversion(meaning, channels if opaque else channels - 1, top)
    convert = found or (lambda part: _plain(part, top))
    height, width = stored.shape[:2]
    reuse = stored.dtype == np.uint8 and channels == 3 and stored.flags.writeable and stored.flags.c_contiguous
    result = np.asarray(stored, np.uint8) if reuse else np.empty((height, width, 3), np.uint8)
    for rows in _strips(height, width) if meaning.hdr is None else (slice(0, height),):
        part = stored[rows] if whole else _in_sixteen_bits(stored[rows], full)
        if opaque:
            result[rows] = convert(part)
            continue
        opacity = np.clip(part[:, :, -1:].astype(np.float32) / np.float32(top), 0, 1)
        result[rows] = _on_white(part[:, :, :-1], top, opacity, found, premultiplied)
    return result, notes


def _in_sixteen_bits(part: Numbers, full: float) -> NDArray[np.uint16]:
    scaled = np.clip(np.nan_to_num(part.astype(np.float64) / full), 0, 1)
    return np.rint(scaled * 65535).astype(np.uint16)


def _strips(height: int, width: int) -> Iterator[slice]:
    step = max(1, STRIP_PIXELS // max(1, width))
    for top in range(0, height, step):
        yield slice(top, min(height, top + step))


def _on_white(
    colours: Numbers, top: int, opacity: NDArray[np.float32], convert: _Convert | None, premultiplied: bool
) -> Frame:
    if np.all(opacity == 1):
        return _plain(colours, top) if convert is None else convert(colours)
    if premultiplied:  # the colour itself, to be converted as if nothing were behind it
        divided = colours.astype(np.float32) / np.maximum(opacity, np.float32(1e-6))
        colours = np.clip(np.rint(divided), 0, np.iinfo(colours.dtype.name).max).astype(colours.dtype)
    if convert is None:  # rounded once, at the end
        light = colours[:, :, ::-1].astype(np.float32) * np.float32(255 / top)
    else:
        light = convert(colours).astype(np.float32)
    mixed = np.clip(light, 0, 255) * opacity + 255 * (1 - opacity)
    return np.asarray(np.rint(mixed), np.uint8)


def _conversion(meaning: Meaning, channels: int, top: int) -> tuple[_Convert | None, list[str]]:
    """How to make RGB uint8 [h, w, 3] of [h, w, channels] in OpenCV order (None: it is sRGB), and what was ignored."""
    notes: list[str] = []
    profile: Profile | None = None
    if meaning.hdr is not None:
        notes.append(
            f"The picture has high dynamic range ({meaning.hdr}); its colours are mapped to the standard range."
        )
        return lambda part: _from_hdr(part, top, meaning), notes
    if meaning.profile:
        try:
            profile = _fitting(read_profile(meaning.profile), channels)
        except BrokenProfile as error:
            notes.append(f"The picture's colour profile {error}; its colours are taken as sRGB.")
    elif channels == 3 and meaning.primaries in PRIMARIES:
        profile = _profile_of_numbers(meaning.primaries, meaning.transfer)
    elif meaning.transfer in GAMMAS:
        profile = _profile_of_numbers(1, meaning.transfer)
    if profile is None or profile.is_srgb():
        return None, notes
    if profile.table is not None:
        return _through_table(profile, top), notes
    return _through_curves(profile, top), notes


def _fitting(profile: Profile, channels: int) -> Profile | None:
    """The profile for pictures of so many channels.

    Raises:
        BrokenProfile: it is meant for others.
    """
    if profile.space == "GRAY" and channels != 1:
        raise BrokenProfile("is meant for grey pictures and this one is coloured")
    return profile


def _from_hdr(part: Numbers, top: int, meaning: Meaning) -> Frame:
    from talkinghead.media.colour import rgb_from_hdr

    wide = np.rint(np.clip(part, 0, top).astype(np.float32) * np.float32(65535 / top)).astype(np.uint16)
    wide = np.repeat(wide, 3, axis=2) if wide.shape[2] == 1 else wide[:, :, ::-1]
    return rgb_from_hdr(wide, meaning.transfer or 0, meaning.primaries)


def _plain(part: Numbers, top: int) -> Frame:
    """RGB of numbers that are sRGB already."""
    if part.dtype != np.uint8 or top != 255:
        part = np.clip(np.rint(part.astype(np.float32) * np.float32(255 / top)), 0, 255).astype(np.uint8)
    if part.shape[2] == 1:
        return np.repeat(part, 3, axis=2).astype(np.uint8)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_BGR2RGB), np.uint8)


def _through_curves(profile: Profile, top: int) -> _Convert:
    assert profile.curves is not None
    assert profile.matrix is not None
    steps = np.arange(top + 1) / top
    light = [curve(steps).astype(np.float32) for curve in profile.curves]
    matrix = np.asarray(profile.matrix, np.float32)
    encoded = np.rint(255 * srgb_encoded(np.arange(65536) / 65535)).astype(np.uint8)

    def convert(part: Numbers) -> Frame:
        codes = np.clip(part, 0, top)
        if len(light) == 1:
            linear = np.repeat(light[0][codes[:, :, :1]], 3, axis=2)
        else:
            order = (2, 1, 0) if codes.shape[2] == 3 else (0, 0, 0)
            channels = [light[i][codes[:, :, at]] for i, at in enumerate(order)]
            linear = np.asarray(cv2.transform(cv2.merge(channels), matrix), np.float32)
        return np.asarray(encoded[np.rint(np.clip(linear, 0, 1) * 65535).astype(np.uint16)], np.uint8)

    return convert


def _through_table(profile: Profile, top: int) -> _Convert:
    """Colours go through a cube that is worked out once: the tables behind each other are slow."""
    side = np.linspace(0, 1, _CUBE)
    channels = profile.channels
    corners = np.stack(np.meshgrid(*[side] * channels, indexing="ij"), axis=-1)
    look_up = interpolator(
        srgb_encoded(profile.linear_srgb(corners.reshape(-1, channels))).reshape(*corners.shape[:-1], 3)
    )

    def convert(part: Numbers) -> Frame:
        if part.shape[2] == 3:
            part = part[:, :, ::-1]
        elif channels == 3:
            part = np.repeat(part, 3, axis=2)
        flat = look_up(part.reshape(-1, part.shape[2]).astype(np.float64) / top)
        return np.rint(255 * flat).astype(np.uint8).reshape(*part.shape[:2], 3)

    return convert


# Colours by number (H.273)


def _profile_of_numbers(primaries: int | None, transfer: int | None) -> Profile:
    gamma = GAMMAS.get(transfer or 0)

    def curve(x: NDArray[np.float64]) -> NDArray[np.float64]:
        if gamma is not None:
            return np.power(x, gamma)
        return np.where(x <= 0.04045, x / 12.92, np.power((x + 0.055) / 1.055, 2.4))

    matrix = srgb_from_primaries(PRIMARIES.get(primaries or 1, _SRGB_PRIMARIES))
    return Profile("RGB", (curve, curve, curve), matrix, None)


def srgb_from_primaries(chromaticities: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """[3, 3] linear sRGB from linear light of other primaries (x, y of red, green, blue, white)."""
    source, target = _xyz_from(chromaticities), _xyz_from(_SRGB_PRIMARIES)
    seen, wanted = (_BRADFORD @ _xyz(white[3]) for white in (chromaticities, _SRGB_PRIMARIES))
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(wanted / seen) @ _BRADFORD
    return np.asarray(np.linalg.inv(target) @ adapted @ source, np.float64)


def _xyz_from(chromaticities: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    columns = np.stack([_xyz(point) for point in chromaticities[:3]], axis=1)
    return np.asarray(columns * np.linalg.solve(columns, _xyz(chromaticities[3])), np.float64)


def _xyz(point: tuple[float, float]) -> NDArray[np.float64]:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])
