"""What the user may say about Wav2Lip. Cheap to import."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from talkinghead.bounds import MAX_PATH, PIXELS, THREADS, Between, Length, check_fields, shown
from talkinghead.enhance.config import EnhanceConfig
from talkinghead.errors import OptionError
from talkinghead.places import WRITTEN

if TYPE_CHECKING:
    from talkinghead.face import FaceOptions

PUBLISHED_PADS = (0, 10, 0, 0)


@dataclass(frozen=True)
class Wav2LipConfig(EnhanceConfig):
    """Options of the family. `published()` gives the values of the published script (`--compat`)."""

    pads: Annotated[tuple[int, int, int, int], PIXELS] = PUBLISHED_PADS
    """Pixels added to the face box at the top, bottom, left and right, so that the chin is inside; the published name
    of `padding`."""
    align: Literal["training", "published"] = "training"
    """Where a frame listens: "training" begins one frame before its time, as the network was trained; "published"
    begins at its time, as the published script does (the lips then come one frame late)."""
    paste: Literal["lower", "box"] = "lower"
    """What is replaced: "lower" the lower face with soft borders, "box" the whole box with hard ones, as published."""
    feather: Annotated[float, Between(0, 0.4)] = 0.12
    """Width of the soft border of the paste as a share of the box."""
    colour_match: bool = True
    """Bring the generated face to the colours of the frame, judged by what both show
    beside the mouth, above it."""
    silence_gate: bool = True
    """Return to the mouth of the source where the sound is silent for longer than a pause between words. How loud
    speech is, its loudest parts tell, so the whole sound is heard first; frames can leave while somebody still speaks
    only without it, or with the windows of "livetalking", where steps of silence show the source."""
    windows: Literal["sound", "livetalking"] = "sound"
    """How the sound is cut: "sound" into windows of one spectrogram; "livetalking" in steps, as LiveTalking does for
    live speech at 25 frames per second (`align` and `mel_padding` do not matter then)."""
    step_frames: Annotated[int, Between(1, 1_000)] = 16
    """Video frames per step of "livetalking"."""
    map: Annotated[str, Length(MAX_PATH)] = ""
    """Several faces with a sound each: "0=a.wav,1=b.wav"; faces are numbered from the left in the first frame."""
    face_index: Annotated[int | None, Between(0, 9_999)] = None
    """Which face, numbered from the left in the first frame; default: the largest. The same as selecting it by
    index."""
    static: bool = False
    """Use the first frame of a video only."""
    mel_padding: Literal["zeros", "reflect"] = "zeros"
    """How the sound is continued at its ends for the spectrogram: as current librosa does, or as before 0.9."""
    batch_size: str = "auto"
    """Frames per call of the network: a number, or "auto" for the best throughput of the device."""
    latency: bool = False
    """Choose small batches, so that the first frames come early."""
    reuse: bool = True
    """Compute what depends on the source frame alone, and what repeats, once."""
    keep_features: Literal["pictures", "loops", "never"] = "pictures"
    """Keep what the network computes of the source faces in the cache folder for the next run, on CPUs: of "pictures",
    where it saves a quarter of a second; of short "loops" too, where it saves nothing; "never"."""
    threads: Annotated[int, THREADS] = 0
    """Threads of the network on the CPU; 0 takes every core."""
    compile: bool = False
    """Compile the network with torch.compile, where it runs on PyTorch; needs a C++ compiler on CPUs."""
    profile: Annotated[Path | None, WRITTEN] = None
    """Write a trace of every stage and operator for chrome://tracing or ui.perfetto.dev, .json."""

    def __post_init__(self) -> None:
        check_fields(self)
        if len(self.pads) != 4:
            raise OptionError(f"pads are {self.pads}.", accepted="four whole numbers: top, bottom, left, right")
        if not re.fullmatch(r"auto|[1-9][0-9]{0,3}", str(self.batch_size)):
            raise OptionError(f"batch_size is {shown(self.batch_size)}.", accepted="auto, or a number from 1 to 9999")
        if self.map and self.face_index is not None:
            raise OptionError("face_index and map were both given.", remedy="leave one of them out")
        if self.map and self.windows != "sound":
            raise OptionError(
                f"map was given with windows {self.windows!r}: live speech has one face.",
                remedy="leave one of them out",
            )
        self.sounds()

    @property
    def batch(self) -> int:
        """`batch_size` as a number, 0 for "auto"."""
        return 0 if str(self.batch_size) == "auto" else int(self.batch_size)

    def sounds(self) -> Mapping[int, Path]:
        """`map`, parsed: face number to sound file; empty for a single face."""
        return parse_map(self.map)

    def face_options(self, given: FaceOptions) -> FaceOptions:
        """How the face is found: here `pads` and `face_index`, the published names, become `padding` and `select`.

        A box that the user gave is not padded by `pads`.

        Raises:
            OptionError: the same was said twice, and not alike.
        """
        if self.pads != PUBLISHED_PADS and any(given.padding) and given.padding != self.pads:
            raise OptionError(
                f"pads are {self.pads} and padding is {given.padding}.",
                remedy="leave one of them out; they mean the same",
            )
        selected = given.select if self.face_index is None else f"index:{self.face_index}"
        if given.select not in ("largest", selected):
            raise OptionError(
                f"face_index is {self.face_index} and {given.select!r} was selected.",
                remedy="leave one of them out; they mean the same",
            )
        padded = any(given.padding) or given.box is not None
        return replace(given, padding=given.padding if padded else self.pads, select=selected)


def parse_map(text: str) -> dict[int, Path]:
    """Read "0=a.wav,1=b.wav".

    Raises:
        OptionError: not of that form, or a face twice.
    """
    found: dict[int, Path] = {}
    if not text.strip():
        return found
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})\s*=\s*(\S.*?)\s*", part)
        if match is None or int(match[1]) in found:
            raise OptionError(f"map is {text!r}.", accepted="faces with their sounds: 0=a.wav,1=b.wav")
        found[int(match[1])] = Path(match[2])
    return found


COMPAT: Mapping[str, Any] = {
    "align": "published",
    "paste": "box",
    "feather": 0.0,
    "colour_match": False,
    "silence_gate": False,
}
"""What `--compat` changes; options given beside it stay as given."""


def published(config: Wav2LipConfig, given: Mapping[str, Any]) -> Wav2LipConfig:
    """The configuration under `--compat`."""
    return replace(config, **{name: value for name, value in COMPAT.items() if name not in given})
