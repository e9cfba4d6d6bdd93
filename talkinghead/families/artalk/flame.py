"""The FLAME head: shape, expression and pose to vertices (Li et al. 2017; reference: artalk.md, section 8).

NumPy only, so that a mesh speaks on the base install. Joints: 0 root, 1 neck, 2 jaw, 3 and 4 eyes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, IntArray
from talkinghead.errors import OptionError, WrongCheckpoint
from talkinghead.reading import reading
from talkinghead.weights.checkpoint import read_checkpoint
from talkinghead.weights.pickled import Record

NUM_SHAPE = 300
NUM_EXPRESSION = 100
NUM_JOINTS = 5
ROOT, NECK, JAW, LEFT_EYE, RIGHT_EYE = range(NUM_JOINTS)
PARENTS = (-1, 0, 1, 1, 1)

_MODEL_KEYS = ("f", "v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights")
ACCEPTED = "FLAME_with_eye.pt, a FLAME 2020 or 2023 .pkl, or an .npz with the same arrays"
REMEDY = "download FLAME from flame.is.tue.mpg.de (its licence does not allow redistribution)"


@dataclass(frozen=True, eq=False)
class FlameModel:
    """The arrays of a FLAME-format head."""

    faces: IntArray
    """[F, 3] int32."""
    template: FloatArray
    """[V, 3] float32, metres."""
    shape_directions: FloatArray
    """[V, 3, 400] float32: 300 of identity, 100 of expression."""
    pose_directions: FloatArray
    """[V, 3, 36] float32: joint-major, row-major entries of R - I of joints 1 to 4."""
    joint_regressor: FloatArray
    """[5, V] float32."""
    skinning_weights: FloatArray
    """[V, 5] float32; rows sum to 1."""
    landmarks: Mapping[str, NDArray[Any]]
    """Landmark embeddings of the file, by "group/key"; empty where it has none."""
    texture_points: FloatArray | None = None
    """[n, 2] float32 (u, v) of a texture, v upwards; None where the file has none."""
    texture_faces: IntArray | None = None
    """[F, 3] int32: the texture points of the faces' corners."""

    @property
    def num_vertices(self) -> int:
        return len(self.template)

    @cached_property
    def _joint_template(self) -> FloatArray:
        joints: FloatArray = self.joint_regressor @ self.template
        return joints

    @cached_property
    def _joint_directions(self) -> FloatArray:
        """[15, 400]: joints move linearly with the shape and expression."""
        flat = self.shape_directions.reshape(self.num_vertices, -1)
        return np.ascontiguousarray((self.joint_regressor @ flat).reshape(NUM_JOINTS * 3, -1))

    @cached_property
    def _shape_matrix(self) -> FloatArray:
        """[400, 3 V]."""
        return np.ascontiguousarray(self.shape_directions.reshape(-1, NUM_SHAPE + NUM_EXPRESSION).T)

    @cached_property
    def _pose_matrix(self) -> FloatArray:
        """[36, 3 V]."""
        return np.ascontiguousarray(self.pose_directions.reshape(-1, 9 * (NUM_JOINTS - 1)).T)

    def vertices(
        self,
        shape: FloatArray | None = None,
        expression: FloatArray | None = None,
        pose: FloatArray | None = None,
        eyes: FloatArray | None = None,
        *,
        scale: float = 1.0,
    ) -> FloatArray:
        """Pose the head by linear blend skinning.

        Args:
            shape: [B or 1, 300] identity; None is the mean head.
            expression: [B, 100].
            pose: [B, 6] axis-angle of the whole head and of the jaw, radians; [B, 3] is the jaw alone.
            eyes: [B, 6] axis-angle of both eyes.
            scale: multiplies the result.
        Returns:
            [B, V, 3] float32.
        Raises:
            OptionError: shapes that do not fit together.
        """
        given = {"shape": shape, "expression": expression, "pose": pose, "eyes": eyes}
        batch = max([len(value) for value in given.values() if value is not None], default=1)
        shape_b = _rows("shape", shape, batch, (NUM_SHAPE,))
        expression_b = _rows("expression", expression, batch, (NUM_EXPRESSION,))
        pose_b = _rows("pose", pose, batch, (6, 3))
        eyes_b = _rows("eyes", eyes, batch, (6,))
        if pose_b.shape[1] == 3:
            pose_b = np.concatenate((np.zeros_like(pose_b), pose_b), axis=1)

        betas = np.concatenate((shape_b, expression_b), axis=1)
        neck = np.zeros((batch, 3), dtype=np.float32)
        rotations = rodrigues(np.concatenate((pose_b[:, :3], neck, pose_b[:, 3:], eyes_b), axis=1).reshape(-1, 3))
        rotations = rotations.reshape(batch, NUM_JOINTS, 3, 3)
        joints = self._joint_template[None] + (betas @ self._joint_directions.T).reshape(batch, NUM_JOINTS, 3)
        pose_features = (rotations[:, 1:] - np.eye(3, dtype=np.float32)).reshape(batch, -1)
        used = np.flatnonzero(betas.any(axis=0))  # most identities and expressions leave many directions out
        offsets = betas[:, used] @ self._shape_matrix[used] + pose_features @ self._pose_matrix
        posed = self.template[None] + offsets.reshape(batch, -1, 3)

        transforms = _relative_transforms(rotations, joints)  # [B, 5, 3, 4]
        blended = self.skinning_weights @ transforms.reshape(batch, NUM_JOINTS, 12)  # [B, V, 12]
        blended = blended.reshape(batch, -1, 3, 4)
        result = blended[..., 3].copy()
        for axis in range(3):
            result += blended[..., axis] * posed[..., axis, None]
        return np.ascontiguousarray(result * np.float32(scale), dtype=np.float32)

    def motion_vertices(
        self, motion: FloatArray, shape: FloatArray | None = None, *, with_global: bool = True, scale: float = 1.0
    ) -> FloatArray:
        """Vertices of ARTalk motion.

        Args:
            motion: [T, 106]: 100 expression values, head rotation, jaw rotation.
            with_global: False ignores the head rotation.
        Returns:
            [T, V, 3] float32.
        """
        pose = motion[:, NUM_EXPRESSION : NUM_EXPRESSION + 6]
        if not with_global:
            pose = np.concatenate((np.zeros_like(pose[:, :3]), pose[:, 3:]), axis=1)
        return self.vertices(shape, motion[:, :NUM_EXPRESSION], pose, scale=scale)

    def mediapipe_landmarks(self, vertices: FloatArray) -> FloatArray:
        """The 105 MediaPipe landmarks: [B, V, 3] to [B, 105, 3].

        Raises:
            WrongCheckpoint: the file has no MediaPipe embedding.
        """
        try:
            faces = self.landmarks["lmk_embeddings_mediapipe/lmk_face_idx"]
            weights = self.landmarks["lmk_embeddings_mediapipe/lmk_b_coords"]
        except KeyError:
            raise WrongCheckpoint(
                "This FLAME file has no MediaPipe landmarks.", accepted="FLAME_with_eye.pt", remedy=REMEDY
            ) from None
        corners = vertices[:, self.faces[faces]]  # [B, 105, 3 corners, 3]
        return np.ascontiguousarray((corners * weights[None, :, :, None].astype(np.float32)).sum(axis=2))


def _rows(name: str, value: FloatArray | None, batch: int, widths: tuple[int, ...]) -> FloatArray:
    if value is None:
        return np.zeros((batch, widths[0]), dtype=np.float32)
    if value.ndim != 2 or value.shape[1] not in widths or len(value) not in (1, batch):
        raise OptionError(
            f"FLAME's {name} has the shape {list(value.shape)}.",
            accepted=" or ".join(f"[{batch} or 1, {width}]" for width in widths),
        )
    return np.broadcast_to(value, (batch, value.shape[1])).astype(np.float32)


def rodrigues(rotation_vectors: FloatArray) -> FloatArray:
    """Axis-angle to matrices: [n, 3] radians to [n, 3, 3].

    The published angle is the length of r with 1e-8 added to each component, the axis r over that angle; r = 0 gives
    the identity exactly.
    """
    angle = np.linalg.norm(rotation_vectors + np.float32(1e-8), axis=1)[:, None]
    axis = rotation_vectors / angle
    x, y, z = axis.T
    zero = np.zeros_like(x)
    cross = np.stack((zero, -z, y, z, zero, -x, -y, x, zero), axis=1).reshape(-1, 3, 3)
    sine = np.sin(angle)[:, :, None]
    cosine = np.cos(angle)[:, :, None]
    identity = np.eye(3, dtype=rotation_vectors.dtype)
    matrices: FloatArray = identity + sine * cross + (1 - cosine) * (cross @ cross)
    return matrices


def _relative_transforms(rotations: FloatArray, joints: FloatArray) -> FloatArray:
    """Each joint's transform relative to the rest pose: [B, 5, 3, 3] and [B, 5, 3] to [B, 5, 3, 4]."""
    batch = len(rotations)
    world = np.zeros((batch, NUM_JOINTS, 3, 4), dtype=np.float32)
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            world[:, joint, :, :3] = rotations[:, joint]
            world[:, joint, :, 3] = joints[:, joint]
            continue
        world[:, joint, :, :3] = world[:, parent, :, :3] @ rotations[:, joint]
        offset = (joints[:, joint] - joints[:, parent])[..., None]
        world[:, joint, :, 3] = (world[:, parent, :, :3] @ offset)[..., 0] + world[:, parent, :, 3]
    world[..., 3] -= (world[..., :3] @ joints[..., None])[..., 0]
    return world


def flame_from_arrays(arrays: Mapping[str, NDArray[Any]], origin: str) -> FlameModel:
    """Build the model from the arrays of a file.

    Args:
        arrays: named as published, alone ("f"), or below their group ("flame_model/f" or "flame_model.f").
    Raises:
        WrongCheckpoint: an array is missing or has another shape.
    """
    named = {key.replace(".", "/"): value for key, value in arrays.items()}
    plain = {key.removeprefix("flame_model/"): value for key, value in named.items()}
    missing = [key for key in _MODEL_KEYS if key not in plain]
    if missing:
        raise WrongCheckpoint(f"{origin} lacks {', '.join(missing)}.", accepted=ACCEPTED, remedy=REMEDY)
    vertices = len(plain["v_template"]) if plain["v_template"].ndim else 0
    corners = 9 * (NUM_JOINTS - 1)
    expected: dict[str, tuple[tuple[int, ...], ...]] = {
        "v_template": ((vertices, 3),),
        "shapedirs": ((vertices, 3, NUM_SHAPE + NUM_EXPRESSION),),
        "posedirs": (plain["posedirs"].shape if plain["posedirs"].size == vertices * 3 * corners else (),),
        "J_regressor": ((NUM_JOINTS, vertices),),
        "weights": ((vertices, NUM_JOINTS),),
        "kintree_table": ((2, NUM_JOINTS),),
        "f": ((plain["f"].size // 3, 3),),
    }
    for key, shapes in expected.items():
        value = plain[key]
        if value.shape not in shapes or value.dtype.kind not in "fiu" or not value.size:
            raise WrongCheckpoint(
                f"{key} of {origin} has the shape {list(value.shape)} {value.dtype}.",
                accepted=str(list(shapes[0])),
                remedy=REMEDY,
            )
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise WrongCheckpoint(f"{key} of {origin} holds values that are not numbers.", remedy=REMEDY)
    template = np.ascontiguousarray(plain["v_template"], dtype=np.float32)
    parents = plain["kintree_table"][0].astype(np.int64)[1:]
    if tuple(parents) != PARENTS[1:]:
        raise WrongCheckpoint(f"{origin} has joints of another body (parents {list(parents)}).", accepted=ACCEPTED)
    faces = plain["f"].astype(np.int32)
    layout = texture_layout(plain, len(faces))
    if faces.min() < 0 or faces.max() >= vertices:
        raise WrongCheckpoint(f"The faces of {origin} do not index its {vertices} vertices.", accepted=ACCEPTED)
    return FlameModel(
        faces=np.ascontiguousarray(faces),
        template=template,
        shape_directions=np.ascontiguousarray(plain["shapedirs"], dtype=np.float32),
        pose_directions=np.ascontiguousarray(
            plain["posedirs"].reshape(vertices, 3, 9 * (NUM_JOINTS - 1)), dtype=np.float32
        ),
        joint_regressor=np.ascontiguousarray(plain["J_regressor"], dtype=np.float32),
        skinning_weights=np.ascontiguousarray(plain["weights"], dtype=np.float32),
        landmarks={key: value for key, value in named.items() if key.startswith("lmk_")},
        texture_points=None if layout is None else layout[0],
        texture_faces=None if layout is None else layout[1],
    )


def texture_layout(arrays: Mapping[str, NDArray[Any]], num_faces: int) -> tuple[FloatArray, IntArray] | None:
    """Where a texture lies on the head: `vt` [n, 2] and `ft` [F, 3] of a file, as float32 and int32.

    Returns:
        None where the arrays are not there, or do not fit the faces.
    """
    points, corners = arrays.get("vt"), arrays.get("ft")
    if points is None or corners is None or points.ndim != 2 or points.shape[1] < 2:
        return None
    if corners.shape != (num_faces, 3) or not num_faces or {points.dtype.kind, corners.dtype.kind} - set("fiu"):
        return None
    if not (np.isfinite(points).all() and np.isfinite(corners).all()):
        return None
    corners = corners.astype(np.int32)
    if corners.min() < 0 or corners.max() >= len(points):
        return None
    return np.ascontiguousarray(points[:, :2], np.float32), np.ascontiguousarray(corners)


def load_flame(path: str | Path) -> FlameModel:
    """Read a FLAME head; no code of the file is run.

    Raises:
        WrongCheckpoint: not a FLAME file. UnsafeCheckpoint: reading it the usual way would run code.
    """
    checkpoint = read_checkpoint(path, keep_classes=("chumpy.", "scipy.sparse."))
    with reading(path, WrongCheckpoint, what="does not hold a FLAME head", accepted=ACCEPTED, remedy=REMEDY):
        return flame_from_arrays(_with_dense(checkpoint.tree, checkpoint.tensors), str(path))


def _with_dense(tree: Any, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays of a file, with chumpy objects and the sparse joint regressor of official pickles as plain arrays."""
    arrays = dict(tensors)
    if not isinstance(tree, Mapping):
        return arrays
    for key, value in tree.items():
        if not isinstance(value, Record):
            continue
        state = value.attributes()
        if isinstance(state.get("x"), np.ndarray):  # chumpy.Ch keeps its value in `x`
            arrays[str(key)] = state["x"]
        elif {"data", "indices", "indptr"} <= set(state):
            arrays[str(key)] = _dense(state, str(key))
    return arrays


MAX_DENSE = 1 << 24
"""Elements of a sparse matrix once it is written out; the joint regressors of published bodies have under a million."""


def _dense(state: Mapping[str, Any], name: str) -> NDArray[Any]:
    """A SciPy CSC or CSR matrix's state as an array; told apart by which length its pointers have.

    Raises:
        WrongCheckpoint: the parts do not describe a matrix.
    """
    shape = state.get("_shape") or state.get("shape")
    parts = [state[key] for key in ("data", "indices", "indptr")]
    if not (
        isinstance(shape, tuple)
        and len(shape) == 2
        and all(isinstance(size, int) and 0 < size <= MAX_DENSE for size in shape)
        and shape[0] * shape[1] <= MAX_DENSE
        and all(isinstance(part, np.ndarray) and part.ndim == 1 for part in parts)
        and parts[0].dtype.kind in "fiu"
        and all(part.dtype.kind in "iu" for part in parts[1:])
    ):
        raise WrongCheckpoint(f"{name} is not a sparse matrix of at most {MAX_DENSE} elements.", accepted=ACCEPTED)
    rows, columns = shape
    data, indices, pointers = parts
    by_column = len(pointers) == columns + 1
    counts = np.diff(pointers.astype(np.int64))
    fits = (
        len(pointers) == (columns if by_column else rows) + 1
        and len(data) == len(indices) == pointers[-1]
        and pointers[0] == 0
        and counts.min() >= 0
        and indices.min(initial=0) >= 0
        and indices.max(initial=0) < (rows if by_column else columns)
    )
    if not fits:
        raise WrongCheckpoint(f"{name} is a sparse matrix whose parts do not fit together.", accepted=ACCEPTED)
    dense = np.zeros((rows, columns), dtype=np.float64)
    major = np.repeat(np.arange(len(counts)), counts)
    np.add.at(dense, (indices, major) if by_column else (major, indices), data)
    return dense
