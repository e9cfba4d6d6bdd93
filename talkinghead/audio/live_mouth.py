"""The mouth of every frame of sound that arrives bit by bit.

    mouth = LiveMouth(Fraction(25))
    for piece in sound:
        rows += mouth.push(piece)      # those that can no longer change
    rows += mouth.flush()              # the rest

    sound ──────────┬──── LOOKAHEAD_S ────┐
                    │ frame               │
    heard ──────────────────────────────╴│ half a window
    phones ─────────────────────────╴╴╴╴╴  LOOKAHEAD_FRAMES
                    ├ moved as the phones known by now say

Every frame is moved by the same rules as when all phones are known (`mouth.motion_near`), and by the phones that are
known at its time: the last ones go on for as long as is not known otherwise.
"""

from __future__ import annotations

import math
from fractions import Fraction

from talkinghead.audio.live_phones import SoundOfPhones, Witness
from talkinghead.audio.mouth import LONG_PAUSE_S, MouthConfig, motion_near, sealed_between
from talkinghead.audio.visemes import BILABIAL, SILENCE
from talkinghead.contracts import MOUTH_COLUMNS, SPEECH_RATE_HZ, FloatArray, Phone

LOOKAHEAD_SAMPLES = 3200
LOOKAHEAD_S = LOOKAHEAD_SAMPLES / SPEECH_RATE_HZ
"""Sound after the beginning of a frame's interval that its mouth needs."""
SMOOTHED_S = 0.09
"""How far from a frame the targets lie that inertia brings into it, at most."""
SHORTEST_RATE = 20
"""Frames per second under which frames show their first part: of the rest too little is known."""
SPEAKING_S = 0.2
"""How long a face takes to begin to speak, and to leave off."""
SPEAKING = MOUTH_COLUMNS.index("speaking")
LIPS = MOUTH_COLUMNS.index("lips")


class LiveMouth:
    """Turns sound into rows of MOUTH_COLUMNS, one per video frame; made for one sound.

    The law that it keeps: however the sound is cut, the rows are the same to the bit. Row i depends on no sound from
    `lookahead_s` after i / fps on. Memory does not grow with length.
    """

    def __init__(self, fps: Fraction, config: MouthConfig | None = None, witness: Witness | None = None) -> None:
        """
        Args:
            fps: exact. Frame i shows [i / fps, (i + 1) / fps).
            witness: see `LivePhones`; is told of all that a row hears before the row is there.
        """
        self._fps = fps
        self._parts = math.ceil(SHORTEST_RATE / fps)
        self._rate = fps * self._parts
        self._frame_s, self._part_s = float(1 / fps), float(1 / self._rate)
        self._reach = math.ceil(SMOOTHED_S * self._rate)
        self._config = config or MouthConfig()
        self._sound = SoundOfPhones(witness)
        self._phones = self._sound.phones
        self._rows = 0
        self._speaking = 0.0
        self._sealed_until_s = 0.0

    @property
    def lookahead_s(self) -> float:
        """Sound after a frame's time that its row needs, in seconds."""
        return LOOKAHEAD_S

    def push(self, samples: FloatArray) -> list[FloatArray]:
        """Take sound, and give the rows that can no longer change.

        Args:
            samples: [n] float32 at 16 kHz, any n.
        Returns:
            Rows of MOUTH_COLUMNS, [6] float32 each.
        """
        self._sound.push(samples)
        out = []
        while self._needed(self._rows) <= self._sound.num_samples:
            out.append(self._row())
        return out

    def flush(self) -> list[FloatArray]:
        """The sound has ended, and silence follows: give the rest, so that there are as many rows as frames."""
        num_frames = math.ceil(Fraction(self._sound.num_samples, SPEECH_RATE_HZ) * self._fps)
        if num_frames > self._rows:
            self._sound.pad(self._needed(num_frames - 1))
        return [self._row() for _ in range(self._rows, num_frames)]

    def _needed(self, index: int) -> int:
        """How many samples from the first a row needs."""
        return index * SPEECH_RATE_HZ * self._fps.denominator // self._fps.numerator + LOOKAHEAD_SAMPLES

    def _row(self) -> FloatArray:
        """The next row. What is heard for it at a time follows from its number, whatever was pushed at a time."""
        index, self._rows = self._rows, self._rows + 1
        self._sound.hear(self._needed(index))
        phones = self._phones.phones()
        row = self._moved(index, phones)
        self._seal(index, row, phones)
        pausing = phones[-1].label == SILENCE and phones[-1].end_s - phones[-1].start_s >= LONG_PAUSE_S
        step = self._frame_s / SPEAKING_S
        self._speaking = max(self._speaking - step, 0.0) if pausing else min(self._speaking + step, 1.0)
        row[SPEAKING] = self._speaking
        return row

    def _moved(self, index: int, phones: list[Phone]) -> FloatArray:
        config, reach = self._config, self._reach
        at = index * self._parts
        earliest_s = (at - reach) * self._part_s - config.reach_s
        near = [phone for phone in phones if phone.end_s >= earliest_s] or phones[-1:]
        columns = motion_near(
            near,
            self._phones.gains(near, config),
            self._rate,
            range(at - reach, at + reach + 1),
            config,
            at_start=near[0].start_s <= 0.0,
            at_end=False,
        )
        return columns[:, reach].copy()

    def _seal(self, index: int, row: FloatArray, phones: list[Phone]) -> None:
        """Let one frame of every p, b, m show sealed lips.

        Where a phone ends becomes known only later, so the frame of its middle may be told when it has gone.
        """
        config = self._config
        start_s, end_s = (k * self._fps.denominator / self._fps.numerator for k in (index, index + 1))
        for phone in phones:
            if phone.label not in BILABIAL:
                continue
            first_s, last_s = (time_s - config.lead_s for time_s in sealed_between(phone, config))
            if last_s <= start_s or first_s >= end_s or phone.start_s < self._sealed_until_s:
                continue
            if (first_s + last_s) / 2 < end_s:
                row[LIPS] = 0.0
            if row[LIPS] == 0.0:
                self._sealed_until_s = end_s
