"""Read ARTalk's files: motion weights, styles, GAGAvatar and its tracked heads. Nothing of a file is ever run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from talkinghead.contracts import FloatArray
from talkinghead.errors import OptionError, WrongCheckpoint, choices
from talkinghead.families.artalk.gagavatar.avatar import IMAGE_SIZE, GAGAvatar, TrackedHead
from talkinghead.families.artalk.motion.audio_encoder import MimiEncoder
from talkinghead.families.artalk.motion.autoregressive import block_causal_mask
from talkinghead.families.artalk.motion.config import MOTION_DIM, STYLE_FRAMES, MotionConfig, read_config
from talkinghead.families.artalk.motion.engine import MotionModel
from talkinghead.families.artalk.motion.style import sinusoids
from talkinghead.families.artalk.motion.vae import MotionVAE
from talkinghead.reading import Budget, read_json, read_npy, reading, shown
from talkinghead.weights.checkpoint import read_checkpoint

Arrays = Mapping[str, NDArray[Any]]

AUDIO_PREFIX = "audio_encoder."
PARTS = ("basic_vae.", "style_encoder.", "attn_blocks.")
"""Beginnings of names that every file of motion weights has; others are refused before networks are built."""
POSITIONAL = "encoder.pos_conv_embed.conv."
RENAMED = {
    f"{POSITIONAL}weight_g": f"{POSITIONAL}parametrizations.weight.original0",
    f"{POSITIONAL}weight_v": f"{POSITIONAL}parametrizations.weight.original1",
}
"""Names of older PyTorch versions to those of today."""
MIMI_MOVED = (
    ("acoustic_model.encoder_transformer.", "acoustic_model.encoder.encoder_transformer."),
    ("acoustic_model.decoder_transformer.", "acoustic_model.decoder.decoder_transformer."),
    ("acoustic_model.downsample.", "acoustic_model.encoder.downsample."),
    ("acoustic_model.upsample.", "acoustic_model.decoder.upsample."),
    ("acoustic_model.encoder.layers.", "acoustic_model.encoder.encoder_seanet.layers."),
    ("acoustic_model.decoder.layers.", "acoustic_model.decoder.decoder_seanet.layers."),
)
"""Beginnings of names in Mimi that newer transformers moved."""
UNUSED = ("masked_spec_embed",)
"""Parameters of training that inference never reads."""


def _constructed(config: MotionConfig) -> dict[str, torch.Tensor]:
    """Buffers that follow from the architecture: a file may hold them or not, and must agree where it does."""
    patches = config.vae.patch_nums
    levels = torch.cat([torch.full((number,), index) for index, number in enumerate(patches)])[None]
    return {
        "lvl_idx": levels,
        "attn_bias_for_masking": block_causal_mask(patches, config.ar.prev_ratio),
        "basic_vae.attn_mask": MotionVAE.history_mask(config.vae.chunk_frames),
        "style_encoder.PE.pe": sinusoids(),
    }


def to_tensors(weights: Arrays) -> dict[str, torch.Tensor]:
    """Arrays as tensors of the same memory; floating point becomes float32."""
    return {
        name: torch.from_numpy(np.asarray(value, np.float32) if value.dtype.kind == "f" else np.asarray(value))
        for name, value in weights.items()
    }


def check_names(origin: str, wanted: Mapping[str, tuple[int, ...]], given: Mapping[str, torch.Tensor]) -> None:
    """Refuse weights of another network, naming what differs.

    Raises:
        WrongCheckpoint: a name is missing or unknown, or a shape differs.
    """
    missing = sorted(set(wanted) - set(given))
    unknown = sorted(set(given) - set(wanted))
    if missing or unknown:
        parts = [
            f"{len(names)} {word}, such as {', '.join(names[:3])}"
            for names, word in ((missing, "missing"), (unknown, "unknown"))
            if names
        ]
        raise WrongCheckpoint(f"{origin} does not fit this network: {'; '.join(parts)}.")
    for name, shape in wanted.items():
        if tuple(given[name].shape) != shape:
            raise WrongCheckpoint(
                f"{name} of {origin} has the shape {list(given[name].shape)}.", accepted=str(list(shape))
            )


def load_strictly(network: nn.Module, weights: Mapping[str, torch.Tensor], origin: str) -> None:
    """Give a network its weights without copying them.

    Raises:
        WrongCheckpoint: names or shapes do not fit.
    """
    check_names(origin, {name: tuple(value.shape) for name, value in network.state_dict().items()}, weights)
    network.load_state_dict(dict(weights), strict=True, assign=True)
    network.requires_grad_(False).eval()


def load_audio_encoder(network: nn.Module, weights: Mapping[str, torch.Tensor], origin: str) -> None:
    """Weights of the audio encoder by their names below `audio_encoder.`, older or newer."""
    current = network.state_dict()
    named = {RENAMED.get(name, name): value for name, value in weights.items()}
    named = {name if name in current else _moved(name): value for name, value in named.items()}
    for name in UNUSED:
        if name in current and name not in named:
            named[name] = torch.zeros(current[name].shape)
        elif name not in current:
            named.pop(name, None)
    load_strictly(network, named, origin)


def _moved(name: str) -> str:
    for old, new in MIMI_MOVED:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def load_generator(network: nn.Module, config: MotionConfig, weights: Mapping[str, torch.Tensor], origin: str) -> None:
    """Weights of the generator, VAE and style encoder by their published names.

    Raises:
        WrongCheckpoint: a constructed buffer of the file says something else than the architecture.
    """
    named = dict(weights)
    for name, value in _constructed(config).items():
        given = named.get(name)
        if given is not None and not _agrees(given, value):
            raise WrongCheckpoint(f"{name} of {origin} is not that of the given configuration.")
        named[name] = value
    load_strictly(network, named, origin)


def _agrees(given: torch.Tensor, value: torch.Tensor) -> bool:
    return given.shape == value.shape and torch.allclose(given.to(value.dtype), value, rtol=0.0, atol=1e-5)


def motion_model(
    weights: Arrays, config: MotionConfig | None = None, *, origin: str = "the weights", audio_encoder: bool = True
) -> MotionModel:
    """Build ARTalk's motion networks around given arrays.

    Args:
        weights: by the names of ARTalk_wav2vec.pt; float16 and bfloat16 are widened.
        audio_encoder: False leaves it out (features come from elsewhere).
    Raises:
        WrongCheckpoint: the arrays do not fit the configuration.
    """
    config = config or MotionConfig()
    if absent := [part for part in PARTS if not any(name.startswith(part) for name in weights)]:
        raise WrongCheckpoint(
            f"{origin} does not hold ARTalk's motion networks: no name begins with {', '.join(absent)}.",
            accepted="ARTalk_wav2vec.pt or a safetensors copy of it",
        )
    tensors = to_tensors(weights)
    with torch.device("meta"):
        model = MotionModel(config, audio_encoder=audio_encoder and config.ar.audio_encoder == "wav2vec")
    if audio_encoder and config.ar.audio_encoder == "mimi":
        model.audio_encoder = MimiEncoder(config.mimi)
    own = {name: value for name, value in tensors.items() if not name.startswith(AUDIO_PREFIX)}
    load_generator(model.generator, config, own, origin)
    if model.audio_encoder is not None:
        heard = {
            name.removeprefix(AUDIO_PREFIX): value for name, value in tensors.items() if name.startswith(AUDIO_PREFIX)
        }
        load_audio_encoder(model.audio_encoder, heard, origin)
    return model.requires_grad_(False).eval()


def read_motion_config(path: Path | None) -> MotionConfig:
    """The published config.json, or the published sizes where there is none.

    Raises:
        WrongCheckpoint: not such a file.
    """
    if path is None:
        return MotionConfig()
    data = read_json(path, error=WrongCheckpoint, accepted="ARTalk's config.json")
    if not isinstance(data, Mapping):
        raise WrongCheckpoint(f"{path} is not a JSON object.", accepted="ARTalk's config.json")
    return read_config(data)


def load_motion_model(path: str | Path, config: Path | None = None) -> MotionModel:
    """Read ARTalk_wav2vec.pt (or a safetensors copy of it).

    Args:
        config: config.json; None takes the one beside the weights if there is one, else the published sizes.
    Raises:
        WrongCheckpoint, UnsafeCheckpoint: as `read_checkpoint`.
    """
    path = Path(path)
    beside = path.with_name("config.json")
    settings = read_motion_config(config if config is not None else beside if beside.is_file() else None)
    with reading(path, WrongCheckpoint, what="does not hold ARTalk's motion networks"):
        return motion_model(read_checkpoint(path).tensors, settings, origin=str(path))


def load_style(path: str | Path) -> FloatArray:
    """Read a style: 50 frames of motion whose manner is taken over.

    Args:
        path: a .pt with one tensor (which may be a view of a larger storage, as the published ones), or .npy.
    Returns:
        [50, 106] float32.
    Raises:
        WrongCheckpoint: not one array of that shape.
    """
    path = Path(path)
    if path.suffix == ".npy":
        arrays = [read_npy(path, error=WrongCheckpoint)]
    else:
        arrays = list(read_checkpoint(path).tensors.values())
    return check_style(arrays[0] if len(arrays) == 1 else np.zeros(0), str(path))


def check_style(style: NDArray[Any], origin: str) -> FloatArray:
    """[50, 106] float32, finite; anything else is refused."""
    fits = style.shape == (STYLE_FRAMES, MOTION_DIM) and style.dtype.kind in "fiu"
    if not fits or not np.isfinite(style).all():
        raise WrongCheckpoint(
            f"The style of {origin} has the shape {list(style.shape)}.",
            accepted=f"[{STYLE_FRAMES}, {MOTION_DIM}] finite numbers: two seconds of motion",
        )
    return np.ascontiguousarray(style, dtype=np.float32)


PERCEPTUAL = "percep_loss"
"""Part of the names that training left in GAGAvatar.pt."""


def gagavatar_model(weights: Arrays, *, origin: str = "the weights", network: GAGAvatar | None = None) -> GAGAvatar:
    """Build GAGAvatar around given arrays; names that contain `percep_loss` are left aside.

    Raises:
        WrongCheckpoint: the arrays do not fit.
    """
    kept = to_tensors({name: value for name, value in weights.items() if PERCEPTUAL not in name})
    if "head_base" not in kept:
        raise WrongCheckpoint(f"{origin} has no head_base.", accepted="GAGAvatar.pt")
    if network is None:
        with torch.device("meta"):
            network = GAGAvatar(num_vertices=len(kept["head_base"]))
    load_strictly(network, kept, origin)
    return network


def load_gagavatar(path: str | Path) -> GAGAvatar:
    """Read GAGAvatar.pt.

    Raises:
        WrongCheckpoint, UnsafeCheckpoint: as `read_checkpoint`.
    """
    with reading(path, WrongCheckpoint, what="does not hold GAGAvatar"):
        return gagavatar_model(read_checkpoint(path, key=None).tensors, origin=str(path))


TRACKED_SHAPES: Mapping[str, tuple[int, ...]] = {
    "image": (3, IMAGE_SIZE, IMAGE_SIZE),
    "transform_matrix": (3, 4),
    "shapecode": (300,),
}
"""What is used of a tracked head; other entries are left aside."""


def read_tracked(path: str | Path) -> dict[str, TrackedHead]:
    """Read the published tracker's output (tracked.pt): avatar id to head.

    Only arrays are taken from the file; anything that would run code is refused. The pictures stay memory maps where
    the container allows.

    Raises:
        WrongCheckpoint: an entry lacks an array or has another shape. UnsafeCheckpoint: the file would run code.
    """
    tree = read_checkpoint(path).tree
    if not isinstance(tree, Mapping) or not tree:
        raise WrongCheckpoint(f"{path} holds no tracked heads.", accepted="tracked.pt: avatar id to arrays")
    heads: dict[str, TrackedHead] = {}
    budget = Budget(path, Path(path).stat().st_size, WrongCheckpoint)
    for name, entry in tree.items():
        arrays: dict[str, FloatArray] = {}
        for key, shape in TRACKED_SHAPES.items():
            value = entry.get(key) if isinstance(entry, Mapping) else None
            if not isinstance(value, np.ndarray) or value.size != int(np.prod(shape)) or value.dtype.kind not in "fiu":
                found = list(value.shape) if isinstance(value, np.ndarray) else "missing"
                raise WrongCheckpoint(f"{key} of {shown(name)} in {path} is {found}.", accepted=str(list(shape)))
            if not (value.flags.c_contiguous and value.dtype == np.float32):
                budget.take(4 * value.size)
            arrays[key] = np.ascontiguousarray(value.reshape(shape), dtype=np.float32)
        heads[str(name)] = TrackedHead(arrays["image"], arrays["transform_matrix"], arrays["shapecode"])
    return heads


def pick_tracked(heads: Mapping[str, TrackedHead], avatar: str, path: Path) -> TrackedHead:
    """One avatar by its id, with or without the suffix of its picture.

    Raises:
        OptionError: no such avatar.
    """
    if avatar in heads:
        return heads[avatar]
    near = [name for name in heads if Path(name).stem == avatar]
    if len(near) == 1:
        return heads[near[0]]
    raise OptionError(
        f"There is no avatar {avatar!r} in {path}.",
        accepted=choices(["mesh", *sorted(heads)]),
        remedy="a new avatar needs the GAGAvatar tracker (github.com/xg-chu/GAGAvatar_track), whose networks have "
        "licences of their own: run it on a photograph and give its tracked.pt as GAGAvatar/tracked.pt of the assets",
    )
