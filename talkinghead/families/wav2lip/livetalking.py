"""Windows as LiveTalking cuts them: in steps of some frames, each with a spectrogram that begins anew.

Source: lipku/LiveTalking, its Wav2Lip avatar. Kept from it: 25 frames per second, ten pieces of 320 samples (20 ms) of
context on each side of a step, first columns counted from the step's own spectrogram, steps of silence without the
network, frames mirrored at both ends (`preprocess.mirror_index`). LiveTalking sends the sound 0.2 s late to fit its
pictures; here the pictures belong to the sound of their own time, so its first five windows, which hear what comes
before the sound, are left out.

    step s        |  context  |  frames of the step  |  context  |
    sound         (10 pieces)   step_frames * 640      (10 pieces)
"""

from __future__ import annotations

import numpy as np

from talkinghead.audio.mel import DEFAULT_MEL, mel_spectrogram
from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray
from talkinghead.engine.listener import Listener
from talkinghead.families.wav2lip.architecture import MEL_COLUMNS
from talkinghead.families.wav2lip.listening import WINDOW_SAMPLES, Window, Windows

LIVE_FPS = 25
PIECE_SAMPLES = 320
CONTEXT_SAMPLES = 10 * PIECE_SAMPLES
"""On each side of a step."""
FRAME_SAMPLES = SPEECH_RATE_HZ // LIVE_FPS
EARLY_FRAMES = CONTEXT_SAMPLES // FRAME_SAMPLES
"""Frames of the first step whose windows lie before the sound."""
COLUMNS_PER_FRAME = FRAME_SAMPLES / DEFAULT_MEL.hop_samples
SILENCE = 1e-3
"""A step whose samples all lie below this is silent."""
_MARGIN_COLUMNS = 2
"""Columns at the beginning of a spectrogram that see what lies before it."""


class LiveTalkingWindows(Listener[Windows]):
    """See the module.

    Args:
        step_frames: video frames per step.
        silence_gate: silent steps show the source.
    """

    def __init__(self, step_frames: int, *, silence_gate: bool) -> None:
        self._step_frames = step_frames
        self._silence_gate = silence_gate
        self._kept: FloatArray = np.zeros(2 * CONTEXT_SAMPLES, np.float32)
        """The sound from sample `_origin` on, silence before the first one."""
        self._origin = -2 * CONTEXT_SAMPLES
        self._made = 0

    @property
    def lookahead_s(self) -> float:
        """To the end of a window, or of the step that may be silent."""
        step = self._step_frames * FRAME_SAMPLES if self._silence_gate else 0
        return max(WINDOW_SAMPLES, step) / SPEECH_RATE_HZ

    def push(self, samples: FloatArray) -> list[Windows]:
        self._kept = np.concatenate([self._kept, samples])
        made: list[Windows] = []
        while self._needs(self._made) <= self._end:
            made.append(self._cut())
        return made

    def flush(self) -> list[Windows]:
        missing = -(-self._end // FRAME_SAMPLES) - self._made
        if missing < 1:
            return []
        silence = np.zeros(self._needs(self._made + missing - 1) - self._end, np.float32)
        self._kept = np.concatenate([self._kept, silence])
        return [self._cut() for _ in range(missing)]

    @property
    def _end(self) -> int:
        """Samples that came."""
        return self._origin + len(self._kept)

    def _step(self, frame: int) -> tuple[int, int]:
        """Sample at which the frame's step begins, its context left out, and the frame's place in the step."""
        step, place = divmod(frame + EARLY_FRAMES, self._step_frames)
        return (step * self._step_frames - EARLY_FRAMES) * FRAME_SAMPLES, place

    def _first_column(self, frame: int) -> int:
        """Sample on which the first column of a frame's window is centred."""
        begin, place = self._step(frame)
        context = CONTEXT_SAMPLES / DEFAULT_MEL.hop_samples
        return begin - CONTEXT_SAMPLES + int(context + place * COLUMNS_PER_FRAME) * DEFAULT_MEL.hop_samples

    def _needs(self, frame: int) -> int:
        """Samples that must have come before a frame's window is known."""
        window = self._first_column(frame) + WINDOW_SAMPLES
        step = self._step(frame)[0] + self._step_frames * FRAME_SAMPLES if self._silence_gate else 0
        return max(window, step)

    def _cut(self) -> Windows:
        """The next window."""
        frame, self._made = self._made, self._made + 1
        step, _ = self._step(frame)
        kept = min(step, self._first_column(frame) - _MARGIN_COLUMNS * DEFAULT_MEL.hop_samples)
        self._kept, self._origin = self._kept[kept - self._origin :], kept
        # Each window by itself: its bits then do not depend on which others are known.
        first = self._first_column(frame) - _MARGIN_COLUMNS * DEFAULT_MEL.hop_samples
        heard = self._kept[first - self._origin :][: _MARGIN_COLUMNS * DEFAULT_MEL.hop_samples + WINDOW_SAMPLES]
        mel = mel_spectrogram(heard)[:, _MARGIN_COLUMNS : _MARGIN_COLUMNS + MEL_COLUMNS]
        spoken = self._kept[step - self._origin :][: self._step_frames * FRAME_SAMPLES]
        silent = self._silence_gate and float(np.abs(spoken).max()) < SILENCE
        return (Window(np.ascontiguousarray(mel), 0, 0.0 if silent else 1.0),)
