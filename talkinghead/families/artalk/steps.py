"""The steps of ARTalk one by one, with files between them: features, motion, smoothing, vertices, frames, video.

`motions` are .npy or .pt files of [T, 106] float32 at 25 frames a second; `vertices.npz` holds `verts` [T, V, 3],
`faces` [F, 3] and `fps`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame, IntArray
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import LoadOptions
from talkinghead.errors import OptionError, StaleStage, WrongCheckpoint
from talkinghead.families.artalk.config import ARTalkConfig
from talkinghead.families.artalk.drivers import NetworkDriver
from talkinghead.families.artalk.mesh_avatar import MeshDrawer
from talkinghead.families.artalk.pipeline import ARTalkHead, build
from talkinghead.files import write_bytes
from talkinghead.reading import read_npy, read_npz, reading

FPS = Fraction(25)
MAX_CHUNK_SAMPLES = 1 << 20
"""Of sound that one chunk of features may stand for; the published ones stand for 64,000."""


def open_head(config: ARTalkConfig, checkpoint: Path | None = None, device: str = "auto") -> ARTalkHead:
    """A head for single steps."""
    family = {name: getattr(config, name) for name in config.__dataclass_fields__}
    return build(LoadOptions(checkpoint=checkpoint, device=device, family=family))


def write_array(path: Path, values: NDArray[Any]) -> None:
    """.npy, or .pt for programs that read torch files."""
    buffer = io.BytesIO()
    if path.suffix == ".pt":
        import torch

        torch.save(torch.from_numpy(np.ascontiguousarray(values)).clone(), buffer)
    elif path.suffix == ".npy":
        np.save(buffer, values)
    else:
        raise OptionError(f"{path.name} has no known suffix.", accepted=".npy or .pt")
    write_bytes(path, buffer.getvalue())


def read_motion(path: Path) -> FloatArray:
    """[T, 106] float32 from .npy or .pt.

    Raises:
        StaleStage: not motion.
    """
    accepted = "[T, 106] in .npy or .pt"
    if path.suffix == ".npy":
        values = read_npy(path, error=StaleStage, accepted=accepted)
    else:
        from talkinghead.weights.checkpoint import read_checkpoint

        try:
            with reading(path, StaleStage, what="is not a motion file", accepted=accepted):
                [values] = read_checkpoint(path).tensors.values()
        except WrongCheckpoint as error:
            raise StaleStage(f"{path} is not a motion file: {error.what}", accepted=accepted) from error
    if values.ndim != 2 or values.shape[1] != 106 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise StaleStage(f"{path} holds an array {list(values.shape)}.", accepted="[T, 106] finite numbers")
    return np.ascontiguousarray(values, dtype=np.float32)


def audio_features(head: ARTalkHead, samples: FloatArray) -> FloatArray:
    """[chunks, 199, 1024] features of 4 s chunks."""
    import torch

    driver = _networks(head)
    with torch.inference_mode():
        model = driver.model(RunContext())
        chunks = model.chunks(samples).to(driver.places[0].device)
        found: FloatArray = model.audio_features(chunks).cpu().numpy()
    return found


def raw_motion(head: ARTalkHead, features: FloatArray, num_samples: int) -> FloatArray:
    """Motion of features, before smoothing."""
    import torch

    driver = _networks(head)
    rows = (torch.from_numpy(features[index : index + 1]).to(driver.places[0].device) for index in range(len(features)))
    with reading("The features", StaleStage, what="do not fit the networks"):
        return driver.model(RunContext()).generate_from(rows, num_samples, driver.style).motion


def _networks(head: ARTalkHead) -> NetworkDriver:
    if not isinstance(head.driver, NetworkDriver):
        raise OptionError(
            "Audio features belong to the artalk driver, and this head is driven by recognised phones.",
            remedy="--assets with ARTalk_wav2vec.pt",
        )
    return head.driver


def smoothed(motion: FloatArray, *, clip_length: int | None = None, fix_pose: bool = False) -> FloatArray:
    """The published smoothing and clearing."""
    from talkinghead.families.artalk.motion.engine import postprocess_motion

    return postprocess_motion(motion, clip_length=clip_length, fix_pose=fix_pose)


def write_vertices(path: Path, mesh: MeshDrawer, motion: FloatArray) -> None:
    """vertices.npz of a motion."""
    buffer = io.BytesIO()
    np.savez(buffer, verts=mesh.vertices(motion), faces=mesh.flame.faces, fps=np.array([FPS.numerator, 1]))
    write_bytes(path, buffer.getvalue())


def read_features(path: Path) -> tuple[FloatArray, int]:
    """features.npz of the step before: [chunks, rows, width] float32, and the number of samples they were heard in.

    Raises:
        StaleStage: not such a file.
    """
    accepted = "features.npz of the step before"
    with reading(path, StaleStage, what="holds no features", accepted=accepted):
        data = read_npz(path, error=StaleStage, accepted=accepted, names=("features", "num_samples"))
        features, samples = data["features"], int(data["num_samples"])
        if features.ndim != 3 or features.dtype.kind != "f" or not 0 <= samples <= len(features) * MAX_CHUNK_SAMPLES:
            raise ValueError(f"{list(features.shape)} {features.dtype} of {samples} samples")
        return np.ascontiguousarray(features, np.float32), samples


def read_vertices(path: Path) -> tuple[FloatArray, IntArray]:
    """verts [T, V, 3] and faces [F, 3].

    Raises:
        StaleStage: not such a file.
    """
    accepted = "vertices.npz of the step before"
    with reading(path, StaleStage, what="holds no vertices", accepted=accepted):
        data = read_npz(path, error=StaleStage, accepted=accepted)
        verts, faces = data["verts"].astype(np.float32), data["faces"].astype(np.int32)
    shaped = verts.ndim == 3 and verts.shape[2] == 3 and faces.ndim == 2 and faces.shape[1] == 3
    indexed = faces.min(initial=0) >= 0 and faces.max(initial=0) < verts.shape[1] if shaped else False
    if not indexed or not np.isfinite(verts).all():
        raise StaleStage(f"The vertices of {path} do not fit its faces.")
    return verts, faces


def draw(verts: FloatArray, faces: IntArray, mesh: MeshDrawer) -> Iterator[Frame]:
    """Frames of vertices; RGBA where the background is left out.

    Raises:
        StaleStage: they belong to another head.
    """
    if not np.array_equal(faces, mesh.flame.faces):
        raise StaleStage("The vertices belong to another head than the one that is drawn.", remedy="the same --flame")
    yield from mesh.renderer.frames(verts, transparent=mesh.transparent)
