"""What goes into a live session and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from talkinghead.bounds import FRAME_RATES, Between, Length, check_fields
from talkinghead.contracts import FloatArray, Frame, Picture
from talkinghead.engine.timeline import LOOP_POLICIES, LoopPolicy
from talkinghead.errors import OptionError, choices
from talkinghead.media.options import MarkPlace, check_marked


@dataclass(frozen=True)
class LiveOptions:
    """How a live session runs."""

    fps: Annotated[Fraction | None, FRAME_RATES] = None
    """Frame rate; default: the model's, else the face's, else 25."""
    sample_rate_hz: Annotated[int, Between(8_000, 192_000)] = 48_000
    """Of the sound that comes out, and the time base of all timestamps."""
    loop: LoopPolicy = "pingpong"
    """How a video goes on at its end: forwards and backwards, from the start, or held at its last frame."""
    lead_s: Annotated[float, Between(0, 2)] = 0.08
    """How long before it is due a frame without speech is begun. Speech that arrives begins no earlier than the first
    frame that is not begun yet: less is quicker, more gives slow models time for a picture."""
    ahead_s: Annotated[float, Between(0, 10)] = 0.24
    """How far ahead pictures of speech that is there already are drawn."""
    cushion_s: Annotated[float, Between(0, 5)] = 0.04
    """Sound beyond the next frame that must have come for an utterance to begin, or to go on after it broke off: more
    rides out senders that stutter."""
    pause_s: Annotated[float, Between(0.05, 600)] = 1.0
    """An utterance that broke off, of which nothing has come for so long, is over without `end_turn`."""
    mark: Annotated[str | None, Length(80)] = None
    """Words that are drawn into every picture, such as "AI-generated", on a dark plate in a corner; None: none."""
    mark_place: MarkPlace = "bottom-right"
    """Corner of the mark."""
    mark_opacity: Annotated[float, Between(0.6, 1)] = 0.9
    """How much of the mark is seen: 1 hides what is behind its letters."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_marked(self.mark, self.mark_place)
        if self.loop not in LOOP_POLICIES or self.loop == "trim":
            raise OptionError(
                f"A live session has no loop policy {self.loop!r}.",
                accepted=choices([policy for policy in LOOP_POLICIES if policy != "trim"]),
            )


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame of the clock: what is seen and heard from its time to the next one's."""

    index: int
    """Counted from 0 at the beginning of the session, without holes."""
    time: int
    """When it begins, in `time_base` units from the beginning of the session."""
    time_base: Fraction
    """Seconds per unit: one sample of the sound."""
    picture: Frame | Picture | None
    """RGB uint8 [H, W, 3], or with alpha where the model draws transparency; None where it was not ready in time: the
    one before is shown on."""
    sound: FloatArray
    """[n] float32 in [-1, 1] mono, exactly as many samples as there are units to the next moment."""
    utterance: int | None
    """What is being said, as `LiveSession.push` and `say` number it; None in silence."""
    is_last: bool
    """Whether the utterance ends with this moment. Each one that is not interrupted has exactly one such moment, the
    empty one too."""


@dataclass(frozen=True)
class Interrupted:
    """What became of the speech that `LiveSession.interrupt` ended."""

    utterance: int | None
    """What was being said; None in silence."""
    played_s: float
    """Seconds of it that were played."""
    thrown_away_s: float
    """Seconds of sound, of it and of what waited behind it, that were pushed and never played."""


@dataclass(frozen=True)
class LiveStats:
    """How a session has gone so far."""

    moments: int
    """That were given out."""
    late_pictures: int
    """Moments whose picture was not ready in time."""
    played_s: float
    """Seconds of speech that were given out."""
    thrown_away_s: float
    """Seconds of speech that interruptions threw away."""
    interruptions: int
    broken_off: int
    """Times that the sound of an utterance did not come in time, so that the face waited in mid-speech."""
    cleaned_samples: int
    """Samples that were no numbers and count as silence."""
    lookahead_s: float
    """Sound after a frame's time that the model needs."""
    waiting_s: float
    """Seconds of speech that have arrived and were not given out yet."""
    latency_s: float | None
    """From the first sound of the latest utterance that has begun until its first moment was due; None before any."""
    draw_s: float
    """Seconds of work per picture, the median of the latest."""
    sessions: int
    """Open ones of the same head."""
    fallbacks: tuple[str, ...]
    """Each way in which what runs differs from what was asked, as a sentence."""


@dataclass(frozen=True)
class Ticks:
    """The clock's frames in samples: exact, and nothing adds up over hours."""

    fps: Fraction
    sample_rate_hz: int

    def start(self, index: int) -> int:
        """The sample at which a frame begins."""
        return index * self.sample_rate_hz * self.fps.denominator // self.fps.numerator

    def num_samples(self, index: int) -> int:
        """Samples of a frame."""
        return self.start(index + 1) - self.start(index)

    def seconds(self, index: int) -> float:
        """When a frame begins."""
        return index * self.fps.denominator / self.fps.numerator

    def at(self, seconds: float) -> int:
        """The last frame that has begun; -1 before the first."""
        if seconds < 0:
            return -1
        index = int(seconds * self.fps.numerator / self.fps.denominator)
        while self.seconds(index + 1) <= seconds:  # products of floats may fall on the wrong side
            index += 1
        while self.seconds(index) > seconds:
            index -= 1
        return index
