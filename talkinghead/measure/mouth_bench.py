"""How well the mouth follows speech, measured over utterances whose phone times are known exactly.

`python -m talkinghead.service.mouth_bench` shows these measures, and with `--pixels` those of finished pictures.

A corpus is a folder of NAME.flac (or .wav) with NAME.json beside it, as `scripts/make_mouth_corpus.py` makes it:
{"phones": [[start_s, end_s, "ARPAbet"], ...]}. The measures:

- **closed at p, b, m**: share of them during which at least one frame shows sealed lips;
- **false closures**: share of the frames of other sounds, more than 40 ms away from any p, b, m or pause, that show
  sealed lips;
- **silence**: mean opening in pauses of at least 0.1 s and its ratio to the mean opening in vowels;
- **loudness**: correlation of a vowel's opening with its level, each vowel once as spoken and once faded by up to
  18 dB (synthetic voices hardly vary on their own);
- **height**: correlation of a vowel's opening with its textbook openness;
- **lag** and **drift**: the offset of the mouth against the sound as `talkinghead inspect` measures it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.energy import frame_level_db
from talkinghead.audio.live_mouth import LiveMouth
from talkinghead.audio.mouth import MouthConfig, as_motion, mouth_motion
from talkinghead.audio.phones import PhoneResult, recognise_phones
from talkinghead.audio.visemes import BILABIAL, SILENCE, is_vowel, vowel_height
from talkinghead.contracts import MOUTH_COLUMNS, SPEECH_RATE_HZ, AudioClip, MouthMotion, Phone
from talkinghead.errors import MediaNotFound
from talkinghead.measure.sync import audio_video_offset
from talkinghead.reading import read_json, reading

SEALED = 0.05
"""A gap between the lips of at most this counts as closed; the widest vowel is 1."""
NEAR_S = 0.04
LONG_PAUSE_S = 0.1


@dataclass(frozen=True)
class Utterance:
    """Speech whose phone times are known."""

    name: str
    clip: AudioClip
    phones: tuple[Phone, ...]
    group: str = ""
    """Engine and voice."""


@dataclass(frozen=True, eq=False)
class MouthScores:
    """Sums over utterances from which every measure follows; add them with `+`."""

    bilabials: int = 0
    bilabials_closed: int = 0
    other_frames: int = 0
    other_frames_closed: int = 0
    silence: tuple[float, ...] = ()
    """Opening of every frame in a pause."""
    vowels: tuple[tuple[float, float, float], ...] = ()
    """(opening, level in dB relative to the utterance, height) of every vowel."""
    faded_vowels: tuple[tuple[float, float, float], ...] = ()
    """The same vowels where the voice fades."""
    lags_ms: tuple[float, ...] = ()
    seconds: float = 0.0
    listening_s: float = 0.0
    methods: tuple[str, ...] = ()

    def __add__(self, other: MouthScores) -> MouthScores:
        return MouthScores(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def closed_share(self) -> float:
        """Share of p, b, m with sealed lips; 1 when there are none."""
        return self.bilabials_closed / self.bilabials if self.bilabials else 1.0

    @property
    def false_closed_share(self) -> float:
        return self.other_frames_closed / self.other_frames if self.other_frames else 0.0

    @property
    def vowel_opening(self) -> float:
        return float(np.mean([v[0] for v in self.vowels])) if self.vowels else 0.0

    @property
    def silence_opening(self) -> float:
        return float(np.mean(self.silence)) if self.silence else 0.0

    @property
    def silence_ratio(self) -> float:
        """Mean opening in pauses relative to that in vowels."""
        return self.silence_opening / max(self.vowel_opening, 1e-6)

    @property
    def loudness_correlation(self) -> float:
        """Of a vowel's opening and its level."""
        return _correlation([(v[0], v[1]) for v in (*self.vowels, *self.faded_vowels)])

    @property
    def height_correlation(self) -> float:
        """Of a vowel's opening and its textbook openness."""
        return _correlation([(v[0], v[2]) for v in self.vowels])

    @property
    def lag_ms(self) -> float:
        """Median over utterances; positive when the mouth is late."""
        return float(np.median(self.lags_ms)) if self.lags_ms else 0.0

    @property
    def realtime_factor(self) -> float:
        """Seconds of sound per second of listening."""
        return self.seconds / self.listening_s if self.listening_s else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The measures, as plain values."""
        return {
            "seconds": round(self.seconds, 2),
            "bilabials": self.bilabials,
            "closed_at_bilabials": round(self.closed_share, 4),
            "false_closures": round(self.false_closed_share, 4),
            "opening_in_vowels": round(self.vowel_opening, 4),
            "opening_in_silence": round(self.silence_opening, 4),
            "silence_to_vowels": round(self.silence_ratio, 4),
            "loudness_correlation": round(self.loudness_correlation, 4),
            "height_correlation": round(self.height_correlation, 4),
            "lag_ms": round(self.lag_ms, 2),
            "listening_realtime_factor": round(self.realtime_factor, 2),
            "methods": {name: self.methods.count(name) for name in sorted(set(self.methods))},
        }


def _correlation(pairs: Iterable[tuple[float, float]]) -> float:
    values = np.array(list(pairs), dtype=np.float64).reshape(-1, 2)
    if len(values) < 3 or np.any(np.std(values, axis=0) < 1e-9):
        return 0.0
    return float(np.corrcoef(values[:, 0], values[:, 1])[0, 1])


def read_corpus(folder: Path) -> list[Utterance]:
    """Every utterance of a corpus folder, in order of name.

    Raises:
        MediaNotFound: no folder, or no utterance in it.
    """
    from talkinghead.media import read_audio

    out = []
    for facts_path in sorted(folder.glob("*.json")):
        sound = next((p for p in (facts_path.with_suffix(s) for s in (".flac", ".wav")) if p.exists()), None)
        if sound is None:
            continue
        facts = read_json(facts_path)
        with reading(facts_path, what="holds no phones"):
            phones = tuple(Phone(float(a), float(b), str(label)) for a, b, label in facts["phones"])
            group = f"{facts.get('engine', '')} {facts.get('voice', '')}".strip()
        out.append(Utterance(facts_path.stem, read_audio(sound, SPEECH_RATE_HZ), phones, group))
    if not out:
        raise MediaNotFound(
            f"{folder} holds no corpus.",
            accepted="a folder of NAME.flac with NAME.json",
            remedy="make one with scripts/make_mouth_corpus.py",
        )
    return out


def score_motion(motion: MouthMotion, clip: AudioClip, phones: Sequence[Phone]) -> MouthScores:
    """Measure one motion against the true phones."""
    lips = motion.lips
    n = len(motion)
    frame_s = motion.fps.denominator / motion.fps.numerator
    middles = (np.arange(n) + 0.5) * frame_s
    closed = total = 0
    near = np.zeros(n, dtype=np.bool_)
    silent = np.zeros(n, dtype=np.bool_)
    speech = np.zeros(n, dtype=np.bool_)
    for phone in phones:
        inside = (middles >= phone.start_s) & (middles < phone.end_s)
        if phone.label in BILABIAL:
            total += 1
            first = max(int(np.floor(phone.start_s / frame_s)), 0)
            last = min(int(np.ceil(phone.end_s / frame_s - 1e-9)), n)
            closed += bool(np.any(lips[first:last] <= SEALED))
        if phone.label in BILABIAL or phone.label == SILENCE:
            near |= (middles >= phone.start_s - NEAR_S) & (middles < phone.end_s + NEAR_S)
        else:
            speech |= inside
        if phone.label == SILENCE and phone.end_s - phone.start_s >= LONG_PAUSE_S:
            silent |= inside
    others = speech & ~near
    lag: tuple[float, ...] = ()
    if float(clip.duration_s) >= 1.0 and n / float(motion.fps) >= 1.0:
        sync = audio_video_offset(lips, motion.fps, clip)
        if sync.confidence > 0.1:
            lag = (sync.lag_ms,)
    return MouthScores(
        bilabials=total,
        bilabials_closed=closed,
        other_frames=int(np.count_nonzero(others)),
        other_frames_closed=int(np.count_nonzero(lips[others] <= SEALED)),
        silence=tuple(float(v) for v in lips[silent]),
        vowels=vowel_openings(motion, clip, phones),
        lags_ms=lag,
        seconds=float(clip.duration_s),
    )


def vowel_openings(
    motion: MouthMotion, clip: AudioClip, phones: Sequence[Phone]
) -> tuple[tuple[float, float, float], ...]:
    """(opening, level in dB, height) of every vowel that a frame shows."""
    middles = (np.arange(len(motion)) + 0.5) * (motion.fps.denominator / motion.fps.numerator)
    level = frame_level_db(clip)
    out = []
    for phone in phones:
        inside = (middles >= phone.start_s) & (middles < phone.end_s)
        if is_vowel(phone.label) and np.any(inside):
            heard = level[round(phone.start_s * 100) : max(round(phone.end_s * 100), round(phone.start_s * 100) + 1)]
            out.append((float(np.max(motion.lips[inside])), float(np.max(heard)), vowel_height(phone.label)))
    return tuple(out)


def faded(clip: AudioClip, depth_db: float = 18.0, period_s: float = 3.0) -> AudioClip:
    """The same sound, swelling and fading between 0 and -depth_db."""
    swing = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(len(clip.samples)) / (period_s * clip.sample_rate_hz))
    gain = 10.0 ** (-depth_db * swing / 20.0)
    return AudioClip((clip.samples * gain).astype(np.float32), clip.sample_rate_hz)


def live_motion(clip: AudioClip, fps: Fraction, config: MouthConfig | None = None) -> MouthMotion:
    """The motion of sound that arrives in pieces of 20 ms."""
    mouth = LiveMouth(fps, config)
    piece = SPEECH_RATE_HZ // 50
    rows = [row for at in range(0, len(clip.samples), piece) for row in mouth.push(clip.samples[at : at + piece])]
    columns = np.array([*rows, *mouth.flush()], np.float32).reshape(-1, len(MOUTH_COLUMNS)).T
    return as_motion(fps, columns)


def score_utterance(
    utterance: Utterance,
    fps: Fraction = Fraction(25),
    config: MouthConfig | None = None,
    listen: Callable[[AudioClip], PhoneResult] | None = recognise_phones,
    *,
    live: bool = False,
) -> MouthScores:
    """Listen to an utterance, move the mouth and measure it.

    Args:
        listen: finds the phones; None takes the exact ones.
        live: listen to the sound as it arrives instead.
    """
    clip, quieter = utterance.clip, faded(utterance.clip)
    started = time.perf_counter()
    if live:
        motion = live_motion(clip, fps, config)
        listening_s, method = time.perf_counter() - started, "live"
        faded_motion = live_motion(quieter, fps, config)
    else:
        found = listen(clip) if listen is not None else PhoneResult(utterance.phones, "given")
        listening_s, method = time.perf_counter() - started, found.method
        motion, faded_motion = (
            mouth_motion(found.phones, sound, fps, clip.num_frames(fps), config) for sound in (clip, quieter)
        )
    swept = vowel_openings(faded_motion, quieter, utterance.phones)
    scores = score_motion(motion, clip, utterance.phones)
    return scores + MouthScores(faded_vowels=swept, listening_s=listening_s, methods=(method,))


def score_corpus(
    utterances: Iterable[Utterance],
    fps: Fraction = Fraction(25),
    config: MouthConfig | None = None,
    listen: Callable[[AudioClip], PhoneResult] | None = recognise_phones,
    *,
    live: bool = False,
) -> dict[str, MouthScores]:
    """Scores per group of voices, and of all together under "all". Arguments as for `score_utterance`."""
    out: dict[str, MouthScores] = {}
    for utterance in utterances:
        scores = score_utterance(utterance, fps, config, listen, live=live)
        out[utterance.group] = out.get(utterance.group, MouthScores()) + scores
    everything = MouthScores()
    for scores in out.values():
        everything += scores
    return {**dict(sorted(out.items())), "all": everything}


def measure_drift(
    utterances: Sequence[Utterance], minutes: float = 10.0, fps: Fraction = Fraction(25)
) -> tuple[float, float]:
    """(lag in ms, drift in ms per minute) of the mouth over a long recording, made by repeating utterances."""
    pieces: list[NDArray[np.float32]] = []
    phones: list[Phone] = []
    length, rate = 0, utterances[0].clip.sample_rate_hz
    while length < minutes * 60 * rate:
        for utterance in utterances:
            offset = length / rate
            phones += [Phone(p.start_s + offset, p.end_s + offset, p.label) for p in utterance.phones]
            pieces.append(utterance.clip.samples)
            length += len(utterance.clip.samples)
    clip = AudioClip(np.concatenate(pieces), rate)
    motion = mouth_motion(phones, clip, fps, clip.num_frames(fps))
    sync = audio_video_offset(motion.lips, fps, clip)
    return sync.lag_ms, sync.drift_ms_per_min or 0.0


TABLE = (
    ("closed at p b m", "closed_share", "{:.1%}"),
    ("false closures", "false_closed_share", "{:.1%}"),
    ("vowel opening", "vowel_opening", "{:.2f}"),
    ("silence/vowels", "silence_ratio", "{:.1%}"),
    ("r loudness", "loudness_correlation", "{:.2f}"),
    ("r height", "height_correlation", "{:.2f}"),
    ("lag ms", "lag_ms", "{:+.0f}"),
    ("x real time", "realtime_factor", "{:.1f}"),
)
"""Column title, attribute of MouthScores, format."""


def format_table(scores: Mapping[str, Any], table: Sequence[tuple[str, str, str]] = TABLE) -> str:
    """Scores as lines of text.

    Args:
        table: column title, attribute of a score, format.
    """
    width = max(len(name) for name in scores) + 2
    lines = [" " * width + "  ".join(title for title, _, _ in table)]
    for name, row in scores.items():
        cells = (form.format(getattr(row, field)).rjust(len(title)) for title, field, form in table)
        lines.append(name.ljust(width) + "  ".join(cells))
    return "\n".join(lines)
