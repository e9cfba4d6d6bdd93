"""What a network is to a backend, and what a backend gives back: named arrays in, named arrays out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

    from talkinghead.backends.graph import Graph

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output."""

    shape: tuple[int | None, ...]
    """None is a size that may differ from call to call; the first one is usually the batch."""
    dtype: str = "float32"

    def check(self, name: str, value: Array) -> None:
        """Refuse an array that does not fit.

        Raises:
            ValueError: another rank, size or dtype.
        """
        fits = value.ndim == len(self.shape) and all(
            wanted is None or wanted == found for wanted, found in zip(self.shape, value.shape, strict=True)
        )
        if not fits or value.dtype != np.dtype(self.dtype):
            wanted = ["?" if size is None else size for size in self.shape]
            raise ValueError(
                f"input {name} must be {wanted} {self.dtype}, not {list(value.shape)} {value.dtype}".replace("'", "")
            )


@dataclass(frozen=True, eq=False)
class Network:
    """A network with its weights, in the forms that backends take. At least one form is given."""

    name: str
    """For messages and traces: "wav2lip96.decoder"."""
    inputs: Mapping[str, TensorSpec]
    """In the order of the module's positional arguments."""
    outputs: Mapping[str, TensorSpec]
    """In the order in which the module returns them."""
    key: str | Callable[[], str]
    """Hash of everything that decides the numbers (weights and graph): compiled artefacts are cached under it.
    A function while the hash of a large file is still being computed: where nothing was compiled yet, nobody waits."""
    graph: Graph | Callable[[], Graph] | None = None
    """Every backend can run this form. A function is called when no compiled form of an earlier run is there."""
    torch_module: Callable[[], nn.Module] | None = None
    """Makes the module (evaluation mode, float32, CPU); for what a graph cannot say. Used instead of the graph."""
    onnx_model: Callable[[], bytes] | None = None
    """Makes a serialised ONNX model with these inputs and outputs; used instead of the graph."""

    def known_key(self) -> str:
        """The key, waited for if need be."""
        return self.key() if callable(self.key) else self.key

    def built_graph(self) -> Graph | None:
        """The graph, built now if need be."""
        return self.graph() if callable(self.graph) else self.graph


def network_of(graph: Graph, outputs: Sequence[str] | None = None) -> Network:
    """The network that a graph alone describes.

    Args:
        outputs: their public names, in order; default: the graph's.
    """
    inputs = {name: TensorSpec(tuple(shape), graph.type_of(name)) for name, shape in graph.inputs.items()}
    names = graph.outputs if outputs is None else outputs
    made = {name: TensorSpec((), graph.type_of(value)) for name, value in zip(names, graph.outputs, strict=True)}
    return Network(graph.name, inputs, made, graph.digest(), graph=graph)


@dataclass(frozen=True)
class SessionFacts:
    """What really runs."""

    backend: str
    """"torch", "onnx" or "openvino"."""
    device: str
    """"cpu" or "cuda:N"."""
    precision: str
    """"float32", "bfloat16", "float16" or "int8"."""
    open_s: float
    """Seconds from the weights to the first possible call: building, compiling, loading."""
    from_cache: bool
    """A compiled artefact of an earlier run was used."""
    threads: int = 0
    notes: tuple[str, ...] = ()


@runtime_checkable
class Session(Protocol):
    """A network ready to run on one device. Not safe for use from several threads at once."""

    @property
    def facts(self) -> SessionFacts: ...

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """One call. Inputs are float32 (whatever the precision inside), outputs new float32 arrays; pixels are uint8.

        Raises:
            ValueError: inputs do not fit. OutOfMemory: the batch is too large. BackendError: the runtime failed.
        """

    def run_many(self, batches: Iterable[Arrays]) -> Iterator[dict[str, Array]]:
        """Results of many calls, in order; the runtime may work on several at once."""

    def profile(self) -> list[OperatorTime]:
        """Where the last call spent its time; empty where the runtime was not opened for profiling."""

    def close(self) -> None:
        """Release the memory."""


@dataclass(frozen=True)
class OperatorTime:
    """One operator of one call."""

    name: str
    kind: str
    implementation: str
    seconds: float


def check_inputs(network: Network, inputs: Arrays, packed: Collection[str] = ()) -> None:
    """Refuse inputs that are missing, unknown or of another shape (packed ones are only looked for).

    Raises:
        ValueError: naming the input.
    """
    if set(inputs) != set(network.inputs):
        raise ValueError(f"{network.name} takes {sorted(network.inputs)}, not {sorted(inputs)}")
    for name, spec in network.inputs.items():
        if name not in packed:
            spec.check(name, inputs[name])
