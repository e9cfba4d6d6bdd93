"""Listening: a sound to the features that a network was trained with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from talkinghead.audio.encoders import ave, hubert, wenet
from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, Backend
from talkinghead.errors import MissingWeights
from talkinghead.families.synctalk2d import sound_rows, weights
from talkinghead.families.synctalk2d.config import SyncTalk2DConfig
from talkinghead.families.synctalk2d.features import Features, features_of
from talkinghead.families.synctalk2d.variants import AudioVariant

AVE_NAMES = ("audio_visual_encoder.pth", "audio_encoder.pth", "audio_visual_encoder.safetensors", "ave.safetensors")
WENET_NAMES = ("encoder.onnx", "wenet_encoder.onnx")
USUAL_FOLDERS = ("", "model/checkpoints", "data_utils/ave/checkpoints", "data_utils", "checkpoints")
"""Where the published repositories keep these files, below the folders around the checkpoint."""


_Encoder = ave.AveEncoder | hubert.HubertEncoder | wenet.WenetEncoder


class SpeechListener:
    """The encoder of one mode, loaded when it is first needed."""

    def __init__(
        self,
        audio: AudioVariant,
        config: SyncTalk2DConfig,
        checkpoint: Path | None,
        *,
        backend: Backend,
        device: str,
        own: bool = False,
    ) -> None:
        self.audio = audio
        self._own = own
        """The features are `sound_rows`, and no encoder is needed."""
        self._config = config
        self._checkpoint = checkpoint
        self._backend = backend
        self._device = device
        self._encoder: _Encoder | None = None
        self._live_encoder: _Encoder | None = None
        self.encoder_name = ""

    def num_rows(self, num_samples: int) -> int:
        """Feature rows of a sound of so many samples at 16 kHz: as many frames as the published script makes."""
        if self._own:
            return math.ceil(num_samples * self.audio.fps / SPEECH_RATE_HZ) + sound_rows.DELAY
        if self.audio.mode == "ave":
            return ave.num_rows(num_samples)
        if self.audio.mode == "wenet":
            return wenet.num_rows(num_samples)
        rows = hubert.expected_rows(max(num_samples, hubert.RECEPTIVE_SAMPLES))
        return rows // 2 if self._config.hubert_convention == "udh-classic" else (rows + 1) // 2

    def samples_for_rows(self, rows: int) -> int:
        """Samples that give at least so many rows."""
        if self._own:
            return math.ceil(max(rows - sound_rows.DELAY, 0) * SPEECH_RATE_HZ / self.audio.fps)
        if self.audio.mode == "ave":
            return ave.samples_for_rows(rows)
        if self.audio.mode == "wenet":
            return wenet.samples_for_rows(rows)
        return 2 * rows * hubert.SHIFT_SAMPLES + hubert.CHUNK_OVERLAP

    def listen(
        self,
        clip: AudioClip,
        min_rows: int | None = None,
        progress: Callable[[float, float], None] | None = None,
        cache_folder: Path | None = None,
    ) -> Features:
        """Features of a sound.

        Args:
            clip: 16 kHz mono.
            min_rows: the sound is followed by silence until it gives so many rows; None leaves it as it is.
            progress: called with (done, in all) now and then; what it raises ends the work.
            cache_folder: where compiled networks are kept; None keeps none.
        Raises:
            MissingWeights: the encoder is not found. CheckpointError: it is another file.
        """
        samples = clip.samples
        if min_rows is not None and self.num_rows(len(samples)) < min_rows:
            samples = np.pad(samples, (0, max(0, self.samples_for_rows(min_rows) - len(samples))))
        if self._own:
            self.encoder_name = weights.SOUND_ROWS
            return features_of(sound_rows.sound_rows(samples), self.audio, self.encoder_name)
        if self._encoder is None:
            self._encoder = self._load(cache_folder)
        if isinstance(self._encoder, ave.AveEncoder):
            lazy = self._encoder.lazy_features(samples)
            return Features(self.audio, lazy.rows, None, self.encoder_name, lazy.fill)
        if isinstance(self._encoder, hubert.HubertEncoder):
            rows = self._encoder.features(samples, self._config.hubert_convention, progress)
        else:
            rows = self._encoder.features(samples)
        return features_of(rows, self.audio, self.encoder_name)

    def stream(self) -> ave.AveStream | wenet.WenetStream | sound_rows.SoundRows:
        """Listens to a sound that arrives in pieces, with an encoder of its own; not for the mode hubert.

        Raises:
            MissingWeights: the encoder is not found. CheckpointError: it is another file.
        """
        if self._own:
            return sound_rows.SoundRows()
        if self._live_encoder is None:
            self._live_encoder = self._load(None, live=True)
        if isinstance(self._live_encoder, ave.AveEncoder):
            return ave.AveStream(self._live_encoder)
        assert isinstance(self._live_encoder, wenet.WenetEncoder)
        return wenet.WenetStream(self._live_encoder)

    def _load(self, cache_folder: Path | None, *, live: bool = False) -> _Encoder:
        if self.audio.mode == "ave":
            path = find_part(self._config.ave_encoder, self._checkpoint, AVE_NAMES, "ave")
            if path is None:
                raise MissingWeights(
                    "Features of the mode ave need the AVE audio encoder, and it is not found.",
                    accepted=f"{AVE_NAMES[0]} beside the checkpoint or in the models folder, or --ave-encoder FILE",
                    remedy="take it from model/checkpoints of SyncTalk_2D, or give --features FILE.npy",
                )
            self.encoder_name = str(path)
            backend: Backend = "onnx" if self._backend == "torch" else self._backend
            return ave.read_ave_encoder(
                path,
                backend=backend,
                threads=1 if live else self._config.threads,  # else it would wait for the cores of the generator
                cache_folder=cache_folder,
                batch=ave.LIVE_BATCH if live else ave.BATCH,
            )
        if self.audio.mode == "wenet":
            path = find_part(self._config.wenet_encoder, self._checkpoint, WENET_NAMES, "wenet")
            if path is None:
                raise MissingWeights(
                    "Features of the mode wenet need encoder.onnx, and it is not found.",
                    accepted="encoder.onnx beside the checkpoint or in the models folder, or --wenet-encoder FILE",
                    remedy="take it from Ultralight-Digital-Human, or give --features FILE.npy",
                )
            self.encoder_name = str(path)
            return wenet.WenetEncoder(path, threads=1 if live else self._config.threads)
        from talkinghead.weights.store import part_folder

        source = self._config.hubert_model or part_folder("hubert", "hubert-config") or hubert.MODEL_NAME
        self.encoder_name = str(source)
        return hubert.read_hubert(source, device=self._device)


def find_part(given: Path | None, checkpoint: Path | None, names: Sequence[str], kind: str) -> Path | None:
    """An encoder: the file or the name of the store that was given, else beside the checkpoint, else of that kind.

    Raises:
        OptionError: several of that kind are installed under names of their own.
    """
    from talkinghead.weights.store import named_part, part_of_kind

    return named_part(given) or find_beside(checkpoint, names) or part_of_kind(kind)


def find_beside(checkpoint: Path | None, names: Sequence[str]) -> Path | None:
    """A file in the usual places around a checkpoint (three folders up), else in the models folder."""
    from talkinghead.weights.folder import find_model

    if checkpoint is not None:
        for folder in list(checkpoint.absolute().parents)[:3]:
            for below in USUAL_FOLDERS:
                for name in names:
                    candidate = folder / below / name
                    if candidate.is_file():
                        return candidate
    return find_model(names)
