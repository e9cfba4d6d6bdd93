"""The generator in the form that runs: BatchNorm and residuals folded, upsampling by phases, cut where work repeats.

Three steps make the published network cheaper without changing what it computes (float32 rounding aside):

- BatchNorm is an affine map behind each convolution: it goes into weight and bias.
- A residual block is `relu(bn(conv(x)) + x)`: the `+ x` is one more unit tap in the middle of each kernel.
- A transposed convolution with stride 2 is four small convolutions, one for each parity of row and column, whose
  results are interleaved: nothing is multiplied by zeros, and CPUs run plain convolutions much better.

The network is offered whole and in three parts: `audio` depends on the sound alone and `face` on the source frame
alone, so neither has to be repeated for every output frame.

Where only the lower rows of the face are used, the decoder can be cut above them: each convolution computes the rows
that the rows asked for depend on, and no others. What is asked for is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends.base import Network, TensorSpec
from talkinghead.backends.graph import Graph, GraphBuilder
from talkinghead.families.wav2lip.architecture import (
    BATCH_NORM_EPS,
    EMBEDDING,
    MEL_BANDS,
    MEL_COLUMNS,
    Architecture,
    Block,
)

Array = NDArray[Any]

GRAPH_VERSION = 2
"""Part of the key of compiled artefacts: raised when the graphs below change."""

FoldedWeights = Mapping[str, tuple[Array, Array]]
"""Block name to (weight, bias), float32; transposed weights [in, out, kh, kw]. The last 1x1 convolution is included."""


def fold_batch_norm(architecture: Architecture, tensors: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
    """Put every BatchNorm into the convolution before it, computed in float64.

    Args:
        tensors: the checkpoint's, as `recognise` accepted them.
    """
    folded: dict[str, tuple[Array, Array]] = {}
    for block in architecture.blocks:
        prefix = f"{block.name}.conv_block"
        scale = tensors[f"{prefix}.1.weight"].astype(np.float64) / np.sqrt(
            tensors[f"{prefix}.1.running_var"].astype(np.float64) + BATCH_NORM_EPS
        )
        axis = (1, -1, 1, 1) if block.transposed else (-1, 1, 1, 1)
        weight = tensors[f"{prefix}.0.weight"].astype(np.float32) * scale.reshape(axis).astype(np.float32)
        shift = tensors[f"{prefix}.0.bias"].astype(np.float64) - tensors[f"{prefix}.1.running_mean"]
        bias = shift * scale + tensors[f"{prefix}.1.bias"]
        folded[block.name] = weight, bias.astype(np.float32)
    last = architecture.output_conv
    folded[last] = (
        np.asarray(tensors[f"{last}.weight"], np.float32),
        np.asarray(tensors[f"{last}.bias"], np.float32),
    )
    return folded


def feature_names(architecture: Architecture) -> tuple[str, ...]:
    """Names of the face encoder's outputs, first stage first."""
    return tuple(f"feature{index}" for index in range(len(architecture.face_encoder)))


class _Writer:
    """Writes blocks into a graph."""

    def __init__(self, name: str, inputs: Mapping[str, tuple[int | None, ...]], weights: FoldedWeights) -> None:
        self.builder = GraphBuilder(name, inputs)
        self.weights = weights

    def block(self, block: Block, x: str, name: str | None = None, *, cut: bool = False) -> str:
        """One block with its ReLU; `name` for its result. `cut`: the first row of `x` is not the picture's edge, and
        goes."""
        weight, bias = self.weights[block.name]
        if not block.transposed:
            return self.builder.relu(self._conv(block, x, weight, bias, cut=cut), name)
        if block.stride == (1, 1):
            return self._spread(block, x, weight, bias, name)
        return self._upsample(block, x, weight, bias, name)

    def _conv(self, block: Block, x: str, weight: Array, bias: Array, *, cut: bool) -> str:
        if block.residual:
            weight = weight.copy()
            channel = np.arange(block.out_channels)
            weight[channel, channel, block.kernel // 2, block.kernel // 2] += 1
        padding = (0 if cut else block.padding, *(block.padding,) * 3)
        return self.builder.conv(x, weight, bias, stride=block.stride, padding=padding, name=f"{block.name}.conv")

    def _spread(self, block: Block, x: str, weight: Array, bias: Array, name: str | None) -> str:
        """A transposed convolution of a single position: a matrix product that gives every output position."""
        k = block.kernel
        matrix = weight.transpose(2, 3, 1, 0).reshape(k * k * block.out_channels, block.in_channels, 1, 1)
        y = self.builder.relu(self.builder.conv(x, matrix, np.tile(bias, k * k), name=f"{block.name}.conv"))
        return self.builder.depth_to_space(y, k, name)

    def _upsample(self, block: Block, x: str, weight: Array, bias: Array, name: str | None) -> str:
        """Stride 2, kernel 3, padding 1, output padding 1. With input i and kernel index k, output 2 i gets k = 1 of
        input i; output 2 i + 1 gets k = 2 of input i and k = 0 of input i + 1."""
        phases = []
        for row in range(2):
            for column in range(2):
                rows, columns = ([1], [2, 0])[row], ([1], [2, 0])[column]
                kernel = weight[:, :, rows][:, :, :, columns].transpose(1, 0, 2, 3)
                y = self.builder.conv(
                    x, kernel, bias, padding=(0, 0, row, column), name=f"{block.name}.conv{row}{column}"
                )
                phases.append(self.builder.relu(y))
        return self.builder.depth_to_space(self.builder.concat(phases), 2, name)

    def audio(self, architecture: Architecture, x: str, name: str | None) -> str:
        for block in architecture.audio_encoder[:-1]:
            x = self.block(block, x)
        return self.block(architecture.audio_encoder[-1], x, name)

    def face(self, architecture: Architecture, x: str, *, named: bool) -> list[str]:
        features = []
        for index, stage in enumerate(architecture.face_encoder):
            for block in stage[:-1]:
                x = self.block(block, x)
            x = self.block(stage[-1], x, f"feature{index}" if named else None)
            features.append(x)
        return features

    def decoder(self, architecture: Architecture, audio: str, features: list[str], first_row: int) -> str:
        x, begin = audio, 0
        wanted = stage_rows(architecture, first_row)
        for stage, feature, row in zip(architecture.face_decoder, reversed(features), wanted, strict=True):
            x = self.block(stage[0], x)
            begin *= stage[0].stride[0]
            cut = begin > 0 or row >= len(stage) - 1
            for block in stage[1:]:
                x = self.block(block, x, cut=cut)
                begin += cut
            x = self.builder.concat([self._from_row(x, row - begin), self._from_row(feature, row)])
            begin = row
        x = self.block(architecture.output_block, x, cut=first_row > 0)
        weight, bias = self.weights[architecture.output_conv]
        return self.builder.sigmoid(self.builder.conv(x, weight, bias, name="output.logits"), "output")

    def _from_row(self, x: str, row: int) -> str:
        return self.builder.drop_rows(x, row) if row else x


def stage_rows(architecture: Architecture, first_row: int) -> tuple[int, ...]:
    """The first row that is needed behind each stage of the decoder, where the face is from `first_row` on.

    A 3x3 convolution looks one row up; rows 2 i and 2 i + 1 of an upsampled picture come of rows i and i + 1.
    """
    row = max(0, first_row - 1)
    rows = [row]
    for stage in reversed(architecture.face_decoder[1:]):
        up = stage[0].stride[0]
        row = max(0, row - len(stage[1:])) // up if up > 1 else 0
        rows.append(row)
    return tuple(reversed(rows))


_MEL = (None, 1, MEL_BANDS, MEL_COLUMNS)
_AUDIO = (None, EMBEDDING, 1, 1)


def _face_shape(architecture: Architecture) -> tuple[int | None, ...]:
    return (None, 6, architecture.size, architecture.size)


def audio_graph(architecture: Architecture, weights: FoldedWeights) -> Graph:
    """mel [B, 1, 80, 16] in [-4, 4] -> audio [B, 512, 1, 1]."""
    writer = _Writer(f"{architecture.name}.audio", {"mel": _MEL}, weights)
    return writer.builder.build([writer.audio(architecture, "mel", "audio")])


def face_graph(architecture: Architecture, weights: FoldedWeights) -> Graph:
    """face [B, 6, S, S] in [0, 1] -> feature0 ... (one per encoder stage)."""
    writer = _Writer(f"{architecture.name}.face", {"face": _face_shape(architecture)}, weights)
    return writer.builder.build(writer.face(architecture, "face", named=True))


def decoder_graph(architecture: Architecture, weights: FoldedWeights, first_row: int = 0) -> Graph:
    """audio and features -> output [B, 3, S - first_row, S] in (0, 1), B, G, R."""
    inputs: dict[str, tuple[int | None, ...]] = {"audio": _AUDIO}
    inputs.update(
        (name, (None, *shape))
        for name, shape in zip(feature_names(architecture), architecture.feature_shapes, strict=True)
    )
    writer = _Writer(f"{architecture.name}.decoder", inputs, weights)
    output = writer.decoder(architecture, "audio", list(feature_names(architecture)), first_row)
    return writer.builder.build([output])


def generator_graph(architecture: Architecture, weights: FoldedWeights, first_row: int = 0) -> Graph:
    """audio and face -> output: face encoder and decoder in one, for frames that are seen once."""
    inputs = {"audio": _AUDIO, "face": _face_shape(architecture)}
    writer = _Writer(f"{architecture.name}.generator", inputs, weights)
    features = writer.face(architecture, "face", named=False)
    return writer.builder.build([writer.decoder(architecture, "audio", features, first_row)])


PARTS = ("audio", "face", "decoder", "generator")


def part_graph(part: str, architecture: Architecture, weights: FoldedWeights, first_row: int = 0) -> Graph:
    """One of `PARTS`; the first row matters to those that give a face."""
    if part == "audio":
        return audio_graph(architecture, weights)
    if part == "face":
        return face_graph(architecture, weights)
    return {"decoder": decoder_graph, "generator": generator_graph}[part](architecture, weights, first_row)


def _key(weights_key: str | Callable[[], str], more: str) -> str | Callable[[], str]:
    if callable(weights_key):
        return lambda: f"{weights_key()}/{more}"
    return f"{weights_key}/{more}"


def network(
    part: str,
    architecture: Architecture,
    weights: FoldedWeights | Callable[[], FoldedWeights],
    weights_key: str | Callable[[], str],
    first_row: int = 0,
) -> Network:
    """One part as a network for any backend.

    Args:
        part: one of `PARTS`.
        weights: or what gives them, called if the network has to be compiled.
        weights_key: hash of the checkpoint, or what waits for it.
        first_row: of the face that is given out; those above are not computed.
    """
    features = dict(zip(feature_names(architecture), architecture.feature_shapes, strict=True))
    shapes: dict[str, tuple[int | None, ...]] = {name: (None, *shape) for name, shape in features.items()}
    shapes |= {"mel": _MEL, "audio": _AUDIO, "face": _face_shape(architecture)}
    shapes["output"] = (None, 3, architecture.size - first_row, architecture.size)
    inputs, outputs = {
        "audio": (["mel"], ["audio"]),
        "face": (["face"], list(features)),
        "decoder": (["audio", *features], ["output"]),
        "generator": (["audio", "face"], ["output"]),
    }[part]
    rows = f"/{first_row}" if first_row and "output" in outputs else ""
    return Network(
        name=f"{architecture.name}.{part}",
        inputs={name: TensorSpec(shapes[name]) for name in inputs},
        outputs={name: TensorSpec(shapes[name]) for name in outputs},
        key=_key(weights_key, f"{part}/{GRAPH_VERSION}{rows}"),
        graph=lambda: part_graph(part, architecture, weights() if callable(weights) else weights, first_row),
    )
