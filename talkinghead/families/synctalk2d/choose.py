"""Making the generator ready where it was placed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from talkinghead.backends import Placement
from talkinghead.errors import BackendError
from talkinghead.families.synctalk2d.engine import Engine, OnnxEngine, OpenVinoEngine, TorchEngine
from talkinghead.families.synctalk2d.folded import FoldedUNet

GPU_BATCH = 16


def build_engine(
    place: Placement,
    net: FoldedUNet,
    *,
    threads: int = 0,
    cache_folder: Path | None = None,
    live: bool = False,
) -> Engine:
    """Make the generator ready.

    Args:
        cache_folder: where compiled networks are kept; None keeps none.
        live: frames come one by one: all cores work on the same.
    Raises:
        BackendError: the runtime refuses.
    """
    try:
        options: dict[str, Any] = {"threads": threads, "cache_folder": cache_folder}
        if live:
            options |= {"speech_batch": 1, "streams": 1}
        if place.backend == "openvino":
            return OpenVinoEngine(net, precision=place.precision, **options)
        if place.backend == "onnx":
            return OnnxEngine(net, **options)
        batch = GPU_BATCH if place.device.startswith("cuda") else 1
        return TorchEngine(net, device=place.device, precision=place.precision, batch=batch)
    except RuntimeError as error:
        raise BackendError(f"{place.name} cannot be started: {error}.", remedy="--backend onnx") from error
