"""The networks as ONNX files for other programs, compared with the readable network before they are left behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.audio.encoders import ave
from talkinghead.backends import Network, Placement, network_of, open_session
from talkinghead.backends.onnx_export import to_onnx
from talkinghead.contracts import FloatArray
from talkinghead.errors import BackendError
from talkinghead.families.synctalk2d.folded import FoldedUNet, fold
from talkinghead.families.synctalk2d.graphs import whole_graph
from talkinghead.families.synctalk2d.variants import Variant
from talkinghead.families.synctalk2d.weights import GeneratorWeights
from talkinghead.files import write_bytes

TOLERANCE = 1e-4
"""Largest allowed difference between ONNX Runtime and torch in float32 (outputs lie in 0..1, features in 0..10)."""
DEFAULT_OPSET = 17


@dataclass(frozen=True)
class Exported:
    """An ONNX file that was written."""

    path: Path
    opset: int
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    max_difference: float
    """Largest difference to torch on a random input."""
    num_bytes: int


def generator_model(net: FoldedUNet, *, opset: int = DEFAULT_OPSET, metadata: dict[str, str] | None = None) -> bytes:
    """The whole generator as a serialised ONNX model, batch 1: `image`, `audio` to `output`."""
    return to_onnx(whole_graph(net, 1), batch=1, opset=opset, metadata=metadata)


def generator_metadata(variant: Variant, sha256: str | None) -> dict[str, str]:
    """What a program needs to know to use the file, as text."""
    size, audio = variant.size, variant.audio
    x, y, width, height = size.mask_xywh
    filter_name = "bicubic" if size.bicubic else "bilinear"
    return {
        "model": f"synctalk2d.{variant.name}",
        "mode": audio.mode,
        "color_order": "BGR",
        "image": f"float32 [1, 6, {size.inner_px}, {size.inner_px}] in [0, 1] = uint8 / 255: B, G, R of the crop, then "
        f"of its copy with rows {y}..{y + height - 1}, columns {x}..{x + width - 1} set to 0",
        "audio": f"float32 [1, {', '.join(map(str, audio.input_shape))}]: {audio.window_rows} feature rows around the "
        f"frame (row {audio.window_rows // 2} is its own), zeros beyond the ends, reshaped in C order",
        "output": f"float32 [1, 3, {size.inner_px}, {size.inner_px}] in (0, 1), B, G, R; uint8 = trunc(255 * value)",
        "crop": f"landmarks 1, 31, 52 give x1, x2, y1 of a square; resized to {size.crop_px} ({filter_name}); "
        f"the network's picture is [4:{size.crop_px - 4}] of both axes",
        "fps": str(audio.fps),
        "weights_sha256": sha256 or "",
    }


def random_inputs(variant: Variant, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """A picture and a window for comparisons."""
    rng = np.random.default_rng(seed)
    side = variant.size.inner_px
    image = rng.random((1, 6, side, side), np.float32)
    audio = rng.uniform(0, 2, (1, *variant.audio.input_shape)).astype(np.float32)
    return image, audio


def published_output(weights: GeneratorWeights, variant: Variant, image: FloatArray, audio: FloatArray) -> FloatArray:
    """What the readable network gives, float32 on the CPU."""
    import torch

    from talkinghead.families.synctalk2d.network import load_unet

    with torch.inference_mode():
        out: FloatArray = load_unet(weights.tensors, variant)(torch.from_numpy(image), torch.from_numpy(audio)).numpy()
    return out


def export_generator(
    weights: GeneratorWeights, variant: Variant, path: str | Path, *, opset: int = DEFAULT_OPSET
) -> Exported:
    """Write the generator as ONNX, batch 1, and compare it in ONNX Runtime with torch.

    Args:
        opset: 11 or newer.
    Raises:
        OptionError: the opset is out of range. UnwritableOutput: the file cannot be written.
        BackendError: ONNX Runtime gives something else than torch; no file is left.
    """
    net = fold(weights.tensors, variant)
    model = generator_model(net, opset=opset, metadata=generator_metadata(variant, weights.sha256))
    image, audio = random_inputs(variant)
    wanted = published_output(weights, variant, image, audio)
    network = network_of(whole_graph(net, 1))
    return _write_checked(model, network, Path(path), opset, {"image": image, "audio": audio}, {"output": wanted})


def export_ave_encoder(
    tensors: dict[str, Any], path: str | Path, *, opset: int = DEFAULT_OPSET, sha256: str | None = None
) -> Exported:
    """Write the AVE encoder as ONNX with any batch size; as `export_generator`."""
    graph = ave.encoder_graph(ave.fold_encoder(ave.encoder_tensors(tensors, "the encoder")))
    metadata = {
        "model": "synctalk2d.ave_encoder",
        "mel": "float32 [n, 1, 80, 16] in [-4, 4], rows are frequencies, 80 columns per second",
        "features": "float32 [n, 512], at least 0; the first and last row of a sound are used twice",
        "weights_sha256": sha256 or "",
    }
    mel = np.random.default_rng(0).uniform(-4, 4, (3, 1, 80, ave.WINDOW_COLUMNS)).astype(np.float32)
    network = network_of(graph)
    wanted = open_session(network, Placement("cpu", "torch", "float32", "")).run({"mel": mel})
    return _write_checked(
        to_onnx(graph, opset=opset, metadata=metadata), network, Path(path), opset, {"mel": mel}, wanted
    )


def _write_checked(
    data: bytes,
    network: Network,
    path: Path,
    opset: int,
    inputs: dict[str, FloatArray],
    wanted: dict[str, FloatArray],
) -> Exported:
    import onnx

    onnx.checker.check_model(data, full_check=True)
    written = replace(network, graph=None, onnx_model=lambda: data)
    found = open_session(written, Placement("cpu", "onnx", "float32", "")).run(inputs)
    difference = max(float(np.abs(found[name] - value).max()) for name, value in wanted.items())
    if not difference <= TOLERANCE:
        raise BackendError(f"ONNX Runtime differs from torch by {difference:.2g}.", accepted=f"at most {TOLERANCE:g}")
    write_bytes(path, data)
    return Exported(
        path,
        opset,
        {name: tuple(value.shape) for name, value in inputs.items()},
        {name: tuple(value.shape) for name, value in wanted.items()},
        difference,
        len(data),
    )
