"""What the handlers of the page and of the HTTP API call: sessions with folders of their own, limits, jobs.

What is asked for becomes a `Request`, and `service.run` does it; here is only who may have what, and how much.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from talkinghead.bounds import MAX_PATH, Between, FieldBounds, check_value, shown
from talkinghead.contracts import Report, Result
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
from talkinghead.service.jobs import Job, JobQueue, QueueFull, Work
from talkinghead.service.request import Request, SoundFile, SpokenText
from talkinghead.service.run import HeadPool, hear, run, with_stages
from talkinghead.speech.options import SpeechOptions
from talkinghead.webui.fields import FieldGroup, Offered, model_group, shared_groups
from talkinghead.webui.options import AppOptions
from talkinghead.webui.uploads import Uploads
from talkinghead.weights.folder import model_folder

if TYPE_CHECKING:
    from talkinghead.engine.head import Avatar
    from talkinghead.service.preview import Preview
    from talkinghead.speech import EngineStatus

T = TypeVar("T")
LOG = logging.getLogger("talkinghead.webui")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
MAX_GALLERY = 60
PREVIEW_S = 0.6
"""Seconds of a video that are looked at for a preview."""
PREVIEW_AT_S = Between(0, 36_000)
JOBS_PER_SESSION = 4
MAX_FPS = 120
MAX_SESSIONS = 200
"""Visitors at the same time."""
RESTING_S = 60.0
"""A session without an open page may be ended after this long where another needs its place."""
CALLED_S = 600.0
"""Seconds for which the results of somebody without an open page are kept: of single calls of the API."""
RESULTS_KEPT, SPEECHES_KEPT = 30, 10
"""Videos, and spoken texts, of one session; older ones are removed."""
CHECKS_AT_ONCE = 2
"""Files that are looked at, at the same time, before they become work."""
CHECK_S = 20.0
"""Seconds for which a file is looked at before it becomes work."""
MAX_PIXELS = 40_000_000
"""Of a picture or a frame that a visitor sends: more than a telephone makes by itself."""
SPEECH_LANE = "speech"
MAX_LINE = 600
"""Of what is told, characters: it may repeat what was given."""
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

    @property
    def is_busy(self) -> bool:
        """A job is under way."""
        return any(not job.state().ended for job in self.jobs)


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
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.uploads = Uploads(self.folder / "uploads", self.options)
        self.forget: Callable[[str], None] = lambda _: None
        """Called with the key of a session that ended."""
        self._pages: Counter[str] = Counter()
        self._checks = threading.BoundedSemaphore(CHECKS_AT_ONCE)
        self._heads = HeadPool()
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._shared = shared_groups()
        self.faces = self._gallery()
        self.example_sound = self._example_sound()
        """The bundled sentence, in the server's own folder: no file elsewhere is ever given to a visitor."""

    # Sessions

    def session(self, key: str | None) -> Session:
        """The visitor's session; made at the first call. Its folder's name cannot be guessed.

        Raises:
            QueueFull: there are too many visitors.
        """
        name = key or f"once-{secrets.token_hex(16)}"  # somebody without a session shares none with others
        while True:
            with self._lock:
                found = self._sessions.get(name)
                if found is None and len(self._sessions) < MAX_SESSIONS:
                    folder = self.folder / f"session-{secrets.token_hex(16)}"
                    folder.mkdir(mode=0o700, parents=True)
                    found = self._sessions[name] = Session(folder)
                if found is not None:
                    found.last_used_s = time.monotonic()
                    return found
                resting = self._resting(RESTING_S)
            if not resting:
                raise QueueFull("There are too many visitors now.", remedy="wait for a few minutes, then try again")
            self.end_session(resting[0])

    def _resting(self, seconds: float) -> list[str]:
        """Sessions without an open page and without work that were not used for so long, the oldest first; the lock is
        held.
        """
        limit = time.monotonic() - seconds
        found = [
            (session.last_used_s, key)
            for key, session in self._sessions.items()
            if session.last_used_s < limit and not self._pages[key] and not session.is_busy
        ]
        return [key for _, key in sorted(found)]

    def page_opened(self, key: str) -> None:
        """Somebody keeps a page, or a client, open."""
        with self._lock:
            self._pages[key] += 1

    def page_closed(self, key: str) -> None:
        """Nobody does any more: the session ends."""
        with self._lock:
            self._pages[key] -= 1
            still = self._pages[key] > 0
            if not still:
                del self._pages[key]
        if not still:
            self.end_session(key)

    def end_session(self, key: str | None) -> None:
        """Cancel the visitor's jobs and remove the files: what was sent, and what was made of it."""
        name = key or ""
        with self._lock:
            found = self._sessions.pop(name, None)
        if found is not None:
            for job in found.jobs:
                job.cancel()
            shutil.rmtree(found.folder, ignore_errors=True)
        self.uploads.end(name)
        self.forget(name)

    def end_old_sessions(self) -> int:
        """End those not used for `keep_hours`, or for `CALLED_S` without an open page; remove what was sent
        and not used. Returns how many sessions.
        """
        limit = time.monotonic() - 3600 * self.options.keep_hours
        with self._lock:
            old = self._resting(CALLED_S)
            old += [
                key
                for key, session in self._sessions.items()
                if session.last_used_s < limit and not session.is_busy and key not in old
            ]
        for key in old:
            self.end_session(key)
        self.uploads.sweep()
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

    def may_be_named(self, path: str) -> bool:
        """Whether a path is one that this server gave to a visitor: of what was sent, made, or offered to all."""
        if len(path) > MAX_PATH or "\0" in path or path != os.path.realpath(path):
            return False
        return self.folder.resolve() in Path(path).parents and Path(path).is_file()

    def own_file(self, key: str | None, path: Path) -> Path:
        """A file that this visitor sent, or that everybody is offered.

        Raises:
            OptionError: any other.
        """
        if path == self.example_sound:
            return path
        return self.uploads.claim(str(path), key or "")

    def check_face(self, path: Path) -> Path:
        """A picture or video, by its content.

        Raises:
            MediaError: it is neither, damaged, or too large.
        """
        from talkinghead.media import FrameOptions, open_frames

        self._check_size(path)
        with self._checks:
            open_frames(path, options=FrameOptions(cache_bytes=0, max_pixels=MAX_PIXELS), check=_within(CHECK_S))
        return path

    def check_sound(self, path: Path) -> Path:
        """A sound, or a video with one, that is not too long.

        Raises:
            MediaError: it has no sound, is damaged, or too large or long.
        """
        from talkinghead.media import probe
        from talkinghead.media.headers import picture_format

        self._check_size(path)
        with self._checks:
            track = probe(path, check=_within(CHECK_S)).main_audio if picture_format(path) is None else None
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

    def _check_text(self, text: SpokenText) -> None:
        """Refuse what need not be tried."""
        voice = text.options.voice
        if voice is not None:
            known = {name for engine in self.engines() for name in engine.variants}
            if voice not in known:  # a path to a voice file, among others
                raise OptionError(f"There is no voice {shown(voice)}.", remedy="leave the voice out")
        if len(text.text) > 40 * 60 * self.options.max_minutes:  # no voice speaks as fast
            self._check_length(len(text.text) / 15)

    def _source(self, found: Availability, given: Path | str, key: str | None) -> Path | str:
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
                remedy=None if offered else "talkinghead app --gallery FOLDER, with such a folder in it",
            )  # fmt: skip
        if isinstance(given, Path):
            return self.check_face(self.own_file(key, given))
        if not given:
            raise MediaNotFound("No face is given.", accepted=facts.face_source)
        named = next((face.path for face in self.faces if face.title == given), None)
        if named is None:
            titles = [face.title for face in self.faces]
            raise OptionError(
                f"There is no face {shown(given)} in the gallery.",
                accepted=choices(titles) if titles else "a file that is uploaded",
                remedy="upload a picture or a video" if titles else None,
            )
        return named

    # Working

    def start(self, key: str | None, order: Order) -> Job[Finished]:
        """Check an order and hand it in.

        Raises:
            MissingWeights, MissingDependency, InputError: it cannot be done, before anything slow begins.
            QueueFull: too many wait.
        """
        session = self.session(key)
        found = self._ready(order)
        asked = self._request(found, order, session, key)
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
            for old in session.finished[RESULTS_KEPT:]:
                shutil.rmtree(old.video.parent, ignore_errors=True)
            del session.finished[RESULTS_KEPT:]
            return tuple(session.finished)

    def history(self, key: str | None) -> tuple[Finished, ...]:
        """What the session made, newest first."""
        found = self._sessions.get(key or "")
        return tuple(found.finished) if found is not None else ()

    def cancel(self, key: str | None) -> int:
        """Stop what the session has under way; returns how many jobs."""
        found = self._sessions.get(key or "")
        jobs = [job for job in found.jobs if not job.state().ended] if found is not None else []
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
        if not (isinstance(at_s, int | float) and PREVIEW_AT_S.holds(at_s)):
            raise OptionError(f"The moment is {shown(at_s)}.", accepted=f"{PREVIEW_AT_S} seconds")
        request = self._request(found, replace(order, sound=None), session, key)

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

    def start_speech(self, key: str | None, text: SpokenText) -> Job[Path]:
        """Hand in a text that is to become a sound file of the session; it waits for its turn like any job.

        Raises:
            InputError: too long, or an unknown language or voice. QueueFull: too many wait.
        """
        self._check_text(text)
        session = self.session(key)

        def work(progress: Progress, cancel: CancelToken) -> Path:
            from talkinghead.contracts import AudioClip
            from talkinghead.media import write_wav

            speech = hear(text, progress=progress, cancel=cancel)
            self._check_length(float(speech.clip.duration_s))
            assert isinstance(speech.soundtrack, AudioClip)
            for old in sorted(session.folder.glob("speech-*.wav"), key=lambda file: file.stat().st_mtime)[
                : -SPEECHES_KEPT + 1
            ]:
                old.unlink(missing_ok=True)
            path = session.folder / f"speech-{secrets.token_hex(4)}.wav"
            write_wav(path, speech.soundtrack)
            return path

        with session.lock:
            return self._submit(session, work, SPEECH_LANE)

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
                f"There is no checkpoint {shown(order.checkpoint)} of {found.facts.title}.",
                accepted=choices(found.checkpoints) if found.checkpoints else "none: the model has no checkpoints here",
            )
        return found

    def _request(self, found: Availability, order: Order, session: Session, key: str | None) -> Request:
        """The request of an order; its output is named when its turn in the session is known.

        Raises:
            OptionError, MediaError, InputError: what was chosen or given cannot be used.
        """
        from talkinghead.engine.cache import Cache
        from talkinghead.face.detectors.options import FaceOptions
        from talkinghead.media.options import EncodeOptions, FrameOptions

        speech = self._speech(order.sound, key)
        source = self._source(found, order.source, key)
        groups = {group.key: group for group in self.groups(found)}
        for name in order.options:
            if name not in groups:
                raise OptionError(f"There are no options {shown(name)} here.", accepted=choices(list(groups)))
        values = {name: group.read(order.options.get(name, {})) for name, group in groups.items()}
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
                frames=build_config(
                    FrameOptions, {"max_pixels": MAX_PIXELS, **values.get("reading", {})}, owner="Reading the face"
                ),
                faces=build_config(FaceOptions, values.get("finding", {}), owner="Finding the face"),
                cache=Cache(session.folder / "cache"),
            ),
            render=render,
            max_speech_s=60 * self.options.max_minutes,
        )

    def _speech(self, sound: Path | SpokenText | None, key: str | None) -> SoundFile | SpokenText:
        if isinstance(sound, SpokenText):
            self._check_text(sound)
            return sound
        if sound is None:
            return SoundFile(self.example_sound)
        return SoundFile(self.check_sound(self.own_file(key, sound)), phones=_bundled_phones(sound))

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
        """What to tell the visitor: the package's own words without the folders of this machine, options by the names
        that they have on the page. Of any other error nothing but a number, under which the log has all of it.
        """
        if isinstance(error, TalkingHeadError):
            told = _OPTION.sub(self._option_on_page, self._without_folders(str(error)))
            return "\n".join(line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}..." for line in told.splitlines())
        number = secrets.token_hex(4)
        LOG.error("error %s of the web page", number, exc_info=error)
        if isinstance(error, MemoryError):
            return f"There is not enough memory (number {number}).\nTry: a smaller picture or a shorter video"
        return f"Something went wrong inside. Whoever serves this page finds it in the log under the number {number}."

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
        return _FOLDERS.sub("", text)

    def _public(self, value: Any) -> Any:
        """A value of a report without the folders of the machine that serves."""
        if isinstance(value, str | Path):
            return Path(value).name if Path(value).is_absolute() else self._without_folders(str(value))
        if isinstance(value, Mapping):
            return {key: self._public(item) for key, item in value.items()}
        return [self._public(item) for item in value] if isinstance(value, list | tuple) else value


_FOLDERS = re.compile(r"(?<![\w.:/~-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\"<>|,;]+[/\\])+")
"""The folders before a name, in a text: of "/home/anna/faces/me.png" all but the last part."""
_OPTION = re.compile(r"(?:the option )?(?<![\w-])--(?P<name>[a-z][a-z0-9-]*)(?: (?P<value>[\w.]+))?")
"""An option of the command line in a text."""


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
