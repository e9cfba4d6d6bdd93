"""Speech to phones with times.

Three witnesses are heard, each for what it is good at, and one search finds the row of phones that suits them best:

- the spectrum (`articulation`): which sound every hundredth of a second looks like, in any language, to two networks.
  It is the one that sees closed lips;
- all-phone recognition with pocketsphinx: sounds as a large model of real English voices knows them;
- word recognition with pocketsphinx, believed only where its words agree with the sounds: in English.

Level and voice activity decide where there is silence. Where pocketsphinx finds nothing (singing, whispering, noise),
spectrum and level remain; the result says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.articulation import HOP_S, LABELS, Tables, both_posteriors, tables
from talkinghead.audio.energy import frame_level_db, runs, voice_activity
from talkinghead.audio.phone_search import PhoneSearch
from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, FloatArray, Phone
from talkinghead.errors import MediaNotFound, OptionError, UnreadableMedia
from talkinghead.reading import read_json, reading, shown

if TYPE_CHECKING:
    from talkinghead.audio.recogniser import Heard

SILENCE = "SIL"
SILENT = LABELS.index(SILENCE)
BILABIALS = slice(LABELS.index("P"), LABELS.index("M") + 1)
GIVE_UP_AFTER = 2
"""Blocks in a row without a believable word after which words are not listened for in the next ones."""
TRY_AGAIN_AFTER = 4
"""Blocks until words are listened for again."""


@dataclass(frozen=True)
class ListeningConfig:
    """How much each witness is believed. Weights are factors on log probabilities."""

    words: bool = True
    """Listen for English words too: better in English, at two thirds of the time."""
    spectrum_weight: float = 1.75
    """Of the mean of both networks, which knows more than either."""
    phones_weight: float = 0.8
    """Of all-phone recognition, where words are believed."""
    unknown_phones: float = 0.5
    """Share of that weight where they are not: in another language it hears English sounds."""
    words_weight: float = 1.6
    """Of words that agree with the sounds."""
    prior_weight: float = 0.6
    """How far what is frequent is discounted for each further witness."""
    bilabial_bonus: float = 1.5
    """Added for p, b, m: missing one is seen by everyone, one too many hardly."""
    bilabial_doubt: float = 2.0
    """Most that all-phone recognition, which misses one p, b, m in three, counts against them."""
    sequence_weight: float = 1.5
    """Of how likely one phone follows another, and with it the cost of every change."""
    change_cost: float = 1.0
    """Further cost of every change."""
    silence_bonus: float = 4.0
    """For silence where the level says silence, against it elsewhere."""


TRUST_BY_SURENESS, TRUST_BY_AGREEMENT, TRUST_BY_DOUBT, TRUST = 0.128, 2.2, 15.2, -1.8
"""Words are believed the more, the surer the recogniser is of them (mean over words of their probability times their
length, in hundredths of a second), the better they agree with the sounds (mean log probability of the words' phones by
the other witnesses) and the more in doubt those are themselves (mean log probability of what they find likeliest, with
its sign turned). A logistic regression on frames in which words and the other witnesses contradict each other: 16
sentences by espeak-ng, of which the words are right in 7 %, and 25 s of a person who reads, in 82 %; made twice as
steep."""


LEAST_SPEECH = 0.1
"""Share of a stretch of sound in which phones are recognised below which it is no speech. Speech gives more than half,
over noise as loud as itself a tenth to a quarter; steady noise of any colour, hum, chords and knocks give 0 to 0.07."""
SHORTEST_NOISE = 50
"""Hundredths of a second of sound from which on that share is believed."""
LEAST_AGREEMENT = 0.85
"""`agreement` of spectrum and recognised phones below which a stretch is no speech, whatever phones are recognised in
it. Speech of nine languages gives 1.3 to 4, whispered too, and 1.0 or more over music 10 dB softer; melodies, chords,
bands, wind, rain, birds and barking give at most 0.7."""
LEAST_LOG_PROBABILITY = -6.0
"""At which the spectrum's word counts no more."""
VARIETY_BITS = 4.0
"""Entropy of the phones of running speech."""
FULL_AGREEMENT = 250
"""Hundredths of a second of sound from which on that much is asked for; of less, as much less."""
ENOUGH_FOR_WORDS = 400
"""Hundredths of a second of speech from which on it means something that no words are recognised in it."""
FEW_WORDS = 0.05
"""Share of speech in words that are believed below which it is said; English recordings of people give 0.4 to 1."""
UNCLEAR = 0.4
"""Doubt of the spectrum (mean over speech of its likeliest phone's log probability, with its sign turned) from which on
it is said. Voices of espeak-ng, which need no words, give 0.15 to 0.35, people and noisy ones 0.55 to 0.9."""
NO_WORDS = "Hardly any English words were recognised, so the mouth follows the sounds alone, as in any other language."
NO_SPEECH = "No speech was heard; the mouth stays closed."


@dataclass(frozen=True)
class PhoneResult:
    """The phones of a clip, and how they were found."""

    phones: tuple[Phone, ...]
    """In order, from 0 to the end of the clip without holes."""
    method: str
    """"pocketsphinx", "energy" (spectrum and level alone) or "given"."""
    notes: tuple[str, ...] = ()
    """What a reader of the report should know, as sentences."""


def recognise_phones(
    clip: AudioClip,
    config: ListeningConfig | None = None,
    progress: Callable[[float, float], None] | None = None,
    known: Callable[[Sequence[Phone], float], None] | None = None,
) -> PhoneResult:
    """Find the phones of a stretch of speech.

    Memory beyond a few hundred bytes per second of sound does not grow with length, and time grows with length alone.

    Args:
        clip: 16 kHz mono, at any level; any length, also none.
        progress: called with (seconds done, seconds in all) now and then; what it raises ends the work.
        known: called now and then with (phones so far, seconds until which they are known). They have no holes, and
            only the last one may still grow, if it is a silence; the list is the same each time.
    Returns:
        Phones that cover the whole clip without holes. The same sound gives the same phones.
    Raises:
        OptionError: another sample rate.
    """
    from talkinghead.audio.apart import Witnesses
    from talkinghead.audio.recogniser import cut_blocks

    if clip.sample_rate_hz != SPEECH_RATE_HZ:
        raise OptionError(f"Phones cannot be found at {clip.sample_rate_hz} Hz.", accepted=f"{SPEECH_RATE_HZ} Hz")
    config = config or ListeningConfig()
    end_s = float(clip.duration_s)
    level = frame_level_db(clip)
    active = voice_activity(level)
    if not np.any(active):
        return _nothing_said(end_s)
    fitted = tables()
    tell = progress or (lambda _done, _total: None)
    inform = known or (lambda _phones, _until_s: None)
    found = _WithoutHoles(end_s)
    heard = spoken = listened = understood = in_vain = skip = 0
    doubt = 0.0
    blocks = cut_blocks(level, active, len(clip.samples))
    done_s = 0.0
    with Witnesses(clip, blocks, words=config.words, check=lambda: tell(done_s, end_s)) as witnesses:
        posteriors, others = both_posteriors(clip.samples)
        for number, block in enumerate(blocks):
            witnesses.begin(number, words=skip == 0)
            first = block.start * 100 // SPEECH_RATE_HZ
            rows = slice(first, first + 1 + (block.stop - block.start) * 100 // SPEECH_RATE_HZ)
            seen = posteriors[rows].astype(np.float32)
            phone_labels = witnesses.phones().labels[: len(seen)]
            here = speech_within(active[rows][: len(seen)], phone_labels, seen)
            done_s = block.start / SPEECH_RATE_HZ
            tell(done_s, end_s)
            block_end_s = block.stop / SPEECH_RATE_HZ
            if not here.any():  # what is not found is silence
                found.silence_until(block_end_s)
                inform(found.phones, block_end_s)
                continue
            heard += int(np.sum((phone_labels > SILENT) & here))
            spoken += int(np.sum(here))
            doubt -= float(np.sum(seen.max(axis=1)[here]))
            trust = np.zeros(len(seen), dtype=np.float32)
            said = witnesses.words()
            if said is not None:
                trust = word_trust(combine_phones(seen, phone_labels, fitted, config), said)
            spectrum = log_normalised(0.5 * config.spectrum_weight * (seen + others[rows][: len(seen)]))
            evidence = combine_phones(spectrum, phone_labels, fitted, config, trust)
            if said is None:
                skip = max(0, skip - 1)
            else:
                evidence = add_words(evidence, said.labels[: len(seen)], trust, fitted, config)
                believed = int(np.sum((trust > 0.5) & active[rows][: len(trust)]))
                understood += believed
                listened += int(np.sum(active[rows]))
                in_vain = in_vain + 1 if believed < 0.1 * len(trust) else 0
                if in_vain >= GIVE_UP_AFTER:  # another language: look again later, in case it changes
                    skip = TRY_AGAIN_AFTER
            evidence = with_silence(with_bilabials(evidence, trust, config), here, config)
            labels = decode(evidence, fitted, config)
            for phone in to_phones(labels, block.start / SPEECH_RATE_HZ, block_end_s):
                found.add(phone)
            inform(found.phones, block_end_s)
            done_s = block_end_s
            tell(done_s, end_s)
    if not spoken:
        return _nothing_said(end_s)
    notes = []
    method = "pocketsphinx" if heard >= 0.5 * spoken else "energy"
    if method == "energy":
        notes.append(
            f"Speech recognition heard phones in only {heard / max(spoken, 1):.0%} of the sound; "
            "the mouth follows its energy and spectrum."
        )
    elif listened >= ENOUGH_FOR_WORDS and understood < FEW_WORDS * listened and doubt >= UNCLEAR * spoken:
        notes.append(NO_WORDS)
    found.silence_until(end_s)
    return PhoneResult(tuple(found.phones), method, tuple(notes))


def _nothing_said(end_s: float) -> PhoneResult:
    if end_s <= 0:
        return PhoneResult((), "energy")
    return PhoneResult((Phone(0.0, end_s, SILENCE),), "energy", (NO_SPEECH,))


def combine_phones(
    seen: FloatArray,
    phone_labels: NDArray[np.int16],
    fitted: Tables,
    config: ListeningConfig,
    trust: FloatArray | None = None,
) -> FloatArray:
    """Spectrum and all-phone recognition together.

    Args:
        seen: [n, 40] float32 log probabilities by the spectrum.
        phone_labels: [n] recognised phones, negative where none.
        trust: [n] float32 in [0, 1], how far words are believed, and with them recognised phones; None is fully.
    Returns:
        [n, 40] float32 log probabilities.
    """
    told = config.phones_weight * (fitted.log_recognised.T[phone_labels] - config.prior_weight * fitted.log_prior)
    if trust is not None:
        told *= (config.unknown_phones + (1.0 - config.unknown_phones) * trust)[:, None]
    least = told.max(axis=1, keepdims=True) - config.bilabial_doubt
    told[:, BILABIALS] = np.maximum(told[:, BILABIALS], least)
    return log_normalised(seen + np.where(phone_labels[:, None] >= 0, told, 0.0))


def word_trust(evidence: FloatArray, words: Heard) -> FloatArray:
    """How far words are to be believed; [n] float32 in [0, 1], 0 where no word is heard.

    Judged by the seconds around: how sure the recogniser is of its words, how well they agree with the other
    witnesses, and how much in doubt those are. A synthetic voice, which they know well, needs no words.

    Args:
        evidence: [n, 40] log probabilities by the other witnesses.
    """
    n = len(evidence)
    labels = words.labels[:n]
    heard = labels > SILENT
    count = np.maximum(_around(heard), 1e-3)
    sureness = _around(words.confidence[:n] * (words.rate[:n] > 0)) / np.maximum(_around(words.rate[:n]), 1e-3)
    suits = _around(np.where(heard, evidence[np.arange(n), np.maximum(labels, 0)], 0.0)) / count
    doubt = -_around(np.where(heard, evidence.max(axis=1), 0.0)) / count
    score = TRUST_BY_SURENESS * sureness + TRUST_BY_AGREEMENT * suits + TRUST_BY_DOUBT * doubt + TRUST
    return np.where(labels >= 0, 1.0 / (1.0 + np.exp(-score)), 0.0).astype(np.float32)


def speech_within(active: NDArray[np.bool_], phone_labels: NDArray[np.int16], seen: FloatArray) -> NDArray[np.bool_]:
    """Where sound is speech: not where hardly any phone is recognised in the seconds around, and nowhere where the
    phones that are do not fit the spectrum.

    Args:
        active: [n] whether there is sound, by its level.
        phone_labels: [n] recognised phones, negative where none. seen: [n, 40] log probabilities by the spectrum.
    """
    if active.sum() < SHORTEST_NOISE:
        return active
    heard = phone_labels > SILENT
    if (heard & active).sum() < LEAST_SPEECH * active.sum():
        return np.zeros_like(active)
    enough = LEAST_AGREEMENT * min(1.0, active.sum() / FULL_AGREEMENT)
    if agreement(phone_labels[heard & active], seen[heard & active]) < enough:
        return np.zeros_like(active)
    around = np.maximum(_around(active), 1e-3)
    return active & (_around(heard & active) >= LEAST_SPEECH * around)


def agreement(phone_labels: NDArray[np.int16], seen: FloatArray) -> float:
    """How much better the spectrum suits the phones that are recognised at the same time than those of other times,
    in nats; less where few different phones are recognised. Near 0 for what is no speech, however like it it sounds.

    Args:
        phone_labels: [n] recognised phones, n > 0. seen: [n, 40] log probabilities by the spectrum.
    """
    bounded = np.maximum(seen, LEAST_LOG_PROBABILITY)
    shares = np.bincount(phone_labels, minlength=len(LABELS)) / len(phone_labels)
    together = float(bounded[np.arange(len(phone_labels)), phone_labels].mean())
    by_chance = float(bounded.mean(axis=0) @ shares)
    known = shares[shares > 0]
    variety_bits = float(-(known * np.log2(known)).sum())
    return (together - by_chance) * min(1.0, variety_bits / VARIETY_BITS)


def _around(values: NDArray[Any]) -> NDArray[np.float64]:
    """Sum over the three seconds around, faded; same length."""
    kernel = np.hanning(303)[1:-1]
    return np.convolve(values.astype(np.float64), kernel, mode="full")[150:-150]


def add_words(
    evidence: FloatArray,
    word_labels: NDArray[np.int16],
    trust: FloatArray,
    fitted: Tables,
    config: ListeningConfig,
) -> FloatArray:
    """The other witnesses and words together; [n, 40] float32 log probabilities."""
    prior = np.exp(fitted.log_prior)
    table = np.log(0.8 * np.eye(len(LABELS)) + 0.2 * prior) - config.prior_weight * fitted.log_prior
    told = config.words_weight * trust[:, None] * table[:, np.maximum(word_labels, 0)].T
    return log_normalised(evidence + told.astype(np.float32))


def with_bilabials(evidence: FloatArray, trust: FloatArray, config: ListeningConfig) -> FloatArray:
    """Evidence with the bonus for p, b, m, the smaller the better the words are known; a copy."""
    out = evidence.copy()
    out[:, BILABIALS] += (config.bilabial_bonus * (1.0 - 0.7 * trust))[:, None]
    return out


def with_silence(evidence: FloatArray, active: NDArray[np.bool_], config: ListeningConfig) -> FloatArray:
    """Evidence with the level's word on silence: for it in pauses, against it within speech; a copy.

    Gaps under 0.15 s are left open: they may be the closures of stops.
    """
    out = evidence.copy()
    out[active, SILENT] -= 0.5 * config.silence_bonus
    for start, stop in runs(~active):
        if stop - start >= 15 or start == 0 or stop == len(active):
            out[start:stop, SILENT] += config.silence_bonus
    return out


def decode(evidence: FloatArray, fitted: Tables, config: ListeningConfig) -> NDArray[np.int16]:
    """The row of phones that suits the evidence best.

    Args:
        evidence: [n, 40] float32 log probabilities.
    Returns:
        [n] int16, indices into LABELS.
    """
    search = PhoneSearch(fitted, sequence_weight=config.sequence_weight, change_cost=config.change_cost)
    for row in evidence:
        search.step(row)
    return search.path()


def log_normalised(scores: FloatArray) -> FloatArray:
    """Scores as log probabilities, row by row; float32."""
    top = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(top - np.log(np.exp(top).sum(axis=1, keepdims=True)), dtype=np.float32)


def to_phones(labels: NDArray[np.int16], start_s: float, end_s: float) -> list[Phone]:
    """Runs of one label as phones. Frame k is centred on start_s + k / 100, so it begins half a frame earlier."""
    edges = np.concatenate(([0], np.flatnonzero(np.diff(labels)) + 1, [len(labels)]))
    out = []
    for first, last in itertools.pairwise(edges):
        begin = start_s if first == 0 else start_s + (int(first) - 0.5) * HOP_S
        end = end_s if last == len(labels) else start_s + (int(last) - 0.5) * HOP_S
        if end > begin:
            out.append(Phone(begin, min(end, end_s), LABELS[labels[first]]))
    return out


def fill_holes(phones: Sequence[Phone], end_s: float) -> tuple[Phone, ...]:
    """Make phones cover [0, end_s] exactly: gaps become silence, overlaps end where the next one begins."""
    filled = _WithoutHoles(end_s)
    for phone in sorted(phones, key=lambda p: p.start_s):
        filled.add(phone)
    filled.silence_until(end_s)
    return tuple(filled.phones)


class _WithoutHoles:
    """Phones from 0 on, each beginning where the one before ends, and none after `end_s`."""

    def __init__(self, end_s: float) -> None:
        self.phones: list[Phone] = []
        self._end_s = end_s

    def add(self, phone: Phone) -> None:
        """Take the next phone; before it there is silence."""
        start_s = max(phone.start_s, self._until_s)
        if min(phone.end_s, self._end_s) > start_s:
            self.silence_until(start_s)
            self._append(min(phone.end_s, self._end_s), phone.label)

    def silence_until(self, time_s: float) -> None:
        """Nothing is said until then."""
        if time_s > self._until_s:
            self._append(time_s, SILENCE)

    @property
    def _until_s(self) -> float:
        return self.phones[-1].end_s if self.phones else 0.0

    def _append(self, end_s: float, label: str) -> None:
        last = self.phones[-1] if self.phones else None
        if last is not None and last.label == SILENCE == label:
            self.phones[-1] = Phone(last.start_s, end_s, SILENCE)
        else:
            self.phones.append(Phone(self._until_s, end_s, label))


CLOSURE_S = 0.15
"""Longest silence that can be the closure of a stop."""


def with_closures(phones: Sequence[Phone], clip: AudioClip) -> tuple[Phone, ...]:
    """Give voiceless stops the digital silence before them.

    Some synthesisers (espeak-ng) count a stop from its burst and leave its closure, during which the lips of a p are
    shut, to the sound before. A run of zeros that ends where p, t, k or ch begins is that closure.

    Args:
        phones: without holes.
        clip: the synthesised sound itself, at its own rate.
    Returns:
        The same phones, some boundaries earlier; a phone that would vanish keeps half its time.
    """
    rate = clip.sample_rate_hz
    out = list(phones)
    for index in range(1, len(out)):
        before, stop = out[index - 1], out[index]
        if stop.label not in ("P", "T", "K", "CH") or before.label == SILENCE:
            continue
        at = round(stop.start_s * rate)
        low = max(0, at - round(CLOSURE_S * rate))
        heard = np.flatnonzero(np.abs(clip.samples[low:at]) > 2.5 / 32768.0)
        start = (low + int(heard[-1]) + 1) / rate if len(heard) else low / rate
        start = max(start, (before.start_s + before.end_s) / 2)
        if start < stop.start_s:
            out[index - 1] = Phone(before.start_s, start, before.label)
            out[index] = Phone(start, stop.end_s, stop.label)
    return tuple(out)


def read_phones(path: Path) -> tuple[Phone, ...]:
    """Read phones from JSON: {"phones": [[start_s, end_s, "AA"], ...]}.

    Raises:
        MediaNotFound: no such file.
        UnreadableMedia: another content.
    """
    if not path.is_file():
        raise MediaNotFound(f"There is no file {path}.")
    accepted = '{"phones": [[start_s, end_s, "AA"], ...]}'
    data = read_json(path, error=UnreadableMedia, accepted=accepted)
    with reading(path, UnreadableMedia, what="holds no phones", accepted=accepted):
        return tuple(_phone(*row) for row in data["phones"])


MAX_S = 360_000
"""Longest time of a phone: a hundred hours."""


def _phone(start: Any, end: Any, label: Any) -> Phone:
    """A row of a file as a phone.

    Raises:
        ValueError, TypeError: it is none.
    """
    if not (isinstance(label, str) and len(label) <= 16 and 0 <= float(start) <= float(end) <= MAX_S):
        raise ValueError(f"{shown(label)} from {shown(start)} to {shown(end)} s")
    return Phone(float(start), float(end), label)
