"""Multi-resolution grid encoder (Müller et al. 2022) in the variant that the published heads were trained with."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, IntArray

F = np.float32
HASH_PRIMES = (1, 2654435761, 805459861, 3674653429, 2097192037, 1434869437, 2165219737)
ENTRY_MULTIPLE = 8
"""Tables are padded to a multiple of this."""


@dataclass(frozen=True)
class GridConfig:
    """Shape of one encoder."""

    base_resolution: int
    desired_resolution: float
    """Resolution of the last level; below the base the grids become coarser from level to level."""
    input_dim: int = 2
    num_levels: int = 12
    level_dim: int = 1
    """Features per level."""
    log2_table_size: int = 17
    """A level has at most 2 to this power entries; larger ones are hashed."""

    @property
    def per_level_scale(self) -> float:
        return float(2 ** (math.log2(self.desired_resolution / self.base_resolution) / (self.num_levels - 1)))

    @cached_property
    def offsets(self) -> IntArray:
        """[num_levels + 1] int32, first table row of each level."""
        rows = [0]
        for level in range(self.num_levels):
            resolution = math.ceil(self.base_resolution * self.per_level_scale**level)
            entries = min(2**self.log2_table_size, (resolution + 1) ** self.input_dim)
            rows.append(rows[-1] + math.ceil(entries / ENTRY_MULTIPLE) * ENTRY_MULTIPLE)
        return np.array(rows, np.int32)

    @property
    def num_features(self) -> int:
        return self.num_levels * self.level_dim


FACE_GRID = GridConfig(base_resolution=16, desired_resolution=256 * 0.15)
MOUTH_GRID = GridConfig(base_resolution=64, desired_resolution=384 * 0.15)


def encode(points: FloatArray, embeddings: FloatArray, config: GridConfig, bound: float) -> FloatArray:
    """Interpolate the feature grids of all levels.

    Args:
        points: [N, D] float32.
        embeddings: [offsets[-1], level_dim] float32, all levels one after the other.
        bound: the grid covers [-bound, bound] along each axis.
    Returns:
        [N, num_levels * level_dim] float32, level after level. Points outside the grid (or not finite) give zeros.
    Source: TalkingGaussian, published `gridencoder`: linear interpolation, corners not aligned.
    """
    if embeddings.shape != (config.offsets[-1], config.level_dim):
        raise ValueError(f"embeddings must be {[int(config.offsets[-1]), config.level_dim]}, not {embeddings.shape}")
    unit = (points + F(bound)) / F(2 * bound)
    inside: NDArray[np.bool_] = np.asarray(((unit >= 0) & (unit <= 1)).all(axis=1))
    unit = np.where(inside[:, None], unit, F(0))
    growth = F(math.log2(config.per_level_scale))
    features = np.zeros((len(points), config.num_levels, config.level_dim), np.float32)
    for level in range(config.num_levels):
        scale = F(np.exp2(F(level) * growth) * F(config.base_resolution) - F(1))
        resolution = math.ceil(scale) + 1
        position = unit * scale + F(0.5)
        cell = np.floor(position)
        part = position - cell
        table = embeddings[config.offsets[level] : config.offsets[level + 1]]
        for corner in itertools.product((0, 1), repeat=config.input_dim):
            corner = corner[::-1]  # the first axis changes fastest
            weight = np.ones(len(points), np.float32)
            for axis, far in enumerate(corner):
                weight *= part[:, axis] if far else F(1) - part[:, axis]
            rows = table_rows(cell.astype(np.uint32) + np.array(corner, np.uint32), resolution, len(table))
            features[:, level] += weight[:, None] * table[rows]
    features[~inside] = 0
    return features.reshape(len(points), config.num_features)


def table_rows(corners: NDArray[np.uint32], resolution: int, table_size: int) -> NDArray[np.uint32]:
    """Row of each grid corner in its level's table: dense while the level fits, else hashed.

    Args:
        corners: [N, D] uint32 grid coordinates, 0 to resolution.
    """
    stride = 1
    index = np.zeros(len(corners), np.uint32)
    for axis in range(corners.shape[1]):
        if stride > table_size:
            break
        index += corners[:, axis] * np.uint32(stride)
        stride *= resolution + 1
    if stride > table_size:
        index = np.zeros(len(corners), np.uint32)
        for axis in range(corners.shape[1]):
            index ^= corners[:, axis] * np.uint32(HASH_PRIMES[axis])
    return index % np.uint32(table_size)
