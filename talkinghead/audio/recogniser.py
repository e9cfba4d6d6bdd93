"""What pocketsphinx hears, block by block: single phones in any language, and words in English.

Sound is cut into blocks at pauses, so that memory is flat and time grows with length alone. Each block is decoded with
a margin on both sides; what lies in the margins belongs to the neighbours.

    pause        pause              pause
    ──┤  block 1  ├──┤   block 2     ├──
    ◄─── decoded ───►
                ◄────── decoded ───────►
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.articulation import HOP_S, HOP_SAMPLES, LABELS
from talkinghead.audio.energy import runs
from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray
from talkinghead.places import temporary_folder

LABEL_INDEX = {label: index for index, label in enumerate(LABELS)}
SILENT = LABEL_INDEX["SIL"]
NOT_HEARD = -1
"""Where a recogniser says nothing."""
LONGEST_BLOCK_S = 15.0
SHORTEST_BLOCK_S = 4.0
LONGEST_FIRST_BLOCK_S = 7.0
"""Of a sound that is cut at all: who draws what is said first need not wait for all of a long block."""
WHOLE_S = 9.0
"""Sounds up to this length are one block."""
MARGIN_S = 0.3
PEAK = 0.5
"""Blocks are scaled to this peak: quiet recordings lose bits and the recogniser's noise floor is absolute."""


@dataclass(frozen=True)
class Block:
    """A stretch of sound to be decoded at once, in samples."""

    start: int
    stop: int


def cut_blocks(level_db: FloatArray, active: NDArray[np.bool_], num_samples: int) -> list[Block]:
    """Cut sound at pauses, or failing those where it is quietest, into blocks of at most LONGEST_BLOCK_S.

    Args:
        level_db: [n], one value per hundredth of a second.
        active: [n], where something is heard. Blocks without anything are left out.
    """
    shortest = round(SHORTEST_BLOCK_S / HOP_S)
    smooth = np.convolve(np.pad(level_db, 5, mode="edge"), np.ones(11) / 11, mode="valid")
    blocks = []
    start, end = 0, len(level_db)
    while start < end:
        longest_s, uncut_s = (LONGEST_BLOCK_S, LONGEST_BLOCK_S) if start else (LONGEST_FIRST_BLOCK_S, WHOLE_S)
        longest = round(longest_s / HOP_S)
        if end - start <= round(uncut_s / HOP_S):
            stop = end
        else:
            window = slice(start + shortest, start + longest)
            pauses = [(b - a, (a + b) // 2) for a, b in runs(~active[window])]
            stop = start + shortest + (max(pauses)[1] if pauses else int(np.argmin(smooth[window])))
        if np.any(active[start:stop]):
            last = num_samples if stop == end else stop * HOP_SAMPLES
            blocks.append(Block(start * HOP_SAMPLES, last))
        start = stop
    return blocks


@dataclass(frozen=True, eq=False)
class Heard:
    """What a recogniser says about a stretch of sound, per hundredth of a second."""

    labels: NDArray[np.int16]
    """[n] int16, indices into LABELS or NOT_HEARD."""
    confidence: FloatArray
    """[n] float32 in [0, 1]: posterior probability of the word; 1 where only phones are heard, 0 where nothing."""
    rate: FloatArray
    """[n] float32: words per hundredth of a second, 1 / length of the word; 0 where there is none."""


@dataclass(frozen=True)
class Decoded:
    """What a decoder finds in a sound; times in hundredths of a second."""

    phones: Sequence[tuple[int, int, str]] = ()
    """(first frame, last frame + 1, phone)."""
    words: Sequence[tuple[int, int, float]] = ()
    """(first frame, last frame + 1, probability)."""


class Recogniser(ABC):
    """Labels every hundredth of a second."""

    def frames(self, samples: FloatArray) -> Heard:
        """What is heard in a whole sound that is short enough for one block; [1 + n // 160]."""
        return self.block(samples, Block(0, len(samples)))

    def block(self, samples: FloatArray, block: Block) -> Heard:
        """What is heard in one block; [1 + (stop - start) // 160]."""
        margin = round(MARGIN_S * SPEECH_RATE_HZ)
        low, high = max(block.start - margin, 0), min(block.stop + margin, len(samples))
        piece = samples[low:high]
        peak = float(np.max(np.abs(piece), initial=0.0))
        pcm = np.rint(piece * (32767.0 * PEAK / max(peak, 1e-4))).astype("<i2").tobytes()
        first = (block.start - low) // HOP_SAMPLES
        count = 1 + (block.stop - block.start) // HOP_SAMPLES
        labels = np.full(count, NOT_HEARD, dtype=np.int16)
        confidence, rate = np.zeros(count, dtype=np.float32), np.zeros(count, dtype=np.float32)
        decoded = self.decode(pcm)
        for start, stop, name in decoded.phones:
            labels[max(start - first, 0) : max(stop - first, 0)] = LABEL_INDEX.get(name, SILENT)
        for start, stop, probability in decoded.words:
            span = slice(max(start - first, 0), max(stop - first, 0))
            confidence[span] = min(probability, 1.0)
            rate[span] = 1.0 / max(stop - start, 1)
        return Heard(labels, confidence, rate)

    @abstractmethod
    def decode(self, pcm: bytes) -> Decoded:
        """What is heard in 16 kHz sound of 16 bits."""


_FRAMES_PER_SCORE = 2
"""The best Gaussians are looked for in every second frame: a third less work, and as often right."""


class _Decoder(Recogniser):
    """A decoder of pocketsphinx."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def _run(self, pcm: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()


class AllPhones(_Decoder):
    """Any phone may follow any other, as a phone language model finds likely; about 20 times real time."""

    def __init__(self) -> None:
        import pocketsphinx

        path = pocketsphinx.get_model_path
        super().__init__(
            pocketsphinx.Decoder(
                hmm=path("en-us/en-us"),
                allphone=path("en-us/en-us-phone.lm.bin"),
                lw=2.0,
                pip=0.3,
                beam=1e-20,
                pbeam=1e-20,
                ds=_FRAMES_PER_SCORE,
                seed=1,
                loglevel="FATAL",
            )
        )

    def decode(self, pcm: bytes) -> Decoded:
        try:
            self._run(pcm)
            phones = [(s.start_frame, s.end_frame + 1, s.word) for s in self._decoder.seg() or ()]
        except RuntimeError:  # nothing survived the search
            return Decoded()
        return Decoded(phones, [(start, stop, 1.0) for start, stop, _ in phones])


class Words(_Decoder):
    """English words, then the phones of those words; about 9 times real time.

    Words are the strongest evidence in English and nonsense elsewhere; whoever uses it checks how well it agrees
    with what the sounds themselves say.
    """

    def __init__(self) -> None:
        import pocketsphinx

        path = pocketsphinx.get_model_path
        with temporary_folder() as folder:
            dictionary = folder / "frequent.dict"
            dictionary.write_text(frequent_words(), encoding="utf-8")
            decoder = pocketsphinx.Decoder(
                hmm=path("en-us/en-us"),
                lm=path("en-us/en-us.lm.bin"),
                dict=str(dictionary),
                beam=1e-36,
                pbeam=1e-36,
                wbeam=1e-20,
                ds=_FRAMES_PER_SCORE,
                seed=1,
                loglevel="FATAL",
            )
        super().__init__(decoder)
        self._search = decoder.current_search()

    def decode(self, pcm: bytes) -> Decoded:
        try:
            self._run(pcm)
            if self._decoder.hyp() is None:
                return Decoded()
            words = [
                (s.start_frame, s.end_frame + 1, float(s.prob))
                for s in self._decoder.seg() or ()
                if s.word[0] not in "<[+"  # silence and noises
            ]
            self._decoder.set_alignment()
            self._run(pcm)
            found = self._decoder.get_alignment()
            return Decoded([(p.start, p.start + p.duration, p.name) for word in found or () for p in word], words)
        except RuntimeError:  # nothing survived the search, or the words cannot be aligned
            return Decoded()
        finally:
            self._decoder.activate_search(self._search)


FREQUENT_WORDS = 8_000


@cache
def frequent_words() -> str:
    """The lines of the pronunciation dictionary for the most frequent words of the language model.

    A fifteenth of the dictionary covers nearly all running text and decodes two to three times as fast.
    """
    import pocketsphinx

    path = pocketsphinx.get_model_path
    model_file = path("en-us/en-us.lm.bin")
    settings = pocketsphinx.Config(lm=model_file, loglevel="FATAL")
    model = pocketsphinx.NGramModel(settings, pocketsphinx.LogMath(), model_file)
    lines = Path(path("en-us/cmudict-en-us.dict")).read_text(encoding="utf-8").splitlines()
    entries = [line.partition(" ")[0] for line in lines]
    words = [entry for entry in entries if entry and not entry.endswith(")")]
    frequency = np.array([model.prob([word]) for word in words])
    order = np.argsort(-frequency, kind="stable")  # of equally frequent ones the first of the dictionary
    frequent = {words[index] for index in order[:FREQUENT_WORDS]}
    # A further pronunciation is an entry of its own: "read(2) R EH D".
    kept = (line for line, entry in zip(lines, entries, strict=True) if entry.partition("(")[0] in frequent)
    return "\n".join(kept) + "\n"
