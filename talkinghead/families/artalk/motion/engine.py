"""Sound to motion: chunks, audio encoder, generator, and what the published engine does with the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from talkinghead.contracts import FloatArray
from talkinghead.errors import AudioTooShort
from talkinghead.families.artalk.motion.audio_encoder import MimiEncoder, encode_wav2vec, wav2vec_encoder
from talkinghead.families.artalk.motion.autoregressive import BitwiseGenerator, MotionState
from talkinghead.families.artalk.motion.config import (
    GLOBAL_ROTATION,
    JAW_YAW_AND_ROLL,
    SAMPLES_PER_FRAME,
    MotionConfig,
)
from talkinghead.families.artalk.motion.counts import num_motion_frames, num_padded_frames
from talkinghead.families.artalk.motion.smoothing import smooth_motion


@dataclass(frozen=True, eq=False)
class MotionResult:
    """Motion before smoothing."""

    motion: FloatArray
    """[T, 106] float32."""
    bits: NDArray[np.bool_]
    """[chunks, 181, C]."""
    prev_bits: NDArray[np.bool_]
    """[chunks, 181, C], bits of the motion before each chunk: the history that it saw."""
    logits: FloatArray
    """[chunks, 181, 2 C] float32."""


class MotionModel(nn.Module):
    """Audio encoder and generator. Weight names are those of `ARTalk_wav2vec.pt`."""

    def __init__(self, config: MotionConfig | None = None, *, audio_encoder: bool = True) -> None:
        super().__init__()
        self.config = config or MotionConfig()
        self.generator = BitwiseGenerator(self.config)
        self.audio_encoder: nn.Module | None = None
        if audio_encoder and self.config.ar.audio_encoder == "wav2vec":
            self.audio_encoder = wav2vec_encoder(self.config.wav2vec)
        elif audio_encoder:
            self.audio_encoder = MimiEncoder(self.config.mimi)

    def use(self, dtype: torch.dtype) -> None:
        """Compute the audio encoder and the attention blocks in half precision; codes, logits and the autoencoder stay
        float32. Nearly tied logits may fall to the other side, so that a few bits differ, and the motion after them."""
        if isinstance(self.audio_encoder, nn.Module) and not isinstance(self.audio_encoder, MimiEncoder):
            self.audio_encoder.to(dtype)
        self.generator.attn_blocks.to(dtype)

    def compile_encoder(self) -> None:
        """Compile the audio encoder at its first use (half a minute and more; then each chunk is a little faster)."""
        if isinstance(self.audio_encoder, nn.Module):
            self.audio_encoder.compile(dynamic=False)

    @property
    def chunk_samples(self) -> int:
        return self.config.vae.chunk_frames * SAMPLES_PER_FRAME

    def audio_features(self, chunks: torch.Tensor) -> torch.Tensor:
        """[B, chunk samples] to [B, frames, cond_dim]; chunks are independent of each other."""
        if self.audio_encoder is None:
            raise RuntimeError("this model was built without its audio encoder")
        if isinstance(self.audio_encoder, MimiEncoder):
            features: torch.Tensor = self.audio_encoder(chunks)
            return features
        return encode_wav2vec(self.audio_encoder, chunks)

    def chunks(self, samples: FloatArray) -> torch.Tensor:
        """Cut 16 kHz sound into whole chunks, the last one padded with zeros: [chunks, chunk samples]."""
        if len(samples) == 0:
            raise AudioTooShort("The sound has no samples.", accepted="at least one frame, 0.04 s")
        frames = num_motion_frames(len(samples))
        total = num_padded_frames(frames, self.config.vae.chunk_frames) * SAMPLES_PER_FRAME
        padded = np.zeros(total, dtype=np.float32)
        padded[: len(samples)] = samples[:total]
        return torch.from_numpy(padded.reshape(-1, self.chunk_samples))

    @torch.inference_mode()
    def generate(
        self,
        samples: FloatArray,
        style: FloatArray | None = None,
        *,
        progress: Callable[[float, float], None] | None = None,
    ) -> MotionResult:
        """Motion of a whole sound.

        Args:
            samples: [n] float32, 16 kHz.
            style: [50, 106] motion whose style is taken, or None.
            progress: called with (done, in all) now and then; what it raises ends the work.
        """
        return self.generate_from(self.features(self.chunks(samples), progress), len(samples), style)

    @torch.inference_mode()
    def generate_from(
        self, features: Iterator[torch.Tensor], num_samples: int, style: FloatArray | None = None
    ) -> MotionResult:
        """Motion from audio features.

        Args:
            features: one array [1, frames, cond_dim] per chunk.
        """
        token, state = self.start(style)
        motions, bits, prev_bits, logits = [], [], [], []
        for feature in features:
            prev_bits.append(state.prev_bits[0].cpu().numpy())
            result, state = self.generator.generate_chunk(feature, token, state)
            motions.append(result.motion[0].float().cpu().numpy())
            bits.append(result.bits[0].cpu().numpy())
            logits.append(result.logits[0].float().cpu().numpy())
        motion = np.concatenate(motions)[: num_motion_frames(num_samples)]
        return MotionResult(motion, np.stack(bits), np.stack(prev_bits), np.stack(logits))

    @torch.inference_mode()
    def start(self, style: FloatArray | None = None) -> tuple[torch.Tensor, MotionState]:
        """Style token and the state before the first chunk."""
        parameter = next(self.generator.parameters())
        given = None if style is None else torch.from_numpy(np.ascontiguousarray(style))[None].to(parameter)
        token = self.generator.style_token(given)
        return token, self.generator.initial_state(token)

    def features(
        self,
        chunks: torch.Tensor,
        progress: Callable[[float, float], None] | None = None,
    ) -> Iterator[torch.Tensor]:
        """Audio features [1, frames, cond_dim] of one chunk after the other.

        Each goes through the encoder alone, as published: with others beside it the features differ by rounding (6e-6
        on two cores), and a processor takes as long (4 chunks in 13.9 s of one core, 14.0 s alone).
        """
        device = next(self.generator.parameters()).device
        for index in range(len(chunks)):
            if progress is not None:
                progress(index, len(chunks))
            yield self.audio_features(chunks[index : index + 1].to(device))


def postprocess_motion(
    motion: FloatArray, *, clip_length: int | None = None, fix_pose: bool = False, smooth: bool = True
) -> FloatArray:
    """What the published engine does with generated motion.

    Smooth the whole, then keep the first `clip_length` frames, then clear the head rotation if `fix_pose`, and always
    the jaw's yaw and roll (dims 104 and 105; common descriptions call them translation or eyes, wrongly).

    Args:
        motion: [T, 106] float32.
        clip_length: frames to keep; None keeps all.
    """
    result = (smooth_motion(motion) if smooth else motion.copy())[:clip_length]
    if fix_pose:
        result[:, GLOBAL_ROTATION] = 0.0
    result[:, JAW_YAW_AND_ROLL] = 0.0
    return result
