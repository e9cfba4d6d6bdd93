"""What the handlers of the page and of the HTTP API call: sessions with folders of their own, limits, jobs.

What is asked for becomes a `Request`, and `service.run` does it; here is only who may have what, and how much.
"""

from __future__ import annotations

import logging
import os
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

from talkinghead.bounds import MAX_PATH, Between, shown
from talkinghead.engine.context import CancelToken, Progress
from talkinghead.errors import InputError, OptionError, TalkingHeadError
from talkinghead.hosting.faults import logged, told_line
from talkinghead.hosting.fields import Offered
from talkinghead.hosting.naming import video_name
from talkinghead.hosting.thumbnails import thumbnail_of
from talkinghead.hosting.uploads import Uploads
from talkinghead.hosting.workshop import Finished, Order, Workshop
from talkinghead.service.availability import Availability
from talkinghead.service.jobs import Job, QueueFull, Work
from talkinghead.service.request import Request, SpokenText
from talkinghead.service.run import hear
from talkinghead.system import remove_tree
from talkinghead.webui.options import AppOptions
from talkinghead.webui.sentences import on_page

if TYPE_CHECKING:
    from talkinghead.contracts import Report
    from talkinghead.engine.head import Avatar
    from talkinghead.service.preview import Preview

T = TypeVar("T")
LOG = logging.getLogger("talkinghead.webui")
PREVIEW_S = 0.6
"""Seconds of a video that are looked at for a preview."""
PREVIEW_AT_S = Between(0, 36_000)
JOBS_PER_SESSION = 4
MAX_SESSIONS = 200
"""Visitors at the same time."""
RESTING_S = 60.0
"""A session without an open page may be ended after this long where another needs its place."""
CALLED_S = 600.0
"""Seconds for which the results of somebody without an open page are kept: of single calls of the API."""
RESULTS_KEPT, SPEECHES_KEPT = 30, 10
"""Videos, and spoken texts, of one session; older ones are removed."""
SPEECH_LANE = "speech"
STILL_SIDE = 720
"""Longer side of the picture of a face that was sent, as the page shows it, pixels."""


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
    names: set[str] = field(default_factory=set)
    """Of its videos, without their suffix."""
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
        workshop: one that other doors use too; then `folders` and `fixed` are its own, and `close` leaves it open.
    """

    def __init__(
        self,
        folder: Path,
        options: AppOptions | None = None,
        *,
        folders: Sequence[Path] = (),
        fixed: Mapping[str, Mapping[str, Any]] | None = None,
        workshop: Workshop | None = None,
    ) -> None:
        self.folder = folder
        self.options = options or AppOptions()
        self.workshop = workshop or Workshop(folder / "workshop", self.options, folders=folders, fixed=fixed)
        self.workshop.private.append(folder)
        self._shares = workshop is not None
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.uploads = Uploads(self.folder / "uploads", self.options)
        self.forget: Callable[[str], None] = lambda _: None
        """Called with the key of a session that ended."""
        self._pages: Counter[str] = Counter()
        self._page_files: dict[Path, Path] = {}
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

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
            remove_tree(found.folder)
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

    def stop(self) -> None:
        """Stop all jobs of the page, and take no more where no other door hands in any."""
        if not self._shares:
            self.workshop.jobs.close()
        for key in list(self._sessions):
            self.cancel(key)

    def close(self) -> None:
        """Stop all jobs and remove everything."""
        self.stop()
        with self._lock:
            keys = list(self._sessions)
        for key in keys:
            self.end_session(key)
        if not self._shares:
            self.workshop.close()
        remove_tree(self.folder)

    # Checking what was given

    def may_be_named(self, path: str) -> bool:
        """Whether a path is one that this server gave to a visitor: of what was sent, made, or offered to all."""
        if len(path) > MAX_PATH or "\0" in path or path != os.path.realpath(path):
            return False
        ours = (self.folder.resolve(), self.workshop.folder.resolve())
        return any(folder in Path(path).parents for folder in ours) and Path(path).is_file()

    def own_file(self, key: str | None, path: Path) -> Path:
        """A file that this visitor sent, or that everybody is offered.

        Raises:
            OptionError: any other.
        """
        if path == self.workshop.example_sound:
            return path
        return self.uploads.claim(str(path), key or "")

    def _request(self, found: Availability, order: Order, session: Session, key: str | None) -> Request:
        """The request of an order whose files are the visitor's own; its output is named when its turn in the session
        is known.
        """
        sound, source = order.sound, order.source
        own = replace(
            order,
            sound=self.own_file(key, sound) if isinstance(sound, Path) else sound,
            source=self.own_file(key, source) if isinstance(source, Path) else source,
        )
        return self.workshop.request(found, own, output=session.folder, cache=session.folder / "cache")

    # Showing

    def page_file(self, path: Path) -> Path:
        """A copy, in the server's own folder, of a file that everybody may see."""
        with self._lock:
            if path not in self._page_files:
                folder = self.folder / "page" / secrets.token_hex(8)
                folder.mkdir(mode=0o700, parents=True)
                self._page_files[path] = Path(shutil.copyfile(path, folder / path.name)).resolve()
            return self._page_files[path]

    def still(self, key: str | None, path: Path) -> Path:
        """A picture of a face that the visitor sent, of a size for the page.

        Raises:
            OptionError: another's file. MediaError: it is damaged.
        """
        own, folder = self.own_file(key, path), self.session(key).folder
        picture = folder / f"still-{own.parent.name}.webp"
        if not picture.is_file():
            thumbnail_of(own, picture, STILL_SIDE)
        return picture.resolve()

    # Working

    def start(self, key: str | None, order: Order) -> Job[Finished]:
        """Check an order and hand it in.

        Raises:
            MissingWeights, MissingDependency, InputError: it cannot be done, before anything slow begins.
            QueueFull: too many wait.
        """
        session = self.session(key)
        asked = self._request(self.workshop.ready(order), order, session, key)
        with session.lock:
            number = session.count + 1
            folder = session.folder / f"result-{number}"
            name = video_name(asked, self.workshop.example_sound, session.names)
            request = replace(asked, output=folder / f"{name}.mp4")

            def work(progress: Progress, cancel: CancelToken) -> Finished:
                try:
                    return self.workshop.make(request, number, progress, cancel)
                except BaseException:
                    remove_tree(folder)
                    raise

            job = self._submit(session, work, order.model)
            session.count = number
            session.names.add(name)
        return job

    def keep(self, key: str | None, finished: Finished) -> tuple[Finished, ...]:
        """Add a result to the session's history; returns the history, newest first."""
        session = self.session(key)
        with session.lock:
            if all(known.number != finished.number for known in session.finished):
                session.finished.insert(0, finished)
            for old in session.finished[RESULTS_KEPT:]:
                remove_tree(old.video.parent)
            del session.finished[RESULTS_KEPT:]
            return tuple(session.finished)

    def history(self, key: str | None) -> tuple[Finished, ...]:
        """What the session made, newest first."""
        found = self._sessions.get(key or "")
        return tuple(found.finished) if found is not None else ()

    def delete(self, key: str | None, number: int) -> None:
        """Remove one video of the session, with all that belongs to it.

        Raises:
            OptionError: the session has no such video.
        """
        found = self._sessions.get(key or "")
        old = next((item for item in found.finished if item.number == number), None) if found is not None else None
        if found is None or old is None:
            raise OptionError("That video is not here any more.", accepted="one of the videos that you have made")
        with found.lock:
            if old in found.finished:
                found.finished.remove(old)
            found.names.discard(old.video.stem)
        remove_tree(old.video.parent)

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
        found = self.workshop.ready(order)
        if not (isinstance(at_s, int | float) and PREVIEW_AT_S.holds(at_s)):
            raise OptionError(f"The moment is {shown(at_s)}.", accepted=f"{PREVIEW_AT_S} seconds")
        request = self._request(found, replace(order, sound=None), session, key)

        def work(progress: Progress, cancel: CancelToken) -> Preview:
            from talkinghead.service.preview import preview

            with self.workshop.heads.borrow(request, progress) as (head, _):
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
        job = self.workshop.jobs.submit(work, lane)
        session.jobs.append(job)
        return job

    def start_speech(self, key: str | None, text: SpokenText) -> Job[Path]:
        """Hand in a text that is to become a sound file of the session; it waits for its turn like any job.

        Raises:
            InputError: too long, or an unknown language or voice. QueueFull: too many wait.
        """
        self.workshop.check_text(text)
        session = self.session(key)

        def work(progress: Progress, cancel: CancelToken) -> Path:
            from talkinghead.contracts import AudioClip
            from talkinghead.media import write_wav

            speech = hear(text, progress=progress, cancel=cancel)
            self.workshop.check_length(float(speech.clip.duration_s))
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

    def sentence(self, error: BaseException) -> str:
        """What to tell the visitor: the package's own words without the folders of this machine, and with the controls
        of the page. Of any other error nothing but a number, under which the log has all of it.
        """
        if isinstance(error, TalkingHeadError):
            return "\n".join(map(told_line, self.in_words(str(error)).splitlines()))
        number = logged(error, LOG, "the web page")
        if isinstance(error, MemoryError):
            return f"There is not enough memory (number {number}).\nTry: a smaller picture or a shorter video"
        return f"Something went wrong inside. Whoever serves this page finds it in the log under the number {number}."

    def in_words(self, text: str) -> str:
        """A message of the package in the words of the page, without the folders of this machine."""
        return on_page(self.workshop.without_folders(text), self._option_names)

    def worded(self, report: Report) -> Report:
        """A report whose notes are in the words of the page."""
        return replace(
            report,
            warnings=tuple(map(self.in_words, report.warnings)),
            fallbacks=tuple(map(self.in_words, report.fallbacks)),
        )

    def in_our_words(self, found: Availability) -> Availability:
        """A model whose sentences are in the words of the page."""
        remedy = self.in_words(f"Try: {found.remedy}").removeprefix("Try: ") if found.remedy else ""
        return replace(found, why_not=self.in_words(found.why_not), remedy=remedy)

    @cached_property
    def _option_names(self) -> dict[str, Offered]:
        groups = (group for found in self.workshop.models() for group in self.workshop.groups(found))
        return {offered.field.name: offered for group in groups for offered in group.offered}
