"""The networks of the family for `talkinghead reference`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from talkinghead.audio.encoders import ave
from talkinghead.backends import DEPTHWISE, Graph, candidates, network_of, open_session
from talkinghead.engine.networks import Arrays, ReferenceNetwork, ReferenceOptions
from talkinghead.errors import OptionError, choices
from talkinghead.face.landmarks import pfld
from talkinghead.families.synctalk2d.variants import VARIANTS, Variant
from talkinghead.families.synctalk2d.weights import generator_weights

Run = Callable[[Arrays, Arrays, Mapping[str, Any], ReferenceOptions], dict[str, Any]]


def _refuse_unknown(options: ReferenceOptions) -> None:
    """
    Raises:
        OptionError: a back end or precision that no network here has.
    """
    able = {"torch": ("float32", "bfloat16", "float16"), "onnx": ("float32",)}
    able["openvino"] = able["torch"]
    if options.backend not in able:
        raise OptionError(f"There is no back end {options.backend!r}.", accepted=choices(tuple(able)))
    if options.precision not in able[options.backend]:
        raise OptionError(
            f"{options.backend} does not run the precision {options.precision!r} here.",
            accepted=choices(able[options.backend]),
        )


def _generator(variant: Variant) -> Run:
    def run(weights: Arrays, inputs: Arrays, _: Mapping[str, Any], options: ReferenceOptions) -> dict[str, Any]:
        found = generator_weights(weights, "the weights")
        network = found.variant(variant.audio.mode)
        if network != variant:
            raise OptionError(
                f"The weights are those of {network.name}, not of {variant.name}.",
                remedy=f"talkinghead reference run synctalk2d.{network.name}",
            )
        image = np.ascontiguousarray(inputs["image"], np.float32)
        audio = np.ascontiguousarray(inputs["audio"], np.float32)
        if options.backend in ("onnx", "openvino"):
            from talkinghead.families.synctalk2d.folded import fold
            from talkinghead.families.synctalk2d.graphs import whole_graph

            return _run_graph(options, whole_graph(fold(found.tensors, variant)), {"image": image, "audio": audio})
        _refuse_unknown(options)
        return {"output": _run_torch(found.tensors, variant, image, audio, options)}

    return run


def _run_torch(tensors: Arrays, variant: Variant, image: Any, audio: Any, options: ReferenceOptions) -> Any:
    """The readable network, as published."""
    import torch

    from talkinghead.families.synctalk2d.network import load_unet

    kind = getattr(torch, options.precision)
    network = load_unet(tensors, variant).to(options.device, kind)
    with torch.inference_mode():
        out = network(
            torch.from_numpy(image).to(options.device, kind), torch.from_numpy(audio).to(options.device, kind)
        )
        return out.float().cpu().numpy()


def _run_graph(options: ReferenceOptions, graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A graph on any back end; what it gives is called "output"."""
    _refuse_unknown(options)
    given = {name: np.ascontiguousarray(value, np.float32) for name, value in inputs.items()}
    device = options.device if options.backend == "torch" else "cpu"
    place = candidates(DEPTHWISE, device, options.backend, options.precision)[0]
    return open_session(network_of(graph, ["output"]), place).run(given)


def _ave(weights: Arrays, inputs: Arrays, _: Mapping[str, Any], options: ReferenceOptions) -> dict[str, Any]:
    convs = ave.fold_encoder(ave.encoder_tensors(weights, "the weights"))
    return _run_graph(options, ave.encoder_graph(convs), {"mel": inputs["mel"]})


def _pfld(weights: Arrays, inputs: Arrays, _: Mapping[str, Any], options: ReferenceOptions) -> dict[str, Any]:
    return _run_graph(options, pfld.pfld_graph(pfld.fold_pfld(weights, "the weights")), {"face": inputs["face"]})


def _row(variant: Variant) -> ReferenceNetwork:
    side = variant.size.inner_px
    window = ", ".join(map(str, variant.audio.input_shape))
    return ReferenceNetwork(
        name=f"synctalk2d.{variant.name}",
        summary=f"Generator of {side}x{side} pixels that hears {variant.audio.mode} features.",
        inputs={
            "image": f"[B, 6, {side}, {side}] float32 in [0, 1]: B, G, R of the crop, then of its blacked copy",
            "audio": f"[B, {window}] float32: a window of {variant.audio.window_rows} feature rows",
        },
        outputs={"output": f"[B, 3, {side}, {side}] float32 in (0, 1), B, G, R"},
        run=_generator(variant),
    )


NETWORKS: tuple[ReferenceNetwork, ...] = (
    *(_row(variant) for variant in VARIANTS.values()),
    ReferenceNetwork(
        name="synctalk2d.ave_encoder",
        summary="Audio-visual encoder: a mel window to 512 numbers.",
        inputs={"mel": "[B, 1, 80, 16] float32 in [-4, 4]"},
        outputs={"output": "[B, 512] float32, at least 0"},
        run=_ave,
    ),
    ReferenceNetwork(
        name="synctalk2d.pfld",
        summary="110-point landmark network, branches added up when loaded.",
        inputs={"face": "[B, 3, 192, 192] float32 in [0, 1], B, G, R"},
        outputs={"output": "[B, 220] float32: x, y interleaved, offsets to the mean face"},
        run=_pfld,
    ),
)
