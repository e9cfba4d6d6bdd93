"""From sound to one mel window and one gate value per video frame."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.mel import (
    MelSettings,
    Padding,
    frame_window_starts,
    mel_spectrogram,
    mel_windows,
    published_window_starts,
)
from talkinghead.contracts import AudioClip, FloatArray
from talkinghead.families.wav2lip.architecture import MEL_COLUMNS

GATE_HOP_S = 0.01
GATE_HOLD_S = 0.25
"""Pauses shorter than this keep the network's mouth."""
GATE_EASE_S = 0.12
"""Time in which the source mouth comes back, and goes."""


@dataclass(frozen=True, eq=False)
class Listening:
    """What one face listens to."""

    mel: FloatArray
    """[80, T] float32 in [-4, 4]."""
    starts: NDArray[np.int64]
    """[n] first column of each frame's window; columns outside the spectrogram are silence."""
    gate: FloatArray
    """[n] float32 in [0, 1]: share of the network's mouth; 0 shows the source."""
    cut: FloatArray | None = None
    """[n, 80, 16]: windows that were cut elsewhere; `mel` and `starts` are not used then."""

    def __len__(self) -> int:
        return len(self.starts)

    def windows(self, frames: NDArray[np.int64]) -> FloatArray:
        """Windows of some frames, [len(frames), 80, 16] float32."""
        if self.cut is not None:
            return np.ascontiguousarray(self.cut[frames])
        return mel_windows(self.mel, self.starts[frames])

    @classmethod
    def of_windows(cls, windows: FloatArray) -> Listening:
        """Windows that exist already, [n, 80, 16] float32."""
        n = len(windows)
        return cls(np.empty((80, 0), np.float32), np.zeros(n, np.int64), np.ones(n, np.float32), windows)


def listen(
    clip: AudioClip,
    fps: Fraction,
    num_frames: int,
    *,
    align: Literal["training", "published"],
    mel_padding: Padding,
    silence_gate: bool,
) -> Listening:
    """Windows for `num_frames` frames, as many as the sound is long.

    The last windows reach behind the end of the sound: what is missing is silence (-4), so picture and sound end
    together. With "training" each window begins one frame earlier than the frame, as the network was trained: there the
    five frames of a training sample listen from the frame before each of them.
    """
    mel = mel_spectrogram(clip.samples, MelSettings(padding=mel_padding))
    starts = frame_window_starts(num_frames, fps, lead_frames=1 if align == "training" else 0)
    gate = speech_gate(clip, fps, num_frames) if silence_gate else np.ones(num_frames, np.float32)
    return Listening(mel, starts, gate)


def listen_published(clip: AudioClip, fps: Fraction, *, mel_padding: Padding) -> Listening:
    """Windows of the published script: as many as fit, then the last columns once more.

    Raises:
        AudioTooShort: less than 0.19 s of sound, for which the published script fails.
    """
    mel = mel_spectrogram(clip.samples, MelSettings(padding=mel_padding))
    starts = published_window_starts(mel.shape[1], fps, MEL_COLUMNS)
    return Listening(mel, starts, np.ones(len(starts), np.float32))


def published_num_frames(num_samples: int, fps: Fraction) -> int:
    """Frames that the published script makes of a 16 kHz sound."""
    return len(published_window_starts(MelSettings().num_columns(num_samples), fps, MEL_COLUMNS))


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
