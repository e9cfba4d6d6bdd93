"""The 110-point landmark network of Ultralight-Digital-Human and SyncTalk_2D: PFLD with Ghost and MobileOne blocks.

The checkpoint holds the training form, in which every convolution is a sum of up to eight branches. They are linear,
so they are added up when the checkpoint is read (about eight times faster, outputs differ by less than 1e-5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends import Graph, GraphBuilder
from talkinghead.backends.layers import BATCH_NORM_EPS, Conv
from talkinghead.contracts import Backend, FloatArray, Frame, IntArray
from talkinghead.errors import MissingWeights, WrongCheckpoint
from talkinghead.reading import read_text, reading

Array = NDArray[Any]

NUM_POINTS = 110
INPUT_PX = 192
NUM_BRANCHES = 6
CROP_FACTOR = 1.05
"""Side of the square crop over the longer side of the face box."""
CHECKPOINT_KEY = "pfld_backbone"
MEAN_FACE_NAMES = ("mean_face.txt", "pfld_mean_face.txt")

WANTED = "checkpoint_epoch_335.pth.tar of Ultralight-Digital-Human (2090 entries under pfld_backbone)"


@dataclass(frozen=True)
class _Bottleneck:
    name: str
    in_width: int
    hidden: int
    out_width: int
    stride: int


STAGES: tuple[tuple[_Bottleneck, ...], ...] = (
    (
        _Bottleneck("conv3_1", 32, 48, 40, 2),
        _Bottleneck("conv3_2", 40, 60, 40, 1),
        _Bottleneck("conv3_3", 40, 60, 40, 1),
    ),
    (
        _Bottleneck("conv4_1", 40, 100, 48, 2),
        _Bottleneck("conv4_2", 48, 120, 48, 1),
        _Bottleneck("conv4_3", 48, 120, 48, 1),
    ),
    (
        _Bottleneck("conv5_1", 48, 168, 72, 2),
        _Bottleneck("conv5_2", 72, 252, 72, 1),
        _Bottleneck("conv5_3", 72, 252, 72, 1),
        _Bottleneck("conv5_4", 72, 252, 72, 1),
    ),
)
LAST = _Bottleneck("conv6", 72, 108, 8, 1)


@dataclass(frozen=True, eq=False)
class FoldedPfld:
    """The network's convolutions, each one of a published block of branches, by the block's name."""

    convs: Mapping[str, Conv]

    def __getitem__(self, name: str) -> Conv:
        return self.convs[name]


def _check_shape(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} holds {list(values.shape)} instead of {list(shape)}")


def fold_branches(
    tensors: Mapping[str, Array], name: str, *, width: int, kernel: int, stride: int = 1, groups: int = 1
) -> Conv:
    """One convolution for a block of branches (or for a block that is fused already, `reparam_conv`).

    Args:
        width: output channels.
    """
    padding = kernel // 2
    if f"{name}.reparam_conv.weight" in tensors:
        weight = np.asarray(tensors[f"{name}.reparam_conv.weight"], np.float32)
        bias = np.asarray(tensors[f"{name}.reparam_conv.bias"], np.float32)
        _check_shape(name, weight, (width, weight.shape[1], kernel, kernel))
        _check_shape(name, bias, (width,))
        return Conv(weight, bias, (stride, stride), padding, groups)
    in_width = width if groups > 1 else int(tensors[f"{name}.rbr_conv.0.conv.weight"].shape[1])
    total = np.zeros((width, in_width // groups, kernel, kernel))
    offset = np.zeros(width)

    def add(weight: NDArray[Any], norm: str) -> None:
        nonlocal total, offset
        gamma, beta, mean, var = (
            np.asarray(tensors[f"{norm}.{part}"], np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        size = weight.shape[2]
        _check_shape(name, weight, (width, in_width // groups, size, size))
        if size > kernel or (kernel - size) % 2:
            raise ValueError(f"a kernel of {size} in {name}")
        for values in (gamma, beta, mean, var):
            _check_shape(name, values, (width,))
        scale = gamma / np.sqrt(var + BATCH_NORM_EPS)
        margin = (kernel - weight.shape[2]) // 2
        padded = np.pad(weight, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
        total = total + padded * scale[:, None, None, None]
        offset = offset + beta - mean * scale

    for branch in range(NUM_BRANCHES):
        weight = np.asarray(tensors[f"{name}.rbr_conv.{branch}.conv.weight"], np.float64)
        add(weight, f"{name}.rbr_conv.{branch}.bn")
    if f"{name}.rbr_scale.conv.weight" in tensors:
        add(np.asarray(tensors[f"{name}.rbr_scale.conv.weight"], np.float64), f"{name}.rbr_scale.bn")
    if f"{name}.rbr_skip.weight" in tensors:
        identity = np.ones((width, 1, 1, 1)) if groups > 1 else np.eye(width)[:, :, None, None]
        add(identity, f"{name}.rbr_skip")
    return Conv(total.astype(np.float32), offset.astype(np.float32), (stride, stride), padding, groups)


def fold_pfld(tensors: Mapping[str, Array], source: str | Path) -> FoldedPfld:
    """Add up all branches.

    Raises:
        WrongCheckpoint: an entry is missing or misshapen.
    """
    convs: dict[str, Conv] = {}

    def ghost(name: str, out_width: int) -> None:
        half = out_width // 2
        convs[f"{name}.primary_conv"] = fold_branches(tensors, f"{name}.primary_conv", width=half, kernel=1)
        convs[f"{name}.cheap_operation"] = fold_branches(
            tensors, f"{name}.cheap_operation", width=half, kernel=3, groups=half
        )

    with reading(source, WrongCheckpoint, what="is not the 110-point landmark network", accepted=WANTED):
        convs["conv1"] = fold_branches(tensors, "conv1", width=32, kernel=3, stride=2)
        convs["conv2"] = fold_branches(tensors, "conv2", width=32, kernel=3, groups=32)
        for block in (*(b for stage in STAGES for b in stage), LAST):
            ghost(f"{block.name}.ghost_conv.0", block.hidden)
            if block.stride == 2:
                name = f"{block.name}.ghost_conv.1"
                convs[name] = fold_branches(tensors, name, width=block.hidden, kernel=3, stride=2, groups=block.hidden)
            ghost(f"{block.name}.ghost_conv.2", block.out_width)
        convs["conv7"] = fold_branches(tensors, "conv7", width=16, kernel=3)
        convs["conv8"] = Conv(np.asarray(tensors["conv8.0.weight"], np.float32), None)
        weight, bias = tensors["conv_out.weight"], tensors["conv_out.bias"]
        convs["conv_out"] = Conv(np.asarray(weight, np.float32), np.asarray(bias, np.float32))
    return FoldedPfld(convs)


def forward(graph: GraphBuilder, net: FoldedPfld, face: str) -> dict[str, str]:
    """Write the network into a graph.

    Args:
        face: [B, 3, 192, 192] in [0, 1], BGR.
    Returns:
        The results of the stages by name; "output" is [B, 220, 1, 1]: x, y interleaved, offsets to the mean face.
    """
    results: dict[str, str] = {}

    def seen(name: str, x: str) -> str:
        results[name] = x
        return x

    def ghost(name: str, x: str, *, relu: bool) -> str:
        first = net[f"{name}.primary_conv"].write(graph, x, relu=relu)
        return graph.concat([first, net[f"{name}.cheap_operation"].write(graph, first, relu=relu)])

    def bottleneck(block: _Bottleneck, x: str) -> str:
        x = ghost(f"{block.name}.ghost_conv.0", x, relu=True)
        if block.stride == 2:
            x = net[f"{block.name}.ghost_conv.1"].write(graph, x)
        return seen(block.name, ghost(f"{block.name}.ghost_conv.2", x, relu=False))

    x = seen("conv1", net["conv1"].write(graph, face, relu=True))
    x = seen("conv2", net["conv2"].write(graph, x, relu=True))
    pooled = [graph.mean(x)]
    for stage in STAGES:
        for block in stage:
            x = bottleneck(block, x)
        pooled.append(graph.mean(x))
    x = seen("conv7", net["conv7"].write(graph, bottleneck(LAST, x), relu=True))
    x = seen("conv8", net["conv8"].write(graph, x, relu=True))
    seen("output", net["conv_out"].write(graph, graph.concat([*pooled, x])))
    return results


class FaceSquare(NamedTuple):
    """The square around a face that the network sees; may leave the frame."""

    x: int
    y: int
    side: int


def face_square(box_xywh: Sequence[float] | NDArray[np.float32]) -> FaceSquare:
    """The square of a detected box (x, y, width, height), float32.

    Kept from the published code: corners truncated toward zero after a float32 sum, integer centre, factor 1.05
    truncated.
    """
    x, y, width, height = (np.float32(value) for value in box_xywh)
    x1, y1, x2, y2 = int(x), int(y), int(x + width), int(y + height)
    side = int(max(x2 - x1, y2 - y1) * CROP_FACTOR)
    return FaceSquare((x1 + x2) // 2 - side // 2, (y1 + y2) // 2 - side // 2, side)


def cut_square(frame: Frame, square: FaceSquare) -> Frame:
    """The square's pixels, black where it leaves the frame: [side, side, 3]."""
    height, width = frame.shape[:2]
    out = np.zeros((square.side, square.side, 3), np.uint8)
    left, top = max(0, square.x), max(0, square.y)
    right, bottom = min(width, square.x + square.side), min(height, square.y + square.side)
    if left < right and top < bottom:
        part = frame[top:bottom, left:right]
        out[top - square.y : bottom - square.y, left - square.x : right - square.x] = part
    return out


def network_input(frame_rgb: Frame, square: FaceSquare) -> FloatArray:
    """[3, 192, 192] float32 in [0, 1], BGR."""
    import cv2

    crop = cv2.resize(cut_square(frame_rgb, square), (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_LINEAR)
    planes: FloatArray = np.ascontiguousarray(crop[:, :, ::-1].transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
    return planes


def points_in_frame(output: FloatArray, mean_face: FloatArray, square: FaceSquare) -> IntArray:
    """Landmarks in pixels of the frame.

    Args:
        output: [220] from the network.
        mean_face: [220] float32, in units of the square.
    Returns:
        [110, 2] int32: truncated toward zero before the square's origin is added, as published.
    """
    points = (output.reshape(-1, 2) + mean_face.reshape(-1, 2)) * np.float32(square.side)
    return points.astype(np.int32) + np.array([square.x, square.y], np.int32)


MAX_MEAN_FACE_BYTES = 100_000


def read_mean_face(path: str | Path) -> FloatArray:
    """The 220 numbers of `mean_face.txt`.

    Raises:
        MissingWeights: no such file. WrongCheckpoint: not 220 numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingWeights(
            f"There is no mean face {path}.", accepted="mean_face.txt, which lies beside the landmark checkpoint"
        )
    words = read_text(path, error=WrongCheckpoint, accepted="220 numbers", max_bytes=MAX_MEAN_FACE_BYTES).split()
    with reading(path, WrongCheckpoint, what="is not a mean face", accepted="220 numbers"):
        values = np.array([float(word) for word in words], np.float32)
    if values.shape != (2 * NUM_POINTS,) or not np.isfinite(values).all():
        raise WrongCheckpoint(f"{path} holds {len(values)} numbers.", accepted=f"{2 * NUM_POINTS} numbers")
    return values


def find_mean_face(checkpoint: Path) -> Path:
    """The mean face beside a checkpoint.

    Raises:
        MissingWeights: there is none.
    """
    for name in MEAN_FACE_NAMES:
        if (checkpoint.parent / name).is_file():
            return checkpoint.parent / name
    raise MissingWeights(
        f"There is no mean_face.txt beside {checkpoint}.",
        accepted="mean_face.txt of Ultralight-Digital-Human (data_utils), in the same folder",
    )


def pfld_graph(net: FoldedPfld) -> Graph:
    """The network for any batch: `face` [B, 3, 192, 192] to `output` [B, 220]."""
    graph = GraphBuilder("pfld", {"face": (None, 3, INPUT_PX, INPUT_PX)})
    return graph.build([graph.flatten(forward(graph, net, "face")["output"], "output")])


class PfldLandmarks:
    """The landmark network, ready to run."""

    def __init__(
        self,
        tensors: Mapping[str, Array],
        mean_face: FloatArray,
        *,
        source: str | Path = "the checkpoint",
        backend: Backend = "onnx",
        threads: int = 0,
    ) -> None:
        from talkinghead.backends import Placement, network_of, open_session

        folded = fold_pfld(tensors, source)
        with reading(source, WrongCheckpoint, what="is not the 110-point landmark network", accepted=WANTED):
            network = network_of(pfld_graph(folded))
        self._session = open_session(network, Placement("cpu", backend, "float32"), batch=1, threads=threads or None)
        self._mean_face = mean_face

    def landmarks(self, frame_rgb: Frame, box_xywh: Sequence[float] | NDArray[np.float32]) -> IntArray:
        """Landmarks of one face.

        Args:
            frame_rgb: uint8 [H, W, 3].
            box_xywh: the face as the detector gave it: x, y, width, height in pixels.
        Returns:
            [110, 2] int32, pixels of the frame; points may lie outside it.
        """
        square = face_square(box_xywh)
        if square.side < 1:
            raise ValueError(f"the face box is empty: {list(box_xywh)}")
        output = self._session.run({"face": network_input(frame_rgb, square)[None]})["output"][0]
        return points_in_frame(output, self._mean_face, square)


def read_pfld(path: str | Path, *, mean_face: str | Path | None = None, **options: Any) -> PfldLandmarks:
    """Load the network from its checkpoint.

    Args:
        mean_face: `mean_face.txt`; None looks beside the checkpoint.
        options: keyword arguments of `PfldLandmarks`.
    Raises:
        CheckpointError: not this network, or unsafe. MissingWeights: a file is missing.
    """
    from talkinghead.weights import read_checkpoint

    path = Path(path)
    if not path.is_file():
        raise MissingWeights(f"There is no landmark checkpoint {path}.", accepted=WANTED)
    mean = read_mean_face(mean_face if mean_face is not None else find_mean_face(path))
    checkpoint = read_checkpoint(path)
    tensors = checkpoint.tensors
    if "conv1.rbr_conv.0.conv.weight" not in tensors and "conv1.reparam_conv.weight" not in tensors:
        tensors = read_checkpoint(path, key=CHECKPOINT_KEY).tensors
    return PfldLandmarks(tensors, mean, source=path, **options)
