"""PyTorch: the reference in float32; bfloat16 on CPUs, float16 with data kept on the device on CUDA."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkinghead.backends.base import Array, Arrays, Network, OperatorTime, SessionFacts, check_inputs
from talkinghead.backends.graph import Graph, Node
from talkinghead.backends.placement import Placement
from talkinghead.cores import available_cores
from talkinghead.errors import BackendError, OutOfMemory

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class GraphModule(nn.Module):
    """Runs a `Graph`. Positional inputs in the graph's order; a tuple of outputs, in the precision of the weights."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self._last_use = graph.last_uses()
        for node in graph.nodes:
            for role, value in node.weights.items():
                tensor = torch.from_numpy(np.array(value))
                self.register_buffer(_buffer(node, role), tensor, persistent=False)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values = dict(zip(self.graph.inputs, inputs, strict=True))
        for index, node in enumerate(self.graph.nodes):
            values[node.output] = self._run(node, [values[name] for name in node.inputs])
            for name in self._last_use.get(index, ()):
                del values[name]
        return tuple(values[name] for name in self.graph.outputs)

    def _run(self, node: Node, inputs: list[Tensor]) -> Tensor:
        weights = {role: self.get_buffer(_buffer(node, role)) for role in node.weights}
        return _OPERATORS[node.operator](inputs, weights, node.settings)


def depth_to_space(x: Tensor, block: int) -> Tensor:
    """See `GraphBuilder.depth_to_space`; memory stays channels-last where it was."""
    batch, channels, height, width = x.shape
    depth = channels // block**2
    x = x.permute(0, 2, 3, 1).reshape(batch, height, width, block, block, depth)
    x = x.permute(0, 1, 3, 2, 4, 5).reshape(batch, height * block, width * block, depth)
    return x.permute(0, 3, 1, 2)


Weights = Mapping[str, Tensor]
Settings = Mapping[str, Any]


def _conv(inputs: list[Tensor], weights: Weights, settings: Settings) -> Tensor:
    x = inputs[0]
    top, left, bottom, right = settings["padding"]
    padding: tuple[int, int] = (top, left)
    if (top, left) != (bottom, right):
        x, padding = functional.pad(x, (left, right, top, bottom)), (0, 0)
    return functional.conv2d(
        x, weights["weight"], weights["bias"], stride=settings["stride"], padding=padding, groups=settings["groups"]
    )


def _conv_transpose(inputs: list[Tensor], weights: Weights, settings: Settings) -> Tensor:
    return functional.conv_transpose2d(
        inputs[0],
        weights["weight"],
        weights["bias"],
        stride=settings["stride"],
        padding=settings["padding"],
        output_padding=settings["output_padding"],
    )


def _max_pool(inputs: list[Tensor], _: Weights, __: Settings) -> Tensor:
    pooled: Tensor = functional.max_pool2d(inputs[0], kernel_size=2, stride=2)
    return pooled


def _l2_norm(inputs: list[Tensor], weights: Weights, settings: Settings) -> Tensor:
    x = inputs[0]
    norm = x.float().square().sum(dim=1, keepdim=True).sqrt() + settings["epsilon"]
    unit: Tensor = (x / norm).to(x.dtype)
    return unit * weights["weight"].reshape(1, -1, 1, 1)


def _upsample(inputs: list[Tensor], _: Weights, __: Settings) -> Tensor:
    return functional.interpolate(inputs[0], scale_factor=2.0, mode="bilinear", align_corners=True)


def _from_pixels(inputs: list[Tensor], weights: Weights, _: Settings) -> Tensor:
    return (inputs[0].permute(0, 3, 1, 2).to(torch.float32) / 255).to(weights["levels"].dtype)


def _to_pixels(inputs: list[Tensor], _: Weights, __: Settings) -> Tensor:
    return (inputs[0].float() * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


_OPERATORS: Mapping[str, Callable[[list[Tensor], Weights, Settings], Tensor]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "relu": lambda inputs, _, __: torch.relu(inputs[0]),
    "add": lambda inputs, _, __: inputs[0] + inputs[1],
    "concat": lambda inputs, _, __: torch.cat(inputs, dim=1),
    "depth_to_space": lambda inputs, _, settings: depth_to_space(inputs[0], settings["block"]),
    "sigmoid": lambda inputs, _, __: torch.sigmoid(inputs[0].float()),
    "max_pool": _max_pool,
    "l2_norm": _l2_norm,
    "max_channels": lambda inputs, _, __: inputs[0].amax(dim=1, keepdim=True),
    "slice_channels": lambda inputs, _, settings: inputs[0][:, settings["start"] : settings["stop"]],
    "drop_rows": lambda inputs, _, settings: inputs[0][:, :, settings["count"] :],
    "softmax_channels": lambda inputs, _, __: torch.softmax(inputs[0].float(), dim=1),
    "upsample": _upsample,
    "mean": lambda inputs, _, __: inputs[0].mean(dim=(2, 3), keepdim=True),
    "scale": lambda inputs, weights, _: inputs[0] * weights["factor"],
    "flatten": lambda inputs, _, __: inputs[0].flatten(1),
    "from_pixels": _from_pixels,
    "to_pixels": _to_pixels,
}
"""What each operator of a graph means here, called with its inputs, its weights by role and its settings."""


def _buffer(node: Node, role: str) -> str:
    return f"{node.output}.{role}".replace(".", "__")


def build_module(network: Network) -> nn.Module:
    """The network as a module, float32 on the CPU, in evaluation mode."""
    if network.torch_module is not None:
        return network.torch_module().eval().requires_grad_(False)
    graph = network.built_graph()
    if graph is None:
        raise BackendError(f"The network {network.name} has no form that PyTorch runs.")
    return GraphModule(graph).eval()


def place_module(module: nn.Module, device: str, precision: str) -> nn.Module:
    """Move a module to a device in a precision, channels-last where that is faster."""
    dtype = DTYPES[precision]
    module = module.to(device=device, dtype=dtype)
    if device != "cpu" or precision != "float32":
        module = to_channels_last(module)
    return module


def to_channels_last(module: nn.Module) -> nn.Module:
    """Store the weights of convolutions channels-last, for inputs that are."""
    for holder in module.modules():
        for name, buffer in list(holder.named_buffers(recurse=False)):
            if buffer.ndim == 4:
                setattr(holder, name, buffer.contiguous(memory_format=torch.channels_last))
    made: nn.Module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made


class TorchSession:
    """See `Session`."""

    def __init__(
        self,
        network: Network,
        placement: Placement,
        *,
        threads: int | None = None,
        profile: bool = False,
        compile: bool = False,
    ) -> None:
        started = time.perf_counter()
        self._network = network
        self._device = torch.device(placement.device)
        self._dtype = DTYPES[placement.precision]
        self._profiling = profile
        self._operators: list[OperatorTime] = []
        threads = threads or available_cores()
        self._threads = threads if placement.device == "cpu" else 0
        self.module = place_module(build_module(network), placement.device, placement.precision)
        self._compiled = compile
        if compile:
            self.module = cast(nn.Module, torch.compile(self.module, dynamic=False))
        self._channels_last = placement.device != "cpu" or placement.precision != "float32"
        if placement.device != "cpu":
            torch.backends.cudnn.benchmark = True
        self.facts = SessionFacts(
            "torch", placement.device, placement.precision, time.perf_counter() - started, False, threads=self._threads
        )

    def tensor(self, value: Array) -> Tensor:
        """An array on the session's device, in its precision and layout."""
        tensor = torch.from_numpy(np.ascontiguousarray(value))
        if self._device.type == "cuda":
            tensor = tensor.pin_memory().to(self._device, non_blocking=True)
        if not tensor.is_floating_point():
            return tensor  # pixels
        tensor = tensor.to(self._dtype)
        if self._channels_last and tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    def call(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`run` on tensors that are already on the device; the results stay there."""
        with torch.inference_mode():
            outputs = self.module(*(inputs[name] for name in self._network.inputs))
        if isinstance(outputs, Tensor):
            outputs = (outputs,)
        return dict(zip(self._network.outputs, outputs, strict=True))

    def run(self, inputs: Arrays) -> dict[str, Array]:
        check_inputs(self._network, inputs)
        if self._threads and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                tensors = {name: self.tensor(value) for name, value in inputs.items()}
                if self._profiling:
                    return _to_numpy(self._profiled(tensors))
                return _to_numpy(self.call(tensors))
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(f"{self._network.name} does not fit into the memory of {self._device}.") from error
        except RuntimeError as error:
            if "can't allocate memory" in str(error) or "out of memory" in str(error):
                raise OutOfMemory(f"{self._network.name} does not fit into memory.") from error
            raise BackendError(
                f"PyTorch failed in {self._network.name}: {str(error).strip().splitlines()[0]}.",
                remedy="leave out --compile, or install a C++ compiler" if self._compiled else None,
            ) from error

    def _profiled(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        from torch.profiler import ProfilerActivity, profile

        activities = [ProfilerActivity.CPU]
        if self._device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        with profile(activities=activities) as recorded:
            outputs = self.call(tensors)
        self._operators = [
            OperatorTime(event.key, event.key, str(self._device), event.self_cpu_time_total / 1e6)
            for event in recorded.key_averages()
            if event.self_cpu_time_total > 0
        ]
        return outputs

    def run_many(self, batches: Iterable[Arrays]) -> Iterator[dict[str, Array]]:
        for inputs in batches:
            yield self.run(inputs)

    def profile(self) -> list[OperatorTime]:
        return self._operators

    def close(self) -> None:
        del self.module
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _to_numpy(outputs: Mapping[str, Tensor]) -> dict[str, Array]:
    return {
        name: (value.float() if value.is_floating_point() else value).contiguous().cpu().numpy()
        for name, value in outputs.items()
    }
