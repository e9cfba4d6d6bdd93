"""Settings of the ARTalk family; cheap to import."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from talkinghead.errors import OptionError

Driver = Literal["auto", "artalk", "viseme"]
Look = Literal["auto", "plain", "natural"]
Noise = Literal["stored", "random"]


@dataclass(frozen=True)
class ARTalkConfig:
    """How a 3D head is driven and seen."""

    assets: Path | None = None
    """Folder of the published files (ARTalk_wav2vec.pt, config.json, FLAME_with_eye.pt, style_motion, GAGAvatar).
    Default: ARTALK_ASSET_DIR, else the folder of --checkpoint, else ./assets where it exists."""
    driver: Driver = "auto"
    """What moves the head: artalk (its weights) or viseme (recognised phones; needs no files). auto takes artalk where
    its weights are found."""
    style: str | None = None
    """Speaking style of the artalk driver: a name from style_motion, a .pt or .npy file, or "default" for none."""
    fix_pose: bool = False
    """Keep the head still."""
    clip_length: int = 0
    """Frames (of 25 a second) at most; 0 keeps the whole sound. With --compat 750, as published."""
    smooth: bool = True
    """Smooth the motion of the artalk driver, as published."""
    flame: Path | None = None
    """FLAME head to render: FLAME_with_eye.pt, a FLAME .pkl or .npz. Default: that of the assets, else a head of our
    own making. "procedural" takes the latter."""
    shape: Path | None = None
    """Identity of the FLAME head: 300 numbers in .npy, .npz or .json."""
    image_size: int = 512
    """Side of the picture in pixels."""
    look: Look = "auto"
    """Colours. plain: the published blue-grey; natural: skin, lips and eyes. auto: natural for our own head."""
    smooth_shading: bool = True
    """Round surfaces; off shows the facets."""
    antialias: int = 2
    """Smoothness of edges, 1 to 4: its square is the number of samples per pixel; 1 has hard edges, as published."""
    background: str = "auto"
    """Behind the mesh: a colour (white, black, grey, green, #rrggbb), a picture file, or "transparent", for outputs
    that hold it: .webm, .mov, a folder of PNG files."""
    texture: Path | None = None
    """Picture on the head's surface, where its file says how it lies (vt and ft, as in FLAME's texture space), or an
    .npz of FLAME's texture space with all three. Our own head has its own."""
    yaw: float = 0.0
    """Degrees that the camera moves around the head; positive to the right of the picture."""
    pitch: float = 0.0
    """Degrees that the camera moves over the head; positive upwards."""
    zoom: float = 1.0
    """2 shows the head twice as large; in [0.1, 10]."""
    strength: float = 1.0
    """Factor on the mouth of the viseme driver; in [0, 2]."""
    head_motion: float = 1.0
    """Factor on the head movement of the viseme driver; in [0, 3]."""
    blinks_per_minute: float = 14.0
    """Of the viseme driver; in [0, 60]."""
    seed: int = 0
    """Of blinks, head movement, and random noise."""
    watermark: bool = True
    """Mark pictures of Gaussian avatars with the logo of the assets, as published."""
    noise: Noise = "stored"
    """Noise of the Gaussian avatars' upsampler: stored is the same in every frame and does not flicker; random is
    drawn anew for each frame from the seed, as published."""
    compile: bool = False
    """Compile the network with torch.compile, where it runs on PyTorch; needs a C++ compiler on CPUs."""
    threads: int = 0
    """Threads of the renderers; 0 uses every core. The pictures are the same."""

    def __post_init__(self) -> None:
        _within("image_size", self.image_size, 16, 4096)
        _within("antialias", self.antialias, 1, 4)
        _within("yaw", self.yaw, -360, 360)
        _within("pitch", self.pitch, -90, 90)
        _within("zoom", self.zoom, 0.1, 10)
        _within("strength", self.strength, 0, 2)
        _within("head_motion", self.head_motion, 0, 3)
        _within("blinks_per_minute", self.blinks_per_minute, 0, 60)
        _within("threads", self.threads, 0, 1024)
        if self.clip_length < 0:
            raise OptionError(f"clip_length is {self.clip_length}.", accepted="0 for everything, or a number of frames")
        if not 0 <= self.seed < 2**63:
            raise OptionError(f"seed is {self.seed}.", accepted="0 to 2**63 - 1")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise OptionError(f"{name} is {value}.", accepted=f"{low:g} to {high:g}")
