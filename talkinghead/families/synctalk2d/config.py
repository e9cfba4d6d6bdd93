"""Options of the family; light to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from talkinghead.bounds import THREADS, Between, check_fields
from talkinghead.enhance.config import EnhanceConfig
from talkinghead.places import WRITTEN

START_FRAMES = Between(0, 1_000_000_000)


@dataclass(frozen=True)
class SyncTalk2DConfig(EnhanceConfig):
    """How a template folder is animated."""

    mode: Literal["auto", "ave", "hubert", "wenet"] = "auto"
    """Speech features that the network was trained with. "auto" goes by the checkpoint; ave and hubert have the same
    weights, so there the features in the template folder decide."""
    start_frame: Annotated[int, START_FRAMES] = 0
    """Templates before this one are not used."""
    parsing: bool = False
    """Keep torso and background of the template where its parsing pictures (red and white) say so."""
    features: Path | None = None
    """Features of the sound as .npy, instead of computing them."""
    ave_encoder: Path | None = None
    """AVE audio encoder (audio_visual_encoder.pth); looked for beside the checkpoint and in the models folder."""
    hubert_model: Path | None = None
    """Folder of facebook/hubert-large-ls960-ft; else the local Hugging Face cache."""
    hubert_convention: Literal["synctalk", "udh-classic", "ilg"] = "synctalk"
    """How HuBERT features were made for training: last layer in chunks, the same dropping an odd row, or layer 12."""
    wenet_encoder: Path | None = None
    """WeNet encoder.onnx; looked for beside the checkpoint and in the models folder."""
    window_edges: Literal["zeros", "repeat"] = "zeros"
    """What windows hear beyond the ends: zeros as published, or the repetition of the Dk0071942 fork."""
    smooth_features: bool = False
    """Average the features over three frames, as the ILG2021 fork does (its hubert convention always does)."""
    crop_filter: Literal["published", "bicubic", "bilinear", "area"] = "published"
    """How crops are resized; "area" fits networks trained with the later tools of Ultralight-Digital-Human."""
    save_frames: Annotated[Path | None, WRITTEN] = None
    """Also write every frame into this folder, as frame_00000.png and so on."""
    cache_mb: Annotated[int, Between(0, 1_000_000)] = 1024
    """Megabytes of memory for decoded templates and what the network knows of them."""
    threads: Annotated[int, THREADS] = 0
    """Processor threads of the network; 0 takes all cores."""

    def __post_init__(self) -> None:
        check_fields(self)
