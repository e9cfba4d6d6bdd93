"""Making the generator ready where it was placed."""

from __future__ import annotations

from pathlib import Path

from talkinghead.backends import Placement
from talkinghead.errors import BackendError
from talkinghead.families.synctalk2d.engine import SPEECH_BATCH, Engine, OnnxEngine, OpenVinoEngine, TorchEngine
from talkinghead.families.synctalk2d.folded import FoldedUNet

GPU_BATCH = 16


def build_engine(
    place: Placement,
    net: FoldedUNet,
    *,
    threads: int = 0,
    cache_folder: Path | None = None,
    speech_batch: int = SPEECH_BATCH,
) -> Engine:
    """Make the generator ready.

    Args:
        cache_folder: where compiled networks are kept; None keeps none.
        speech_batch: windows that the audio branch takes at once.
    Raises:
        BackendError: the runtime refuses.
    """
    try:
        if place.backend == "openvino":
            return OpenVinoEngine(
                net, precision=place.precision, threads=threads, cache_folder=cache_folder, speech_batch=speech_batch
            )
        if place.backend == "onnx":
            return OnnxEngine(net, threads=threads, cache_folder=cache_folder, speech_batch=speech_batch)
        batch = GPU_BATCH if place.device.startswith("cuda") else 1
        return TorchEngine(net, device=place.device, precision=place.precision, batch=batch)
    except RuntimeError as error:
        raise BackendError(f"{place.name} cannot be started: {error}.", remedy="--backend onnx") from error
