"""Features of our own: rows that a network can be trained with without anybody else's weights.

A row says of one frame what the package's own live listening knows of it, as 32 numbers in [0, 1]:

    6   the mouth by `live_mouth`: jaw, lips, width, lower lip under the teeth, tongue, speaking
    14  probabilities of groups of phones by the live network of `articulation`, mean over the frame
    2   level against the loud level heard so far, and how much of the frame is voiced or loud
    10  bands of the spectrum less the average one, mean over the frame

Voice, microphone and level are taken off by what was heard so far (`live_features`), and nothing is computed over the
whole sound: however it is cut, the rows are the same to the bit. They lie in the two 16x16 maps of a published AVE row,
each number in a pixel of every 4x4 tile, so that the network sees all of them wherever it looks.

    rows       0 ... DELAY-1   DELAY         DELAY+1 ...
    of frame   silence         0             1               so that a window, rows i-8 .. i+7, ends with frame i+2
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np

from talkinghead.audio.articulation import HOP_SAMPLES, LABELS, NUM_BANDS, live_tables
from talkinghead.audio.live_features import HeardFrames, LiveFeatures
from talkinghead.audio.live_mouth import LOOKAHEAD_SAMPLES, LiveMouth
from talkinghead.contracts import MOUTH_COLUMNS, SPEECH_RATE_HZ, FloatArray
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS

AUDIO = AUDIO_VARIANTS["ave"]
"""The audio branch whose shape they have: of the published ones the cheapest."""
DELAY = 5
"""How many rows after its frame's own a row lies."""
LOOKAHEAD_S = float((AUDIO.window_rows // 2 - 1 - DELAY) / AUDIO.fps + Fraction(LOOKAHEAD_SAMPLES, SPEECH_RATE_HZ))
"""Sound after a frame's time that its window needs, in seconds."""
GROUPS: tuple[tuple[str, ...], ...] = (
    ("SIL",), ("P", "B", "M"), ("F", "V"), ("TH", "DH"), ("T", "D", "N", "L"), ("S", "Z"), ("SH", "ZH", "CH", "JH"),
    ("K", "G", "NG", "HH"), ("R", "ER"), ("W", "UW", "OW", "UH", "OY"), ("AA", "AO", "AH"), ("AE", "AY", "AW", "EH"),
    ("IH", "EY"), ("IY", "Y"),
)  # fmt: skip
"""Phones that look alike."""
NUM_SPECTRUM = 10
NUM_VALUES = len(MOUTH_COLUMNS) + len(GROUPS) + 2 + NUM_SPECTRUM
TILE = 4
"""Side of the square of pixels that holds half of the numbers."""
_WIDTH = MOUTH_COLUMNS.index("width")
_KEPT = 64
"""Hundredths of a second that are kept until their frame is due; the live look-ahead is 20."""


def _group_matrix() -> FloatArray:
    matrix = np.zeros((len(LABELS), len(GROUPS)), np.float32)
    for column, group in enumerate(GROUPS):
        for label in group:
            matrix[LABELS.index(label), column] = 1.0
    return matrix


_TO_GROUPS = _group_matrix()
_BAND_EDGES = np.linspace(0, NUM_BANDS, NUM_SPECTRUM + 1).round().astype(int)
assert NUM_VALUES == 2 * TILE * TILE


def tiled(values: FloatArray) -> FloatArray:
    """Rows for the network: [n, 32] to [n, 512] float32, each number in every 4x4 tile of one of two 16x16 maps."""
    side = 16
    maps = values.reshape(-1, 2, 1, TILE, 1, TILE)
    whole = np.broadcast_to(maps, (len(values), 2, side // TILE, TILE, side // TILE, TILE))
    return np.ascontiguousarray(whole.reshape(len(values), -1), np.float32)


class SoundRows:
    """Rows of a sound that arrives in pieces, each as soon as it can no longer change; made for one sound.

    Args:
        fps: rows per second; other than 25 for a sound that was made faster or slower, whose rows then are those of the
            frames of the video.
    """

    def __init__(self, fps: Fraction = AUDIO.fps) -> None:
        self._fps = fps
        self._mouth = LiveMouth(fps, witness=self._hear)
        self._heard = np.zeros((0, 2 + NUM_SPECTRUM), np.float32)
        """Level, activity and bands of the hundredths of a second from `_first` on."""
        self._groups = np.zeros((0, len(GROUPS)), np.float32)
        self._heard_first = self._groups_first = 0
        self._frames = 0
        self._samples = 0
        self._begun = False

    def push(self, samples: FloatArray) -> FloatArray:
        """Take sound, [n] float32 at 16 kHz; give the rows that are known now, [k, 512]."""
        self._samples += len(samples)
        return self._rows(self._mouth.push(samples))

    def flush(self, min_rows: int | None = None) -> FloatArray:
        """The sound has ended: give the rest, so that there are DELAY rows more than frames.

        Args:
            min_rows: silence follows the sound until there are so many frames.
        """
        if min_rows is not None:
            wanted = math.ceil(min_rows / self._fps * SPEECH_RATE_HZ)
            if wanted > self._samples:
                rows = self.push(np.zeros(wanted - self._samples, np.float32))
                return np.concatenate([rows, self._rows(self._mouth.flush())])
        return self._rows(self._mouth.flush())

    def silent_row(self) -> FloatArray:
        """What is heard in silence, [512]."""
        row: FloatArray = tiled(_silence()[None])[0]
        return row

    def _hear(self, heard: HeardFrames, evidence: FloatArray) -> None:
        bands = heard.features[:, :NUM_BANDS]
        level = (heard.features[:, NUM_BANDS] + 3.0) / 4.0
        new = np.concatenate([level[:, None], heard.active[:, None], _spectrum(bands)], axis=1).astype(np.float32)
        self._heard = np.concatenate([self._heard, new])
        self._groups = np.concatenate([self._groups, np.exp(evidence) @ _TO_GROUPS])

    def _rows(self, mouths: list[FloatArray]) -> FloatArray:
        """Rows of mouths that are known; the first ones come with the silence before them."""
        values = [self._values(mouth) for mouth in mouths]
        self._forget()
        if values and not self._begun:
            self._begun = True
            values = [_silence()] * DELAY + values
        return tiled(np.stack(values)) if values else np.empty((0, AUDIO.row_size), np.float32)

    def _values(self, mouth: FloatArray) -> FloatArray:
        """[32] of the next frame."""
        frame, self._frames = self._frames, self._frames + 1
        per_s = Fraction(SPEECH_RATE_HZ, HOP_SAMPLES)
        first, last = int(frame / self._fps * per_s), math.ceil((frame + 1) / self._fps * per_s)
        heard = self._heard[first - self._heard_first : max(last, first + 1) - self._heard_first].mean(axis=0)
        groups = self._groups[first - self._groups_first : max(last, first + 1) - self._groups_first].mean(axis=0)
        shape = mouth.copy()
        shape[_WIDTH] = 0.5 + 0.5 * shape[_WIDTH]
        values: FloatArray = np.clip(np.concatenate([shape, groups, heard]), 0.0, 1.0).astype(np.float32)
        return values

    def _forget(self) -> None:
        before = max(int(self._frames / self._fps * SPEECH_RATE_HZ / HOP_SAMPLES) - 1, 0)
        if before - self._heard_first > _KEPT:
            self._heard = self._heard[before - self._heard_first :].copy()
            self._groups = self._groups[before - self._groups_first :].copy()
            self._heard_first = self._groups_first = before


@cache
def _silence() -> FloatArray:
    """[32] of digital silence before anything was heard: closed lips, no level."""
    values = np.zeros(NUM_VALUES, np.float32)
    values[_WIDTH] = 0.5
    values[len(MOUTH_COLUMNS)] = 1.0  # the first group is silence
    values[-NUM_SPECTRUM:] = np.clip(_spectrum(LiveFeatures(live_tables().typical).silence()[None, :NUM_BANDS]), 0, 1)
    return values


def _spectrum(bands: FloatArray) -> FloatArray:
    """[n, 28] bands less the average ones to [n, 10]."""
    wide = [bands[:, a:b].mean(axis=1) for a, b in pairwise(_BAND_EDGES)]
    spectrum: FloatArray = (0.6 + 0.3 * np.stack(wide, axis=1)).astype(np.float32)
    return spectrum


def sound_rows(samples: FloatArray, fps: Fraction = AUDIO.fps, num_frames: int | None = None) -> FloatArray:
    """Rows of a whole sound: what `SoundRows` gives, however it is cut.

    Args:
        samples: [n] float32 at 16 kHz.
        num_frames: silence follows until there are so many.
    Returns:
        [frames + DELAY, 512] float32 in [0, 1].
    """
    stream = SoundRows(fps)
    return np.concatenate([stream.push(samples), stream.flush(num_frames)])
