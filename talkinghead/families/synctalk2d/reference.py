"""The networks of the family for `talkinghead reference`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from talkinghead.audio.encoders import ave
from talkinghead.errors import OptionError
from talkinghead.face.landmarks import pfld
from talkinghead.families.synctalk2d.variants import VARIANTS, Variant
from talkinghead.families.synctalk2d.weights import generator_weights
from talkinghead.graph import Ops
from talkinghead.reference import Arrays, ReferenceNetwork, ReferenceOptions

Run = Callable[[Arrays, Arrays, Mapping[str, Any], ReferenceOptions], dict[str, Any]]


def _dtype(options: ReferenceOptions) -> Any:
    import torch

    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if options.precision not in kinds:
        raise OptionError(f"There is no precision {options.precision!r} here.", accepted=", ".join(kinds))
    return kinds[options.precision]


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
            from talkinghead.families.synctalk2d.export import generator_model
            from talkinghead.families.synctalk2d.folded import fold
            from talkinghead.graph.compiled import compile_graph

            model = generator_model(fold(found.tensors, variant), batch=len(image)).SerializeToString()
            graph = compile_graph(model, options.backend, precision=options.precision)
            return {"output": graph({"image": image, "audio": audio})["output"]}
        if options.backend != "torch":
            raise OptionError(f"There is no back end {options.backend!r}.", accepted="torch, onnx or openvino")
        return {"output": _run_torch(found.tensors, variant, image, audio, options)}

    return run


def _run_torch(tensors: Arrays, variant: Variant, image: Any, audio: Any, options: ReferenceOptions) -> Any:
    """The readable network, as published."""
    import torch

    from talkinghead.families.synctalk2d.network import load_unet

    kind = _dtype(options)
    network = load_unet(tensors, variant).to(options.device, kind)
    with torch.inference_mode():
        out = network(
            torch.from_numpy(image).to(options.device, kind), torch.from_numpy(audio).to(options.device, kind)
        )
        return out.float().cpu().numpy()


def _run_graph(
    options: ReferenceOptions, forward: Callable[[Ops[Any], Any], Any], build: Callable[[int], Any], name: str, x: Any
) -> dict[str, Any]:
    """A network over `Ops` on any back end; the result is flattened to [B, C]."""
    x = np.ascontiguousarray(x, np.float32)
    if options.backend in ("onnx", "openvino"):
        from talkinghead.graph.compiled import compile_graph

        graph = compile_graph(build(len(x)).SerializeToString(), options.backend, precision=options.precision)
        return {"output": next(iter(graph({name: x}).values()))}
    if options.backend != "torch":
        raise OptionError(f"There is no back end {options.backend!r}.", accepted="torch, onnx or openvino")
    import torch

    from talkinghead.graph.torch_ops import TorchOps

    kind = _dtype(options)
    device = torch.device(options.device)
    with torch.inference_mode():
        out = forward(TorchOps(device, kind), torch.from_numpy(x).to(device, kind))
    return {"output": out.float().cpu().numpy().reshape(len(x), -1)}


def _ave(weights: Arrays, inputs: Arrays, _: Mapping[str, Any], options: ReferenceOptions) -> dict[str, Any]:
    convs = ave.fold_encoder(ave.encoder_tensors(weights, "the weights"))
    return _run_graph(
        options, lambda ops, x: ave.encode(ops, convs, x), lambda n: ave.encoder_graph(convs, n), "mel", inputs["mel"]
    )


def _pfld(weights: Arrays, inputs: Arrays, _: Mapping[str, Any], options: ReferenceOptions) -> dict[str, Any]:
    net = pfld.fold_pfld(weights, "the weights")
    return _run_graph(
        options, lambda ops, x: pfld.forward(ops, net, x), lambda n: pfld.pfld_graph(net, n), "face", inputs["face"]
    )


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
