"""From an order to its end: accepted once, made, told of, kept for a while, removed.

    desk = Desk(workshop, options, shelf)
    video, again = desk.order("anna", asked, files, key="2f1c")
    video.state().share, video.record.status
    desk.remove("anna", video.record.id)

What a client was told of is on disk before it is told. A server that starts again with the same folder makes what was
waiting or in work, and still has what was done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from talkinghead.engine.context import CancelToken, Progress
from talkinghead.errors import Cancelled
from talkinghead.hosting.logins import Buckets
from talkinghead.hosting.workshop import Workshop
from talkinghead.serve.addresses import Allowed, fetch
from talkinghead.serve.faults import KeyConflict, NotHere, ServerStopped, TooOften, told
from talkinghead.serve.making import VIDEO, make
from talkinghead.serve.metrics import Metrics
from talkinghead.serve.options import ServeOptions
from talkinghead.serve.orders import Asked, fingerprint
from talkinghead.serve.records import GIVEN, MADE, Record, Shelf, Status, new_id
from talkinghead.service.jobs import Job, JobState
from talkinghead.system import remove_tree

FETCH_LANE, FETCHES_AT_ONCE = "fetch", 8
"""Files that are fetched from elsewhere do not wait for videos that are made."""
MAX_ATTEMPTS = 3
"""How often a video is begun again whose server ended meanwhile."""
WAIT_S = 5.0
"""After which somebody who is refused may try again, where nothing is known of the pace."""
LONGEST_WAIT_S = 600.0
CLOSE_S = 20.0

Maker = Callable[[Asked, Path, Path, Progress, CancelToken], Mapping[str, Any]]
"""Makes the video of an order: (order, its folder, folder of the cache, ...) -> a row of JSON; see `making.make`."""


class Video:
    """One video and what is being done for it."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.job: Job[Any] | None = None
        self.is_gone = False
        """It was removed."""

    def state(self) -> JobState:
        """How far it is."""
        record, job = self.record, self.job
        if self.is_gone:
            return JobState("cancelled")
        if record.has_ended:
            phases: dict[str, Any] = {"completed": "done", "failed": "failed"}
            phase = phases.get(record.status, "cancelled")
            return JobState(phase, share=1.0 if phase == "done" else 0.0, left_s=0.0)
        if job is None or job.lane == FETCH_LANE:
            return JobState("waiting")
        state = job.state()
        # its last words are written down a moment later
        return replace(state, phase="working", left_s=0.0) if state.ended else state


class Desk:
    """Takes orders.

    Args:
        workshop: where videos are made, with the queue that all doors share.
        shelf: what is known of videos.
        maker: makes a video; None: `making.make` in this process.
        allowed: what may be fetched.
        clock: seconds since 1970, for tests.
    """

    def __init__(
        self,
        workshop: Workshop,
        options: ServeOptions,
        shelf: Shelf,
        *,
        maker: Maker | None = None,
        allowed: Allowed | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.workshop, self.options, self.shelf = workshop, options, shelf
        self.allowed = allowed or Allowed()
        self.metrics = Metrics(self.loads)
        self._maker = maker or self._make_here
        self._clock = clock
        self._lock = threading.RLock()
        self._videos: dict[str, Video] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._coming: set[tuple[str, str]] = set()
        """Keys of orders that are being taken."""
        self._rates = Buckets(options.per_minute, 60.0 / options.per_minute)
        self._pace_s: dict[str, float] = {}
        """Seconds that a video of a model takes, a moving average."""
        self._leaving: dict[str, Job[Any]] = {}
        """Videos that were removed while they were made."""
        self._closing = False
        workshop.private.append(shelf.folder)
        workshop.jobs.widen(FETCH_LANE, FETCHES_AT_ONCE)
        self._resume()

    @property
    def is_closing(self) -> bool:
        """The server stops."""
        return self._closing

    # Taking orders

    def admit(self, owner: str) -> None:
        """Before anything of an order is read: whether another one is taken from this owner now.

        Raises:
            TooOften: not now. Cancelled: the server stops.
        """
        now = time.monotonic()
        with self._lock:
            if self._closing:
                raise Cancelled("The server stops.")
            bucket = self._rates.of(owner, now)
            if (wait := bucket.wait_s(now)) > 0:
                raise TooOften("That is too often.", wait, f"{self.options.per_minute} new videos a minute")
            bucket.take(now)
            self._check_own(owner)

    def _check_own(self, owner: str) -> None:
        own = sum(video.record.owner == owner and not video.record.has_ended for video in self._videos.values())
        if own >= self.options.max_own:
            raise TooOften(f"{own} of your videos are under way.", self._wait_s(None), f"at most {own}")

    def _check_line(self, model: str) -> None:
        waits, works = self.loads().get(model, (0, 0))
        if works >= self.options.at_once and waits >= self.options.max_waiting:
            raise TooOften(f"{waits} videos are waiting already.", self._wait_s(model))

    def _wait_s(self, model: str | None) -> float:
        paces = [pace for name, pace in self._pace_s.items() if model in (None, name)]
        return min(LONGEST_WAIT_S, max(1.0, max(paces) / self.options.at_once)) if paces else WAIT_S

    def order(self, owner: str, asked: Asked, files: Mapping[str, Path], key: str = "") -> tuple[Video, bool]:
        """Take an order.

        Args:
            files: what was sent, by field of the order; they are moved.
            key: `Idempotency-Key`; the same key with the same order gives the same video.
        Returns:
            The video, and whether it was ordered before.
        Raises:
            KeyConflict: the key stands for another order. TooOften: too many wait.
            InputError, MissingWeights, MissingDependency: it cannot be done.
        """
        mark = fingerprint(asked, files) if key else ""
        named = (owner, key)
        if key:
            with self._lock:
                if (known := self._of_key(named, mark)) is not None:
                    return known, True
                if named in self._coming:
                    raise KeyConflict(
                        409,
                        "An order with this Idempotency-Key is being taken.",
                        remedy="again in a moment",
                        wait_s=1.0,
                    )
                self._coming.add(named)
        try:
            return self._take(owner, asked, files, key, mark), False
        finally:
            with self._lock:
                self._coming.discard(named)

    def _of_key(self, named: tuple[str, str], mark: str) -> Video | None:
        video = self._videos.get(self._keys.get(named, ""))
        if video is None:
            return None
        if video.record.fingerprint != mark:
            raise KeyConflict(
                422, "This Idempotency-Key stands for another order.", remedy="a new key for each new video"
            )
        return video

    def _take(self, owner: str, asked: Asked, files: Mapping[str, Path], key: str, mark: str) -> Video:
        record = Record(new_id(), owner, self._clock(), asked, key=key, fingerprint=mark)
        place = self.shelf.place(record.id)
        with self._lock:
            self._check_own(owner)
            self._check_line(asked.model)
        given = place / GIVEN
        given.mkdir(mode=0o700, parents=True)
        try:
            for path in files.values():
                path.replace(given / path.name)
            self._check(asked, place)
            with self._lock:
                self._check_own(owner)
                self._check_line(asked.model)
                if self._closing:
                    raise Cancelled("The server stops.")
                self.shelf.save(record)
                video = Video(record)
                self._videos[record.id] = video
                if key:
                    self._keys[owner, key] = record.id
        except BaseException:
            remove_tree(place)
            raise
        self.metrics.ordered.labels(asked.model).inc()
        self._hand_in(video)
        return video

    def _check(self, asked: Asked, place: Path) -> None:
        """Refuse what cannot be done: all of it where the files are there, else what can be seen without them."""
        self.allowed.check_all(asked)
        order = asked.order(place / GIVEN)
        found = self.workshop.ready(order)
        if asked.addresses:
            self.workshop.values(found, order.options)
        else:
            self.workshop.request(found, order, output=place, cache=self.shelf.cache)

    # Working

    def _hand_in(self, video: Video) -> None:
        asked = video.record.asked

        def fetching(_: Progress, cancel: CancelToken) -> None:
            self._guarded(video, lambda: self._fetch(video, cancel))

        def making(progress: Progress, cancel: CancelToken) -> None:
            self._guarded(video, lambda: self._make(video, progress, cancel))

        with self._lock:
            if video.is_gone or self._closing:
                return
            lane, work = (FETCH_LANE, fetching) if asked.addresses else (asked.model, making)
            video.job = self.workshop.jobs.submit(work, lane, accepted=True)

    def _guarded(self, video: Video, work: Callable[[], None]) -> None:
        """Do a part of the work; however it ends, that is written down."""
        try:
            work()
        except Cancelled:
            self._stopped(video)
            raise
        except Exception as error:  # noqa: BLE001 (told to whoever ordered it)
            row = told(error, self.workshop)
            self.metrics.failed(video.record.asked.model, row["type"])
            self._end(video, "failed", error=row)

    def _fetch(self, video: Video, cancel: CancelToken) -> None:
        place = self.shelf.place(video.record.id)
        asked = fetch(video.record.asked, place / GIVEN, self.allowed, self.options.max_upload_mb, cancel)
        with self._lock:
            self._save(video, asked=asked)
        self._check(asked, place)
        self._hand_in(video)

    def _make(self, video: Video, progress: Progress, cancel: CancelToken) -> None:
        record = video.record
        model = record.asked.model
        with self._lock:
            self._save(video, status="in_progress", attempts=record.attempts + 1)
        self.shelf.tidy(record.id, keep=GIVEN)
        self.metrics.waited_s.labels(model).observe(max(0.0, self._clock() - record.created_s))
        result = self._maker(record.asked, self.shelf.place(record.id), self.shelf.cache, progress, cancel)
        cancel.check()
        wall_s = float(result["wall_s"])
        self._pace_s[model] = 0.8 * self._pace_s.get(model, wall_s) + 0.2 * wall_s
        self._end(video, "completed", result=result)
        self.metrics.made(model, result)

    def _make_here(
        self, asked: Asked, place: Path, cache: Path, progress: Progress, cancel: CancelToken
    ) -> Mapping[str, Any]:
        return make(self.workshop, asked, place, cache, progress, cancel)

    def _end(self, video: Video, status: Status, **values: Any) -> None:
        video_file = values.get("result", {}).get("files", {}).get("video", "")
        self.shelf.tidy(video.record.id, keep=video_file.partition("/")[0])
        with self._lock:
            self._save(video, status=status, ended_s=self._clock(), **values)

    def _stopped(self, video: Video) -> None:
        """It was cancelled: by who ordered it, and is gone; or because the server ends, and waits for the next one."""
        if not video.is_gone:
            with self._lock:
                self._save(video, status="queued", attempts=max(0, video.record.attempts - 1))

    def _save(self, video: Video, **values: Any) -> None:
        """Change a record, on disk and here; the lock is held."""
        if not video.is_gone:
            changed = replace(video.record, **values)
            self.shelf.save(changed)
            video.record = changed

    # Looking

    def find(self, owner: str, name: str) -> Video:
        """One's own video.

        Raises:
            NotHere: there is none, or it is somebody else's.
        """
        video = self._videos.get(name)
        if video is None or video.record.owner != owner:
            raise NotHere()
        return video

    def own(self, owner: str) -> Sequence[Video]:
        """One's own videos, newest first."""
        with self._lock:
            found = [video for video in self._videos.values() if video.record.owner == owner]
        return sorted(found, key=lambda video: (video.record.created_s, video.record.id), reverse=True)

    def file(self, video: Video, variant: str) -> Path:
        """A file of a finished video.

        Raises:
            NotHere: it has none such.
        """
        name = video.record.result.get("files", {}).get(variant)
        path = self.shelf.place(video.record.id) / str(name)
        if name is None or not path.is_file():
            raise NotHere(f"This video has no {variant[:40]!r}.")
        return path

    def growing(self, video: Video) -> Path | None:
        """The file of a video that is being made, or was; None where nothing of it is there yet."""
        place = self.shelf.place(video.record.id)
        try:
            made = max(place.glob(f"{MADE}*"), key=lambda folder: folder.stat().st_mtime_ns, default=None)
            return next((path for path in made.iterdir() if VIDEO in path.name), None) if made is not None else None
        except OSError:
            return None

    def loads(self) -> Mapping[str, tuple[int, int]]:
        """How many videos of each model wait, and how many are made now: those of all doors."""
        with self._lock:
            open_ones = [video.record for video in self._videos.values() if not video.record.has_ended]
        models = {record.asked.model for record in open_ones} | set(self._pace_s)
        found = {}
        for model in models:
            waits, works = self.workshop.jobs.load(model)
            coming = sum(bool(record.asked.addresses) for record in open_ones if record.asked.model == model)
            found[model] = (waits + coming, works)
        return found

    # Ending

    def remove(self, owner: str, name: str) -> None:
        """Stop a video and remove it.

        Raises:
            NotHere
        """
        with self._lock:
            video = self.find(owner, name)
            self._forget(video)
            job = video.job
            if job is not None and not video.record.has_ended:
                self.metrics.ended.labels(video.record.asked.model, "cancelled").inc()
                self._leaving[name] = job
                job.cancel()
        if name in self._leaving:
            self.sweep()
        else:
            self.shelf.remove(name)

    def sweep(self) -> None:
        """Remove the folders of videos that were removed while they were made, once nobody writes there any more."""
        with self._lock:
            ended = [name for name, job in self._leaving.items() if job.state().ended]
            for name in ended:
                del self._leaving[name]
        for name in ended:
            self.shelf.remove(name)

    def _forget(self, video: Video) -> None:
        video.is_gone = True
        del self._videos[video.record.id]
        named = (video.record.owner, video.record.key)
        if self._keys.get(named) == video.record.id:
            del self._keys[named]
        self.shelf.forget(video.record.id)

    def expire(self) -> int:
        """Remove what was kept for long enough; returns how many."""
        before = self._clock() - 3600 * self.options.keep_h
        with self._lock:
            old = [video for video in self._videos.values() if video.record.has_ended and video.record.ended_s < before]
            for video in old:
                self._forget(video)
        for video in old:
            self.shelf.remove(video.record.id)
        return len(old)

    def _resume(self) -> None:
        for record in self.shelf.all():
            video = Video(record)
            self._videos[record.id] = video
            if record.key:
                self._keys[record.owner, record.key] = record.id
            if record.has_ended:
                continue
            if record.attempts >= MAX_ATTEMPTS:
                stopped = ServerStopped(f"The server ended {record.attempts} times while it made this video.")
                self._end(video, "failed", error=told(stopped))
                continue
            if record.status != "queued":
                with self._lock:
                    self._save(video, status="queued")
            self._hand_in(video)

    def close(self) -> None:
        """Stop; what was not done waits for the next server with this folder."""
        with self._lock:
            self._closing = True
            jobs = [video.job for video in self._videos.values() if video.job is not None]
            jobs += self._leaving.values()
        for job in jobs:
            job.cancel()
        end = time.monotonic() + CLOSE_S
        for job in jobs:
            job.wait(max(0.0, end - time.monotonic()))
        self.sweep()
