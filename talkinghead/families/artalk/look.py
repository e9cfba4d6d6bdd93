"""What a head looks like: colours by region, backgrounds, identities, the watermark's picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame, IntArray
from talkinghead.errors import OptionError, UnreadableMedia
from talkinghead.families.artalk.flame import NUM_SHAPE, FlameModel, texture_layout
from talkinghead.reading import is_archive, read_json, read_npy, read_npz, reading

if TYPE_CHECKING:
    import torch

    from talkinghead.rendering.mesh import MeshTexture

SKIN, LIPS, MOUTH, EYE = range(4)
"""Region labels of the published runtime."""

# fmt: off
EYE_IDS = (
    7, 33, 133, 144, 145, 153, 154, 155, 157, 158, 159, 160, 161, 163, 173, 246, 249, 263, 362, 373, 374, 380, 381, 382,
    384, 385, 386, 387, 388, 390, 398, 466,
)
LIP_IDS = (
    0, 13, 14, 17, 37, 39, 40, 61, 78, 80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181, 185, 191, 267, 269, 270, 291, 308,
    310, 311, 312, 314, 317, 318, 321, 324, 375, 402, 405, 409, 415,
)
MOUTH_IDS = (13, 14, 17, 78, 80, 81, 82, 87, 88, 95, 178, 191, 308, 310, 311, 312, 317, 318, 321, 324, 402, 415)
# fmt: on
"""MediaPipe landmarks that lie on a region."""

REGION_COLOURS = np.array(
    [[0.86, 0.66, 0.56], [0.72, 0.37, 0.355], [0.45, 0.16, 0.16], [0.93, 0.92, 0.91]], dtype=np.float32
)
COLOURS = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "grey": (0.5, 0.5, 0.5),
    "gray": (0.5, 0.5, 0.5),
    "green": (0.0, 177 / 255, 64 / 255),
}
STUDIO = (0.86, 0.88, 0.90)
"""Behind a head in natural colours."""


def grow(faces: IntArray, seeds: NDArray[np.int64], depth: int, num_vertices: int) -> NDArray[np.bool_]:
    """Vertices of the seed faces and of `depth` rings of edges around them: [V] bool."""
    member = np.zeros(num_vertices, dtype=bool)
    member[faces[seeds].ravel()] = True
    for _ in range(depth):
        touched = member[faces].any(axis=1)
        member[faces[touched].ravel()] = True
    return member


def region_labels(
    faces: IntArray, num_vertices: int, lips: NDArray[np.int64], eye: NDArray[np.int64], mouth: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Label vertices from seed faces, as the published runtime does.

    Args:
        lips, eye, mouth: face numbers; grown by 2, 1 and 1 rings, and the later overwrite the earlier.
    Returns:
        [V] uint8: 0 skin, 1 lips, 2 mouth, 3 eye.
    """
    labels = np.full(num_vertices, SKIN, dtype=np.uint8)
    for seeds, depth, label in ((lips, 2, LIPS), (eye, 1, EYE), (mouth, 1, MOUTH)):
        labels[grow(faces, np.asarray(seeds, np.int64), depth, num_vertices)] = label
    return labels


def flame_regions(model: FlameModel) -> NDArray[np.uint8]:
    """Regions of a FLAME head from its MediaPipe landmarks; all skin where the file has none."""
    try:
        ids = model.landmarks["lmk_embeddings_mediapipe/landmark_indices"].ravel()
        landmark_faces = model.landmarks["lmk_embeddings_mediapipe/lmk_face_idx"].ravel().astype(np.int64)
    except KeyError:
        return np.zeros(model.num_vertices, dtype=np.uint8)

    def seeds(wanted: tuple[int, ...]) -> NDArray[np.int64]:
        return np.unique(landmark_faces[np.isin(ids, wanted)])

    return region_labels(model.faces, model.num_vertices, seeds(LIP_IDS), seeds(EYE_IDS), seeds(MOUTH_IDS))


def region_colours(model: FlameModel) -> FloatArray:
    """[V, 3] colours by region. Only the lips stand out: FLAME's eye and mouth labels lie on the skin around them."""
    labels = flame_regions(model)
    colours = np.broadcast_to(REGION_COLOURS[SKIN], (model.num_vertices, 3)).copy()
    colours[(labels == LIPS) | (labels == MOUTH)] = REGION_COLOURS[LIPS]
    weights = model.skinning_weights
    colours[weights[:, 3:].sum(axis=1) > 0.9] = REGION_COLOURS[EYE]
    return colours


def backdrop(text: str, size: int, *, natural: bool) -> tuple[tuple[float, float, float], Frame | None]:
    """Colour behind the head, and a picture where one is meant.

    Raises:
        OptionError: neither a colour nor a file. MediaError: the picture cannot be read.
    """
    if text in ("auto", TRANSPARENT):
        return STUDIO if natural else COLOURS["white"], None
    if text in COLOURS:
        return COLOURS[text], None
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        red, green, blue = (int(text[start : start + 2], 16) / 255 for start in (1, 3, 5))
        return (red, green, blue), None
    if not Path(text).is_file():
        raise OptionError(
            f"The background {text!r} is neither a colour nor a file.",
            accepted=f"{', '.join(COLOURS)}, #rrggbb, {TRANSPARENT} or a picture",
        )
    import cv2

    from talkinghead.media import read_picture

    picture = read_picture(text)
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    fitted: Frame = cv2.resize(
        square, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    ).astype(np.uint8)
    return COLOURS["white"], fitted


TRANSPARENT = "transparent"
MAX_SHAPE_BYTES = 1_000_000


def read_texture(path: Path, model: FlameModel) -> MeshTexture:
    """A picture on the head's surface.

    Args:
        path: a picture, laid out as the head's file says, or an .npz of FLAME's texture space (`mean` [H, W, 3], 0 to
            255 in the order blue, green, red, and `vt`, `ft`).
    Raises:
        OptionError: the head has no texture coordinates, or the file is not such a one. MediaError: unreadable picture.
    """
    from talkinghead.rendering.mesh import MeshTexture

    layout = None
    if model.texture_points is not None and model.texture_faces is not None:
        layout = (model.texture_points, model.texture_faces)
    if path.suffix == ".npz":
        accepted = "a picture, or FLAME_texture.npz"
        arrays = read_npz(path, error=OptionError, accepted=accepted, names=("vt", "ft", "mean"))
        layout = texture_layout(arrays, len(model.faces)) or layout
        mean = arrays.get("mean")
        if mean is None or mean.ndim != 3 or mean.shape[2] != 3 or not mean.size or mean.dtype.kind not in "fiu":
            raise OptionError(f"{path} holds no texture.", accepted="an array `mean` [H, W, 3] with `vt` and `ft`")
        picture = np.ascontiguousarray(np.clip(mean, 0, 255).astype(np.uint8)[..., ::-1])
    else:
        from talkinghead.media import read_picture

        picture = read_picture(path)
    if layout is None:
        raise OptionError(
            f"{path.name} cannot be laid on this head: its file has no texture coordinates.",
            accepted="a head file with vt and ft, FLAME_texture.npz, or our own head",
        )
    return MeshTexture(picture, *layout)


def read_shape(path: Path) -> FloatArray:
    """An identity: [1, 300] float32 from .npy, .npz (one array, or "shape") or .json; fewer numbers are filled with 0.

    Raises:
        OptionError: not such a file.
    """
    accepted = "300 numbers in .npy, .npz or .json"
    with reading(path, OptionError, what="is not a head shape", accepted=accepted):
        values: Any
        if path.suffix == ".json":
            values = read_json(path, error=OptionError, accepted=accepted, max_bytes=MAX_SHAPE_BYTES)
            values = values.get("shape", []) if isinstance(values, dict) else values
        elif is_archive(path):
            named = read_npz(path, error=OptionError, accepted=accepted)
            values = named["shape"] if "shape" in named else next(iter(named.values()), ())
        else:
            values = read_npy(path, error=OptionError, accepted=accepted)
        flat = np.asarray(values, dtype=np.float32).ravel()
    if not 1 <= len(flat) <= NUM_SHAPE or not np.isfinite(flat).all():
        raise OptionError(f"{path} holds {len(flat)} numbers.", accepted=f"1 to {NUM_SHAPE} finite numbers")
    return np.pad(flat, (0, NUM_SHAPE - len(flat)))[None]


def read_logo(path: Path) -> torch.Tensor:
    """The watermark: an RGBA picture to [4, 82, 256] float32 in [0, 1].

    Raises:
        UnreadableMedia: not a picture with transparency.
    """
    import cv2

    from talkinghead.families.artalk.gagavatar.avatar import resize_logo
    from talkinghead.media.pictures import read_stored

    stored = read_stored(path, cv2.IMREAD_UNCHANGED, accepted="an RGBA PNG")
    if stored.ndim != 3 or stored.shape[2] != 4:
        raise UnreadableMedia(f"{path} is not a picture with transparency.", accepted="an RGBA PNG")
    rgba = np.ascontiguousarray(stored[..., [2, 1, 0, 3]].transpose(2, 0, 1), dtype=np.uint8)
    return resize_logo(rgba)
