"""Settings of the ARTalk family; cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from talkinghead.bounds import MAX_PATH, SEEDS, THREADS, Between, Length, check_fields

Driver = Literal["auto", "artalk", "viseme"]
Look = Literal["auto", "plain", "natural"]
Noise = Literal["stored", "random"]
CLIP_LENGTHS = Between(0, 10_000_000)
IMAGE_SIZES = Between(16, 4_096)
ANTIALIAS = Between(1, 4)
YAWS = Between(-360, 360)
PITCHES = Between(-90, 90)
ZOOMS = Between(0.1, 10)


@dataclass(frozen=True)
class ARTalkConfig:
    """How a 3D head is driven and seen."""

    assets: Path | None = None
    """Folder of the published files (ARTalk_wav2vec.pt, config.json, FLAME_with_eye.pt, style_motion, GAGAvatar).
    Default: ARTALK_ASSET_DIR, else the folder of --checkpoint, else ./assets where it exists."""
    driver: Driver = "auto"
    """What moves the head: artalk (its weights) or viseme (recognised phones; needs no files). auto takes artalk where
    its weights are found."""
    style: Annotated[str | None, Length(MAX_PATH)] = None
    """Speaking style of the artalk driver: a name from style_motion, a .pt or .npy file, or "default" for none."""
    fix_pose: bool = False
    """Keep the head still."""
    clip_length: Annotated[int, CLIP_LENGTHS] = 0
    """Frames (of 25 a second) at most; 0 keeps the whole sound. With --compat 750, as published."""
    smooth: bool = True
    """Smooth the motion of the artalk driver, as published."""
    flame: Path | None = None
    """FLAME head to render: FLAME_with_eye.pt, a FLAME .pkl or .npz. Default: that of the assets, else a head of our
    own making. "procedural" takes the latter."""
    shape: Path | None = None
    """Identity of the FLAME head: 300 numbers in .npy, .npz or .json."""
    image_size: Annotated[int, IMAGE_SIZES] = 512
    """Side of the picture in pixels."""
    look: Look = "auto"
    """Colours. plain: the published blue-grey; natural: skin, lips and eyes. auto: natural for our own head."""
    smooth_shading: bool = True
    """Round surfaces; off shows the facets."""
    antialias: Annotated[int, ANTIALIAS] = 2
    """Smoothness of edges: its square is the number of samples per pixel; 1 has hard edges, as published."""
    background: Annotated[str, Length(MAX_PATH)] = "auto"
    """Behind the mesh: a colour (white, black, grey, green, #rrggbb), a picture file, or "transparent", for outputs
    that hold it: .webm, .mov, a folder of PNG files."""
    texture: Path | None = None
    """Picture on the head's surface, where its file says how it lies (vt and ft, as in FLAME's texture space), or an
    .npz of FLAME's texture space with all three. Our own head has its own."""
    yaw: Annotated[float, YAWS] = 0.0
    """Degrees that the camera moves around the head; positive to the right of the picture."""
    pitch: Annotated[float, PITCHES] = 0.0
    """Degrees that the camera moves over the head; positive upwards."""
    zoom: Annotated[float, ZOOMS] = 1.0
    """2 shows the head twice as large."""
    strength: Annotated[float, Between(0, 2)] = 1.0
    """Factor on the mouth of the viseme driver."""
    head_motion: Annotated[float, Between(0, 3)] = 1.0
    """Factor on the head movement of the viseme driver."""
    blinks_per_minute: Annotated[float, Between(0, 60)] = 14.0
    """Of the viseme driver."""
    seed: Annotated[int, SEEDS] = 0
    """Of blinks, head movement, and random noise."""
    watermark: bool = True
    """Mark pictures of Gaussian avatars with the logo of the assets, as published."""
    noise: Noise = "stored"
    """Noise of the Gaussian avatars' upsampler: stored is the same in every frame and does not flicker; random is
    drawn anew for each frame from the seed, as published."""
    compile: bool = False
    """Compile the network with torch.compile, where it runs on PyTorch; needs a C++ compiler on CPUs."""
    threads: Annotated[int, THREADS] = 0
    """Threads of the renderers; 0 uses every core. The pictures are the same."""

    def __post_init__(self) -> None:
        check_fields(self)
