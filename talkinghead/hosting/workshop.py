"""Where orders of strangers become videos: what can be chosen, checks, requests, one queue, one pool of models.

Every door of a server (the page, the HTTP service) hands its orders in here. Who may have what is the door's matter.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkinghead.assets.portrait import PORTRAITS, portrait_path
from talkinghead.bounds import FieldBounds, check_value, shown
from talkinghead.contracts import Report, Result
from talkinghead.engine.context import CancelToken, Progress
from talkinghead.engine.head import LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.options import build_config
from talkinghead.errors import (
    InputError,
    MediaNotFound,
    MissingWeights,
    NoAudioStream,
    OptionError,
    TalkingHeadError,
    UnreadableMedia,
    choices,
)
from talkinghead.hosting.faults import without_folders
from talkinghead.hosting.fields import FieldGroup, model_group, shared_groups
from talkinghead.hosting.limits import Limits
from talkinghead.hosting.thumbnails import thumbnail_of
from talkinghead.measure.memory import give_back
from talkinghead.places import printable
from talkinghead.provenance.signing import configured
from talkinghead.service.availability import Availability, all_models, availability, sources_in
from talkinghead.service.jobs import JobQueue
from talkinghead.service.request import Request, SoundFile, SpokenText
from talkinghead.service.run import HeadPool, run, with_stages
from talkinghead.speech.options import SpeechOptions
from talkinghead.system import remove_tree
from talkinghead.weights.folder import model_folder

if TYPE_CHECKING:
    from talkinghead.contracts import FrameSource
    from talkinghead.media import MediaProbe
    from talkinghead.speech import EngineStatus

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
MAX_GALLERY = 60
MAX_FPS = 120
CHECKS_AT_ONCE = 2
"""Files that are looked at, at the same time, before they become work."""
CHECK_S = 20.0
"""Seconds for which a file is looked at before it becomes work."""
MAX_PIXELS = 40_000_000
"""Of a picture or a frame that a visitor sends: more than a telephone makes by itself."""
PORTRAIT = "Portrait"
"""Asks for the first of the portraits that come along; each has a name of its own, too."""


@dataclass(frozen=True)
class Face:
    """One entry of the gallery."""

    title: str
    path: Path
    thumbnail: Path


@dataclass(frozen=True)
class Order:
    """One video to make, as a visitor asks for it: with names that the server offers, where a request has paths."""

    model: str
    sound: Path | SpokenText | None
    """A file, or a text; None for a look at the face."""
    source: Path | str
    """A face: a file that the visitor sent; or, as a text, the name of one of the gallery, or of an avatar, template
    or scene that the model offers. A text is never taken for a path."""
    checkpoint: str | None = None
    """Name in the model store; None takes the first."""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Values by `FieldGroup.key` and field name."""

    def __post_init__(self) -> None:
        for name in ("model", "source", "checkpoint"):
            check_value(f"The {name}", getattr(self, name), FieldBounds(str, None))
        if not isinstance(self.options, Mapping) or not all(
            isinstance(part, Mapping) for part in self.options.values()
        ):
            raise OptionError("The options are of another form.", accepted='{"model": {"strength": 1.2}}')


def said(
    text: str, lang: str = "auto", voice: str | None = None, engine: str = "auto", speed: float = 1.0
) -> SpokenText:
    """What a visitor wants to be spoken.

    Raises:
        InputError: no text, or too much of it. OptionError: no such language, engine or pace.
    """
    if not isinstance(text, str) or not text.strip():
        raise InputError("There is no text to speak.", accepted="a sentence or more")
    values = {"lang": lang, "voice": voice or None, "engine": engine, "speed": speed}
    return SpokenText(text, build_config(SpeechOptions, values, owner="Speech"))


@dataclass(frozen=True)
class Finished:
    """A video that was made, with what belongs to it. Everything lies in one folder."""

    number: int
    """Among those of the same visitor, from 1."""
    title: str
    report: Report
    video: Path
    poster: Path
    report_file: Path
    motion: Path | None
    cues: Path
    source: Path | None
    """A copy of the face that was given; None where the model renders whole frames."""


class Workshop:
    """What all doors of one server share.

    Args:
        folder: private folder of this server: thumbnails of the gallery, the bundled sentence. Removed by `close`.
        limits: how much work is taken on.
        folders: gallery folders of whoever serves: pictures and videos of faces, template folders, scenes.
        fixed: model name to fields of its configuration that are set for everyone.
        max_pixels: of a picture or a frame that is sent.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        *,
        folders: Sequence[Path] = (),
        fixed: Mapping[str, Mapping[str, Any]] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.folder = folder
        self.private = [folder]
        """Folders of this server that nobody is told of; its doors add theirs."""
        self.limits = limits
        self.fixed = fixed or {}
        self.max_pixels = max_pixels
        self.folders = tuple(folders)
        for path in self.folders:
            if not path.is_dir():
                raise MediaNotFound(f"There is no folder {str(path)!r}.", accepted="--gallery FOLDER")
        self.jobs = JobQueue(limits.at_once, limits.max_waiting)
        self.heads = HeadPool()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._checks = threading.BoundedSemaphore(CHECKS_AT_ONCE)
        self._shared = shared_groups()
        self.faces = self._gallery()
        self.example_sound = self._example_sound()
        """The bundled sentence, in the server's own folder: no file elsewhere is ever given to a visitor."""

    def close(self) -> None:
        """Stop all jobs and remove the folder."""
        self.jobs.close()
        remove_tree(self.folder)

    # What there is to choose from

    def models(self) -> tuple[Availability, ...]:
        """Every registered model, as it is now."""
        return all_models(self.fixed)

    def availability(self, model: str) -> Availability:
        """One model, as it is now."""
        return availability(model, self.fixed.get(model))

    def sources(self, found: Availability) -> tuple[str, ...]:
        """Names of avatars, templates or scenes that a model can take; empty for models that take any face."""
        named = found.choices.get("source", ())
        return (*named, *(printable(path.name) for path in sources_in(self.folders, found.facts)))

    def groups(self, found: Availability) -> tuple[FieldGroup, ...]:
        """The options that a model has: its own, and those of all that make sense for it."""
        names = {name: values for name, values in found.choices.items() if name != "source"}
        own = model_group(found.facts, names)
        set_already = self.fixed.get(found.facts.name, {})
        own = replace(own, offered=tuple(item for item in own.offered if item.field.name not in set_already))
        whole = found.facts.kind == "scene"
        return (own, *(group for group in self._shared if not (whole and group.key in ("reading", "finding"))))

    def described(self) -> list[dict[str, Any]]:
        """Every model as a row of JSON: what it takes, whether it is ready, its sources and its options."""
        return [self._row(found) for found in self.models()]

    def _row(self, found: Availability) -> dict[str, Any]:
        facts = found.facts
        return {
            "name": facts.name,
            "title": facts.title,
            "summary": facts.summary,
            "takes": facts.face_source,
            "ready": found.ready,
            "why_not": found.why_not,
            "remedy": found.remedy,
            "checkpoints": list(found.checkpoints),
            "sources": list(self.sources(found))
            or ([face.title for face in self.faces] if not facts.source_marks else []),
            "options": {
                group.key: {
                    offered.field.name: {
                        "default": offered.shown_default,
                        "choices": list(offered.names) or None,
                        "range": offered.field.range or None,
                        "help": offered.field.help,
                    }
                    for offered in group.offered
                }
                for group in self.groups(found)
            },
        }

    def engines(self) -> list[EngineStatus]:
        """Speech engines with their languages and voices."""
        from talkinghead.speech import available_engines

        return available_engines()

    def _example_sound(self) -> Path:
        from talkinghead.assets import demo_speech_path

        folder = self.folder / "example"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(shutil.copyfile(demo_speech_path(), folder / demo_speech_path().name))

    def _gallery(self) -> tuple[Face, ...]:
        """The bundled portraits, and what lies in the gallery folders."""
        folder = self.folder / f"gallery-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700, parents=True)
        found: list[Face] = []
        for name in PORTRAITS:
            portrait = Path(shutil.copyfile(portrait_path(name), folder / portrait_path(name).name))
            found.append(Face(name, portrait, portrait))
        for place in self.folders:
            for path in sorted(place.iterdir()):
                if path.suffix.lower() in (*PICTURES, *VIDEOS) and path.is_file() and len(found) < MAX_GALLERY:
                    try:
                        thumbnail = folder / f"{len(found)}.webp"
                        thumbnail_of(path, thumbnail)
                        found.append(Face(printable(path.stem), path, thumbnail))
                    except TalkingHeadError:
                        continue  # not a picture or video, whatever its name says
        return tuple(found)

    # Checking what was given

    def check_face(self, path: Path) -> Path:
        """A picture or video, by its content.

        Raises:
            MediaError: it is neither, damaged, or too large.
        """
        self.open_face(path).close()
        return path

    def open_face(self, path: Path) -> FrameSource:
        """The frames of a picture or video, by its content.

        Raises:
            MediaError: as `check_face`.
        """
        from talkinghead.media import FrameOptions, open_frames

        self._check_size(path)
        options = FrameOptions(cache_bytes=0, max_pixels=self.max_pixels)
        with self._checks:
            return open_frames(path, options=options, check=_within(CHECK_S))

    def check_sound(self, path: Path) -> Path:
        """A sound, or a video with one, that is not too long.

        Raises:
            MediaError: it has no sound, is damaged, or too large or long.
        """
        self.probe_sound(path)
        return path

    def probe_sound(self, path: Path) -> MediaProbe:
        """What is in a file that has a sound.

        Raises:
            MediaError: as `check_sound`.
        """
        from talkinghead.media import probe
        from talkinghead.media.headers import picture_format

        self._check_size(path)
        with self._checks:
            found = probe(path, check=_within(CHECK_S)) if picture_format(path) is None else None
        if found is None or found.main_audio is None:
            raise NoAudioStream(f"{path.name!r} has no sound.", accepted="a sound file, or a video with a sound track")
        self.check_length(found.main_audio.duration_s or 0.0)
        return found

    def _check_size(self, path: Path) -> None:
        from talkinghead.files import existing_file

        size_mb = existing_file(path).stat().st_size / 1e6
        if size_mb > self.limits.max_upload_mb:
            raise UnreadableMedia(f"The file has {size_mb:.0f} MB.", accepted=f"at most {self.limits.max_upload_mb} MB")

    def check_length(self, seconds: float) -> None:
        if seconds > 60 * self.limits.max_minutes:
            raise InputError(
                f"The speech lasts {seconds / 60:.1f} minutes.",
                accepted=f"at most {self.limits.max_minutes:g} minutes",
                remedy="a shorter part of it",
            )

    def check_text(self, text: SpokenText) -> None:
        """Refuse what need not be tried."""
        voice = text.options.voice
        if voice is not None:
            known = {name for engine in self.engines() for name in engine.variants}
            if voice not in known:  # a path to a voice file, among others
                raise OptionError(f"There is no voice {shown(voice)}.", remedy="leave the voice out")
        if len(text.text) > 40 * 60 * self.limits.max_minutes:  # no voice speaks as fast
            self.check_length(len(text.text) / 15)

    def ready(self, order: Order) -> Availability:
        found = self.availability(order.model)
        if not found.ready:
            raise MissingWeights(found.why_not, remedy=found.remedy)
        if order.checkpoint is not None and order.checkpoint not in found.checkpoints:
            raise OptionError(
                f"There is no checkpoint {shown(order.checkpoint)} of {found.facts.title}.",
                accepted=choices(found.checkpoints) if found.checkpoints else "none: the model has no checkpoints here",
            )
        return found

    def values(self, found: Availability, options: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        """What options say that is not the default, by group and field, for every group of the model.

        Raises:
            OptionError: no such group or field, or a value that is none of it.
        """
        groups = {group.key: group for group in self.groups(found)}
        for name in options:
            if name not in groups:
                raise OptionError(f"There are no options {shown(name)} here.", accepted=choices(list(groups)))
        return {name: group.read(options.get(name, {})) for name, group in groups.items()}

    # Working

    def request(
        self, found: Availability, order: Order, *, output: Path, cache: Path, fragment_s: float | None = None
    ) -> Request:
        """The request of an order. That its files are the visitor's own is the door's to see to.

        Args:
            found: what `ready` gave.
            cache: folder where slow results about the face are kept.
            fragment_s: write a video that can be read while it is made.
        Raises:
            OptionError, MediaError, InputError: what was chosen or given cannot be used.
        """
        from talkinghead.engine.cache import Cache
        from talkinghead.face.detectors.options import FaceOptions
        from talkinghead.media.options import EncodeOptions, FrameOptions

        if fragment_s is not None and configured() is not None:
            raise OptionError(
                "Videos are signed here once they are complete, so none can be watched while it is made.",
                remedy="an order without stream",
            )
        speech = self._speech(order.sound)
        source = self._source(found, order.source)
        values = self.values(found, order.options)
        encoding = {**values.get("encoding", {}), "fragment_s": fragment_s}
        encode = build_config(EncodeOptions, encoding, owner="Encoding")
        render = RenderOptions(**values.get("video", {}), encode=encode)
        if render.fps is not None and render.fps > MAX_FPS:
            raise OptionError(f"Fps is {render.fps}.", accepted=f"more than 0, at most {MAX_FPS} frames a second")
        checkpoint = order.checkpoint or next(iter(found.checkpoints), None)
        load = {
            **values.get("machine", {}),
            "checkpoint": Path(checkpoint) if checkpoint is not None else None,
            "family": {**self.fixed.get(order.model, {}), **values["model"]},
        }
        return Request(
            source=source,
            speech=speech,
            output=output,
            model=order.model,
            load=build_config(LoadOptions, load, owner="Loading"),
            prepare=PrepareOptions(
                frames=build_config(
                    FrameOptions, {"max_pixels": self.max_pixels, **values.get("reading", {})}, owner="Reading the face"
                ),
                faces=build_config(FaceOptions, values.get("finding", {}), owner="Finding the face"),
                cache=Cache(cache),
            ),
            render=render,
            max_speech_s=60 * self.limits.max_minutes,
        )

    def _speech(self, sound: Path | SpokenText | None) -> SoundFile | SpokenText:
        if isinstance(sound, SpokenText):
            self.check_text(sound)
            return sound
        if sound is None:
            return SoundFile(self.example_sound)
        return SoundFile(self.check_sound(sound), phones=_bundled_phones(sound))

    def _source(self, found: Availability, given: Path | str) -> Path | str:
        facts = found.facts
        if facts.source_marks or not facts.source_is_path:
            name = str(given) or facts.default_source or ""
            if name in found.choices.get("source", ()):
                return name
            folders = {printable(path.name): path for path in sources_in(self.folders, facts)}
            if name in folders:
                return folders[name]
            offered = self.sources(found)
            raise OptionError(
                f"There is no {facts.source_option.lstrip('-')} {shown(name)}." if name
                else f"No {facts.source_option.lstrip('-')} is chosen.",
                accepted=choices(offered) if offered else facts.face_source,
                remedy=None if offered else "a gallery folder with one in it, where the server is started",
            )  # fmt: skip
        if isinstance(given, Path):
            return self.check_face(given)
        if not given:
            raise MediaNotFound("No face is given.", accepted=facts.face_source)
        given = PORTRAITS[0] if given == PORTRAIT else given
        named = next((face.path for face in self.faces if face.title == given), None)
        if named is None:
            titles = [face.title for face in self.faces]
            raise OptionError(
                f"There is no face {shown(given)} in the gallery.",
                accepted=choices(titles) if titles else "a file that is uploaded",
                remedy="upload a picture or a video" if titles else None,
            )
        return named

    def make(self, request: Request, number: int, progress: Progress, cancel: CancelToken) -> Finished:
        """Make the video of a request, and what belongs to it, in the folder of its output, which is made.

        Args:
            number: among the videos of the same visitor.
        Raises:
            As `service.run.run`.
        """
        try:
            return self._make(request, number, progress, cancel)
        finally:
            give_back()

    def _make(self, request: Request, number: int, progress: Progress, cancel: CancelToken) -> Finished:
        stem = request.output.with_suffix("")
        with self.heads.borrow(request, progress) as (head, loaded):
            render = replace(
                request.render,
                motion=Path(f"{stem}-motion.npz") if head.has_motion else None,
                cues=Path(f"{stem}-cues.json"),
            )
            request.output.parent.mkdir(mode=0o700)
            result = run(replace(request, render=render), head=head, progress=progress, cancel=cancel)
        result = with_stages(result, loaded, result.report.wall_s + sum(stage.busy_s for stage in loaded))
        report = replace(
            result.report,
            output=result.path.name,
            model_details=self._public(result.report.model_details),
            warnings=tuple(map(self.without_folders, result.report.warnings)),
            fallbacks=tuple(map(self.without_folders, result.report.fallbacks)),
        )
        return self._finished(replace(request, render=render), Result(result.path, report), number)

    def _finished(self, request: Request, result: Result, number: int) -> Finished:
        from talkinghead.files import write_bytes

        render, source, facts = request.render, request.source, request.facts
        assert render.cues is not None
        assert facts is not None
        folder = result.path.parent
        report_file = folder / f"{result.path.stem}-report.json"
        write_bytes(report_file, result.report.to_json().encode())
        poster = folder / f"{result.path.stem}-poster.webp"
        thumbnail_of(result.path, poster)
        copied = None
        if isinstance(source, Path) and source.is_file():
            copied = folder / f"source{source.suffix.lower()}"
            shutil.copyfile(source, copied)
        who = source.stem if isinstance(source, Path) else source
        what = request.speech.text.strip()[:24] if isinstance(request.speech, SpokenText) else _stem(request.speech)
        title = printable(f"{facts.title}: {who}, {what}")
        return Finished(
            number, title, result.report, result.path, poster, report_file, render.motion, render.cues, copied
        )

    # Telling

    def without_folders(self, text: str) -> str:
        """A text without the folders of the machine that serves."""
        known = (*self.folders, *(place.absolute() for place in self.folders), model_folder().absolute())
        return without_folders(text, self.private, known)

    def _public(self, value: Any) -> Any:
        """A value of a report without the folders of the machine that serves."""
        if isinstance(value, str | Path):
            return Path(value).name if Path(value).is_absolute() else self.without_folders(str(value))
        if isinstance(value, Mapping):
            return {key: self._public(item) for key, item in value.items()}
        return [self._public(item) for item in value] if isinstance(value, list | tuple) else value


def _within(seconds: float) -> Callable[[], None]:
    """What a long look at a file calls now and then: it may last so long."""
    end = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > end:
            raise UnreadableMedia("The file takes too long to look at.", remedy="a shorter part of it")

    return check


def _stem(speech: object) -> str:
    return speech.path.stem if isinstance(speech, SoundFile) else ""


def _bundled_phones(sound: Path) -> Path | None:
    """The exact phones of the bundled sentence, if that is what the sound is."""
    from talkinghead.assets import demo_phones_path, demo_speech_path
    from talkinghead.files import same_content

    return demo_phones_path() if same_content(sound, demo_speech_path()) else None
