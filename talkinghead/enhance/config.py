"""What the user may say about sharpening; families that offer it inherit these fields. Cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from talkinghead.bounds import Between, check_fields

OFF = "off"


@dataclass(frozen=True)
class EnhanceConfig:
    """How the face that was made is sharpened."""

    enhance: Path | None = None
    """Sharpen the face with this network (extra enhance): GFPGAN, RestoreFormer, or an upscaler such as Real-ESRGAN; a
    file, or a name of the model store. "off" and the default: none."""
    enhance_strength: Annotated[float, Between(0, 1)] = 0.8
    """How much of what the network adds is shown; 0 leaves the frame as it is."""
    enhance_area: Literal["lower", "face"] = "lower"
    """What is sharpened: "lower" the face below the nose, "face" all of it, which changes the eyes and the skin of the
    person too."""
    enhance_frames: Literal["speaking", "all"] = "speaking"
    """Which frames: those in which the mouth is moved, or all."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def network(self) -> Path | None:
        """`enhance`, or None where nothing is to be sharpened."""
        return None if self.enhance is None or str(self.enhance) == OFF else self.enhance
