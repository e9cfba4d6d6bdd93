"""Speech that arrives piece by piece: windows as LiveTalking cuts them, and a session that gives frames as it goes.

Source: lipku/LiveTalking, its Wav2Lip avatar. Kept from it: 25 frames per second, 320 samples (20 ms) per piece, ten
pieces of context on each side, spectrograms that begin anew with every step, frames mirrored at both ends, silent steps
without the network. The sound belongs to the pictures of ten pieces (0.2 s) later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from talkinghead.audio.mel import mel_spectrogram, mel_windows
from talkinghead.contracts import FaceStatus, FloatArray, Frame
from talkinghead.errors import OptionError
from talkinghead.families.wav2lip.architecture import MEL_COLUMNS
from talkinghead.families.wav2lip.engine import Request, new_source
from talkinghead.families.wav2lip.preprocess import face_crop_bgr, mirror_index

if TYPE_CHECKING:
    from talkinghead.families.wav2lip.pipeline import Wav2LipAvatar, Wav2LipHead

LIVE_FPS = Fraction(25)
PIECE_SAMPLES = 320
CONTEXT_PIECES = 10
"""On each side."""
PIECES_PER_FRAME = 2
COLUMNS_PER_FRAME = 3.2
DEFAULT_BATCH = 16


class LiveWindows:
    """Mel windows of speech that arrives.

    Args:
        batch: video frames per step.
    """

    def __init__(self, batch: int = DEFAULT_BATCH) -> None:
        if batch < 1:
            raise OptionError(f"batch is {batch}.", accepted="1 or more")
        self.batch = batch
        self._kept = np.zeros(2 * CONTEXT_PIECES * PIECE_SAMPLES, np.float32)
        self._waiting = np.zeros(0, np.float32)

    @property
    def step_samples(self) -> int:
        """New samples per step."""
        return self.batch * PIECES_PER_FRAME * PIECE_SAMPLES

    @property
    def delay_samples(self) -> int:
        """By how much the sound has to be delayed to fit the pictures."""
        return CONTEXT_PIECES * PIECE_SAMPLES

    def push(self, samples: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Take samples; give what is complete.

        Args:
            samples: [n] float32 at 16 kHz, any n.
        Yields:
            Windows [batch, 80, 16] float32, and the samples [step_samples] that are heard with their pictures.
        """
        self._waiting = np.concatenate([self._waiting, samples.astype(np.float32)])
        while len(self._waiting) >= self.step_samples:
            new, self._waiting = np.split(self._waiting, [self.step_samples])
            heard = np.concatenate([self._kept, new])
            yield self._windows(heard), heard[self.delay_samples : self.delay_samples + self.step_samples]
            self._kept = heard[-2 * CONTEXT_PIECES * PIECE_SAMPLES :]

    def _windows(self, heard: FloatArray) -> FloatArray:
        mel = mel_spectrogram(heard)
        first = CONTEXT_PIECES * 80 / 50
        starts = [int(first + index * COLUMNS_PER_FRAME) for index in range(self.batch)]
        return mel_windows(mel, starts, MEL_COLUMNS)


@dataclass(frozen=True, eq=False)
class LiveFrames:
    """What one step gives."""

    frames: list[Frame]
    """RGB uint8, 25 per second."""
    samples: FloatArray
    """16 kHz, the sound of these frames."""


class LiveSession:
    """A prepared avatar that speaks what it is given, step by step.

    Args:
        head, avatar: from `load` and `prepare`; the avatar's source is read into memory.
        batch: frames per step; small ones answer sooner.
        silence_level: steps whose samples all lie below this show the source and skip the network.
    """

    def __init__(
        self, head: Wav2LipHead, avatar: Wav2LipAvatar, *, batch: int = DEFAULT_BATCH, silence_level: float = 1e-3
    ) -> None:
        assert avatar.source is not None
        assert avatar.track is not None
        self._head = head
        self._number = new_source()
        self._boxes = avatar.track.boxes_xyxy
        self._status = avatar.track.status
        self._frames = list(avatar.source.read(0, avatar.num_frames))
        size = head.engine.size
        self._crops = [face_crop_bgr(frame, box, size) for frame, box in zip(self._frames, self._boxes, strict=False)]
        self._windows = LiveWindows(batch)
        self._silence_level = silence_level
        self._index = 0

    def push(self, samples: FloatArray) -> Iterator[LiveFrames]:
        """Take 16 kHz samples; give the frames that are complete, with their sound delayed to fit."""
        for windows, heard in self._windows.push(samples):
            shown = [mirror_index(self._index + i, len(self._frames)) for i in range(len(windows))]
            self._index += len(windows)
            if np.abs(heard).max() < self._silence_level:
                yield LiveFrames([self._frames[index] for index in shown], heard)
                continue
            yield LiveFrames(list(self._speak(windows, shown)), heard)

    def _speak(self, windows: FloatArray, shown: list[int]) -> Iterator[Frame]:
        engine = self._head.engine
        embeddings = engine.hear(windows)
        requests = []
        for embedding, index in zip(embeddings, shown, strict=True):
            x1, y1, x2, y2 = (int(edge) for edge in self._boxes[index])
            face = self._frames[index][y1:y2, x1:x2] if engine.finishes else self._crops[index]
            requests.append(Request(embedding, face, (self._number, index), owner=index))
        split = self._head.config.reuse and len(self._frames) <= engine.most_features
        for result in engine.run(iter(requests), split=split):
            if result is None:
                continue
            request, face = result
            index = request.owner
            frame = self._frames[index]
            if self._status[index] == FaceStatus.MISSING:
                yield frame
            elif engine.finishes:
                x1, y1, x2, y2 = (int(edge) for edge in self._boxes[index])
                frame = frame.copy()
                frame[y1:y2, x1:x2] = face
                yield frame
            else:
                yield self._head.paste(frame, face, self._crops[index], self._boxes[index])
