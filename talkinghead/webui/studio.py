"""What the handlers of the page and of the HTTP API call: sessions with folders of their own, limits, jobs.

What is asked for becomes a `Request`, and `service.run` does it; here is only who may have what, and how much.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from talkinghead.contracts import Report, Result, Speech
from talkinghead.engine.context import CancelToken, Progress
from talkinghead.engine.head import LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.manifest import Manifest
from talkinghead.engine.options import build_config
from talkinghead.errors import (
    Cancelled,
    InputError,
    MediaNotFound,
    MissingWeights,
    NoAudioStream,
    OptionError,
    TalkingHeadError,
    UnreadableMedia,
    choices,
)
from talkinghead.places import printable
from talkinghead.service.availability import Availability, all_models, availability, sources_in
from talkinghead.service.jobs import Job, JobQueue, Work
from talkinghead.service.request import Request, SoundFile, SpokenText
from talkinghead.service.run import HeadPool, hear, run, with_stages
from talkinghead.speech.options import SpeechOptions
from talkinghead.webui.fields import FieldGroup, Offered, model_group, shared_groups
from talkinghead.webui.options import AppOptions
from talkinghead.weights.folder import model_folder

if TYPE_CHECKING:
    from talkinghead.engine.head import Avatar
    from talkinghead.service.preview import Preview
    from talkinghead.speech import EngineStatus

T = TypeVar("T")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
MAX_GALLERY = 60
PREVIEW_S = 0.6
"""Seconds of a video that are looked at for a preview."""
JOBS_PER_SESSION = 4
MAX_FPS = 120
PORTRAIT = "Portrait"


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
    """A file of a face; or the name of an avatar, template or scene that the model offers."""
    checkpoint: str | None = None
    """Name in the model store; None takes the first."""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Values by `FieldGroup.key` and field name."""


def said(text: str, lang: str = "en", voice: str | None = None, engine: str = "auto", speed: float = 1.0) -> SpokenText:
    """What a visitor wants to be spoken.

    Raises:
        InputError: no text, or too much of it. OptionError: no such language, engine or pace.
    """
    if not text.strip():
        raise InputError("There is no text to speak.", accepted="a sentence or more")
    values = {"lang": lang, "voice": voice or None, "engine": engine, "speed": speed}
    return SpokenText(text, build_config(SpeechOptions, values, owner="Speech"))


@dataclass(frozen=True)
class Finished:
    """A video that was made, with what belongs to it. Everything lies in the session's folder."""

    number: int
    title: str
    report: Report
    video: Path
    poster: Path
    report_file: Path
    motion: Path | None
    cues: Path
    source: Path | None
    """A copy of the face that was given; None where the model renders whole frames."""


@dataclass
class Session:
    """One visitor's page."""

    folder: Path
    finished: list[Finished] = field(default_factory=list)
    jobs: list[Job[Any]] = field(default_factory=list)
    last_used_s: float = field(default_factory=time.monotonic)
    avatar: tuple[tuple[Any, ...], Avatar] | None = None
    """The face prepared last for a preview, and what it was prepared from."""
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Studio:
    """One web page's sessions and models.

    Args:
        folder: private folder of this server; sessions and uploads lie below it. Removed by `close`.
        options: limits.
        folders: gallery folders of whoever serves the page: pictures and videos of faces, template folders, scenes.
        fixed: model name to fields of its configuration that are set for everyone.
    """

    def __init__(
        self,
        folder: Path,
        options: AppOptions | None = None,
        *,
        folders: Sequence[Path] = (),
        fixed: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.folder = folder
        self.options = options or AppOptions()
        self.fixed = fixed or {}
        self.folders = tuple(folders)
        for path in self.folders:
            if not path.is_dir():
                raise MediaNotFound(f"There is no folder {str(path)!r}.", accepted="--gallery FOLDER")
        self.jobs = JobQueue(self.options.at_once, self.options.max_waiting)
        self._heads = HeadPool()
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._shared = shared_groups()
        self.faces = self._gallery()
        self.example_sound = self._example_sound()
        """The bundled sentence, in the server's own folder: no file elsewhere is ever given to a visitor."""

    # Sessions

    def session(self, key: str | None) -> Session:
        """The visitor's session; made at the first call. Its folder's name cannot be guessed."""
        with self._lock:
            name = key or ""
            if name not in self._sessions:
                folder = self.folder / f"session-{secrets.token_hex(16)}"
                folder.mkdir(mode=0o700, parents=True)
                self._sessions[name] = Session(folder)
            found = self._sessions[name]
            found.last_used_s = time.monotonic()
            return found

    def end_session(self, key: str | None) -> None:
        """Cancel the visitor's jobs and remove the files."""
        with self._lock:
            found = self._sessions.pop(key or "", None)
        if found is not None:
            for job in found.jobs:
                job.cancel()
            shutil.rmtree(found.folder, ignore_errors=True)

    def end_old_sessions(self) -> int:
        """End those that were not used for `keep_hours`; returns how many."""
        limit = time.monotonic() - 3600 * self.options.keep_hours
        with self._lock:
            old = [
                key
                for key, session in self._sessions.items()
                if session.last_used_s < limit and not any(not job.state().ended for job in session.jobs)
            ]
        for key in old:
            self.end_session(key)
        return len(old)

    def close(self) -> None:
        """Stop all jobs and remove everything."""
        self.jobs.close()
        with self._lock:
            keys = list(self._sessions)
        for key in keys:
            self.end_session(key)
        shutil.rmtree(self.folder, ignore_errors=True)

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
        """The bundled portrait, if its package is there, and what lies in the gallery folders."""
        from talkinghead.assets.portrait import astronaut
        from talkinghead.errors import MissingDependency
        from talkinghead.media import write_png

        folder = self.folder / f"gallery-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700, parents=True)
        found: list[Face] = []
        try:
            portrait = folder / "portrait.png"
            write_png(portrait, astronaut())
            found.append(Face(PORTRAIT, portrait, portrait))
        except MissingDependency:
            pass
        for place in self.folders:
            for path in sorted(place.iterdir()):
                if path.suffix.lower() in (*PICTURES, *VIDEOS) and path.is_file() and len(found) < MAX_GALLERY:
                    try:
                        thumbnail = folder / f"{len(found)}.png"
                        write_thumbnail(path, thumbnail)
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
        from talkinghead.media import FrameOptions, open_frames

        self._check_size(path)
        open_frames(path, options=FrameOptions(cache_bytes=0))
        return path

    def check_sound(self, path: Path) -> Path:
        """A sound, or a video with one, that is not too long.

        Raises:
            MediaError: it has no sound, is damaged, or too large or long.
        """
        from talkinghead.media import probe

        self._check_size(path)
        track = probe(path).main_audio
        if track is None:
            raise NoAudioStream(f"{path.name!r} has no sound.", accepted="a sound file, or a video with a sound track")
        self._check_length(track.duration_s or 0.0)
        return path

    def _check_size(self, path: Path) -> None:
        from talkinghead.files import existing_file

        size_mb = existing_file(path).stat().st_size / 1e6
        if size_mb > self.options.max_upload_mb:
            raise UnreadableMedia(
                f"The file has {size_mb:.0f} MB.", accepted=f"at most {self.options.max_upload_mb} MB"
            )

    def _check_length(self, seconds: float) -> None:
        if seconds > 60 * self.options.max_minutes:
            raise InputError(
                f"The speech lasts {seconds / 60:.1f} minutes.",
                accepted=f"at most {self.options.max_minutes:g} minutes",
                remedy="a shorter part of it",
            )

    def speak(self, text: SpokenText) -> Speech:
        """Speak a text.

        Raises:
            InputError: too long, or an unknown language or voice. MissingDependency: no engine.
        """
        self._check_text(text)
        speech = hear(text)
        self._check_length(float(speech.clip.duration_s))
        return speech

    def _check_text(self, text: SpokenText) -> None:
        """Refuse what need not be tried."""
        voice = text.options.voice
        if voice is not None:
            known = {name for engine in self.engines() for name in engine.variants}
            if voice not in known:  # a path to a voice file, among others
                raise OptionError(f"There is no voice {voice!r}.", remedy="leave the voice out")
        if len(text.text) > 40 * 60 * self.options.max_minutes:  # no voice speaks as fast
            self._check_length(len(text.text) / 15)

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
                f"There is no {facts.source_option.lstrip('-')} {name!r}." if name
                else f"No {facts.source_option.lstrip('-')} is chosen.",
                accepted=choices(offered) if offered else facts.face_source,
                remedy=None if offered else "talkinghead app --gallery FOLDER, with such a folder in it",
            )  # fmt: skip
        if not str(given):
            raise MediaNotFound("No face is given.", accepted=facts.face_source)
        named = next((face.path for face in self.faces if face.title == str(given)), None)
        return named if named is not None else self.check_face(Path(given))

    # Working

    def start(self, key: str | None, order: Order) -> Job[Finished]:
        """Check an order and hand it in.

        Raises:
            MissingWeights, MissingDependency, InputError: it cannot be done, before anything slow begins.
            QueueFull: too many wait.
        """
        session = self.session(key)
        found = self._ready(order)
        asked = self._request(found, order, session)
        with session.lock:
            number = session.count + 1
            folder = session.folder / f"result-{number}"
            request = replace(asked, output=folder / f"{order.model}-{number}.mp4")

            def work(progress: Progress, cancel: CancelToken) -> Finished:
                try:
                    return self._make(found.facts, request, number, progress, cancel)
                except BaseException:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise

            job = self._submit(session, work, order.model)
            session.count = number
        return job

    def keep(self, key: str | None, finished: Finished) -> tuple[Finished, ...]:
        """Add a result to the session's history; returns the history, newest first."""
        session = self.session(key)
        with session.lock:
            if all(known.number != finished.number for known in session.finished):
                session.finished.insert(0, finished)
            return tuple(session.finished)

    def history(self, key: str | None) -> tuple[Finished, ...]:
        """What the session made, newest first."""
        return tuple(self.session(key).finished)

    def cancel(self, key: str | None) -> int:
        """Stop what the session has under way; returns how many jobs."""
        jobs = [job for job in self.session(key).jobs if not job.state().ended]
        for job in jobs:
            job.cancel()
        return len(jobs)

    def preview(self, key: str | None, order: Order, *, shape: str = "X", at_s: float = 0.0) -> Preview:
        """Show one frame of the face with a mouth shape; as `start_preview`, and waits for it."""
        return self.start_preview(key, order, shape=shape, at_s=at_s).result()

    def start_preview(self, key: str | None, order: Order, *, shape: str = "X", at_s: float = 0.0) -> Job[Preview]:
        """Hand in a look at one frame of the face with a mouth shape; it waits for its turn like any job.

        Args:
            at_s: where in a video to look.
        Raises:
            As `start`.
        """
        session = self.session(key)
        found = self._ready(order)
        request = self._request(found, replace(order, sound=None), session)

        def work(progress: Progress, cancel: CancelToken) -> Preview:
            from talkinghead.service.preview import preview

            with self._heads.borrow(request, progress) as (head, _):
                made_from = (head, str(request.source), at_s, repr(request.preparing))
                with session.lock:
                    kept = session.avatar
                avatar = kept[1] if kept is not None and kept[0] == made_from else None
                if avatar is None:
                    frames = replace(request.preparing.frames, start_s=at_s, duration_s=PREVIEW_S)  # type: ignore[type-var]
                    options = replace(request.preparing, frames=frames, render=request.render)
                    avatar = head.prepare(request.source, options, progress=progress, cancel=cancel)  # type: ignore[arg-type]
                    with session.lock:
                        session.avatar = (made_from, avatar)
                return preview(head, avatar, shape=shape, options=request.render, cancel=cancel)

        with session.lock:
            return self._submit(session, work, order.model)

    def _submit(self, session: Session, work: Work[T], lane: str) -> Job[T]:
        """Hand in a visitor's job, if not too many are under way; the session's lock is held.

        Raises:
            InputError: there are. QueueFull: too many of everybody wait.
        """
        session.jobs = [job for job in session.jobs if not job.state().ended]  # with the pictures that they hold
        if len(session.jobs) >= JOBS_PER_SESSION:
            raise InputError(f"{len(session.jobs)} of your videos are under way.", remedy="wait for one, or cancel")
        job = self.jobs.submit(work, lane)
        session.jobs.append(job)
        return job

    def write_speech(self, key: str | None, text: SpokenText) -> Path:
        """Speak a text into a sound file of the session."""
        from talkinghead.contracts import AudioClip
        from talkinghead.media import write_wav

        speech = self.speak(text)
        assert isinstance(speech.soundtrack, AudioClip)
        path = self.session(key).folder / f"speech-{secrets.token_hex(4)}.wav"
        write_wav(path, speech.soundtrack)
        return path

    def write_preview(self, key: str | None, seen: Preview, layers: Sequence[str], close_up: bool) -> Path:
        """Write a preview as a picture of the session; the one before is removed."""
        from talkinghead.media import write_png

        folder = self.session(key).folder
        for old in folder.glob("preview-*.png"):
            old.unlink(missing_ok=True)
        path = folder / f"preview-{secrets.token_hex(4)}.png"
        write_png(path, seen.picture(tuple(layers), close_up=close_up))
        return path

    def _ready(self, order: Order) -> Availability:
        found = self.availability(order.model)
        if not found.ready:
            raise MissingWeights(found.why_not, remedy=found.remedy)
        if order.checkpoint is not None and order.checkpoint not in found.checkpoints:
            raise OptionError(
                f"There is no checkpoint {order.checkpoint!r} of {found.facts.title}.",
                accepted=choices(found.checkpoints) if found.checkpoints else "none: the model has no checkpoints here",
            )
        return found

    def _request(self, found: Availability, order: Order, session: Session) -> Request:
        """The request of an order; its output is named when its turn in the session is known.

        Raises:
            OptionError, MediaError, InputError: what was chosen or given cannot be used.
        """
        from talkinghead.engine.cache import Cache
        from talkinghead.face.detectors.options import FaceOptions
        from talkinghead.media.options import EncodeOptions, FrameOptions

        speech = self._speech(order.sound)
        source = self._source(found, order.source)
        groups = {group.key: group for group in self.groups(found)}
        for key in order.options:
            if key not in groups:
                raise OptionError(f"There are no options {key!r} here.", accepted=choices(list(groups)))
        values = {key: group.read(order.options.get(key, {})) for key, group in groups.items()}
        encode = build_config(EncodeOptions, values.get("encoding", {}), owner="Encoding")
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
            output=session.folder,
            model=order.model,
            load=build_config(LoadOptions, load, owner="Loading"),
            prepare=PrepareOptions(
                frames=build_config(FrameOptions, values.get("reading", {}), owner="Reading the face"),
                faces=build_config(FaceOptions, values.get("finding", {}), owner="Finding the face"),
                cache=Cache(session.folder / "cache"),
            ),
            render=render,
            max_speech_s=60 * self.options.max_minutes,
        )

    def _speech(self, sound: Path | SpokenText | None) -> SoundFile | SpokenText:
        if isinstance(sound, SpokenText):
            self._check_text(sound)
            return sound
        if sound is None:
            return SoundFile(self.example_sound)
        return SoundFile(self.check_sound(sound), phones=_bundled_phones(sound))

    def _make(
        self, facts: Manifest, request: Request, number: int, progress: Progress, cancel: CancelToken
    ) -> Finished:
        stem = request.output.with_suffix("")
        with self._heads.borrow(request, progress) as (head, loaded):
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
            warnings=tuple(map(self._without_folders, result.report.warnings)),
            fallbacks=tuple(map(self._without_folders, result.report.fallbacks)),
        )
        return self._finished(facts, replace(request, render=render), Result(result.path, report), number)

    def _finished(self, facts: Manifest, request: Request, result: Result, number: int) -> Finished:
        from talkinghead.files import write_bytes

        render, source = request.render, request.source
        assert render.cues is not None
        folder = result.path.parent
        report_file = folder / f"{result.path.stem}-report.json"
        write_bytes(report_file, result.report.to_json().encode())
        poster = folder / f"{result.path.stem}-poster.png"
        write_thumbnail(result.path, poster)
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

    def sentence(self, error: BaseException) -> str:
        """What to tell the visitor: the package's own words without the server's folders, options by the names that
        they have on the page; nothing of other errors.
        """
        if isinstance(error, TalkingHeadError):
            return _OPTION.sub(self._option_on_page, self._without_folders(str(error)))
        if isinstance(error, MemoryError):
            return "There is not enough memory.\nTry: a smaller picture or a shorter video"
        return f"Something went wrong inside ({type(error).__name__}). Whoever serves this page finds it in the log."

    def _option_on_page(self, match: re.Match[str]) -> str:
        """`--audio-features phones` as: the option "Audio features": phones. What is not on the page stays."""
        offered = self._option_names.get(match["name"].replace("-", "_"))
        if offered is None:
            return match[0]
        value = match["value"] or ""
        return f'the option "{offered.label}"' + (f": {value}" if value in offered.names else f" {value}".rstrip())

    @cached_property
    def _option_names(self) -> dict[str, Offered]:
        groups = (group for found in self.models() for group in self.groups(found))
        return {offered.field.name: offered for group in groups for offered in group.offered}

    def _without_folders(self, text: str) -> str:
        """A text without the folders of the machine that serves."""
        text = re.sub(rf"{re.escape(str(self.folder))}[^\s'\"]*/", "", text)
        for place in (*self.folders, *(place.absolute() for place in self.folders), model_folder().absolute()):
            text = text.replace(f"{place}/", "")
        return text

    def _public(self, value: Any) -> Any:
        """A value of a report without the folders of the machine that serves."""
        if isinstance(value, str | Path):
            return Path(value).name if Path(value).is_absolute() else self._without_folders(str(value))
        if isinstance(value, Mapping):
            return {key: self._public(item) for key, item in value.items()}
        return [self._public(item) for item in value] if isinstance(value, list | tuple) else value


_OPTION = re.compile(r"(?:the option )?(?<![\w-])--(?P<name>[a-z][a-z0-9-]*)(?: (?P<value>[\w.]+))?")
"""An option of the command line in a text."""


def _stem(speech: object) -> str:
    return speech.path.stem if isinstance(speech, SoundFile) else ""


def _bundled_phones(sound: Path) -> Path | None:
    """The exact phones of the bundled sentence, if that is what the sound is."""
    from talkinghead.assets import demo_phones_path, demo_speech_path
    from talkinghead.files import file_sha256

    return demo_phones_path() if file_sha256(sound) == file_sha256(demo_speech_path()) else None


def write_thumbnail(path: Path, target: Path, side: int = 256) -> None:
    """A small picture of a picture or of a video's first second, PNG."""
    import cv2
    import numpy as np

    from talkinghead.media import FrameOptions, open_frames, write_png

    source = open_frames(path, options=FrameOptions(cache_bytes=0))
    index = 0 if source.fps is None else min(len(source) - 1, int(source.fps / 2))
    frame = next(iter(source.read(index, index + 1)))
    factor = min(1.0, side / max(frame.shape[:2]))
    size = (max(1, round(frame.shape[1] * factor)), max(1, round(frame.shape[0] * factor)))
    write_png(target, np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8))


__all__ = ["Cancelled", "Face", "Finished", "Order", "Session", "Studio", "said", "write_thumbnail"]
