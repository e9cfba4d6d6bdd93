"""Trained heads: `chkpnt_fuse_latest.pth` of the published training, and our safetensors form of it."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray
from talkinghead.errors import InputError, MissingWeights, OptionError, WrongCheckpoint
from talkinghead.families.talkinggaussian.extractors import EXTRACTORS, extractor_of_width
from talkinghead.families.talkinggaussian.network import FACE, MOUTH, NetworkKind, expected_shapes
from talkinghead.files import file_sha256
from talkinghead.reading import read_text, reading
from talkinghead.rendering.spherical_harmonics import MAX_DEGREE, num_coefficients
from talkinghead.weights import Checkpoint, read_checkpoint, write_safetensors

Array = NDArray[Any]

LATEST = "chkpnt_fuse_latest.pth"
FORMAT = "talkinggaussian/1"
"""`format` in the metadata of our safetensors files."""
MAX_CFG_BYTES = 100_000
CAPTURE_FIELDS = 13
"""Entries of the published capture of one cloud; those from OPTIMISER on describe the training."""
INSTAG_FIELDS = 15
SH_DEGREE, XYZ, FEATURES_DC, FEATURES_REST, IDENTITY, SCALING, ROTATION, OPACITY = range(8)
CLOUD_ARRAYS = ("xyz", "features_dc", "features_rest", "scaling", "rotation", "opacity")


@dataclass(frozen=True, eq=False)
class CanonicalCloud:
    """Trained Gaussians before any movement, as stored: activations not applied."""

    xyz: FloatArray
    """[N, 3] float32, world units."""
    features: FloatArray
    """[N, K, 3] float32, spherical harmonics, constant term first, RGB last."""
    scaling: FloatArray
    """[N, 3] float32, raw; softplus gives the standard deviation."""
    rotation: FloatArray
    """[N, 4] float32 quaternions (w, x, y, z), not unit."""
    opacity: FloatArray
    """[N, 1] float32 logits."""
    sh_degree: int
    """Degree that is evaluated."""

    def __post_init__(self) -> None:
        n = len(self.xyz)
        shapes = {"xyz": (n, 3), "scaling": (n, 3), "rotation": (n, 4), "opacity": (n, 1)}
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value.shape != shape or value.dtype != np.float32:
                raise ValueError(f"{name} must be {list(shape)} float32, not {list(value.shape)} {value.dtype}")
        coefficients = self.features.shape[1] if self.features.ndim == 3 else 0
        if self.features.shape != (n, coefficients, 3) or self.features.dtype != np.float32:
            raise ValueError(f"features must be [{n}, K, 3] float32, not {list(self.features.shape)}")
        if not 0 <= self.sh_degree <= MAX_DEGREE or coefficients < num_coefficients(self.sh_degree):
            raise ValueError(f"{coefficients} coefficients do not hold spherical harmonics of degree {self.sh_degree}")

    def __len__(self) -> int:
        return len(self.xyz)


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """Everything that training left behind and rendering needs."""

    face: CanonicalCloud
    mouth: CanonicalCloud
    face_motion: Mapping[str, Array]
    """Weights of the face's motion network, published names."""
    mouth_motion: Mapping[str, Array]
    extractor: str
    """Name in EXTRACTORS of the speech features that it was trained with."""
    path: Path | None = None
    sha256: str | None = None
    warnings: tuple[str, ...] = field(default=())


def find_checkpoint(given: Path, iteration: int = -1) -> Path:
    """The file to read: the given one, or that of an output folder.

    Args:
        given: a checkpoint file, or the folder that training wrote.
        iteration: which `chkpnt_fuse_<iteration>.pth`; -1 is the latest.
    Raises:
        MissingWeights: the folder has no such file.
    """
    if not given.is_dir():
        if not given.exists():
            raise MissingWeights(f"There is no {given}.", accepted=f"a folder with {LATEST}, that file, or safetensors")
        return given
    name = LATEST if iteration == -1 else f"chkpnt_fuse_{iteration}.pth"
    path = given / name
    if path.is_file():
        return path
    found = sorted(given.glob("chkpnt_fuse_*.pth")) + sorted(given.glob("*.safetensors"))
    if iteration == -1 and len(found) == 1:
        return found[0]
    parts = sorted(p.name for p in given.glob("chkpnt_*.pth"))
    raise MissingWeights(
        f"{given} has no {name}; it holds {', '.join(parts) or 'no checkpoint at all'}.",
        remedy="--iteration N for chkpnt_fuse_N.pth; the face and mouth checkpoints alone are not enough, "
        "run the published train_fuse.py first"
        if parts
        else "give the folder that training wrote (-m / --checkpoint)",
    )


def read_trained_head(given: str | Path, *, extractor: str = "auto", iteration: int = -1) -> TrainedHead:
    """Read a checkpoint; nothing of it is executed.

    Args:
        given: a file, or the folder that training wrote.
        extractor: a name in EXTRACTORS, or "auto": what the weights were made for.
        iteration: for a folder, -1 or the iteration of the file to take.
    Raises:
        MissingWeights: no such file. UnsafeCheckpoint: the file would run code.
        WrongCheckpoint: something else, damaged, or of another version. OptionError: the wrong extractor.
    """
    path = find_checkpoint(Path(given), iteration)
    stored = read_checkpoint(path)
    with reading(path, WrongCheckpoint, what="does not hold a TalkingGaussian head"):
        return _trained_head(path, stored, extractor)


def _trained_head(path: Path, stored: Checkpoint, extractor: str) -> TrainedHead:
    face, face_weights, mouth, mouth_weights = _parts(path, stored)
    width = _feature_width(path, face_weights)
    found = extractor_of_width(width)
    if found is None:
        raise WrongCheckpoint(
            f"{path} listens to speech features of width {width}.",
            accepted=", ".join(f"{item.width} ({item.name})" for item in EXTRACTORS.values()),
        )
    if extractor not in ("auto", found.name):
        raise OptionError(
            f"{path} was trained with the features of {found.name}, not of {extractor}.",
            remedy=f"--audio_extractor {found.name}, or leave it out",
        )
    warnings = []
    recorded = recorded_extractor(path.parent)
    if recorded not in (None, found.name):
        warnings.append(f"cfg_args names the extractor {recorded}, but the weights are those of {found.name}.")
    return TrainedHead(
        face=face,
        mouth=mouth,
        face_motion=check_network(path, face_weights, FACE, width),
        mouth_motion=check_network(path, mouth_weights, MOUTH, width),
        extractor=found.name,
        path=path,
        sha256=file_sha256(path),
        warnings=tuple(warnings),
    )


def recorded_extractor(folder: Path) -> str | None:
    """The extractor named in `cfg_args`, or None. The file is text of a Python expression and is never evaluated."""
    try:
        text = read_text(folder / "cfg_args", max_bytes=MAX_CFG_BYTES)
    except InputError:
        return None
    value = parse_cfg_args(text).get("audio_extractor")
    return extractor_named(value) if isinstance(value, str) else None


def extractor_named(text: str) -> str | None:
    """Extractor by substring, in the published order esperanto, deepspeech, hubert."""
    return next((name for name in ("esperanto", "deepspeech", "hubert") if name in text), None)


def parse_cfg_args(text: str) -> dict[str, Any]:
    """Plain values of `Namespace(name=value, ...)`; whatever is not a literal is left out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Namespace"):
        return {}
    values = {}
    for keyword in call.keywords:
        if keyword.arg is not None and isinstance(keyword.value, ast.Constant):
            values[keyword.arg] = keyword.value.value
    return values


def _parts(
    path: Path, stored: Checkpoint
) -> tuple[CanonicalCloud, Mapping[str, Array], CanonicalCloud, Mapping[str, Array]]:
    if stored.container == "safetensors":
        return _from_safetensors(path, stored)
    tree = stored.tree
    if not isinstance(tree, (tuple, list)) or len(tree) != 4:
        raise WrongCheckpoint(
            f"{path} is not a TalkingGaussian checkpoint: it holds {_describe(tree)}.",
            accepted=f"{LATEST} (face, face network, mouth, mouth network)",
        )
    face, face_weights, mouth, mouth_weights = tree
    if isinstance(mouth, Mapping) and not isinstance(mouth_weights, Mapping):
        raise WrongCheckpoint(
            f"{path} is a checkpoint of one training stage: it holds only one of the two clouds.",
            accepted=LATEST,
            remedy="run the published train_fuse.py, which joins face and mouth",
        )
    for name, weights in (("face", face_weights), ("mouth", mouth_weights)):
        if not isinstance(weights, Mapping):
            raise WrongCheckpoint(f"{path}: the {name} network is {_describe(weights)}, not a state dict.")
    return _cloud(path, "face", face), face_weights, _cloud(path, "mouth", mouth), mouth_weights


def _describe(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Mapping):
        return f"a dictionary with {', '.join(map(str, list(value)[:4])) or 'nothing'}"
    return f"a {type(value).__name__}"


def _cloud(path: Path, name: str, capture: Any) -> CanonicalCloud:
    if not isinstance(capture, (tuple, list)) or len(capture) != CAPTURE_FIELDS:
        size = len(capture) if isinstance(capture, (tuple, list)) else 0
        hint = "; 15 fields are an InsTaG head, which is another model" if size == INSTAG_FIELDS else ""
        raise WrongCheckpoint(f"{path}: the {name} cloud is {_describe(capture)}, not {CAPTURE_FIELDS} fields{hint}.")
    arrays = {
        field_name: capture[index]
        for field_name, index in zip(
            CLOUD_ARRAYS, (XYZ, FEATURES_DC, FEATURES_REST, SCALING, ROTATION, OPACITY), strict=True
        )
    }
    return _build_cloud(path, name, arrays, capture[SH_DEGREE])


def _build_cloud(path: Path, name: str, arrays: Mapping[str, Any], degree: Any) -> CanonicalCloud:
    for field_name, value in arrays.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            raise WrongCheckpoint(f"{path}: {field_name} of the {name} cloud is {_describe(value)}, not a float array.")
    plain = {key: np.ascontiguousarray(value, np.float32) for key, value in arrays.items()}
    try:
        features = np.ascontiguousarray(np.concatenate([plain["features_dc"], plain["features_rest"]], axis=1))
        if isinstance(degree, bool) or not isinstance(degree, (int, np.integer)):
            raise ValueError(f"the degree of the spherical harmonics is {_describe(degree)}")
        return CanonicalCloud(
            plain["xyz"], features, plain["scaling"], plain["rotation"], plain["opacity"], sh_degree=int(degree)
        )
    except ValueError as error:
        raise WrongCheckpoint(f"{path}: the {name} cloud does not fit together: {error}.") from error


def _from_safetensors(
    path: Path, stored: Checkpoint
) -> tuple[CanonicalCloud, Mapping[str, Array], CanonicalCloud, Mapping[str, Array]]:
    if stored.metadata.get("format") != FORMAT:
        raise WrongCheckpoint(
            f"{path} is safetensors of another kind.", accepted="what `talkinghead inspect-gaussians --export` wrote"
        )
    clouds, networks = {}, {}
    for name in ("face", "mouth"):
        prefix = f"{name}."
        arrays = {key: stored.tensors.get(prefix + key) for key in CLOUD_ARRAYS}
        degree = stored.metadata.get(f"{name}.sh_degree", "")
        clouds[name] = _build_cloud(path, name, arrays, int(degree) if re.fullmatch(r"\d", str(degree)) else None)
        prefix = f"{name}_motion."
        networks[name] = {k.removeprefix(prefix): v for k, v in stored.tensors.items() if k.startswith(prefix)}
    return clouds["face"], networks["face"], clouds["mouth"], networks["mouth"]


def _feature_width(path: Path, weights: Mapping[str, Array]) -> int:
    first = weights.get("audio_net.encoder_conv.0.weight")
    if not isinstance(first, np.ndarray) or first.ndim != 3:
        raise WrongCheckpoint(f"{path}: the face network has no audio_net.encoder_conv.0.weight.")
    return int(first.shape[1])


def check_network(path: Path | str, weights: Mapping[str, Array], kind: NetworkKind, width: int) -> dict[str, Array]:
    """Weights of one motion network, complete and of the right shapes.

    Raises:
        WrongCheckpoint: a name is missing, unknown, or of another shape; or the grid is laid out differently.
    """
    shapes = expected_shapes(kind, width)
    missing, unknown = set(shapes) - set(weights), set(weights) - set(shapes)
    if missing or unknown:
        words = [f"lacks {', '.join(sorted(missing)[:4])}"] if missing else []
        words += [f"has unknown {', '.join(sorted(unknown)[:4])}"] if unknown else []
        raise WrongCheckpoint(f"{path}: the {kind.name} network {' and '.join(words)}.")
    checked = {}
    for name, shape in shapes.items():
        value = np.asarray(weights[name])
        if value.shape != shape:
            raise WrongCheckpoint(
                f"{path}: {name} of the {kind.name} network is {list(value.shape)}, not {list(shape)}."
            )
        checked[name] = np.ascontiguousarray(value, np.int32 if name.endswith(".offsets") else np.float32)
        if name.endswith(".offsets") and not np.array_equal(checked[name], kind.grid.offsets):
            raise WrongCheckpoint(f"{path}: {name} of the {kind.name} network lays its grid out differently.")
    return checked


def write_head_safetensors(head: TrainedHead, path: Path, *, overwrite: bool = False) -> None:
    """Write a trained head without training leftovers; `read_trained_head` reads it back bit for bit."""
    tensors: dict[str, Array] = {}
    for name, cloud in (("face", head.face), ("mouth", head.mouth)):
        tensors[f"{name}.features_dc"] = cloud.features[:, :1]
        tensors[f"{name}.features_rest"] = cloud.features[:, 1:]
        for field_name in ("xyz", "scaling", "rotation", "opacity"):
            tensors[f"{name}.{field_name}"] = getattr(cloud, field_name)
    for name, weights in (("face", head.face_motion), ("mouth", head.mouth_motion)):
        tensors.update({f"{name}_motion.{key}": value for key, value in weights.items()})
    metadata = {
        "format": FORMAT,
        "audio_extractor": head.extractor,
        "face.sh_degree": str(head.face.sh_degree),
        "mouth.sh_degree": str(head.mouth.sh_degree),
    }
    write_safetensors(tensors, path, metadata=metadata, overwrite=overwrite)


def capture_tuple(cloud: CanonicalCloud) -> tuple[Any, ...]:
    """The published 13 fields of a cloud, as torch tensors, with an empty training state."""
    import torch

    def tensor(value: FloatArray) -> torch.Tensor:
        return torch.from_numpy(np.array(value))  # a copy: the file owns its storage

    n = len(cloud)
    return (
        cloud.sh_degree,
        tensor(cloud.xyz),
        tensor(cloud.features[:, :1]),
        tensor(cloud.features[:, 1:]),
        torch.zeros(n, 1),
        tensor(cloud.scaling),
        tensor(cloud.rotation),
        tensor(cloud.opacity),
        torch.zeros(n),
        torch.zeros(n, 1),
        torch.zeros(n, 1),
        {"state": {}, "param_groups": []},
        np.float64(1),
    )


def write_published(head: TrainedHead, path: Path) -> None:
    """Write a head as `chkpnt_fuse_latest.pth`, for the published code and for tests."""
    import torch

    networks = [
        {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
        for weights in (head.face_motion, head.mouth_motion)
    ]
    torch.save((capture_tuple(head.face), networks[0], capture_tuple(head.mouth), networks[1]), path)
