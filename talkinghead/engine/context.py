"""What belongs to one run and to nothing else: cache, progress, cancelling, counters, fallbacks and warnings.

    run = RunContext(cache=Cache(), cancel=token, progress=show)
    run.tell("detect-faces", 10, 250)      # how far it is; raises Cancelled once the token was used
    run.count("faces generated", 16)
    run.warn("The eyes could not be seen well enough to blink; they stay open.")

A head keeps nothing of the last face or job: whatever one job leaves behind for its report is here.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from talkinghead.contracts import STAGES
from talkinghead.engine.cache import Cache
from talkinghead.errors import Cancelled

if TYPE_CHECKING:
    from talkinghead.audio.ahead import PhonesAhead


@dataclass(frozen=True)
class ProgressEvent:
    """How far a job is."""

    stage: str
    """A name of `talkinghead.contracts.STAGES`."""
    done: int
    total: int | None
    """None while unknown."""
    unit: str = "frames"
    """What `done` and `total` count: "frames", or "s" of sound."""
    note: str = ""
    """A sentence to show at once, such as what the job is going to take."""
    job: str = ""
    """What kind of job it is, as far as it is known: such jobs take about as long as each other."""
    stages: tuple[str, ...] = ()
    """Those that the job is going to have; empty where that was said before, or is not known."""
    sizes: Mapping[str, float] = field(default_factory=dict)
    """What has become known of its size: "sound_s" of speech, "face_frames" to be looked at."""

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise ValueError(f"{self.stage!r} is no stage; there are {', '.join(STAGES)}")


Progress = Callable[[ProgressEvent], None]
"""Called often, from the caller's thread or a stage's; must return quickly. To stop a job use a `CancelToken`."""


class CancelToken:
    """Stops a job from any thread: `cancel()`, and the job raises `Cancelled` within a fraction of a second."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if the job was stopped."""
        if self.cancelled:
            raise Cancelled()


@dataclass(eq=False)
class RunContext:
    """One run: preparing a face, or rendering a video. Its methods may be called from any thread."""

    cache: Cache = field(default_factory=Cache)
    """Where slow results are kept."""
    cancel: CancelToken = field(default_factory=CancelToken)
    progress: Progress | None = None
    ahead: PhonesAhead | None = None
    """Phones that are being recognised already."""
    first: int = 0
    """Output frame that the run begins with; others follow in order. Not 0 where a stretch of a video is made."""
    counters: Counter[str] = field(default_factory=Counter)
    """What happened how often, for the report's details."""
    _warnings: list[str] = field(default_factory=list)
    _fallbacks: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, stage: str, done: int, total: int | None = None, unit: str = "frames") -> None:
        """Say how far a stage is.

        Raises:
            Cancelled: the job was stopped.
        """
        self.cancel.check()
        if self.progress is not None:
            self.progress(ProgressEvent(stage, done, total, unit))

    def note(self, text: str, total: int | None = None) -> None:
        """Say a sentence while frames are made: to who watches now, and to who reads the report.

        Args:
            total: frames of the job.
        Raises:
            Cancelled: the job was stopped.
        """
        self.cancel.check()
        self.warn(text)
        if self.progress is not None:
            self.progress(ProgressEvent("render", 0, total, note=text))

    def count(self, name: str, number: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self.counters[name] += number

    def warn(self, text: str) -> None:
        """Add a sentence to the report's warnings; the same one counts once."""
        with self._lock:
            if text not in self._warnings:
                self._warnings.append(text)

    def fall_back(self, text: str) -> None:
        """Say, as a sentence, how the run differs from what was asked; the same one counts once."""
        with self._lock:
            if text not in self._fallbacks:
                self._fallbacks.append(text)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings)

    @property
    def fallbacks(self) -> tuple[str, ...]:
        return tuple(self._fallbacks)

    def hearing(self, seconds: float) -> Callable[[float, float], None]:
        """A callback for long work on a sound, called with (done, in all) in any unit: it tells the stage "listen" in
        seconds of sound, and raises `Cancelled` when the job was stopped.

        Args:
            seconds: length of the sound.
        """
        whole = max(1, -int(-seconds // 1))

        def heard(done: float, total: float) -> None:
            self.tell("listen", int(whole * done / total) if total else whole, whole, unit="s")

        return heard
