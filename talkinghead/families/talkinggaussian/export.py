"""Trained clouds as PLY files that other viewers show rightly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from talkinghead.contracts import FloatArray
from talkinghead.families.talkinggaussian.checkpoint import CanonicalCloud

SOFTPLUS_THRESHOLD = 20.0
"""Above this softplus is taken as the identity, as PyTorch does."""
MIN_SCALE = 1e-12
Activations = Literal["viewer", "published"]


def softplus(raw: FloatArray) -> FloatArray:
    """log(1 + exp(raw)), float32."""
    values = raw.astype(np.float64)
    small = np.log1p(np.exp(np.minimum(values, SOFTPLUS_THRESHOLD)))
    return np.where(values > SOFTPLUS_THRESHOLD, values, small).astype(np.float32)


def ply_columns(cloud: CanonicalCloud, activations: Activations = "viewer") -> dict[str, FloatArray]:
    """Vertex properties in the order of the published PLY files.

    Args:
        activations: "viewer" writes scales as logarithms and unit quaternions, which is what viewers of Gaussian
            splatting undo; "published" writes the raw values of TalkingGaussian (softplus scales).
    """
    columns: dict[str, FloatArray] = {name: cloud.xyz[:, axis] for axis, name in enumerate("xyz")}
    columns.update({name: np.zeros(len(cloud), np.float32) for name in ("nx", "ny", "nz")})
    columns.update({f"f_dc_{channel}": cloud.features[:, 0, channel] for channel in range(3)})
    rest = cloud.features[:, 1:].transpose(0, 2, 1).reshape(len(cloud), -1)  # channel-major
    columns.update({f"f_rest_{index}": rest[:, index] for index in range(rest.shape[1])})
    columns["opacity"] = cloud.opacity[:, 0]
    scales, rotation = cloud.scaling, cloud.rotation
    if activations == "viewer":
        scales = np.log(np.maximum(softplus(cloud.scaling), np.float32(MIN_SCALE)))
        length = np.linalg.norm(rotation, axis=1, keepdims=True)
        rotation = rotation / np.maximum(length, np.float32(1e-12))
    columns.update({f"scale_{axis}": scales[:, axis] for axis in range(3)})
    columns.update({f"rot_{axis}": rotation[:, axis] for axis in range(4)})
    return columns


def ply_bytes(clouds: Sequence[CanonicalCloud], activations: Activations = "viewer") -> bytes:
    """A binary PLY file of one or more clouds with the same number of coefficients."""
    tables = [ply_columns(cloud, activations) for cloud in clouds]
    names = list(tables[0])
    if any(list(table) != names for table in tables):
        raise ValueError("the clouds have different numbers of spherical harmonics")
    rows = np.concatenate([np.stack([table[name] for name in names], axis=1) for table in tables])
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    header += [f"property float {name}" for name in names]
    return ("\n".join([*header, "end_header"]) + "\n").encode("ascii") + rows.astype("<f4").tobytes()


def write_ply(
    clouds: Sequence[CanonicalCloud], path: Path, *, activations: Activations = "viewer", overwrite: bool = False
) -> None:
    """Write clouds as PLY; the file appears only when complete.

    Raises:
        OutputError: it cannot be written.
    """
    from talkinghead.files import write_bytes

    write_bytes(path, ply_bytes(clouds, activations), overwrite=overwrite)
