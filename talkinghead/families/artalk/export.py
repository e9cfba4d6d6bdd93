"""Animations for other programs: OBJ and PLY sequences, glTF with morph targets, FLAME parameters.

glTF holds one mesh, a few morph targets that span the whole motion (a basis found by singular values), their weights
per frame, and the head's rotation as a node: small files that Blender and browsers play.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, IntArray
from talkinghead.errors import OptionError, choices
from talkinghead.families.artalk.flame import FlameModel, rodrigues
from talkinghead.files import write_bytes
from talkinghead.places import fitted_name

FORMATS = ("obj", "ply", "glb", "npz", "json")
MAX_TARGETS = 48
TOLERANCE_M = 5e-5
"""Largest error of a vertex that the morph targets may leave, if `MAX_TARGETS` allow."""

_FLOAT, _UINT32, _UINT8 = 5126, 5125, 5121
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963


def export_motion(
    path: str | Path,
    motion: FloatArray,
    model: FlameModel,
    *,
    shape: FloatArray | None = None,
    fps: Fraction = Fraction(25),
    colours: FloatArray | None = None,
) -> list[Path]:
    """Write an animation; the suffix chooses the format. OBJ and PLY make one file per frame: name_00000.obj, ...

    Args:
        motion: [T, 106].
        shape: [1, 300] identity, or None.
        colours: [V, 3] RGB in [0, 1], or None.
    Returns:
        The files written.
    Raises:
        OptionError: unknown suffix. OutputError: it cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise OptionError(f"{path.name} has no known suffix.", accepted=choices([f".{name}" for name in FORMATS]))
    if len(motion) == 0:
        raise OptionError("The motion has no frames.")
    if kind == "glb":
        write_bytes(path, glb_bytes(motion, model, shape=shape, fps=fps, colours=colours))
        return [path]
    if kind in ("npz", "json"):
        write_bytes(path, parameters_bytes(kind, motion, shape, fps))
        return [path]
    written = []
    encode = obj_bytes if kind == "obj" else ply_bytes
    for start in range(0, len(motion), 64):
        for offset, vertices in enumerate(model.motion_vertices(motion[start : start + 64], shape)):
            one = path.with_name(fitted_name(path.stem, f"_{start + offset:05d}.{kind}"))
            write_bytes(one, encode(vertices, model.faces, colours))
            written.append(one)
    return written


def parameters_bytes(kind: str, motion: FloatArray, shape: FloatArray | None, fps: Fraction) -> bytes:
    """FLAME parameters per frame: expression [T, 100], pose [T, 6] (head and jaw, axis-angle), shape [300], fps."""
    values: dict[str, Any] = {
        "expression": motion[:, :100],
        "pose": motion[:, 100:106],
        "shape": np.zeros(300, np.float32) if shape is None else shape.reshape(300),
        "fps": float(fps),
    }
    if kind == "json":
        listed = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}
        return (json.dumps(listed) + "\n").encode()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **values)
    return buffer.getvalue()


def obj_bytes(vertices: FloatArray, faces: IntArray, colours: FloatArray | None = None) -> bytes:
    """A Wavefront OBJ; colours follow the coordinates, as most programs read them."""
    rows = vertices if colours is None else np.concatenate([vertices, colours], axis=1)
    lines = ["v " + " ".join(f"{value:.6f}" for value in row) for row in rows]
    lines += [f"f {a} {b} {c}" for a, b, c in faces + 1]
    return ("\n".join(lines) + "\n").encode()


def ply_bytes(vertices: FloatArray, faces: IntArray, colours: FloatArray | None = None) -> bytes:
    """A binary little-endian PLY."""
    fields: list[tuple[str, str]] = [(axis, "<f4") for axis in "xyz"]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property float {axis}" for axis in "xyz"]
    if colours is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")]
        header += [f"property uchar {name}" for name in ("red", "green", "blue")]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    table = np.zeros(len(vertices), dtype=fields)
    for index, axis in enumerate("xyz"):
        table[axis] = vertices[:, index]
    if colours is not None:
        for index, name in enumerate(("red", "green", "blue")):
            table[name] = np.round(np.clip(colours[:, index], 0, 1) * 255)
    triangles = np.zeros(len(faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"] = 3
    triangles["corners"] = faces
    return "\n".join(header).encode() + b"\n" + table.tobytes() + triangles.tobytes()


@dataclass(frozen=True, eq=False)
class MorphBasis:
    """A motion as a base and a few directions."""

    base: FloatArray
    """[V, 3]."""
    targets: FloatArray
    """[K, V, 3] offsets."""
    weights: FloatArray
    """[T, K]."""
    error_m: float
    """Largest error of any vertex in any frame."""


def morph_basis(vertices: FloatArray, *, tolerance: float = TOLERANCE_M, limit: int = MAX_TARGETS) -> MorphBasis:
    """Fewest directions that span a motion.

    Args:
        vertices: [T, V, 3].
    """
    base = vertices[0].copy()
    offsets = (vertices - base).reshape(len(vertices), -1).astype(np.float64)
    values, rows = np.linalg.eigh(offsets @ offsets.T)
    order = np.argsort(values)[::-1]
    usable = [int(index) for index in order if values[index] > 1e-12 * max(float(values.max()), 1e-12)]
    directions: list[NDArray[np.float64]] = []
    left = offsets.copy()
    error = float(np.abs(left).max()) if left.size else 0.0
    for index in usable[:limit]:
        if error <= tolerance:
            break
        direction = rows[:, index] @ offsets
        direction /= np.linalg.norm(direction)
        directions.append(direction)
        left -= np.outer(left @ direction, direction)
        error = float(np.abs(left).max())
    if not directions:  # a face that does not move; glTF wants a target for its weights
        directions.append(np.zeros(offsets.shape[1]))
    basis = np.array(directions)
    weights = offsets @ basis.T
    size = np.maximum(np.abs(weights).max(axis=0, initial=0.0), 1e-9)
    return MorphBasis(
        base=base,
        targets=(basis * size[:, None]).reshape(-1, *base.shape).astype(np.float32),
        weights=(weights / size).astype(np.float32),
        error_m=error,
    )


def glb_bytes(
    motion: FloatArray,
    model: FlameModel,
    *,
    shape: FloatArray | None = None,
    fps: Fraction = Fraction(25),
    colours: FloatArray | None = None,
) -> bytes:
    """A binary glTF 2.0 of the animation."""
    basis = morph_basis(model.motion_vertices(motion, shape, with_global=False))
    pivot = (model.joint_regressor[0] @ model.vertices(shape)[0]).astype(np.float32)
    buffer = _Buffer()
    attributes = {"POSITION": buffer.add(basis.base, "VEC3", target=_ARRAY_BUFFER, bounds=True)}
    if colours is not None:
        rgba = np.concatenate([_linear(colours), np.ones((len(colours), 1))], axis=1)
        attributes["COLOR_0"] = buffer.add(rgba.astype(np.float32), "VEC4", target=_ARRAY_BUFFER)
    indices = buffer.add(model.faces.astype(np.uint32).ravel(), "SCALAR", target=_ELEMENT_BUFFER)
    targets = [{"POSITION": buffer.add(one, "VEC3", target=_ARRAY_BUFFER, bounds=True)} for one in basis.targets]
    times = (np.arange(len(motion)) / float(fps)).astype(np.float32)
    time_view = buffer.add(times, "SCALAR", bounds=True)
    rotation_view = buffer.add(_quaternions(motion[:, 100:103]), "VEC4")
    samplers: list[dict[str, Any]] = [{"input": time_view, "output": rotation_view, "interpolation": "LINEAR"}]
    channels: list[dict[str, Any]] = [{"sampler": 0, "target": {"node": 0, "path": "rotation"}}]
    mesh: dict[str, Any] = {
        "name": "head",
        "primitives": [{"attributes": attributes, "indices": indices, "material": 0, "mode": 4}],
    }
    if targets:
        mesh["primitives"][0]["targets"] = targets
        mesh["weights"] = [0.0] * len(targets)
        mesh["extras"] = {"targetNames": [f"motion {number}" for number in range(len(targets))]}
        weight_view = buffer.add(basis.weights.ravel(), "SCALAR")
        samplers.append({"input": time_view, "output": weight_view, "interpolation": "LINEAR"})
        channels.append({"sampler": 1, "target": {"node": 1, "path": "weights"}})
    plain = [0.557, 0.702, 0.969, 1.0] if colours is None else [1.0, 1.0, 1.0, 1.0]
    document = {
        "asset": {"version": "2.0", "generator": "talkinghead"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [
            {"name": "rotation", "translation": pivot.tolist(), "children": [1]},
            {"name": "head", "translation": (-pivot).tolist(), "mesh": 0},
        ],
        "meshes": [mesh],
        "materials": [
            {
                "doubleSided": True,
                "pbrMetallicRoughness": {"baseColorFactor": plain, "metallicFactor": 0.0, "roughnessFactor": 0.7},
            }
        ],
        "animations": [{"name": "speech", "samplers": samplers, "channels": channels}],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary = bytes(buffer.data) + b"\0" * (-len(buffer.data) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    return b"".join(
        [
            struct.pack("<4sII", b"glTF", 2, total),
            struct.pack("<I4s", len(text), b"JSON"),
            text,
            struct.pack("<I4s", len(binary), b"BIN\0"),
            binary,
        ]
    )


class _Buffer:
    """The binary part of a glTF file and its tables."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: NDArray[Any], kind: str, *, target: int | None = None, bounds: bool = False) -> int:
        """Append an array; returns its accessor."""
        values = np.ascontiguousarray(values)
        self.data += b"\0" * (-len(self.data) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": values.nbytes}
        if target is not None:
            view["target"] = target
        self.data += values.tobytes()
        self.views.append(view)
        component = {"f": _FLOAT, "u": _UINT32}[values.dtype.kind]
        accessor: dict[str, Any] = {
            "bufferView": len(self.views) - 1,
            "componentType": component,
            "count": len(values),
            "type": kind,
        }
        if bounds:
            rows = values.reshape(len(values), -1)
            accessor["min"], accessor["max"] = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _linear(colours: FloatArray) -> NDArray[np.float64]:
    """sRGB to the linear colours that glTF stores."""
    values = np.clip(colours.astype(np.float64), 0, 1)
    linear: NDArray[np.float64] = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return linear


def _quaternions(vectors: FloatArray) -> FloatArray:
    """Axis-angle [T, 3] to unit quaternions (x, y, z, w) without jumps of sign."""
    angle = np.linalg.norm(vectors.astype(np.float64), axis=1)
    factor = np.where(angle < 1e-8, 0.5, np.sin(angle / 2) / np.maximum(angle, 1e-12))
    found = np.concatenate([vectors * factor[:, None], np.cos(angle / 2)[:, None]], axis=1)
    for index in range(1, len(found)):
        if found[index] @ found[index - 1] < 0:
            found[index] *= -1
    result: FloatArray = found.astype(np.float32)
    return result


def rotation_about(vertices: FloatArray, vectors: FloatArray, pivot: FloatArray) -> FloatArray:
    """Turn [T, V, 3] by axis-angle [T, 3] about a point: what a player of the glTF file does."""
    turned: FloatArray = np.einsum("tij,tvj->tvi", rodrigues(vectors), vertices - pivot) + pivot
    return turned


def read_glb(data: bytes) -> tuple[dict[str, Any], Sequence[NDArray[Any]]]:
    """The document and the arrays of its accessors, for tests and tools."""
    length = struct.unpack_from("<I", data, 12)[0]
    document = json.loads(data[20 : 20 + length])
    start = 20 + length + 8
    arrays = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        dtype = {_FLOAT: np.float32, _UINT32: np.uint32, _UINT8: np.uint8}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        flat = np.frombuffer(data, dtype, accessor["count"] * width, start + view["byteOffset"])
        arrays.append(flat.reshape(-1, width) if width > 1 else flat)
    return document, arrays
