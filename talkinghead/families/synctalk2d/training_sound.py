"""The sound of a training video as other voices would say it, in other rooms: the rows of sound of each."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import soxr

from talkinghead.contracts import SPEECH_RATE_HZ, FloatArray
from talkinghead.families.synctalk2d.sound_rows import AUDIO, DELAY, sound_rows

SLOWEST, FASTEST = 85, 118
"""Percent of the speed, and so of the pitch and of the length of the vocal tract."""
LOUDNESS_DB = (-18.0, 6.0)
SPECTRUM_DB = 5.0
"""Height of a microphone's bumps, at most."""
NOISE_DB = (25.0, 60.0)
"""Under the voice."""


def heard_otherwise(samples: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, Fraction]:
    """Another voice, microphone, level and room tone.

    Returns:
        Samples, and how many times as long they are.
    """
    length = Fraction(int(rng.integers(SLOWEST, FASTEST + 1)), 100)
    y = soxr.resample(samples, SPEECH_RATE_HZ, SPEECH_RATE_HZ * float(length), quality="MQ").astype(np.float64)
    spectrum = np.fft.rfft(y)
    hertz = np.maximum(np.fft.rfftfreq(len(y), 1 / SPEECH_RATE_HZ), 60.0)
    gain_db = rng.uniform(-3, 3) * np.log2(hertz / 1000)
    for centre in np.exp(rng.uniform(np.log(150), np.log(6000), 4)):
        gain_db += rng.uniform(-SPECTRUM_DB, SPECTRUM_DB) * np.exp(-0.5 * (np.log2(hertz / centre) / 0.5) ** 2)
    y = np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(y))
    loud = float(np.sqrt(np.mean(np.square(y)))) + 1e-9
    y = y + rng.standard_normal(len(y)) * loud * 10 ** (-rng.uniform(*NOISE_DB) / 20)
    return (y * 10 ** (rng.uniform(*LOUDNESS_DB) / 20)).astype(np.float32), length


def rows_of_voices(
    samples: FloatArray, num_frames: int, voices: int, seed: int, tell: Callable[[int, int], None]
) -> tuple[FloatArray, ...]:
    """Rows of the sound as it is, and as other voices, each [num_frames + DELAY, 512].

    Args:
        samples: [n] float32 at 16 kHz.
    """
    out = []
    for voice in range(voices + 1):
        heard, fps = samples, AUDIO.fps
        if voice:
            heard, length = heard_otherwise(samples, np.random.default_rng((seed, voice)))
            fps = AUDIO.fps / length
        rows = sound_rows(heard, fps, num_frames)[: num_frames + DELAY]
        missing = num_frames + DELAY - len(rows)
        out.append(np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing else rows)
        tell(voice + 1, voices + 1)
    return tuple(out)
