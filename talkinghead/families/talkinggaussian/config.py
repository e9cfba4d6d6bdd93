"""Settings of the TalkingGaussian family; cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from talkinghead.bounds import MAX_PATH, THREADS, Between, Length, check_fields
from talkinghead.enhance.config import EnhanceConfig
from talkinghead.errors import OptionError

AudioExtractor = Literal["auto", "deepspeech", "hubert", "esperanto"]
AudioFeatures = Literal["auto", "trained", "phones"]
ANGLES = Between(-90, 90)
ZOOMS = Between(0.2, 5)
ITERATIONS = Between(-1, 1_000_000_000)


@dataclass(frozen=True)
class TalkingGaussianConfig(EnhanceConfig):
    """How a trained Gaussian head is driven and seen."""

    poses: Annotated[str, Length(MAX_PATH)] = "train"
    """Camera poses to play: "train" or "val" of the scene, or a transforms JSON file. They go forwards and backwards
    while the sound lasts."""
    expression: Annotated[str, Length(MAX_PATH)] = "source"
    """Action units (brows, eyes, blinks): "source" takes those of the recording, "neutral" none, or an OpenFace CSV
    file with one row per frame."""
    yaw: Annotated[float, ANGLES] = 0.0
    """Degrees that the camera moves around the head; positive to the right."""
    pitch: Annotated[float, ANGLES] = 0.0
    """Degrees that the camera moves over the head; positive upwards."""
    zoom: Annotated[float, ZOOMS] = 1.0
    """2 halves the distance of the camera to the head. The torso picture stays as it was filmed."""
    torso: bool = True
    """Lay the torso pictures of the scene over the background."""
    background: Path | None = None
    """Picture behind head and torso instead of the scene's bc.jpg; scaled and cut to its size."""
    dilate: bool = False
    """Widen the mouth's cut-out of the background by 6 pixels, which hides seams of some heads."""
    features: Path | None = None
    """Speech features computed before (.npy); the sound is then only heard. Must belong to the same sound."""
    audio_extractor: AudioExtractor = "auto"
    """Speech features that the head was trained with; auto reads it from the checkpoint."""
    audio_model: Annotated[str | None, Length(MAX_PATH)] = None
    """Speech encoder for HuBERT and Esperanto heads: a folder in the format of transformers, or its name on the Hugging
    Face hub, which may download it. Default: the published one, if it is on this machine."""
    deepspeech_graph: Path | None = None
    """For DeepSpeech heads: the released frozen graph deepspeech-0_1_0-b90017e8.pb."""
    audio_features: AudioFeatures = "auto"
    """"trained" is what the head was trained with; "phones" approximates DeepSpeech features from recognised phones,
    without any speech network; auto: the former where that network is there, else the latter, which the report says."""
    iteration: Annotated[int, ITERATIONS] = -1
    """Which chkpnt_fuse_N.pth of a checkpoint folder; -1 is the latest."""
    threads: Annotated[int, THREADS] = 0
    """Threads of the rasteriser; 0 uses every core. The pictures are the same."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.audio_features == "phones" and self.features is not None:
            raise OptionError("audio_features phones and a file of features exclude each other.")

    @property
    def moves_camera(self) -> bool:
        return (self.yaw, self.pitch, self.zoom) != (0.0, 0.0, 1.0)
