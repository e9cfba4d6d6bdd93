"""Open a network on the runtime that was decided for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from talkinghead.backends.base import Array, Network, Session
from talkinghead.backends.placement import Placement
from talkinghead.errors import OptionError

if TYPE_CHECKING:
    from pathlib import Path


def open_session(
    network: Network,
    placement: Placement,
    *,
    batch: int | None = None,
    threads: int | None = None,
    streams: int = 1,
    cache_folder: Path | None = None,
    profile: bool = False,
    packed: Collection[str] = (),
    compile: bool = False,
    int8_samples: list[dict[str, Array]] | None = None,
) -> Session:
    """Build, compile and load a network.

    Args:
        batch: size of the first None axis of every input, where all calls will use the same; runtimes that compile
            are faster with it. Smaller calls are padded.
        threads: of the CPU; default: all cores this process may use.
        streams: calls that `run_many` may work on at once.
        cache_folder: where compiled artefacts are kept; None keeps none.
        profile: measure every operator (see `Session.profile`).
        packed: inputs and outputs that only pass between sessions of one placement: they may come in whatever form
            the runtime likes best ([B, ...], batch first), and are taken in that form.
        compile: use torch.compile, where the runtime is PyTorch.
        int8_samples: inputs for the calibration of the precision "int8".
    Raises:
        MissingDependency: the runtime is not installed. BackendError: it refused the network.
    """
    if compile and placement.backend != "torch":
        raise OptionError(
            f"torch.compile was asked for, and {placement.backend} runs the network.", remedy="--backend torch"
        )
    if placement.backend == "openvino":
        from talkinghead.backends.openvino_backend import OpenVinoSession

        return OpenVinoSession(
            network,
            placement,
            batch=batch,
            threads=threads,
            streams=streams,
            cache_folder=cache_folder,
            profile=profile,
            packed=packed,
            int8_samples=int8_samples,
        )
    if placement.backend == "onnx":
        from talkinghead.backends.onnx_backend import OnnxSession

        return OnnxSession(
            network,
            placement,
            threads=threads,
            streams=streams,
            cache_folder=cache_folder,
            profile=profile,
            int8_samples=int8_samples,
        )
    if placement.backend == "numpy":
        from talkinghead.backends.numpy_backend import NumpySession

        return NumpySession(network)
    from talkinghead.backends.torch_backend import TorchSession

    return TorchSession(network, placement, threads=threads, profile=profile, compile=compile)
