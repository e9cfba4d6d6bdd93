"""Phones to the motion of a mouth, one pose per video frame.

Every phone pulls jaw, lips and lip width towards its target with a force that fades before and after it; where several
pull at once they share, which is coarticulation. Contacts are then laid over that: lips that must touch (p, b, m,
silence), lower lip on teeth (f, v) and tongue tip (l, th) have intervals of their own, so that they are reached
however short the phone and wherever the frames fall.

      closing        sealed       opening
    ───╮         ┌─────────────┐        ╭────
        ╲        │             │       ╱
         ╰───────┘             └──────╯
         ◄ close_s ► start … end ◄ open_s ►
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.dominance import Segment, dominance, segments_of
from talkinghead.audio.energy import frame_level_db, speech_levels_db
from talkinghead.audio.visemes import (
    BILABIAL,
    CUE_TARGETS,
    LABIODENTAL,
    REST,
    SILENCE,
    TARGETS,
    is_vowel,
)
from talkinghead.contracts import MOUTH_COLUMNS, AudioClip, FloatArray, MouthCue, MouthMotion, Phone

LIPS, WIDTH, TONGUE = (MOUTH_COLUMNS.index(name) for name in ("lips", "width", "tongue"))
SAMPLES_PER_FRAME = 4
"""Moments within a frame's interval whose mean is the frame's pose."""
HOP_S = 0.01
LOCAL_LEVEL_S = 8.0
"""Half width of the stretch of sound against which loudness is judged."""
LONG_PAUSE_S, LONG_PAUSE_EDGE_S = 0.2, 0.15
"""From which on a pause is one in which a face stops speaking, and how slowly it does."""
SEALED_FROM, STOP_SEALED, NASAL_SEALED = 0.08, 0.85, 0.9
"""Between which shares of its length lips touch at p and b, and at m."""
LIPS_OVER_JAW = 0.35
"""How much further than the jaw the lips may open: they show the teeth of s over a jaw that is shut."""
LOUD_DB = -3.0
"""Level, relative to that of loud speech, that opens the mouth as far as the tables say."""


@dataclass(frozen=True)
class MouthConfig:
    """How the mouth moves. Times in seconds."""

    openness: float = 1.0
    """Factor on jaw and lip opening; 0.5 mumbles, 1.3 articulates; in [0, 2]."""
    lead_s: float = 0.01
    """How far the mouth runs ahead of the sound, as mouths do; in [-0.2, 0.2]."""
    attack_s: float = 0.03
    """Reach of a phone backwards in time: anticipation."""
    release_s: float = 0.035
    """Reach of a phone forwards in time: carry-over."""
    edge_s: float = 0.025
    """How far within its edges a phone's pull begins to fade, at most a quarter of its length."""
    inertia_s: float = 0.018
    """Standard deviation of the smoothing that stands for the mass of jaw and lips."""
    rounding_reach: float = 2.0
    """How much further rounding and spreading of the lips reach than opening does."""
    close_s: float = 0.03
    """From open to sealed lips before p, b, m."""
    open_s: float = 0.03
    """From sealed to open lips after p, b, m."""
    seal_s: float = 0.05
    """Shortest time for which lips stay sealed at p, b, m; over one frame at 25 fps."""
    rest_s: float = 0.09
    """From open to closed lips at the beginning of a pause."""
    wake_s: float = 0.07
    """From closed to open lips at the end of a pause."""
    pause_s: float = 0.16
    """Pauses at least this long close the lips fully; shorter ones in part."""
    seal_lift: float = 0.5
    """Share of the jaw's drop that lips take back where they are sealed: it is hard to shut a mouth over a low jaw."""
    loudness: float = 0.6
    """How much opening follows loudness: 0 not at all, 1 fully."""

    @property
    def reach_s(self) -> float:
        """How far from a moment the phones lie that move the mouth at it, at most."""
        pull = 4.0 * self.rounding_reach * max(self.attack_s, self.release_s)
        contact = max(self.close_s, self.open_s, self.rest_s, self.wake_s, LONG_PAUSE_EDGE_S) + self.seal_s
        return max(pull, contact) + 3 * 1.5 * self.inertia_s + abs(self.lead_s) + 0.05

    def __post_init__(self) -> None:
        if not 0.0 <= self.openness <= 2.0:
            raise ValueError(f"openness must lie in [0, 2], not {self.openness}")
        if not -0.2 <= self.lead_s <= 0.2:
            raise ValueError(f"lead_s must lie in [-0.2, 0.2], not {self.lead_s}")
        if not 0.0 <= self.loudness <= 1.0:
            raise ValueError(f"loudness must lie in [0, 1], not {self.loudness}")
        for name in (
            "attack_s",
            "release_s",
            "edge_s",
            "inertia_s",
            "rounding_reach",
            "close_s",
            "open_s",
            "rest_s",
            "wake_s",
            "pause_s",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if not 0.0 <= self.seal_lift <= 1.0:
            raise ValueError(f"seal_lift must lie in [0, 1], not {self.seal_lift}")
        if self.seal_s < 0:
            raise ValueError(f"seal_s must not be negative, not {self.seal_s}")


@dataclass(frozen=True)
class _Contact:
    """A stretch of time in which something touches, with the time it takes to get there and back."""

    start_s: float
    end_s: float
    before_s: float
    after_s: float
    depth: float = 1.0
    """1 touches fully."""
    sure: bool = False
    """At least one frame must show it, wherever frames fall."""


def mouth_motion(
    phones: Sequence[Phone], clip: AudioClip, fps: Fraction, num_frames: int, config: MouthConfig | None = None
) -> MouthMotion:
    """Move the mouth as the phones say.

    Args:
        phones: in order of time; silence is "SIL". Labels without a target count as a half-open mouth.
        clip: the sound, for its loudness; at any level.
        fps: exact. Frame i shows [i / fps, (i + 1) / fps); its pose is the mean over that interval.
        num_frames: length of the motion; beyond the last phone the mouth rests.
    Returns:
        MouthMotion. The same input gives the same motion, and nothing depends on how long the sound is.
    Source: Cohen and Massaro 1993, "Modeling coarticulation in synthetic visual speech", equations 1 to 5 (dominance
    functions), with separate contacts and with targets scaled by loudness.
    """
    return MotionInParts(clip, fps, num_frames, config).frames(phones, 0, num_frames)


class MotionInParts:
    """`mouth_motion` of a sound of which phones become known bit by bit; parts put together are the whole.

    Args: as for `mouth_motion`.
    """

    def __init__(self, clip: AudioClip, fps: Fraction, num_frames: int, config: MouthConfig | None = None) -> None:
        self._fps, self._num_frames = fps, num_frames
        self._config = config or MouthConfig()
        self._loudness = _Loudness(clip)

    def num_settled(self, phones: Sequence[Phone], known_s: float) -> int:
        """How many frames, from the first, will not change with what comes after.

        Args:
            phones: those known so far; the last one may still grow if it is a silence.
            known_s: where they end; infinite where nothing follows.
        """
        config = self._config
        if math.isinf(known_s):
            return self._num_frames
        if phones and phones[-1].label == SILENCE:
            last = phones[-1]
            telling_s = max(LONG_PAUSE_S, config.pause_s, 2 * config.rest_s, 2 * config.wake_s)
            if last.end_s - last.start_s < telling_s:
                known_s = last.start_s
        return min(max(math.floor((known_s - config.reach_s) * self._fps), 0), self._num_frames)

    def frames(self, phones: Sequence[Phone], first: int, last: int) -> MouthMotion:
        """The motion of frames `first` to `last` - 1, of which `num_settled` says whether the phones suffice."""
        config = self._config
        reach = math.ceil(config.reach_s * self._fps)
        low, high = max(0, first - reach), min(self._num_frames, last + reach)
        start_s, end_s = float(low / self._fps) - config.reach_s, float(high / self._fps) + config.reach_s
        begin = bisect_left(phones, start_s, key=lambda phone: phone.end_s)
        end = bisect_right(phones, end_s, key=lambda phone: phone.start_s)
        near, at_start, at_end = phones[begin:end], begin == 0, end == len(phones)
        gains = [self._loudness.gain(phone, config) for phone in near]
        columns = motion_near(near, gains, self._fps, range(low, high), config, at_start=at_start, at_end=at_end)
        return as_motion(self._fps, columns[:, first - low : last - low])


def motion_near(
    phones: Sequence[Phone],
    gains: Sequence[float],
    fps: Fraction,
    frames: range,
    config: MouthConfig,
    *,
    at_start: bool,
    at_end: bool,
) -> FloatArray:
    """The motion of a few frames from the phones around them.

    Args:
        phones: all within `config.reach_s` of the frames. gains: of each, as `loudness_gain`.
        at_start, at_end: whether these are the first, and the last phones of all.
    Returns:
        [6, n] float32, a row for each of MOUTH_COLUMNS.
    """
    depths = _pause_depths(phones, config, at_start=at_start, at_end=at_end)
    segments = []
    for phone, gain, depth in zip(phones, gains, depths, strict=True):
        segments += segments_of(phone, gain, depth)
    closures = [_closure(phone, config) for phone in phones if phone.label in BILABIAL]
    pauses = _pauses(phones, depths, config, at_start=at_start, at_end=at_end)
    tucks = [_part_of(phone, 0.15, 0.8, 0.08, 0.09) for phone in phones if phone.label in LABIODENTAL]
    tongues = [
        (_part_of(phone, 0.1, 0.8, 0.05, 0.05), TARGETS[phone.label].tongue)
        for phone in phones
        if phone.label in TARGETS and TARGETS[phone.label].tongue > 0
    ]
    return _motion(segments, closures, pauses, tucks, tongues, fps, frames, config)


def motion_from_cues(
    cues: Sequence[MouthCue], clip: AudioClip, fps: Fraction, num_frames: int, config: MouthConfig | None = None
) -> MouthMotion:
    """Move the mouth as mouth cues say (Rhubarb's shapes), for example as read from a file that someone edited.

    Args: as for `mouth_motion`.
    """
    config = config or MouthConfig()
    phones = [Phone(cue.start_s, cue.end_s, SILENCE if cue.shape == "X" else "AH") for cue in cues]
    loudness = _Loudness(clip)
    gains = [loudness.gain(phone, config) for phone in phones]
    segments = [
        Segment(cue.start_s, cue.end_s, CUE_TARGETS[cue.shape], gain if cue.shape in "CDEH" else 1.0)
        for cue, gain in zip(cues, gains, strict=True)
    ]
    closures = [
        _Contact(cue.start_s, cue.end_s, config.close_s, config.open_s, sure=True) for cue in cues if cue.shape == "A"
    ]
    tucks = [_Contact(cue.start_s, cue.end_s, 0.08, 0.09) for cue in cues if cue.shape == "G"]
    tongues = [(_Contact(cue.start_s, cue.end_s, 0.05, 0.05), 0.8) for cue in cues if cue.shape == "H"]
    pauses = _pauses(phones, _pause_depths(phones, config), config)
    columns = _motion(segments, closures, pauses, tucks, tongues, fps, range(num_frames), config)
    return as_motion(fps, columns)


def as_motion(fps: Fraction, columns: FloatArray) -> MouthMotion:
    """Rows of MOUTH_COLUMNS, [6, n] float32, as a motion."""
    return MouthMotion(fps, *(np.ascontiguousarray(column) for column in columns))


def _motion(
    segments: Sequence[Segment],
    closures: Sequence[_Contact],
    pauses: Sequence[_Contact],
    tucks: Sequence[_Contact],
    tongues: Sequence[tuple[_Contact, float]],
    fps: Fraction,
    frames: range,
    config: MouthConfig,
) -> FloatArray:
    """Put targets and contacts together, frame by frame; [6, n] float32."""
    times = frame_moments(fps, frames, SAMPLES_PER_FRAME) + config.lead_s  # [n * 4]

    sigma = config.inertia_s * SAMPLES_PER_FRAME * float(fps)
    jaw, lips, width = dominance(segments, times, config)
    sealed = _contact_curve(closures, times)
    resting = _contact_curve(pauses, times)
    tuck = _contact_curve(tucks, times)
    tongue = np.zeros(len(times))
    for strength in sorted({strength for _, strength in tongues}):
        curve = _contact_curve([contact for contact, each in tongues if each == strength], times)
        tongue = np.maximum(tongue, strength * curve)

    # The jaw is heavy and coasts through short contacts; lips get there.
    jaw = config.openness * _smooth(jaw * (1.0 - resting), 1.5 * sigma)
    lips = np.minimum(config.openness * _smooth(lips, sigma), jaw + LIPS_OVER_JAW) * (1.0 - resting)
    lips = np.where(tuck > 0, np.minimum(lips, 1.0 - 0.85 * tuck), lips)
    width = _smooth(width * (1.0 - resting), 1.2 * sigma)
    jaw = jaw * (1.0 - config.seal_lift * _smooth(sealed, 1.5 * sigma))
    awake = 1.0 - _contact_curve(_long_pauses(pauses), times)
    moments = np.stack((jaw, lips, width, tuck, tongue, awake, np.maximum(sealed, resting)))
    out, shut = np.vsplit(moments.reshape(7, len(frames), SAMPLES_PER_FRAME).mean(axis=2), [6])
    # Seals are judged at each frame, not averaged over it: the mean of a short closure would leave a gap.
    out[LIPS] *= 1.0 - _seal_frames(closures, sealed, fps, frames, config.lead_s)
    out[TONGUE] *= 1.0 - shut[0]
    lowest = np.where(np.arange(6) == WIDTH, -1.0, 0.0)[:, None]
    columns: FloatArray = np.clip(out, lowest, 1.0).astype(np.float32)
    return columns


def frame_moments(fps: Fraction, frames: range, per_frame: int) -> NDArray[np.float64]:
    """Seconds of `per_frame` evenly spread moments within each frame's interval; [len(frames) * per_frame] float64.

    Each is computed from its own index, so nothing adds up over a long video.
    """
    index = np.arange(frames.start * per_frame, frames.stop * per_frame, dtype=np.float64) + 0.5
    moments: NDArray[np.float64] = index * fps.denominator / (per_frame * fps.numerator)
    return moments


@lru_cache(maxsize=16)
def _gaussian(radius: int, sigma: float) -> NDArray[np.float64]:
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum())


def _smooth(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Gaussian smoothing; the ends are held."""
    radius = math.ceil(3 * sigma)
    if radius < 1 or len(values) == 0:
        return values
    held = np.concatenate((np.full(radius, values[0]), values, np.full(radius, values[-1])))
    smoothed: NDArray[np.float64] = np.convolve(held, _gaussian(radius, sigma), mode="valid")
    return smoothed


def _contact_curve(contacts: Sequence[_Contact], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much something touches at given times, 0 to 1: the deepest of all contacts, eased in and out."""
    curve = np.zeros(len(times))
    for contact in contacts:
        first = int(np.searchsorted(times, contact.start_s - contact.before_s))
        last = int(np.searchsorted(times, contact.end_s + contact.after_s, side="right"))
        if last <= first:
            continue
        t = times[first:last]
        away = np.maximum((contact.start_s - t) / contact.before_s, (t - contact.end_s) / contact.after_s)
        value = contact.depth * (0.5 + 0.5 * np.cos(np.pi * np.clip(away, 0.0, 1.0)))
        curve[first:last] = np.maximum(curve[first:last], value)
    return curve


def _seal_frames(
    closures: Sequence[_Contact], sealed: NDArray[np.float64], fps: Fraction, frames: range, lead_s: float
) -> NDArray[np.float64]:
    """How sealed the lips are in each frame: as at its most sealed moment near the middle, and fully at one frame of
    every closure at the least."""
    moments = sealed.reshape(len(frames), SAMPLES_PER_FRAME)
    out = moments[:, 1 : SAMPLES_PER_FRAME - 1].max(axis=1) if len(frames) else np.zeros(0)
    for closure in closures:
        if not closure.sure:
            continue
        middle = (closure.start_s + closure.end_s) / 2 - lead_s
        index = math.floor(middle * fps.numerator / fps.denominator)
        if index in frames:
            out[index - frames.start] = 1.0
    return out


def _closure(phone: Phone, config: MouthConfig) -> _Contact:
    start, end = sealed_between(phone, config)
    return _Contact(start, end, config.close_s, config.open_s, sure=True)


def sealed_between(phone: Phone, config: MouthConfig) -> tuple[float, float]:
    """When the lips touch at p, b, m, in seconds: a stop opens before its end (burst and breath), a nasal at its end.

    Lips that part sooner would miss a frame of the closure that is heard where the phone was recognised early.
    """
    length = phone.end_s - phone.start_s
    start = phone.start_s + SEALED_FROM * length
    end = phone.start_s + (NASAL_SEALED if phone.label == "M" else STOP_SEALED) * length
    missing = config.seal_s - (end - start)
    if missing > 0:
        start, end = start - missing / 2, end + missing / 2
    return start, end


def _part_of(phone: Phone, start: float, end: float, before_s: float, after_s: float) -> _Contact:
    """A contact over part of a phone, from `start` to `end` as shares of its length."""
    length = phone.end_s - phone.start_s
    return _Contact(phone.start_s + start * length, phone.start_s + end * length, before_s, after_s)


def _pause_depths(
    phones: Sequence[Phone], config: MouthConfig, *, at_start: bool = True, at_end: bool = True
) -> list[float]:
    """How far the mouth closes in each pause: fully in long ones and at either end, in part in short ones; 0 for
    other phones.

    Args:
        at_start, at_end: whether these are the first, and the last phones of all.
    """
    ends = ((0,) if at_start else ()) + ((len(phones) - 1,) if at_end else ())
    out = []
    for index, phone in enumerate(phones):
        if phone.label != SILENCE:
            out.append(0.0)
        elif index in ends:
            out.append(1.0)
        else:
            length = phone.end_s - phone.start_s
            out.append(float(np.clip((length - 0.05) / (config.pause_s - 0.05), 0.0, 1.0)))
    return out


def _pauses(
    phones: Sequence[Phone],
    depths: Sequence[float],
    config: MouthConfig,
    *,
    at_start: bool = True,
    at_end: bool = True,
) -> list[_Contact]:
    """Rests of the mouth, from a little after the last sound's end until a little before the next.

    Args:
        depths: of `_pause_depths`. at_start, at_end: as there.
    """
    out = []
    first, last = 0 if at_start else -1, len(phones) - 1 if at_end else -1
    for index, (phone, depth) in enumerate(zip(phones, depths, strict=True)):
        if depth <= 0:
            continue
        length = phone.end_s - phone.start_s
        start = phone.start_s if index == first else phone.start_s + 0.6 * min(config.rest_s, 0.5 * length)
        end = phone.end_s if index == last else phone.end_s - 0.4 * min(config.wake_s, 0.5 * length)
        out.append(_Contact(start, max(end, start), config.rest_s, config.wake_s, depth))
    return out


def _long_pauses(pauses: Sequence[_Contact]) -> list[_Contact]:
    """Pauses in which a face stops speaking, not only catches its breath between words; with slow edges."""
    return [
        _Contact(pause.start_s, pause.end_s, LONG_PAUSE_EDGE_S, LONG_PAUSE_EDGE_S)
        for pause in pauses
        if pause.depth >= 1.0 and pause.end_s - pause.start_s >= LONG_PAUSE_S
    ]


class _Loudness:
    """How loud the voice is, against the loud level of the whole recording and of the seconds around, half each: quiet
    recordings open the mouth as far as loud ones do."""

    def __init__(self, clip: AudioClip) -> None:
        self._level = frame_level_db(clip, HOP_S)
        _, loud = speech_levels_db(self._level)
        self._reference = _local_loud_level(self._level, loud)

    def gain(self, phone: Phone, config: MouthConfig) -> float:
        """Factor on the opening of a phone: vowels open further where the voice is loud."""
        level = self._level
        first = min(max(round(phone.start_s / HOP_S), 0), len(level) - 1)
        last = min(max(round(phone.end_s / HOP_S), first + 1), len(level))
        return loudness_gain(phone.label, level[first:last], float(self._reference[(first + last - 1) // 2]), config)


def loudness_gain(label: str, level_db: FloatArray, reference_db: float, config: MouthConfig) -> float:
    """Factor on the opening of a phone: vowels open further where the voice is loud.

    Args:
        level_db: of each hundredth of a second of the phone. reference_db: of loud speech.
    """
    if not is_vowel(label) and TARGETS.get(label, REST).jaw < 0.3:
        return 1.0
    over = float(np.percentile(level_db, 80)) - reference_db - LOUD_DB
    return float(np.clip(1.0 + config.loudness * over / 15.0, 0.35, 1.2))


def _local_loud_level(level: FloatArray, loud: float) -> FloatArray:
    """Loud level around every step of `level`, drawn half way to that of the whole recording; [n] float32."""
    step = round(1.0 / HOP_S)
    count = max(1, math.ceil(len(level) / step))
    reach = round(LOCAL_LEVEL_S)
    peaks = np.array([np.percentile(level[k * step : (k + 1) * step], 95) for k in range(count)])
    local = np.array([np.max(peaks[max(0, k - reach) : k + reach + 1]) for k in range(count)])
    local = np.clip(local, loud - 20.0, loud + 10.0)
    smooth = np.interp(np.arange(len(level)), (np.arange(count) + 0.5) * step, local)
    return np.asarray(0.5 * smooth + 0.5 * loud, dtype=np.float32)
