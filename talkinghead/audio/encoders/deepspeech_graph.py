"""The released DeepSpeech 0.1.0 network, from the constants of its frozen TensorFlow graph; TensorFlow is not needed.

Architecture: mozilla/DeepSpeech v0.1.0. Three dense layers, a bidirectional LSTM, two dense layers; rectifiers cut at
20. Sizes are read from the constants. The released file was not at hand when this was written: the architecture and the
names of the dense layers are those of its source; the LSTM's constants are found by name (fw / bw, kernel / bias) and
shape, and anything that does not fit exactly is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from talkinghead.audio.encoders.deepspeech import BLOCK, CHARACTERS, GRAPH, INPUTS, NetworkInput
from talkinghead.contracts import FloatArray
from talkinghead.errors import MissingWeights, WrongCheckpoint
from talkinghead.reading import reading
from talkinghead.reading.protobuf import Walker

CLIP = 20.0
FORGET_BIAS = 1.0
_NODE = 1
_NODE_NAME, _NODE_OP, _NODE_ATTRIBUTES = 1, 2, 5
_ATTRIBUTE_TENSOR = 8
_TENSOR_TYPE, _TENSOR_SHAPE, _TENSOR_CONTENT, _TENSOR_FLOATS = 1, 2, 4, 5
_FLOAT32 = 1
MAX_FIELDS = 2_000_000
"""Of the whole graph; the released one has some thousands."""
ACCEPTED = f"the frozen graph {GRAPH}"


def graph_constants(data: memoryview) -> dict[str, NDArray[np.float32]]:
    """Float32 constants of a TensorFlow GraphDef by node name; arrays are views of `data`.

    Raises:
        ValueError: not a protocol buffer message of this kind.
    """
    found: dict[str, NDArray[np.float32]] = {}
    walk = Walker(MAX_FIELDS)
    for node in walk.messages(data, _NODE):
        name = operation = ""
        tensor: memoryview | None = None
        for field, value in walk.fields(node):
            if not isinstance(value, memoryview):
                continue
            if field == _NODE_NAME:
                name = bytes(value).decode("utf-8")
            elif field == _NODE_OP:
                operation = bytes(value).decode("utf-8")
            elif field == _NODE_ATTRIBUTES:
                entry = dict(walk.fields(value))
                key, content = entry.get(1), entry.get(2)
                if isinstance(key, memoryview) and bytes(key) == b"value" and isinstance(content, memoryview):
                    tensor = next(walk.messages(content, _ATTRIBUTE_TENSOR), None)
        if operation == "Const" and tensor is not None:
            array = _tensor(walk, tensor)
            if array is not None:
                found[name] = array
    return found


def _tensor(walk: Walker, data: memoryview) -> NDArray[np.float32] | None:
    shape: list[int] = []
    content: memoryview | None = None
    kind = 0
    for field, value in walk.fields(data):
        if field == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif field == _TENSOR_SHAPE and isinstance(value, memoryview):
            for dimension in walk.messages(value, 2):
                size = dict(walk.fields(dimension)).get(1, 0)
                shape.append(size if isinstance(size, int) else 0)
        elif field in (_TENSOR_CONTENT, _TENSOR_FLOATS) and isinstance(value, memoryview):
            content = value
    if kind != _FLOAT32 or content is None:
        return None
    values = np.frombuffer(content, "<f4")
    if len(values) != math.prod(shape):
        return None  # a single repeated value or an unusual encoding; no weight of the network
    return values.reshape(shape)


@dataclass(frozen=True, eq=False)
class DeepSpeech:
    """The network; call it with whitened windows."""

    dense: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    """(weight [out, in], bias [out]) of layers 1, 2, 3, 5 and 6."""
    lstm: torch.nn.LSTM

    @torch.inference_mode()
    def __call__(self, inputs: NetworkInput) -> FloatArray:
        """Logits [S, CHARACTERS], not normalised."""
        first, second, third, fifth, sixth = self.dense
        hidden = []
        for start in range(0, len(inputs), BLOCK):
            x = torch.from_numpy(inputs.rows(start, min(start + BLOCK, len(inputs))))
            for weight, bias in (first, second, third):
                x = torch.clamp(torch.nn.functional.linear(x, weight, bias), 0, CLIP)
            hidden.append(x)
        both, _ = self.lstm(torch.cat(hidden))
        rows = torch.clamp(torch.nn.functional.linear(both, *fifth), 0, CLIP)
        logits: FloatArray = torch.nn.functional.linear(rows, *sixth).numpy()
        return logits


def read_deepspeech(path: Path) -> DeepSpeech:
    """Read the frozen graph; nothing of it is executed.

    Raises:
        MissingWeights: no such file. WrongCheckpoint: not a frozen graph, or not this network.
    """
    if not path.is_file():
        raise MissingWeights(
            f"There is no DeepSpeech graph {path}.",
            accepted=ACCEPTED,
            remedy="--features FILE.npy if the features were computed before, or --audio-features phones",
        )
    with reading(path, WrongCheckpoint, what="is not a frozen TensorFlow graph", accepted=ACCEPTED):
        stored = np.memmap(path, np.uint8, mode="r")
        constants = {name: value.copy() for name, value in graph_constants(memoryview(stored.data)).items()}
        return build_deepspeech(constants, path)


def build_deepspeech(constants: dict[str, NDArray[np.float32]], path: Path) -> DeepSpeech:
    """The network from named constants."""
    by_last = {name.rsplit("/", 1)[-1]: value for name, value in constants.items()}
    dense = []
    for layer in (1, 2, 3, 5, 6):
        weight, bias = by_last.get(f"h{layer}"), by_last.get(f"b{layer}")
        if weight is None or bias is None or weight.ndim != 2 or bias.shape != weight.shape[1:]:
            raise WrongCheckpoint(f"{path} has no dense layer h{layer}, b{layer}.", accepted=ACCEPTED)
        dense.append((torch.from_numpy(weight.T.copy()), torch.from_numpy(bias.copy())))
    for (before, _), (after, _), layer in ((dense[0], dense[1], 2), (dense[1], dense[2], 3), (dense[3], dense[4], 6)):
        if before.shape[0] != after.shape[1]:
            raise WrongCheckpoint(
                f"{path} has a dense layer h{layer} that does not fit the one before.", accepted=ACCEPTED
            )
    if dense[0][0].shape[1] != INPUTS or dense[4][0].shape[0] != CHARACTERS:
        raise WrongCheckpoint(
            f"{path} takes {dense[0][0].shape[1]} numbers and gives {dense[4][0].shape[0]}.",
            accepted=f"{INPUTS} and {CHARACTERS}",
        )
    cells, inputs = dense[3][0].shape[1] // 2, dense[2][0].shape[0]
    found = {
        direction: (
            _lstm_constant(constants, direction, ("kernel", "weights"), (inputs + cells, 4 * cells), path),
            _lstm_constant(constants, direction, ("bias", "biases"), (4 * cells,), path),
        )
        for direction in ("fw", "bw")
    }
    # Only now: a network of these sizes takes memory, and the constants prove that the file holds it.
    lstm = torch.nn.LSTM(inputs, cells, bidirectional=True)
    with torch.no_grad():
        for direction, suffix in (("fw", ""), ("bw", "_reverse")):
            kernel, bias = found[direction]
            i, j, f, o = (slice(k * cells, (k + 1) * cells) for k in range(4))
            order = np.r_[i, f, j, o]  # TensorFlow i, j, f, o; PyTorch i, f, g, o
            shifted = bias.copy()
            shifted[f] += np.float32(FORGET_BIAS)
            getattr(lstm, f"weight_ih_l0{suffix}").copy_(torch.from_numpy(kernel[:inputs, order].T.copy()))
            getattr(lstm, f"weight_hh_l0{suffix}").copy_(torch.from_numpy(kernel[inputs:, order].T.copy()))
            getattr(lstm, f"bias_ih_l0{suffix}").copy_(torch.from_numpy(shifted[order]))
            getattr(lstm, f"bias_hh_l0{suffix}").zero_()
    return DeepSpeech(tuple(dense), lstm.eval())


def _lstm_constant(
    constants: dict[str, NDArray[np.float32]],
    direction: str,
    names: tuple[str, ...],
    shape: tuple[int, ...],
    path: Path,
) -> NDArray[np.float32]:
    found = [
        value
        for name, value in constants.items()
        if direction in name.split("/") and name.rsplit("/", 1)[-1] in names and value.shape == shape
    ]
    if len(found) != 1:
        seen = ", ".join(f"{name} {list(value.shape)}" for name, value in constants.items() if "/" in name) or "none"
        raise WrongCheckpoint(
            f"{path} has {len(found)} constants for the {direction} {names[0]} of the LSTM {list(shape)}; all: {seen}.",
            accepted=ACCEPTED,
        )
    return found[0]
