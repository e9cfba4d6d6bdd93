"""Where the procedural head's landmarks lie on its surface, in the groups of a FLAME file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray
from talkinghead.families.artalk.procedural.surface import Points, Skin


def landmark_embeddings(points: Points, faces: NDArray[np.int64], skin: Skin) -> dict[str, NDArray[np.generic]]:
    """Embeddings in FLAME's groups: a face and weights per landmark."""
    of_vertex = np.zeros(len(points), np.int64)
    corner_of = np.zeros(len(points), np.int64)
    for corner in (2, 1, 0):
        of_vertex[faces[:, corner]] = np.arange(len(faces))
        corner_of[faces[:, corner]] = corner

    def nearest(x: float, y: float) -> int:
        distance = (skin.points[:, 0] - x) ** 2 + (skin.points[:, 1] - y) ** 2
        distance[skin.front < 0.5] = np.inf
        return int(np.argmin(distance))

    def embed(vertices: list[int]) -> tuple[NDArray[np.int64], FloatArray]:
        chosen = np.array(vertices)
        return of_vertex[chosen], np.eye(3, dtype=np.float32)[corner_of[chosen]]

    def along(edge: NDArray[np.int64], count: int) -> list[int]:
        return [int(edge[round(place)]) for place in np.linspace(0, len(edge) - 1, count)]

    jaw = [nearest(0.070 * np.sin(a), -0.035 - 0.080 * np.cos(a) ** 2) for a in np.linspace(-1.5, 1.5, 17)]
    arch = ((0.047, 0.022), (0.040, 0.027), (0.031, 0.028), (0.022, 0.026), (0.013, 0.023))
    brows = [nearest(-x, y) for x, y in arch] + [nearest(x, y) for x, y in reversed(arch)]
    nose = [nearest(0.0, y) for y in (0.008, -0.008, -0.023, -0.038)]
    nose += [nearest(x, -0.048) for x in (-0.012, -0.006, 0.0, 0.006, 0.012)]
    eyes: list[int] = []
    for upper, lower in zip(skin.lids_upper, skin.lids_lower, strict=True):
        top, bottom = along(upper, 4), along(lower, 4)
        eyes += [*top, *bottom[2:0:-1]]
    half = float(np.abs(skin.points[skin.mouth_upper, 0]).max())
    line = float(skin.points[skin.mouth_upper, 1].mean())
    outer_top = [nearest(half * t, line + 0.0075 * (1 - t * t) ** 0.5) for t in np.linspace(-1, 1, 7)]
    outer_bottom = [nearest(half * t, line - 0.0095 * (1 - t * t) ** 0.5) for t in np.linspace(0.67, -0.67, 5)]
    inner = [*along(skin.mouth_upper, 5), *along(skin.mouth_lower, 5)[3:0:-1]]
    mouth = [*outer_top, *outer_bottom, *inner]
    pupils = [len(points) - 1, len(points) - 1]
    static = [*brows, *nose, *eyes, *mouth]
    full = [*jaw, *static, *pupils]
    static_faces, static_weights = embed(static)
    full_faces, full_weights = embed(full)
    jaw_faces, jaw_weights = embed(jaw)

    upper_lip, lower_lip = skin.mouth_upper, skin.mouth_lower
    lips = {
        61: upper_lip[0], 291: upper_lip[-1], 13: along(upper_lip, 3)[1], 14: along(lower_lip, 3)[1],
        0: outer_top[3], 17: outer_bottom[2], 78: upper_lip[1], 308: upper_lip[-2],
    }  # fmt: skip
    ids = {**{k: int(v) for k, v in lips.items()}}
    lip_ids = (81, 82, 312, 311, 88, 87, 317, 318)  # upper edge, then lower, each from the right corner to the left
    ids |= dict(zip(lip_ids, along(skin.mouth_upper, 6)[1:5] + along(skin.mouth_lower, 6)[1:5], strict=True))
    for corner_ids, upper, lower in (
        ((33, 133, 159, 145, 158, 153, 160, 144), skin.lids_upper[0], skin.lids_lower[0]),
        ((362, 263, 386, 374, 385, 380, 387, 373), skin.lids_upper[1], skin.lids_lower[1]),
    ):
        top, bottom = along(upper, 5), along(lower, 5)
        chosen = [top[0], top[-1], top[2], bottom[2], top[1], bottom[1], top[3], bottom[3]]
        ids |= dict(zip(corner_ids, chosen, strict=True))
    ids |= {1: nose[3], 168: nose[0], 6: nose[1], 197: nose[2]}
    ids |= dict(zip((46, 53, 52, 65, 55, 285, 295, 282, 283, 276), brows, strict=True))
    spare = [number for number in range(468) if number not in ids]
    grid = [nearest(x, y) for y in np.linspace(-0.10, 0.09, 10) for x in np.linspace(-0.05, 0.05, 9)]
    for number, vertex in zip(spare, grid, strict=False):
        if len(ids) == 105:
            break
        ids[number] = vertex
    media_faces, media_weights = embed(list(ids.values()))
    turns = 79
    return {
        "lmk_embeddings/static_lmk_faces_idx": static_faces,
        "lmk_embeddings/static_lmk_bary_coords": static_weights,
        "lmk_embeddings/dynamic_lmk_faces_idx": np.tile(jaw_faces, (turns, 1)),
        "lmk_embeddings/dynamic_lmk_bary_coords": np.tile(jaw_weights, (turns, 1, 1)),
        "lmk_embeddings/full_lmk_faces_idx_with_eye": full_faces[None],
        "lmk_embeddings/full_lmk_bary_coords_with_eye": full_weights[None],
        "lmk_embeddings_mediapipe/lmk_face_idx": media_faces,
        "lmk_embeddings_mediapipe/lmk_b_coords": media_weights,
        "lmk_embeddings_mediapipe/landmark_indices": np.array(list(ids), np.int64),
    }
