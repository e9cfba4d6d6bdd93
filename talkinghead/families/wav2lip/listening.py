"""From sound to what each face hears in each video frame: a mel window, and how much of the network's mouth is shown.

    sound   |----|----|----|----|----|----|          25 frames/s: 3.2 mel columns (of 80 per second) each
    window of frame i, 16 columns:
        "training"   |=======i========|              from one frame before its time
        "published"      |=======i========|          from its time

A window is known once half a Fourier window behind its last column has come.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.mel import (
    MelSettings,
    MelStream,
    Padding,
    frame_window_starts,
    mel_windows,
    published_window_starts,
)
from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, FloatArray
from talkinghead.engine.listener import Listener
from talkinghead.families.wav2lip.architecture import MEL_COLUMNS

GATE_HOP_S = 0.01
GATE_HOLD_S = 0.25
"""Pauses shorter than this keep the network's mouth."""
GATE_EASE_S = 0.12
"""Time in which the source mouth comes back, and goes."""
PIECE_SAMPLES = 60 * SPEECH_RATE_HZ
"""Sound taken at once: between pieces it is asked whether to go on."""
WINDOW_SAMPLES = (MEL_COLUMNS - 1) * MelSettings().hop_samples + MelSettings().fft_samples // 2
"""From the time of a window's first column to the end of what its last one hears."""


@dataclass(frozen=True, eq=False, slots=True)
class Window:
    """What one face hears in one frame."""

    mel: FloatArray
    """[80, T] float32 in [-4, 4]; shared with other windows."""
    start: int
    """The first of its 16 columns; those outside the spectrogram are silence."""
    gate: float = 1.0
    """In [0, 1]: share of the network's mouth; 0 shows the source."""


Windows = tuple[Window, ...]
"""What is heard in one frame, by each face."""


def stack_windows(windows: Sequence[Window]) -> FloatArray:
    """As the network takes them, [n, 80, 16] float32."""
    runs = [list(run) for _, run in itertools.groupby(windows, key=lambda window: id(window.mel))]
    return np.concatenate([mel_windows(run[0].mel, [window.start for window in run], MEL_COLUMNS) for run in runs])


class SoundWindows(Listener[Windows]):
    """The windows of one face, cut from one spectrogram of the sound.

    The last windows reach behind the end of the sound: what is missing is silence (-4), so picture and sound end
    together. With a lead of one frame each window begins where the network was trained to listen: there the five frames
    of a training sample listen from the frame before each of them.

    Args:
        fps: of the output.
        lead_frames: frames by which a window begins before its frame.
        num_frames: windows in all; None: as many as the sound has frames.
        check: called now and then; what it raises ends the work.
    """

    def __init__(
        self,
        fps: Fraction,
        *,
        lead_frames: int,
        mel_padding: Padding,
        num_frames: int | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._fps = fps
        self._lead_frames = lead_frames
        self._num_frames = num_frames
        self._check = check
        self._stream = MelStream(MelSettings(padding=mel_padding))
        self._mel: FloatArray = np.empty((self._stream.settings.bands, 0), np.float32)
        """Columns from `_first` on."""
        self._first = 0
        self._made = 0

    @property
    def lookahead_s(self) -> float:
        """Frame 0, or the first whose window begins with the sound, needs the most."""
        lead_s = self._lead_frames / self._fps
        return float(max(Fraction(0), Fraction(WINDOW_SAMPLES, SPEECH_RATE_HZ) - lead_s))

    def push(self, samples: FloatArray) -> list[Windows]:
        made: list[Windows] = []
        for begin in range(0, len(samples), PIECE_SAMPLES):
            self._check()
            self._add(self._stream.push(samples[begin : begin + PIECE_SAMPLES]))
            starts = self._starts()
            made += self._cut(starts[starts + MEL_COLUMNS <= self._num_columns])
        return made

    def flush(self) -> list[Windows]:
        self._add(self._stream.flush())
        return self._cut(self._last_starts())

    @property
    def _num_columns(self) -> int:
        """Columns known so far."""
        return int(self._first + self._mel.shape[1])

    def _starts(self) -> NDArray[np.int64]:
        """First columns of the windows that are still to come, as far as there are frames by now."""
        sound = math.ceil(Fraction(self._stream.num_samples, SPEECH_RATE_HZ) * self._fps)
        count = sound if self._num_frames is None else self._num_frames
        return frame_window_starts(count, self._fps, lead_frames=self._lead_frames, first_frame=self._made)

    def _last_starts(self) -> NDArray[np.int64]:
        """Those that come when the sound has ended."""
        return self._starts()

    def _add(self, columns: FloatArray) -> None:
        self._mel = np.concatenate([self._mel, columns], axis=1) if self._mel.shape[1] else columns

    def _cut(self, starts: NDArray[np.int64]) -> list[Windows]:
        made: list[Windows] = [(Window(self._mel, int(start) - self._first),) for start in starts]
        self._made += len(made)
        if made:  # what comes begins no earlier than the last window that was cut
            kept = max(0, int(starts[-1]) - self._first)
            self._mel, self._first = self._mel[:, kept:].copy(), self._first + kept
        return made


class PublishedWindows(SoundWindows):
    """The windows of the published script: as many as fit, then the last columns once more.

    Raises:
        AudioTooShort: less than 0.19 s of sound, for which the published script fails.
    """

    def __init__(self, fps: Fraction, *, mel_padding: Padding, check: Callable[[], None] = lambda: None) -> None:
        super().__init__(fps, lead_frames=0, mel_padding=mel_padding, check=check)

    def _last_starts(self) -> NDArray[np.int64]:
        return published_window_starts(self._num_columns, self._fps, MEL_COLUMNS)[self._made :]


def published_num_frames(num_samples: int, fps: Fraction) -> int:
    """Frames that the published script makes of a 16 kHz sound."""
    return len(published_window_starts(MelSettings().num_columns(num_samples), fps, MEL_COLUMNS))


def gated(windows: Sequence[Windows], clip: AudioClip, fps: Fraction) -> Iterator[Windows]:
    """The windows of one face with the gate of the sound that it hears."""
    for (window,), gate in zip(windows, speech_gate(clip, fps, len(windows)), strict=True):
        yield (Window(window.mel, window.start, float(gate)),)


def speech_gate(clip: AudioClip, fps: Fraction, num_frames: int) -> FloatArray:
    """1 while there is speech and in pauses between words, eased to 0 in longer silence. [num_frames] float32."""
    from talkinghead.audio.energy import frame_level_db, voice_activity

    active = voice_activity(frame_level_db(clip, GATE_HOP_S), GATE_HOP_S, GATE_HOLD_S)
    if len(active) == 0:
        return np.zeros(num_frames, np.float32)
    width = max(1, round(GATE_EASE_S / GATE_HOP_S))
    # Wide first, so that the mouth is the network's already when a word begins, then eased.
    spread = np.convolve(active.astype(np.float32), np.ones(2 * width + 1), mode="same") > 0
    eased = np.convolve(np.pad(spread.astype(np.float32), width, mode="edge"), np.ones(2 * width + 1), mode="valid")
    times = np.arange(num_frames) / float(fps) / GATE_HOP_S
    index = np.clip(np.rint(times).astype(np.int64), 0, len(active) - 1)
    return (eased / (2 * width + 1)).astype(np.float32)[index]
