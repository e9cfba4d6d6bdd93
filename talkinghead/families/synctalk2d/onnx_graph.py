"""The generator's parts as ONNX models."""

from __future__ import annotations

from onnx import ModelProto, TensorProto

from talkinghead.families.synctalk2d.folded import (
    FoldedUNet,
    Form,
    picture_state,
    render,
    render_deep,
    render_shallow,
    six_channels,
    speech_state,
)
from talkinghead.families.synctalk2d.shapes import heard_shape, state_shapes
from talkinghead.graph.onnx_ops import OnnxOps, build_model


def picture_graph(net: FoldedUNet, form: Form, batch: int = 1) -> tuple[ModelProto, int]:
    """uint8 BGR pictures to the state of their templates; returns the model and its number of outputs."""
    ops = OnnxOps()
    side = net.variant.size.inner_px
    state = picture_state(ops, net, form, six_channels(ops, net, "picture"))
    shapes = state_shapes(net, form, batch)
    names = [ops.named(value, f"state{k}") for k, value in enumerate(state)]
    outputs = [(name, TensorProto.FLOAT, shape) for name, shape in zip(names, shapes, strict=True)]
    return build_model(ops, "picture", [("picture", TensorProto.UINT8, (batch, side, side, 3))], outputs), len(names)


def speech_graph(net: FoldedUNet, form: Form, batch: int) -> ModelProto:
    """Windows of features to what the generator hears."""
    ops = OnnxOps()
    heard = ops.named(speech_state(ops, net, form, "windows"), "heard")
    windows = ("windows", TensorProto.FLOAT, (batch, *net.variant.audio.input_shape))
    return build_model(ops, "speech", [windows], [(heard, TensorProto.FLOAT, heard_shape(net, form, batch))])


def render_graph(net: FoldedUNet, form: Form, batch: int = 1) -> ModelProto:
    """State and speech to uint8 BGR pictures."""
    ops = OnnxOps()
    side = net.variant.size.inner_px
    shapes = state_shapes(net, form, batch)
    names = [f"state{k}" for k in range(len(shapes))]
    out = ops.named(ops.picture(render(ops, net, form, names, "heard")), "picture")
    inputs = [("heard", TensorProto.FLOAT, heard_shape(net, form, batch))]
    inputs += [(name, TensorProto.FLOAT, shape) for name, shape in zip(names, shapes, strict=True)]
    return build_model(ops, "render", inputs, [(out, TensorProto.UINT8, (batch, side, side, 3))])


def render_parts(net: FoldedUNet, form: Form, num_deep: int) -> tuple[ModelProto, ModelProto]:
    """`render_graph` in two: the small maps (with `num_deep` states), whose result `deep` the large ones take.

    Rounding the small maps costs the most accuracy and computing them the least time, so they can stay in float32.
    """
    side = net.variant.size.inner_px
    shapes = state_shapes(net, form, 1)
    states = [(f"state{k}", TensorProto.FLOAT, shape) for k, shape in enumerate(shapes)]
    names = [name for name, _, _ in states]
    small = side >> (len(shapes) - num_deep)
    deep = ("deep", TensorProto.FLOAT, (1, net.variant.size.up_widths[num_deep - 2], small, small))
    ops = OnnxOps()
    ops.named(render_deep(ops, net, form, names[:num_deep], "heard"), "deep")
    heard = ("heard", TensorProto.FLOAT, heard_shape(net, form, 1))
    first = build_model(ops, "render_deep", [heard, *states[:num_deep]], [deep])
    ops = OnnxOps()
    out = ops.named(ops.picture(render_shallow(ops, net, form, names[num_deep:], "deep")), "picture")
    picture = (out, TensorProto.UINT8, (1, side, side, 3))
    return first, build_model(ops, "render_shallow", [deep, *states[num_deep:]], [picture])
