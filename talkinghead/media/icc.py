"""Colour profiles (ICC.1): what the numbers of a picture mean, and the same colours in sRGB.

Profiles of three kinds are understood: three curves and a matrix (cameras and screens: Display P3, Adobe RGB), one
curve (grey), and tables (scanners, some cameras and screens). All lead through a space of D50 white to sRGB; colours
beyond sRGB are clipped. What a stranger wrote into a profile is bounded: nothing is larger than the profile itself.

    codes -> curves -> matrix ----------\\
    codes -> curves -> table -> curves --+-> XYZ (D50) -> linear sRGB -> sRGB
    grey  -> curve  -> white  ----------/
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

D50 = np.array([0.9642, 1.0, 0.8249])
"""White of the space that profiles lead to."""
SRGB_FROM_D50 = np.linalg.inv(
    np.array(
        [
            [0.4360747, 0.3850649, 0.1430804],
            [0.2225045, 0.7168786, 0.0606169],
            [0.0139322, 0.0971045, 0.7141733],
        ]
    )
)
"""[3, 3] linear sRGB from XYZ, adapted to D50 by Bradford's matrix."""
PERCEPTUAL_BLACK = np.array([0.00336, 0.0034731, 0.00287])
"""What tables of version 4 lead black to (ICC.1:2022, 6.3.4.3)."""
SAME = 1.5 / 255
"""A profile that moves no colour further than this is sRGB by another name."""
_CHANNELS = {b"RGB ": 3, b"GRAY": 1}
_KINDS = (b"mntr", b"scnr", b"prtr", b"spac")
_MAX_TAGS = 100
_Step = Callable[[Floats], Floats]


class BrokenProfile(ValueError):
    """A profile that says nothing usable; the message is a clause."""


@dataclass(frozen=True, eq=False)
class Profile:
    """The meaning of a picture's numbers."""

    space: str
    """"RGB" or "GRAY"."""
    curves: tuple[_Step, ...] | None
    """With `matrix`: each channel to light, [n] in [0, 1]; None for a profile of tables."""
    matrix: Floats | None
    """[3, channels] linear sRGB from light."""
    table: _Step | None
    """[n, channels] in [0, 1] to linear sRGB [n, 3]; None for a profile of curves and a matrix."""

    @property
    def channels(self) -> int:
        return 1 if self.space == "GRAY" else 3

    def linear_srgb(self, colours: Floats) -> Floats:
        """Linear sRGB [n, 3], not clipped, of colours [n, channels] in [0, 1]."""
        if self.table is not None:
            return self.table(colours)
        assert self.curves is not None
        assert self.matrix is not None
        light = np.stack([curve(colours[:, i]) for i, curve in enumerate(self.curves)], axis=1)
        return np.asarray(light @ self.matrix.T, np.float64)

    def is_srgb(self) -> bool:
        """Whether converting would change nothing that can be seen."""
        steps = np.linspace(0, 1, 9)
        grid = np.array(list(product(steps, repeat=self.channels)))
        moved = srgb_encoded(self.linear_srgb(grid)) - grid
        return bool(np.abs(moved).max() <= SAME)


def srgb_encoded(linear: Floats) -> Floats:
    """sRGB values in [0, 1] of linear light, clipped (IEC 61966-2-1)."""
    light = np.clip(linear, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)


def read_profile(data: bytes) -> Profile:
    """Understand an ICC profile.

    Raises:
        BrokenProfile: it is damaged, or of a kind that no picture should have.
    """
    try:
        return _read(data)
    except BrokenProfile:
        raise
    except (struct.error, ValueError, IndexError, OverflowError, np.linalg.LinAlgError) as error:
        raise BrokenProfile("is damaged") from error


def _read(data: bytes) -> Profile:
    if len(data) < 132 or data[36:40] != b"acsp":
        raise BrokenProfile("is damaged")
    space, pcs = data[16:20], data[20:24]
    if space not in _CHANNELS or pcs not in (b"XYZ ", b"Lab ") or data[12:16] not in _KINDS:
        raise BrokenProfile(f"is of a kind that pictures do not have ({_text(data[12:16])}, {_text(space)})")
    tags = _tags(data)
    name = _text(space)
    if b"A2B0" in tags:
        return Profile(name, None, None, _table(tags[b"A2B0"], _CHANNELS[space], pcs == b"Lab ", data[8]))
    if space == b"GRAY" and b"kTRC" in tags:
        return Profile(name, (_curve(tags[b"kTRC"])[0],), np.ones((3, 1)), None)
    if space == b"RGB " and all(name in tags for name in (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")):
        matrix = np.stack([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
        if abs(np.linalg.det(matrix)) < 1e-3 or not 0.5 < matrix[1].sum() < 1.5:
            raise BrokenProfile("has primaries that make no colours")
        curves = tuple(_curve(tags[name])[0] for name in (b"rTRC", b"gTRC", b"bTRC"))
        if any(float(curve(np.ones(1))[0]) < 0.5 for curve in curves):
            raise BrokenProfile("has curves that make no light")
        return Profile(name, curves, SRGB_FROM_D50 @ matrix, None)
    raise BrokenProfile("has no curves and no tables")


def _text(signature: bytes) -> str:
    return "".join(chr(byte) if 32 < byte < 127 else "" for byte in signature)


def _tags(data: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", data, 128)
    if count > _MAX_TAGS:
        raise BrokenProfile("is damaged")
    tags: dict[bytes, bytes] = {}
    for i in range(count):
        name, offset, size = struct.unpack_from(">4sII", data, 132 + 12 * i)
        if offset + size > len(data) or offset < 128:
            raise BrokenProfile("is cut short")
        tags[name] = data[offset : offset + size]
    return tags


def _fixed(data: bytes, count: int, at: int) -> Floats:
    """s15Fixed16 numbers."""
    return np.array(struct.unpack_from(f">{count}i", data, at), np.float64) / 65536


def _xyz(data: bytes) -> Floats:
    if data[:4] != b"XYZ ":
        raise BrokenProfile("is damaged")
    return _fixed(data, 3, 8)


def _curve(data: bytes) -> tuple[_Step, int]:
    """A curve of one channel, and the bytes that it takes."""
    kind = data[:4]
    if kind == b"curv":
        (count,) = struct.unpack_from(">I", data, 8)
        if count == 0:
            return lambda x: x, 12
        if count == 1:
            gamma = struct.unpack_from(">H", data, 12)[0] / 256
            return lambda x: np.power(np.clip(x, 0, None), gamma), 14
        if 12 + 2 * count > len(data):
            raise BrokenProfile("is cut short")
        return _sampled(np.frombuffer(data, ">u2", count, 12) / 65535.0), 12 + 2 * count
    if kind == b"para":
        (function,) = struct.unpack_from(">H", data, 8)
        if function > 4:
            raise BrokenProfile("has a curve of an unknown kind")
        count = (1, 3, 4, 5, 7)[function]
        return _parametric(function, _fixed(data, count, 12)), 12 + 4 * count
    raise BrokenProfile("has a curve of an unknown kind")


def _sampled(values: Floats) -> _Step:
    places = np.linspace(0, 1, len(values))
    return lambda x: np.asarray(np.interp(x, places, values), np.float64)


def _parametric(function: int, numbers: Floats) -> _Step:
    """Section 10.18 of ICC.1:2022: a power from `d` on, a line before."""
    g, a, b, c, d, e, f = (1.0, 1.0, 0.0, 0.0, -np.inf, 0.0, 0.0)
    if function == 0:
        g = numbers[0]
    elif function in (1, 2):
        g, a, b = numbers[:3]
        d = -b / a if a else -np.inf
        e = f = numbers[3] if function == 2 else 0.0
    else:
        g, a, b, c, d = numbers[:5]
        e, f = numbers[5:7] if function == 4 else (0.0, 0.0)

    def curve(x: Floats) -> Floats:
        power = np.power(np.clip(a * x + b, 0, None), g) + e
        return np.asarray(np.where(x >= d, power, c * x + f), np.float64)

    return curve


# Profiles of tables


def _table(data: bytes, channels: int, lab: bool, version: int) -> _Step:
    if data[:4] in (b"mft1", b"mft2"):
        steps, scale = _old_table(data, channels)
    elif data[:4] == b"mAB ":
        steps, scale = _new_table(data, channels), 1.0
    else:
        raise BrokenProfile("has a table of an unknown kind")

    def convert(colours: Floats) -> Floats:
        values = np.clip(colours, 0, 1)
        for step in steps:
            values = step(values)
        xyz = _xyz_from_lab(values * scale) if lab else values * (1 + 32767 / 32768)
        if version >= 4:
            xyz = (xyz - PERCEPTUAL_BLACK) * D50 / (D50 - PERCEPTUAL_BLACK)
        return np.asarray(xyz @ SRGB_FROM_D50.T, np.float64)

    return convert


def _xyz_from_lab(values: Floats) -> Floats:
    """XYZ of L*a*b* stored in [0, 1]: 0 to 100, and -128 to 127 twice."""
    light = values[:, 0] * 100
    red, yellow = values[:, 1] * 255 - 128, values[:, 2] * 255 - 128
    y = (light + 16) / 116
    f = np.stack([y + red / 500, y, y - yellow / 200], axis=1)
    xyz: Floats = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2) * D50
    return xyz


def _old_table(data: bytes, channels: int) -> tuple[list[_Step], float]:
    """Lut8Type and lut16Type: curves, a table, curves. (The matrix before them is for XYZ on the way in alone.)

    Returns:
        The steps, and what 16-bit L*a*b* of version 2 is multiplied by: it calls 0xFF00 full.
    """
    wide = data[:4] == b"mft2"
    inputs, outputs, side = data[8], data[9], data[10]
    if (inputs, outputs) != (channels, 3) or side < 2:
        raise BrokenProfile("has a table of another shape")
    entries = struct.unpack_from(">HH", data, 48) if wide else (256, 256)
    if not all(2 <= count <= 4096 for count in entries):
        raise BrokenProfile("has a table of another shape")
    kind, full = (np.dtype(">u2"), 65535.0) if wide else (np.dtype("u1"), 255.0)
    at = 52 if wide else 48
    first, at = _numbers(data, kind, entries[0] * inputs, at)
    grid, at = _numbers(data, kind, side**inputs * outputs, at)
    last, _ = _numbers(data, kind, entries[1] * outputs, at)
    steps = [
        _each([_sampled(row / full) for row in first.reshape(inputs, -1)]),
        interpolator((grid / full).reshape(*[side] * inputs, outputs)),
        _each([_sampled(row / full) for row in last.reshape(outputs, -1)]),
    ]
    return steps, 65535 / 65280 if wide else 1.0


def _new_table(data: bytes, channels: int) -> list[_Step]:
    """lutAToBType: A curves, a table, M curves, a matrix, B curves; all but the last may be absent."""
    inputs, outputs = data[8], data[9]
    if (inputs, outputs) != (channels, 3):
        raise BrokenProfile("has a table of another shape")
    b_at, matrix_at, m_at, grid_at, a_at = struct.unpack_from(">5I", data, 12)
    steps: list[_Step] = []
    if a_at and grid_at:
        steps.append(_each(_curves(data, a_at, inputs)))
        sides = data[grid_at : grid_at + inputs]
        if len(sides) != inputs or min(sides) < 2:
            raise BrokenProfile("has a table of another shape")
        kind, full = (np.dtype("u1"), 255.0) if data[grid_at + 16] == 1 else (np.dtype(">u2"), 65535.0)
        grid, _ = _numbers(data, kind, int(np.prod(np.array(list(sides), np.float64))) * outputs, grid_at + 20)
        steps.append(interpolator((grid / full).reshape(*sides, outputs)))
    elif inputs != outputs:
        raise BrokenProfile("has a table of another shape")
    if m_at and matrix_at:
        steps.append(_each(_curves(data, m_at, outputs)))
        numbers = _fixed(data, 12, matrix_at)
        matrix, offset = numbers[:9].reshape(3, 3), numbers[9:]
        steps.append(lambda x: np.asarray(x @ matrix.T + offset, np.float64))
    steps.append(_each(_curves(data, b_at, outputs)))
    return steps


def _numbers(data: bytes, kind: np.dtype[Any], count: int, at: int) -> tuple[Floats, int]:
    end = at + count * kind.itemsize
    if end > len(data):
        raise BrokenProfile("is cut short")
    return np.frombuffer(data, kind, count, at).astype(np.float64), end


def _curves(data: bytes, at: int, count: int) -> list[_Step]:
    """Curves one after the other, each begun at a multiple of four bytes."""
    curves = []
    for _ in range(count):
        curve, size = _curve(data[at:])
        curves.append(curve)
        at += -(-size // 4) * 4
    return curves


def _each(curves: Sequence[_Step]) -> _Step:
    return lambda x: np.stack([curve(x[:, i]) for i, curve in enumerate(curves)], axis=1)


def interpolator(grid: Floats) -> _Step:
    """Linear interpolation in a table [side, ..., outputs] with any number of inputs."""
    sides = np.array(grid.shape[:-1])
    strides = np.array([int(np.prod(sides[i + 1 :])) for i in range(len(sides))])
    flat = grid.reshape(-1, grid.shape[-1])

    def look_up(x: Floats) -> Floats:
        place = np.clip(x, 0, 1) * (sides - 1)
        low = np.minimum(place.astype(np.int64), sides - 2)
        part = place - low
        base = low @ strides
        total = np.zeros((len(x), flat.shape[1]))
        for corner in product((0, 1), repeat=len(sides)):
            weight = np.prod(np.where(np.array(corner) == 1, part, 1 - part), axis=1)
            total += flat[base + int(np.array(corner) @ strides)] * weight[:, None]
        return total

    return look_up
