"""One job as a value: what is asked for, whole and checked. `service.run.run` does it.

The command line, the page, the HTTP API, `talkinghead.generate` and the benchmark only build these. A request that
names files is data: `to_dict` gives a row of JSON values, `from_dict` takes one.
"""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from talkinghead.bounds import LENGTHS_S, MOMENTS_S, Length, check_fields, shown
from talkinghead.contracts import AudioClip, Frame, Speech
from talkinghead.engine.cache import Cache, NullCache
from talkinghead.engine.head import LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.manifest import Manifest
from talkinghead.engine.options import build_config, config_class, option_fields
from talkinghead.errors import InputError, OptionError, choices
from talkinghead.files import text_to_paths
from talkinghead.media.options import FrameOptions
from talkinghead.registry import DEFAULT_FAMILY, family
from talkinghead.service.rows import as_declared, from_row, known_keys, plain, to_row, typed_values
from talkinghead.speech.options import MAX_CHARACTERS, SpeechOptions


@dataclass(frozen=True)
class SoundFile:
    """Speech in a sound or video file."""

    path: Path
    """Any audio or video file."""
    start_s: Annotated[float, MOMENTS_S] = 0.0
    """Seconds of the sound to leave out at its beginning."""
    duration_s: Annotated[float | None, LENGTHS_S] = None
    """Seconds of the sound to use; default: all."""
    phones: Path | None = None
    """Exact times of its phones, as `talkinghead say --phones` writes them."""

    def __post_init__(self) -> None:
        text_to_paths(self, "path", "phones")
        check_fields(self)


@dataclass(frozen=True)
class SpokenText:
    """Speech from a text."""

    text: Annotated[str, Length(MAX_CHARACTERS)]
    """What to say."""
    options: SpeechOptions = field(default_factory=SpeechOptions)
    """Who says it, and how."""

    def __post_init__(self) -> None:
        from talkinghead.speech.sentences import clean_text

        check_fields(self)
        clean_text(self.text)


@dataclass(frozen=True, eq=False)
class Request:
    """One video to make.

    Raises:
        OptionError: parts that contradict each other, or options that the model does not have.
    """

    source: str | Path | Frame | None
    """What the model takes: a picture or video of a face, a template folder, a scene, the name of an avatar. None: what
    the model has of its own, or the prepared face that is handed to `run`."""
    speech: SoundFile | SpokenText | AudioClip | Speech
    """What is said: a file, a text, samples, or speech that was read before."""
    output: Path
    """The video; its suffix chooses the container."""
    model: str | None = DEFAULT_FAMILY
    """Name of the model; None: the head that is handed to `run`."""
    load: LoadOptions = field(default_factory=LoadOptions)
    """What it is loaded with. The checkpoint may be a name of the model store."""
    prepare: PrepareOptions = field(default_factory=PrepareOptions)
    """How the face is read and found. Speech and rendering are known from this request, and so is the frame rate."""
    render: RenderOptions = field(default_factory=RenderOptions)
    """How the video is made; what is written beside it. Its frame rate is that of the whole job."""
    report: Path | None = None
    """Also write what ran, and where the time went, into this file, JSON."""
    max_speech_s: Annotated[float | None, LENGTHS_S] = None
    """Longer speech is refused, seconds; None: any length."""
    make_folder: bool = False
    """Make the folder of the video where it is missing."""

    def __post_init__(self) -> None:
        text_to_paths(self, "output", "report")
        check_fields(self)
        if self.prepare.speech is not None or self.prepare.render is not None:
            raise OptionError("The speech and the rendering of a request stand in the request itself.")
        frames = self.prepare.frames
        if frames is not None and frames.fps is not None and self.render.fps not in (None, frames.fps):
            raise OptionError(
                f"Two frame rates are given: {frames.fps} to read and {self.render.fps} to render.",
                accepted="the rate of the rendering, which holds for both",
            )
        self._check_files()
        facts = self.facts
        if facts is not None:
            check_family_options(facts, self.load.family)

    def _check_files(self) -> None:
        from talkinghead.audio.cues import FORMATS

        motion, cues = self.render.motion, self.render.cues
        if motion is not None and motion.suffix != ".npz":
            raise OptionError(f"The motion file is {motion.name!r}.", accepted="a name that ends in .npz")
        if cues is not None and cues.suffix.lstrip(".").lower() not in FORMATS:
            raise OptionError(f"The cue file is {cues.name!r}.", accepted=f"a name that ends in .{choices(FORMATS)}")

    @property
    def facts(self) -> Manifest | None:
        """The model's facts; None where the head is handed over."""
        return family(self.model) if self.model is not None else None

    @property
    def preparing(self) -> PrepareOptions:
        """How the face is read: `prepare` at the frame rate of the rendering. The only place where it is handed on."""
        if self.render.fps is None:
            return self.prepare
        frames = replace(self.prepare.frames or FrameOptions(), fps=self.render.fps)
        return replace(self.prepare, frames=frames)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file and folder that is read, as far as it is named."""
        parts = (self.source, self.speech, self.load, self.prepare, replace(self.render, motion=None, cues=None))
        return tuple(path for part in parts for path in _paths_in(part))

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Every file that is written."""
        named = (self.output, self.report, self.render.motion, self.render.cues)
        return tuple(path for path in named if path is not None)

    def check_length(self, seconds: float) -> None:
        """Refuse speech that is too long.

        Raises:
            InputError: longer than `max_speech_s`.
        """
        if self.max_speech_s is not None and seconds > self.max_speech_s:
            raise InputError(
                f"The speech lasts {seconds / 60:.1f} minutes.",
                accepted=f"at most {self.max_speech_s / 60:g} minutes",
                remedy="a shorter part of it",
            )

    def to_dict(self) -> dict[str, Any]:
        """A row of JSON values, with what differs from the defaults.

        Raises:
            OptionError: the source or the speech is in memory.
        """
        row: dict[str, Any] = {
            "source": _source_row(self.source),
            "speech": _speech_row(self.speech),
            "output": str(self.output),
        }
        if self.model is None:
            raise OptionError("A head that is in memory cannot be written down.", accepted="the name of a model")
        if self.model != DEFAULT_FAMILY:
            row["model"] = self.model
        own = as_declared(config_class(family(self.model).config), self.load.family)
        for name, options in (("load", replace(self.load, family=own)), ("render", self.render)):
            if part := to_row(options):
                row[name] = part
        if part := _prepare_row(self.prepare):
            row["prepare"] = part
        for name in ("report", "max_speech_s"):
            if getattr(self, name) is not None:
                row[name] = plain(getattr(self, name), name)
        if self.make_folder:
            row["make_folder"] = True
        return row

    @staticmethod
    def from_dict(row: Any) -> Request:
        """A request from its row.

        Raises:
            OptionError: an unknown key, a value of another type, or a request that cannot be.
        """
        rest = dict(known_keys(row, _KEYS, "A request"))
        for name in ("speech", "output"):
            if name not in rest:
                raise OptionError(f"The request has no {name}.", accepted="source, speech and output")
        values: dict[str, Any] = {"source": _text(rest.get("source"), "source"), "output": _path(rest, "output")}
        if "model" in rest:
            values["model"] = _text(rest["model"], "model")
        values["speech"] = _read_speech(rest["speech"])
        values["load"] = _read_load(values.get("model") or DEFAULT_FAMILY, rest.get("load", {}))
        values["render"] = from_row(RenderOptions, rest.get("render", {}), "render")
        values["prepare"] = _read_prepare(rest.get("prepare", {}))
        if rest.get("report") is not None:
            values["report"] = _path(rest, "report")
        if (limit := rest.get("max_speech_s")) is not None:
            if isinstance(limit, bool) or not isinstance(limit, int | float):
                raise OptionError(f"max_speech_s is {shown(limit)}.", accepted="a number of seconds")
            values["max_speech_s"] = float(limit)
        if not isinstance(rest.get("make_folder", False), bool):
            raise OptionError(f"make_folder is {rest['make_folder']!r}.", accepted="true or false")
        values["make_folder"] = rest.get("make_folder", False)
        return Request(**values)


_KEYS = ("source", "speech", "output", "model", "load", "prepare", "render", "report", "max_speech_s", "make_folder")


def _paths_in(value: Any) -> Iterator[Path]:
    """Files and folders that a value names: paths, and texts that are the name of something that is there."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, str):
        if value and os.path.lexists(value):
            yield Path(value)
    elif isinstance(value, AudioClip):
        yield from _paths_in(value.source)
    elif isinstance(value, Speech):
        yield from _paths_in(value.soundtrack)
    elif isinstance(value, SpokenText):
        yield from _paths_in(value.options.voice)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _paths_in(item)
    elif dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            yield from _paths_in(getattr(value, item.name))


def check_family_options(facts: Manifest, values: Mapping[str, Any]) -> None:
    """Refuse what a model's configuration does not have or does not take.

    Raises:
        OptionError: an unknown name, or a value that is refused.
    """
    config = config_class(facts.config)
    build_config(config, values, owner=f"The model {facts.name}")
    for item in option_fields(config):  # type: ignore[arg-type]
        if item.choices and values.get(item.name) is not None and values[item.name] not in item.choices:
            raise OptionError(f"{item.name} is {shown(values[item.name])}.", accepted=choices(item.choices))


def _source_row(source: Any) -> str | None:
    if source is None or isinstance(source, str | Path):
        return None if source is None else str(source)
    raise OptionError("The face is a picture in memory and cannot be written down.", accepted="a file")


def _speech_row(speech: Any) -> dict[str, Any]:
    if isinstance(speech, SoundFile | SpokenText):
        return to_row(speech)
    raise OptionError("The speech is in memory and cannot be written down.", accepted="a sound file, or a text")


def _prepare_row(prepare: PrepareOptions) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in ("frames", "faces"):
        part = getattr(prepare, name)
        if part is not None:
            row[name] = to_row(part)
    if isinstance(prepare.cache, NullCache):
        row["cache"] = False
    elif prepare.cache is not None:
        row["cache"] = str(prepare.cache.folder)
    return row


def _read_speech(row: Any) -> SoundFile | SpokenText:
    kind: type[SoundFile] | type[SpokenText]
    kind = SpokenText if isinstance(row, Mapping) and "text" in row else SoundFile
    if kind is SoundFile and (not isinstance(row, Mapping) or "path" not in row):
        raise OptionError(f"The speech is {shown(row)}.", accepted='{"path": "hello.wav"} or {"text": "Hello."}')
    return from_row(kind, row, "speech")


def _read_load(model: str, row: Any) -> LoadOptions:
    facts = family(model)
    rest = dict(known_keys(row, list(typing.get_type_hints(LoadOptions)), "load"))
    own = typed_values(config_class(facts.config), rest.pop("family", {}), f"The model {model}")
    return replace(from_row(LoadOptions, rest, "load"), family=own)


def _read_prepare(row: Any) -> PrepareOptions:
    from talkinghead.face.detectors.options import FaceOptions

    rest = known_keys(row, ("frames", "faces", "cache"), "prepare")
    cache = rest.get("cache", True)
    if not isinstance(cache, bool | str):
        raise OptionError(f"cache is {shown(cache)}.", accepted="true, false, or a folder")
    return PrepareOptions(
        frames=from_row(FrameOptions, rest["frames"], "frames") if rest.get("frames") is not None else None,
        faces=from_row(FaceOptions, rest["faces"], "faces") if rest.get("faces") is not None else None,
        cache=Cache(Path(cache)) if isinstance(cache, str) else None if cache else NullCache(),
    )


def _text(value: Any, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise OptionError(f"{name} is {shown(value)}.", accepted="text")
    return value


def _path(row: Mapping[str, Any], name: str) -> Path:
    if not isinstance(row[name], str) or not row[name]:
        raise OptionError(f"{name} is {shown(row[name])}.", accepted="the name of a file")
    return Path(row[name])
