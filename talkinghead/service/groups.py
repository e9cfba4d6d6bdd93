"""Which fields of a request's parts are options, their names where they differ, and the parts made of their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from talkinghead.engine.flags import Flag, Group, make_flags
from talkinghead.engine.head import LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.manifest import Manifest
from talkinghead.engine.options import build_config, config_class
from talkinghead.errors import OptionError
from talkinghead.registry import FAMILIES
from talkinghead.service.request import SoundFile
from talkinghead.speech.options import SpeechOptions

OWN = (
    *("--output", "-o", "--audio", "-a", "--text", "--text-file", "--face", "-f", "--template", "--scene", "--avatar"),
    *("--model", "-m", "--cache", "--no-cache", "--report", "--json", "--verbose", "-v", "--quiet", "-q"),
    *("--sign", "--key", "--timestamp-url"),
    "--help",
)
"""What a request, or `talkinghead generate`, has besides: no option of a model has these names."""

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


def request_flags() -> tuple[Flag, ...]:
    """Every option of a request by its name, those of all models included."""
    return make_flags(request_groups(), model_groups(), OWN)


def request_parts(
    facts: Manifest, of: Callable[[str], Mapping[str, Any]], *, cache: bool = True
) -> tuple[LoadOptions, PrepareOptions, RenderOptions]:
    """What a request is made of besides its face and its speech.

    Args:
        of: from the key of a group to the values that were given, by field name.
        cache: keep and reuse what was found in a face before.
    Raises:
        OptionError: a value that a part refuses.
    """
    from talkinghead.engine.cache import NullCache
    from talkinghead.face.detectors.options import FaceOptions
    from talkinghead.media.options import EncodeOptions, FrameOptions

    load = build_config(LoadOptions, {**of(LOAD), "family": dict(of(facts.name))}, owner="Loading")
    prepare = PrepareOptions(
        frames=build_config(FrameOptions, of(FRAMES), owner="Reading the face"),
        faces=build_config(FaceOptions, of(FACES), owner="Finding the face"),
        cache=None if cache else NullCache(),
    )
    encode = build_config(EncodeOptions, of(ENCODE), owner="Encoding")
    render = build_config(RenderOptions, {**of(RENDER), "encode": encode}, owner="Rendering")
    return load, prepare, render


def refuse_without_effect(facts: Manifest, about_faces: Sequence[str]) -> None:
    """Refuse options about reading and finding faces where a model renders whole frames.

    Args:
        about_faces: those that were given.
    Raises:
        OptionError
    """
    if facts.kind == "scene" and about_faces:
        raise OptionError(
            f"{about_faces[0]} has no effect with {facts.name}, which renders whole frames.",
            remedy=f"leave {about_faces[0]} out",
        )
