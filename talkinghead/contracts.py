"""Every value that crosses a stage boundary, and the conventions of the whole package.

Conventions, written once:

- **Frame**: RGB, uint8, [H, W, 3], C-contiguous. A family trained on BGR converts its own small crop.
- **Box**: integers (x1, y1, x2, y2) in pixels of the frame, half open: the crop is `frame[y1:y2, x1:x2]`.
  Published file formats keep their own order and are converted where they are read and written.
- **Point**: (x, y) in pixels; the centre of the top-left pixel is (0, 0). Left and right are those of the image.
- **Sound**: float32 mono in [-1, 1] with its sample rate in hertz.
- **Time**: seconds from the first sample; frame rates are exact `Fraction`s; timestamps are integers in the
  stream's time base. Frame i shows the interval [i / fps, (i + 1) / fps).
- **Length**: the video is as long as the sound, to the frame: `ceil(duration * fps)` frames.

All classes here are frozen; those that hold arrays compare by identity. Arrays are not copied and must not be
modified by whoever receives them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
"""RGB picture, uint8, [H, W, 3]."""

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

SPEECH_RATE_HZ = 16_000
"""Every speech encoder and the phone recogniser listen at this rate."""

Backend = Literal["numpy", "numba", "opencv", "torch", "onnx", "openvino"]
"""What computes."""
Precision = Literal["float32", "bfloat16", "float16", "int8"]
"""Number format of a network's products."""

STAGES: Mapping[str, str] = {
    "wait": "Waiting for its turn",
    "load": "Loading the model",
    "speak": "Speaking the text",
    "read-sound": "Reading the sound",
    "open-face": "Opening the face",
    "detect-faces": "Finding the face",
    "analyse-face": "Measuring the face",
    "try-frame": "Trying one frame",
    "listen": "Listening to the speech",
    "read": "Reading frames",
    "crop": "Cutting out the face",
    "pose": "Posing the head",
    "generate": "Generating the face",
    "draw": "Drawing the head",
    "upsample": "Refining the picture",
    "compose": "Composing frames",
    "enhance": "Sharpening the face",
    "save-frames": "Saving frames",
    "write": "Writing the video",
    "render": "Making the video",
    "compare": "Comparing frames",
}
"""Every stage of a job, in order, and what it is called to people; one vocabulary for progress, reports, the page and
the documentation. "render" is all that overlaps, from the first frame to the last."""

KEY_POINT_NAMES = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
"""Order of the five key points that detectors give; left and right of the image."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, eq=False)
class AudioClip:
    """A stretch of mono sound."""

    samples: FloatArray
    """[n] float32 in [-1, 1], finite."""
    sample_rate_hz: int
    source: str = ""
    """Where it came from, for messages and reports."""

    def __post_init__(self) -> None:
        _require(
            self.samples.ndim == 1 and self.samples.dtype == np.float32,
            f"samples must be [n] float32, not {list(self.samples.shape)} {self.samples.dtype}",
        )
        _require(self.sample_rate_hz > 0, f"sample_rate_hz must be positive, not {self.sample_rate_hz}")

    @property
    def duration_s(self) -> Fraction:
        """Exact length in seconds."""
        return Fraction(len(self.samples), self.sample_rate_hz)

    def num_frames(self, fps: Fraction) -> int:
        """Video frames that cover the sound: ceil(duration * fps)."""
        return math.ceil(self.duration_s * fps)


@dataclass(frozen=True, eq=False)
class Speech:
    """What a head listens to, and the sound that goes into the finished file."""

    clip: AudioClip
    """16 kHz mono: what the networks hear."""
    soundtrack: Path | AudioClip
    """What is muxed: a media file (its own rate and channels are kept), or samples."""
    start_s: float = 0.0
    """Where the clip begins in the soundtrack file, counted from the beginning of `lead_s`."""
    phones: tuple[Phone, ...] | None = None
    """Exact phone times where the speech was synthesised; None when they must be recognised."""
    duration_s: float | None = None
    """Seconds of the file that were asked for; None: all."""
    lead_s: Fraction = Fraction(0)
    """Silence before the sound of the file, whose pictures it is shown with: so much later than they it begins."""
    hold_s: Fraction = Fraction(0)
    """How much later than the sound these pictures begin: so long the first one is shown."""
    offset_dropped: bool = False
    """Pictures and sound of the file begin at different times, and `lead_s` and `hold_s` do not say so."""
    warnings: tuple[str, ...] = ()
    """What was lost, repaired or left out in reading it, as sentences."""


@dataclass(frozen=True)
class MediaInfo:
    """What a picture or video file holds, after rotation metadata is applied."""

    path: Path
    kind: str
    """"image" or "video"."""
    width: int
    height: int
    fps: Fraction | None
    """Nominal frame rate; None for a picture."""
    num_frames: int | None
    """Frames at that rate, if the file tells; a damaged file may hold fewer. 1 for a picture."""
    duration_s: float | None
    has_audio: bool
    codec: str
    rotation_degrees: int = 0
    """Clockwise rotation that was applied from the file's metadata."""
    variable_frame_rate: bool = False


class ArrayStore(Protocol):
    """Named arrays by key: the cache, as those know it who only look up and leave results there."""

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays stored under a key (see `files.cache_key`), or None."""

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Store arrays under a key; what was there is replaced."""


@runtime_checkable
class FrameSource(Protocol):
    """Pictures of a face, readable many times and from any position; at a constant frame rate.

    A picture is a source of one frame. Memory does not grow with the length of the source.
    """

    @property
    def info(self) -> MediaInfo: ...

    @property
    def fps(self) -> Fraction | None:
        """Rate of the frames that come out (after any `--fps`); None for a picture."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames that come out."""

    @property
    def content_hash(self) -> str:
        """Hex digest of the file's content and of every option that changes the frames: the cache key."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was lost or repaired so far while decoding, as sentences."""

    def __len__(self) -> int:
        """Number of frames, counted if need be."""

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        """Frames start, start + step, ... before stop; a negative step reads backwards."""

    def close(self) -> None:
        """Let go of open files and of frames that are kept; reading again opens and decodes anew."""


FaceSource = str | Path | Frame | FrameSource
"""What a face is prepared from: a file, folder or name, one picture, or several with their rate (`ArraySource`)."""


@dataclass(frozen=True, eq=False)
class Detection:
    """One face in one frame."""

    box_xyxy: FloatArray
    """[4] float32, (x1, y1, x2, y2) as the detector gave it: not rounded, may leave the frame."""
    score: float
    """Confidence in [0, 1]; 1.0 where the detector has none."""
    key_points: FloatArray | None = None
    """[5, 2] float32 in the order of KEY_POINT_NAMES, or None."""
    motion: float = math.nan
    """Mean absolute difference of the box's pixels from the frame that was looked at before, levels of 255; NaN where
    there is none, and from detectors themselves."""

    def __post_init__(self) -> None:
        _require(self.box_xyxy.shape == (4,), f"box_xyxy must be [4], not {list(self.box_xyxy.shape)}")
        if self.key_points is not None:
            _require(self.key_points.shape == (5, 2), f"key_points must be [5, 2], not {list(self.key_points.shape)}")


class FaceStatus(IntEnum):
    """How the box of a frame was found."""

    DETECTED = 0
    INTERPOLATED = 1
    """Between two detections of a run that looks at every k-th frame only."""
    HELD = 2
    """No face here for a moment: the nearest earlier box of the shot (or its first) is used again."""
    MISSING = 3
    """No face here and the frame is to be left alone."""


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """The face of one person over all frames of a source."""

    boxes_xyxy: IntArray
    """[n, 4] int32, half open, inside the frame, not empty."""
    status: NDArray[np.uint8]
    """[n] uint8, values of FaceStatus."""
    scores: FloatArray
    """[n] float32 in [0, 1]; 0 where the frame has no detection of its own."""
    key_points: FloatArray | None = None
    """[n, 5, 2] float32, smoothed as the boxes are, or None if the detector has none."""
    detector: str = ""
    """Name and settings of the detector."""
    network: NetworkRun | None = None
    """Where the detector ran; None where nothing was detected (a fixed box, or what an earlier run saw)."""
    fallbacks: tuple[str, ...] = ()
    """Each way in which detection differs from what was asked, as a sentence."""
    notes: tuple[str, ...] = ()
    """What the user should know of it, as sentences."""
    is_given: bool = False
    """The user said where the face is."""

    def __post_init__(self) -> None:
        n = len(self.boxes_xyxy)
        _require(self.boxes_xyxy.shape == (n, 4), f"boxes_xyxy must be [n, 4], not {list(self.boxes_xyxy.shape)}")
        _require(self.status.shape == (n,), f"status must be [{n}], not {list(self.status.shape)}")
        _require(self.scores.shape == (n,), f"scores must be [{n}], not {list(self.scores.shape)}")
        if self.key_points is not None:
            _require(
                self.key_points.shape == (n, 5, 2), f"key_points must be [{n}, 5, 2], not {list(self.key_points.shape)}"
            )

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    def count(self, status: FaceStatus) -> int:
        return int(np.count_nonzero(self.status == status))


@dataclass(frozen=True)
class Phone:
    """One speech sound with its time."""

    start_s: float
    end_s: float
    label: str
    """ARPAbet without stress ("AA", "B", "SIL")."""


@dataclass(frozen=True)
class MouthCue:
    """One mouth shape with its time."""

    start_s: float
    end_s: float
    shape: str
    """"A".."H" or "X" (Preston Blair set as extended by Rhubarb)."""


MOUTH_COLUMNS = ("jaw", "lips", "width", "tuck", "tongue", "speaking")
"""The arrays of a `MouthMotion`; in this order the columns where a frame is a row."""


@dataclass(frozen=True, eq=False)
class MouthMotion:
    """Mouth pose per video frame, driven by speech; independent of any face."""

    fps: Fraction
    jaw: FloatArray
    """[n] float32 in [0, 1]: 0 teeth together, 1 the widest vowel of loud speech."""
    lips: FloatArray
    """[n] float32 in [0, 1]: gap between the lips; 0 is sealed (p, b, m, silence)."""
    width: FloatArray
    """[n] float32 in [-1, 1]: -1 rounded and pushed forward (w, oo), 0 neutral, +1 spread (ee)."""
    tuck: FloatArray
    """[n] float32 in [0, 1]: lower lip against the upper teeth (f, v)."""
    tongue: FloatArray
    """[n] float32 in [0, 1]: tongue tip raised and visible (l, th)."""
    speaking: FloatArray
    """[n] float32 in [0, 1]: 0 in silence, 1 in speech, eased; what idle motion and gates follow."""

    def __post_init__(self) -> None:
        n = len(self.jaw)
        for name in MOUTH_COLUMNS:
            values = getattr(self, name)
            _require(
                values.shape == (n,) and values.dtype == np.float32,
                f"{name} must be [{n}] float32, not {list(values.shape)} {values.dtype}",
            )

    def __len__(self) -> int:
        return len(self.jaw)

    def part(self, first: int, last: int) -> MouthMotion:
        """Frames `first` to `last` - 1."""
        return MouthMotion(self.fps, *(getattr(self, name)[first:last] for name in MOUTH_COLUMNS))


@dataclass(frozen=True)
class StageTime:
    """Where one stage of a run spent its time."""

    name: str
    busy_s: float
    """Seconds inside the stage's own code."""
    wait_input_s: float
    """Seconds waiting for the stage before it."""
    wait_output_s: float
    """Seconds waiting for room in the queue to the stage after it."""
    items: int
    """Values that came out."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished frame with how much of it is there."""

    frame: Frame
    """RGB uint8 [H, W, 3], not multiplied by alpha."""
    alpha: NDArray[np.uint8]
    """uint8 [H, W]: 0 is transparent, 255 opaque."""

    def __post_init__(self) -> None:
        _require(
            self.frame.shape[:2] == self.alpha.shape and self.alpha.dtype == np.uint8,
            f"alpha must be {list(self.frame.shape[:2])} uint8, not {list(self.alpha.shape)} {self.alpha.dtype}",
        )


@dataclass(frozen=True)
class NetworkRun:
    """Where one network, or another part that computes (a rasteriser), ran and how precisely."""

    name: str
    """What it is for, in the family's words: "generator", "motion network", "rasteriser"."""
    backend: Backend
    device: str = "cpu"
    """"cpu" or "cuda:N"."""
    precision: Precision = "float32"
    why: str = ""
    """The reason for the choice, as a sentence; empty where there was none to make."""
    psnr_db: float | None = None
    """How near it came to float32, where a precision was reduced and measured."""

    def __post_init__(self) -> None:
        _require(self.backend in get_args(Backend), f"backend must be one of {get_args(Backend)}, not {self.backend!r}")
        _require(
            self.precision in get_args(Precision),
            f"precision must be one of {get_args(Precision)}, not {self.precision!r}",
        )


@dataclass(frozen=True)
class Report:
    """What really ran. Serialises to JSON; unknown facts are None, never guessed."""

    model: str
    model_details: Mapping[str, Any] = field(default_factory=dict)
    """Facts of the family: architecture, options, sizes."""
    weights_sha256: str | None = None
    networks: tuple[NetworkRun, ...] = ()
    """Where each part that computes ran, the main one first; empty where all of it is array operations."""
    output: str | None = None
    video_codec: str | None = None
    video_encoder: str | None = None
    """FFmpeg's encoder that made the pictures, such as "libx264" or "h264_nvenc"."""
    audio_codec: str | None = None
    width: int = 0
    height: int = 0
    fps: str = ""
    """Exact, as a fraction ("25", "30000/1001")."""
    num_frames: int = 0
    audio_s: float = 0.0
    wall_s: float = 0.0
    stages: tuple[StageTime, ...] = ()
    peak_memory_bytes: int | None = None
    face_frames: Mapping[str, int] = field(default_factory=dict)
    """Source frames per FaceStatus name, lower case."""
    fallbacks: tuple[str, ...] = ()
    """Each way in which the run differs from what was asked, as a sentence. Empty when nothing fell back."""
    warnings: tuple[str, ...] = ()

    @property
    def backend(self) -> Backend:
        """Of the main network, as `device` and `precision`."""
        return self.networks[0].backend if self.networks else "numpy"

    @property
    def device(self) -> str:
        return self.networks[0].device if self.networks else "cpu"

    @property
    def precision(self) -> Precision:
        return self.networks[0].precision if self.networks else "float32"

    @property
    def frames_per_second(self) -> float:
        return self.num_frames / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def realtime_factor(self) -> float:
        """Seconds of video made per second of work; above 1 is faster than real time."""
        return self.audio_s / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def limited_by(self) -> str:
        """Name of the stage that was busy longest: in an overlapped run the one that sets the pace."""
        return max(self.stages, key=lambda stage: stage.busy_s).name if self.stages else ""

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        data.update(backend=self.backend, device=self.device, precision=self.precision)
        data["frames_per_second"] = round(self.frames_per_second, 3)
        data["realtime_factor"] = round(self.realtime_factor, 4)
        data["limited_by"] = self.limited_by
        return data

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, default=str) + "\n"


@dataclass(frozen=True)
class Result:
    """A finished job."""

    path: Path
    """The video, complete."""
    report: Report
