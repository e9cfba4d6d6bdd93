"""What is measured of a model: settings, inputs that are made for it, and tables of a family's own.

A model that takes a face is measured on a portrait of the wanted size, once as a picture and once as a video; a family
with other needs makes its own cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from talkinghead.bounds import FRAME_RATES, Between, check_fields
from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, Frame

if TYPE_CHECKING:
    from talkinghead.face import FaceOptions

SIDES = Between(16, 8_192)


@dataclass(frozen=True)
class BenchSettings:
    """What is measured."""

    seconds: Annotated[float, Between(0, 3_600, above=True)] = 10.0
    """Length of the speech."""
    width: Annotated[int, SIDES] = 1280
    height: Annotated[int, SIDES] = 720
    fps: Annotated[Fraction, FRAME_RATES] = Fraction(25)
    """Frame rate."""
    repeats: Annotated[int, Between(1, 1_000)] = 3
    """Warm runs of each case; the median is shown."""
    source: Path | None = None
    """Measure this input instead of made ones."""
    audio: Path | None = None
    """Speech to use instead of the bundled sentence."""
    load: Mapping[str, Any] = field(default_factory=dict)
    """Arguments for `talkinghead.load`, besides the model's name."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, eq=False)
class BenchCase:
    """One input to measure."""

    name: str
    source: str | Path | Frame
    """What `prepare` takes."""
    description: str
    """What it is, for the report."""
    faces: FaceOptions | None = None
    load: Mapping[str, Any] = field(default_factory=dict)
    """Arguments for `talkinghead.load` that this case adds to the given ones."""


@dataclass(frozen=True)
class BenchTable:
    """What a family measures of its own."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""


def portrait_cases(settings: BenchSettings, folder: Path) -> Sequence[BenchCase]:
    """A portrait of the wanted size as a picture, and as a video in which it drifts a little."""
    from talkinghead.media import write_png, write_video

    picture, description, faces = portrait(settings.width, settings.height)
    still = folder / "portrait.png"
    write_png(still, picture)
    moving = folder / "portrait-video.mp4"
    num_frames = max(1, round(min(settings.seconds, 10.0) * settings.fps))
    shifts = np.round(3 * np.sin(np.arange(num_frames) / 20)).astype(int)
    write_video(moving, (np.roll(picture, int(shift), axis=1) for shift in shifts), fps=settings.fps)
    size = f"{settings.width}x{settings.height}"
    return [
        BenchCase("picture", still, f"{description}, {size}", faces),
        BenchCase("video", moving, f"{description}, {size}, {float(num_frames / settings.fps):g} s", faces),
    ]


def portrait(width: int, height: int) -> tuple[Frame, str, FaceOptions | None]:
    """A face in a picture of any size: scikit-image's photograph where it is installed, else a drawn one.

    Returns:
        The picture, what it is, and how its face is found where no detector would.
    """
    import cv2

    from talkinghead.face import FaceOptions

    try:
        from skimage.data import astronaut
    except ImportError:
        drawn, box = draw_face(width, height)
        return drawn, "drawn face with a fixed box", FaceOptions(box=box)
    photo: Frame = astronaut()[:400, 60:400]  # type: ignore[no-untyped-call]
    scale = height / photo.shape[0]
    size = (max(1, round(photo.shape[1] * scale)), height)
    large = cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC)
    left = max(0, (width - size[0]) // 2)
    right = max(0, width - size[0] - left)
    framed = cv2.copyMakeBorder(large, 0, 0, left, right, cv2.BORDER_REFLECT_101)
    return np.ascontiguousarray(framed[:, :width]), "photograph of a face", None


def draw_face(width: int, height: int) -> tuple[Frame, tuple[int, int, int, int]]:
    """A simple face: skin, eyes, nose and lips on a grey gradient, and the box of the face."""
    import cv2

    rows = np.linspace(90, 170, height, dtype=np.float32)[:, None, None]
    picture = np.broadcast_to(rows, (height, width, 3)).astype(np.uint8).copy()
    unit = min(width, height) / 100.0
    cx, cy = width / 2, height / 2

    def ellipse(x: float, y: float, rx: float, ry: float, colour: tuple[int, int, int]) -> None:
        centre = (round(cx + x * unit), round(cy + y * unit))
        axes = (max(1, round(rx * unit)), max(1, round(ry * unit)))
        cv2.ellipse(picture, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)

    ellipse(0, 0, 27, 36, (205, 160, 135))
    for side in (-1, 1):
        ellipse(side * 11, -9, 5, 2.6, (240, 236, 232))
        ellipse(side * 11, -9, 2.2, 2.4, (60, 45, 40))
        ellipse(side * 11, -15, 6, 1.1, (90, 65, 50))
    ellipse(0, 4, 3.4, 2.2, (185, 135, 112))
    ellipse(0, 17, 10, 2.9, (170, 85, 85))
    ellipse(0, 17, 9.4, 0.45, (95, 40, 42))
    corners = (cx - 27 * unit, cy - 30 * unit, cx + 27 * unit, cy + 36 * unit)
    x1, y1, x2, y2 = (round(value) for value in corners)
    return picture, (max(0, x1), max(0, y1), min(width, x2), min(height, y2))


def bench_speech(settings: BenchSettings) -> AudioClip:
    """Speech of the wanted length: the given file or the bundled sentence, again and again."""
    from talkinghead.assets import demo_speech_path
    from talkinghead.media import read_audio

    clip = read_audio(settings.audio or demo_speech_path(), SPEECH_RATE_HZ)
    wanted = round(settings.seconds * clip.sample_rate_hz)
    return replace(clip, samples=np.resize(clip.samples, wanted).astype(np.float32))
