"""Which fields of a request's parts are options of the command line, and their names there where they differ."""

from __future__ import annotations

from talkinghead.engine.head import LoadOptions, RenderOptions
from talkinghead.engine.options import config_class
from talkinghead.registry import FAMILIES
from talkinghead.service.request import SoundFile
from talkinghead.speech.options import SpeechOptions
from talkinghead.terminal.flags import Group

OPTIONS = "Options"
"""The first heading of the help."""

SPEECH, PART, LOAD, RENDER = "speech", "part", "load", "render"
FRAMES, FACES, ENCODE = "frames", "faces", "encoding"
"""Keys of the groups, as `Given.of` takes them."""

SPOKEN = Group(SPEECH, SpeechOptions, "Speech from text")
PART_OF_SOUND = Group(
    PART,
    SoundFile,
    OPTIONS,
    names={"start_s": "--start", "duration_s": "--duration"},
    leave_out=frozenset({"path", "phones"}),
)
LOADING = Group(LOAD, LoadOptions, OPTIONS)
RENDERING = Group(RENDER, RenderOptions, OPTIONS, leave_out=frozenset({"overlap", "motion", "cues"}))


def request_groups() -> tuple[Group, ...]:
    """Options of every model: speech, where it runs, reading frames, finding faces, rendering, encoding."""
    from talkinghead.face.detectors.options import FaceOptions
    from talkinghead.media.options import EncodeOptions, FrameOptions

    return (
        SPOKEN,
        PART_OF_SOUND,
        LOADING,
        RENDERING,
        Group(
            FRAMES,
            FrameOptions,
            "Reading the face",
            names={"start_s": "--face-start", "duration_s": "--face-duration"},
            leave_out=frozenset({"fps", "cache_bytes"}),
        ),
        Group(
            FACES,
            FaceOptions,
            "Finding the face",
            names={"every": "--detect-every", "min_score": "--min-face-score", "max_side": "--detect-size"},
        ),
        Group(ENCODE, EncodeOptions, "Encoding", names={"gop_s": "--gop", "threads": "--encoder-threads"}),
    )


def model_groups() -> tuple[Group, ...]:
    """Options of each model."""
    return tuple(
        Group(facts.name, config_class(facts.config), f"Model {facts.name} ({facts.title})")
        for facts in FAMILIES.values()
    )
