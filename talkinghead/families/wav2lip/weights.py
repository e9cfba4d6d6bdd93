"""From a checkpoint file to the generator's weights, whatever the container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.errors import MissingDependency, WrongCheckpoint
from talkinghead.families.wav2lip.architecture import (
    ARCHITECTURES,
    BATCH_NORM_EPS,
    Architecture,
    Block,
    check_finite,
    recognise,
)
from talkinghead.families.wav2lip.graphs import FoldedWeights, fold_batch_norm
from talkinghead.reading import reading
from talkinghead.reading.onnx_file import read_onnx
from talkinghead.weights import Checkpoint, read_checkpoint
from talkinghead.weights.known_hash import FileHash

Array = NDArray[Any]

MAX_OPERATORS = 2000
"""Of an ONNX model that is looked at more closely."""


@dataclass(frozen=True, eq=False)
class GeneratorWeights:
    """A generator ready to be built."""

    architecture: Architecture
    file_hash: FileHash
    container: str
    source: str
    """The file, for messages."""
    tensors: Mapping[str, Array] | None = None
    """Under the published names; None where the file holds folded weights only (ONNX exports)."""
    already_folded: FoldedWeights | None = None

    @property
    def sha256(self) -> str:
        """Of the file."""
        return self.file_hash.hex

    @cached_property
    def folded(self) -> FoldedWeights:
        """Weights without BatchNorm. Computed when first needed: a compiled network of an earlier run has them.

        Raises:
            WrongCheckpoint: values that are not numbers.
        """
        if self.already_folded is not None:
            return self.already_folded
        assert self.tensors is not None
        check_finite(self.tensors, self.source)
        return fold_batch_norm(self.architecture, self.tensors)


def load_generator(path: str | Path) -> GeneratorWeights:
    """Read `wav2lip.pth`, `wav2lip_gan.pth`, `Wav2Lip-SD-GAN.pt`, `wav2lip256.pth`, safetensors or an ONNX export.

    Raises:
        WrongCheckpoint: another network, damaged or incomplete. UnsafeCheckpoint: the file would run code.
    """
    checkpoint = read_checkpoint(path)
    with reading(path, WrongCheckpoint, what="does not hold a Wav2Lip generator"):
        if checkpoint.container == "onnx":
            return _from_onnx(checkpoint)
        tensors = published_names(checkpoint.tensors)
        architecture = recognise(tensors, str(path))
    return GeneratorWeights(architecture, FileHash(checkpoint.path), checkpoint.container, str(path), tensors)


def tensors_of_export(checkpoint: Checkpoint) -> Mapping[str, Array] | None:
    """The tensors of a generator's ONNX export under the published names, as a state dict holds them.

    Where the export has BatchNorm folded away, one that changes nothing takes its place.

    Args:
        checkpoint: read from an ONNX file.
    Returns:
        None where it is another network.
    """
    try:
        with reading(checkpoint.path, WrongCheckpoint):
            generator = _from_onnx(checkpoint)
    except WrongCheckpoint:
        return None
    if generator.tensors is not None:
        return generator.tensors
    tensors: dict[str, Array] = {}
    for name, (weight, bias) in generator.folded.items():
        if name == generator.architecture.output_conv:
            tensors.update({f"{name}.weight": weight, f"{name}.bias": bias})
            continue
        prefix, ones = f"{name}.conv_block", np.ones_like(bias)
        tensors.update({f"{prefix}.0.weight": weight, f"{prefix}.0.bias": bias})
        tensors.update({f"{prefix}.1.weight": ones, f"{prefix}.1.bias": np.zeros_like(bias)})
        tensors[f"{prefix}.1.running_mean"] = np.zeros_like(bias)
        tensors[f"{prefix}.1.running_var"] = ones - np.float32(BATCH_NORM_EPS)
    return tensors


def published_names(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
    """Undo a common prefix that a surrounding module left on every name ("generator.", "netG.")."""
    mark = "audio_encoder.0.conv_block.0.weight"
    if mark in tensors:
        return tensors
    prefix = next((name.removesuffix(mark) for name in tensors if name.endswith("." + mark)), None)
    if prefix is None:
        return tensors
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _from_onnx(checkpoint: Checkpoint) -> GeneratorWeights:
    """The weights of an exported generator.

    An export keeps the published names, or folds BatchNorm away and numbers its constants. In the second case the
    convolutions are taken in the order of the graph and matched with the blocks by shape, branch by branch.
    """
    path = checkpoint.path
    tensors = published_names(checkpoint.tensors)
    if "audio_encoder.0.conv_block.1.running_var" in tensors:
        architecture = recognise(tensors, str(path))
        return GeneratorWeights(architecture, FileHash(checkpoint.path), "onnx", str(path), tensors)
    try:
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingDependency("onnx", extra="models", purpose="Reading ONNX files") from error
    graph = read_onnx(path, error=WrongCheckpoint).graph
    if len(graph.node) > MAX_OPERATORS:
        raise WrongCheckpoint(
            f"{path} is an ONNX model of {len(graph.node)} operators, not a Wav2Lip generator.",
            accepted=f"at most {MAX_OPERATORS}; the published generators have some 200",
        )
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    for node in graph.node:  # half-precision exports wrap constants in casts, others use Constant nodes
        if node.op_type == "Constant":
            constants.update(
                (node.output[0], numpy_helper.to_array(entry.t)) for entry in node.attribute if entry.name == "value"
            )
        elif node.op_type in ("Cast", "Identity", "DequantizeLinear") and node.input[0] in constants:
            if node.op_type == "DequantizeLinear":
                raise WrongCheckpoint(
                    f"{path} holds 8-bit weights.",
                    accepted="a float32 or float16 export",
                    remedy="--precision int8 quantises them",
                )
            constants[node.output[0]] = constants[node.input[0]]
    layers = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    norms = {node.input[0]: node for node in graph.node if node.op_type == "BatchNormalization"}
    weights = [_layer(node, norms.get(node.output[0]), constants, str(path)) for node in layers]
    sizes = [str(weight.shape) for weight, _ in weights]
    architecture = _match_architecture(weights, str(path), sizes)
    by_branch = _branches(graph.node)
    named: dict[str, tuple[Array, Array]] = {}
    expected: dict[str, list[Block]] = {
        "audio": list(architecture.audio_encoder),
        "face": [block for stage in architecture.face_encoder for block in stage],
        "joined": [*[block for stage in architecture.face_decoder for block in stage], architecture.output_block],
    }
    # The decoder's first block depends on the sound alone.
    expected["audio"].append(expected["joined"].pop(0))
    for branch, blocks in expected.items():
        found = [weights[index] for index in by_branch[branch]]
        if branch == "joined":
            last = found.pop() if found else None
            if last is None or last[0].shape != (3, architecture.output_block.out_channels, 1, 1):
                raise WrongCheckpoint(f"{path} does not end in the 1x1 convolution of a Wav2Lip generator.")
            named[architecture.output_conv] = last
        if [weight.shape for weight, _ in found] != [block.weight_shape for block in blocks]:
            raise WrongCheckpoint(
                f"{path} is an ONNX model, but its {branch} convolutions are not those of a Wav2Lip generator.",
                accepted="an export of the 96- or 256-pixel generator, or the checkpoint it was made from",
            )
        named.update((block.name, layer) for block, layer in zip(blocks, found, strict=True))
    return GeneratorWeights(architecture, FileHash(checkpoint.path), "onnx", str(path), already_folded=named)


def _layer(node: Any, norm: Any | None, constants: Mapping[str, Array], path: str) -> tuple[Array, Array]:
    """Weight and bias of one convolution, float32, with the BatchNorm behind it (exporters fold only some)."""

    def constant(name: str) -> Array:
        if name not in constants:
            raise WrongCheckpoint(
                f"{path} computes the weights of {node.name or node.op_type} while it runs; they cannot be read.",
                accepted="a plain float32 or float16 export",
            )
        return np.asarray(constants[name], np.float64)

    weight = constant(node.input[1])
    axis = 1 if node.op_type == "ConvTranspose" else 0
    bias = constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(weight.shape[axis])
    if norm is not None:
        gamma, beta, mean, variance = (constant(name) for name in norm.input[1:5])
        epsilon = next((entry.f for entry in norm.attribute if entry.name == "epsilon"), 1e-5)
        scale = gamma / np.sqrt(variance + epsilon)
        weight = weight * scale.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
        bias = (bias - mean) * scale + beta
    return weight.astype(np.float32), bias.astype(np.float32)


def _match_architecture(weights: list[tuple[Array, Array]], path: str, sizes: list[str]) -> Architecture:
    for architecture in ARCHITECTURES.values():
        wanted = sorted(str(block.weight_shape) for block in architecture.blocks)
        wanted.append(str((3, architecture.output_block.out_channels, 1, 1)))
        if sorted(wanted) == sorted(sizes):
            return architecture
    raise WrongCheckpoint(
        f"{path} is an ONNX model with {len(weights)} convolutions, not a Wav2Lip generator.",
        accepted="an export of the 96- or 256-pixel generator with BatchNorm kept or folded",
    )


def _branches(nodes: Sequence[Any]) -> dict[str, list[int]]:
    """Indices of the convolutions that depend on the sound, on the face, or on both, in graph order.

    The input whose first convolution has a 7x7 kernel is the face. Operators stand behind those whose results they
    take, as the format has it.
    """
    known: dict[str, frozenset[str]] = {}
    layers, roots = [], []
    for node in nodes:
        sources = [known.get(name, frozenset({name})) for name in _data_inputs(node) if name]
        if node.op_type in ("Conv", "ConvTranspose"):
            layers.append(node)
            roots.append(sources[0])
        if sources:
            known.update(dict.fromkeys(node.output, frozenset().union(*sources)))
    faces = {root for node, root in zip(layers, roots, strict=True) if len(root) == 1 and _kernel(node) == [7, 7]}
    found: dict[str, list[int]] = {"audio": [], "face": [], "joined": []}
    for index, root in enumerate(roots):
        found["joined" if len(root) > 1 else "face" if root in faces else "audio"].append(index)
    return found


def _data_inputs(node: Any) -> list[str]:
    """Inputs that carry data, not weights."""
    first_only = node.op_type in ("Conv", "ConvTranspose", "BatchNormalization", "Cast", "Reshape", "Slice")
    return list(node.input[: 1 if first_only else None])


def _kernel(node: Any) -> list[int]:
    return next((list(entry.ints) for entry in node.attribute if entry.name == "kernel_shape"), [])
