"""How an avatar is trained: the options of `talkinghead train synctalk2d`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from talkinghead.bounds import THREADS, Between, check_fields

SEEDS = Between(0, 2**31 - 1)


@dataclass(frozen=True)
class TrainOptions:
    """How an avatar is trained."""

    size: Literal["160", "328"] = "160"
    """Network: 160 or 328 pixels; 328 takes two and a half times as long."""
    features: Literal["own", "ave", "hubert", "wenet"] = "own"
    """What the network hears: own needs no download and can go live; the others are the published ones."""
    encoder: Path | None = None
    """Speech encoder of ave, hubert or wenet; see `talkinghead template build`."""
    minutes: Annotated[float, Between(0, 10_000, above=True)] = 50.0
    """How long to train; listening, cropping and exporting come on top."""
    steps: Annotated[int, Between(0, 100_000_000)] = 0
    """Train so many steps instead; 0 goes by the minutes."""
    batch: Annotated[int, Between(2, 512)] = 8
    """Pictures per step; even."""
    rate: Annotated[float, Between(0, 1, above=True)] = 0.002
    """Highest learning rate."""
    mouth_weight: Annotated[float, Between(1, 100)] = 4.0
    """How much more the mouth counts than the rest."""
    temporal_weight: Annotated[float, Between(0, 100)] = 0.5
    """How much the change from frame to frame counts."""
    perceptual: Path | None = None
    """Weights of LPIPS, to judge by them, too; see `talkinghead evaluate`."""
    perceptual_weight: Annotated[float, Between(0, 100)] = 0.1
    """How much the perceptual distance counts, where its weights are given."""
    voices: Annotated[int, Between(0, 64)] = 5
    """How many times the sound is heard again at other speeds, pitches, levels and through other microphones."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of products; auto is bfloat16 where the processor multiplies in it."""
    seed: Annotated[int, SEEDS] = 0
    """Decides weights and order; the same seed gives the same avatar on the same machine."""
    preview_every: Annotated[int, Between(0, 1_000_000)] = 500
    """Steps between pictures of frames that are never learned from; 0 draws none."""
    threads: Annotated[int, THREADS] = 0
    """Processor threads; 0 takes all cores."""

    def __post_init__(self) -> None:
        check_fields(self)
