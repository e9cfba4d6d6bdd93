"""Sizes of the ARTalk networks; the defaults are those of the published checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from talkinghead.audio.encoders.model_folder import check_sizes
from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray
from talkinghead.errors import WrongCheckpoint
from talkinghead.reading import shown

MOTION_DIM = 106
"""100 FLAME expression values, 3 of global rotation, 3 of jaw rotation (axis-angle)."""
EXPRESSION = slice(0, 100)
GLOBAL_ROTATION = slice(100, 103)
JAW_ROTATION = slice(103, 106)
JAW_YAW_AND_ROLL = slice(104, 106)
"""The jaw components that the published program sets to zero; it keeps the opening angle 103."""

MotionRow = FloatArray
"""[106] float32: the motion of one frame."""

MOTION_FPS = 25
SAMPLES_PER_FRAME = SPEECH_RATE_HZ // MOTION_FPS
STYLE_FRAMES = 50


@dataclass(frozen=True)
class VAEConfig:
    """The motion autoencoder (`VAE_CONFIG` of the published config.json)."""

    code_dim: int = 32
    """Bits per code token."""
    depth: int = 8
    num_heads: int = 8
    width: int = 512
    patch_nums: tuple[int, ...] = (1, 5, 25, 50, 100)
    """Code tokens per scale; the last is the number of frames of a chunk."""

    @property
    def chunk_frames(self) -> int:
        return self.patch_nums[-1]

    @property
    def num_codes(self) -> int:
        """Code tokens of all scales (181)."""
        return sum(self.patch_nums)


@dataclass(frozen=True)
class ARConfig:
    """The autoregressive generator (`AR_CONFIG`)."""

    depth: int = 12
    num_heads: int = 12
    prev_ratio: int = 1
    """Chunks of history that the generator sees."""
    audio_encoder: str = "wav2vec"
    """"wav2vec" or "mimi"."""
    width: int = 768

    @property
    def cond_dim(self) -> int:
        """Width of the audio features."""
        return {"wav2vec": 1024, "mimi": 512}[self.audio_encoder]


XLS_R_300M: Mapping[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "feat_extract_activation": "gelu",
    "hidden_act": "gelu",
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "layer_norm_eps": 1e-5,
    "mask_time_prob": 0.075,
}
"""Sizes of facebook/wav2vec2-xls-r-300m, so that nothing is asked of a hub."""


@dataclass(frozen=True)
class MotionConfig:
    """All parts."""

    ar: ARConfig = field(default_factory=ARConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    wav2vec: Mapping[str, Any] = field(default_factory=lambda: dict(XLS_R_300M))
    mimi: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the Mimi codec where they differ from the library's defaults."""


_VAE_KEYS = {
    "V_CODE_DIM": "code_dim",
    "T_DEPTH": "depth",
    "T_NUM_HEADS": "num_heads",
    "T_HIDDEN_DIM": "width",
    "V_PATCH_NUMS": "patch_nums",
}
_AR_KEYS = {
    "T_DEPTH": "depth",
    "T_NUM_HEADS": "num_heads",
    "PREV_RATIO": "prev_ratio",
    "AUDIO_ENCODER": "audio_encoder",
}


def read_config(data: Mapping[str, Any], wav2vec: Mapping[str, Any] | None = None) -> MotionConfig:
    """Read the published config.json (`AR_CONFIG`, `VAE_CONFIG`).

    Raises:
        WrongCheckpoint: not such a configuration, or of another motion size.
    """
    for key in ("AR_CONFIG", "VAE_CONFIG"):
        if not isinstance(data.get(key), Mapping):
            raise WrongCheckpoint(
                f"The ARTalk configuration has no {key}; it holds {', '.join(map(str, data)) or 'nothing'}.",
                accepted="the config.json published beside ARTalk_wav2vec.pt",
            )
    if data["VAE_CONFIG"].get("MOTION_DIM", MOTION_DIM) != MOTION_DIM:
        raise WrongCheckpoint(
            f"The ARTalk configuration has MOTION_DIM {data['VAE_CONFIG']['MOTION_DIM']}.",
            accepted=f"{MOTION_DIM}, the published models",
        )
    return MotionConfig(
        ar=_section(ARConfig, "AR_CONFIG", data["AR_CONFIG"], _AR_KEYS),
        vae=_section(VAEConfig, "VAE_CONFIG", data["VAE_CONFIG"], _VAE_KEYS),
        wav2vec=_wav2vec(wav2vec) if wav2vec else dict(XLS_R_300M),
        mimi=_mimi(data.get("mimi_config", {})),
    )


_MOST = {"code_dim": 256, "depth": 64, "num_heads": 64, "width": 8192, "prev_ratio": 16}
"""Of the sizes; the published ones are a tenth of these."""
MAX_PATCHES, MAX_PATCH = 16, 1000
MAX_CODEC_NUMBER, MAX_CODEC_LAYERS = 65_536, 64


def _wav2vec(given: Any) -> dict[str, Any]:
    """Settings of the audio encoder.

    Raises:
        WrongCheckpoint: absurd sizes.
    """
    if not isinstance(given, Mapping):
        raise WrongCheckpoint(f"The settings of the audio encoder are {shown(given)}.", accepted="a JSON object")
    check_sizes(given, Path("the settings of the audio encoder"))
    return dict(given)


def _mimi(given: Any) -> dict[str, Any]:
    """Settings of the Mimi codec.

    Raises:
        WrongCheckpoint: absurd sizes.
    """
    if not isinstance(given, Mapping):
        raise WrongCheckpoint(f"mimi_config is {shown(given)}.", accepted="a JSON object")
    for name, value in given.items():
        most = MAX_CODEC_LAYERS if "layer" in name else MAX_CODEC_NUMBER
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) > MAX_CODEC_LAYERS or any(isinstance(n, int | float) and abs(n) > most for n in numbers):
            raise WrongCheckpoint(f"{name} of mimi_config is {shown(value)}.", accepted=f"at most {most}")
    return dict(given)


def _check_value(section: str, name: str, value: Any) -> None:
    if name == "audio_encoder":
        fits, accepted = isinstance(value, str) and value in ("wav2vec", "mimi"), "wav2vec or mimi"
    elif name == "patch_nums":
        ascending = isinstance(value, tuple) and all(type(n) is int and 1 <= n <= MAX_PATCH for n in value)
        fits, accepted = ascending and 1 <= len(value) <= MAX_PATCHES, f"up to {MAX_PATCHES} numbers to {MAX_PATCH}"
    else:
        fits, accepted = type(value) is int and 1 <= value <= _MOST[name], f"1 to {_MOST[name]}"
    if not fits:
        raise WrongCheckpoint(f"{name} of {section} is {shown(value)}.", accepted=accepted)


def _section(kind: type[Any], name: str, data: Mapping[str, Any], keys: Mapping[str, str]) -> Any:
    unknown = set(data) - set(keys) - {"MOTION_DIM"}
    if unknown:
        raise WrongCheckpoint(f"{name} has the unknown keys {', '.join(sorted(unknown))}.", accepted=", ".join(keys))
    values = {
        keys[key]: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key in keys
    }
    assert {item.name for item in fields(kind)} >= set(values)
    for key, value in values.items():
        _check_value(name, key, value)
    return kind(**values)
