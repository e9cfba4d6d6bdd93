"""The generator's parts as networks that every back end runs."""

from __future__ import annotations

from talkinghead.backends import Graph, GraphBuilder, Network, network_of
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

Batch = int | None
"""Of the graphs; None takes any."""


def state_names(count: int) -> list[str]:
    """Names of a template's maps, from the bottleneck up."""
    return [f"state{k}" for k in range(count)]


def picture_network(net: FoldedUNet, form: Form, batch: Batch = None) -> Network:
    """uint8 BGR pictures to the state of their templates."""
    side = net.variant.size.inner_px
    graph = GraphBuilder(f"{net.variant.name}.picture", {"picture": (batch, side, side, 3)})
    state = picture_state(graph, net, form, six_channels(graph, net, "picture"))
    return network_of(graph.build(state), state_names(len(state)))


def speech_network(net: FoldedUNet, form: Form, batch: Batch = None) -> Network:
    """Windows of features to what the generator hears."""
    graph = GraphBuilder(f"{net.variant.name}.speech", {"windows": (batch, *net.variant.audio.input_shape)})
    return network_of(graph.build([speech_state(graph, net, form, "windows")]), ["heard"])


def render_network(net: FoldedUNet, form: Form, batch: Batch = None) -> Network:
    """State and speech to uint8 BGR pictures."""
    shapes = state_shapes(net, form, batch)
    names = state_names(len(shapes))
    inputs = {"heard": heard_shape(net, form, batch), **dict(zip(names, shapes, strict=True))}
    graph = GraphBuilder(f"{net.variant.name}.render", inputs)
    return network_of(graph.build([graph.to_pixels(render(graph, net, form, names, "heard"), "picture")]))


def render_parts(net: FoldedUNet, form: Form, num_deep: int, batch: Batch = None) -> tuple[Network, Network]:
    """`render_network` in two: the small maps (with `num_deep` states), whose result `deep` the large ones take.

    Rounding the small maps costs the most accuracy and computing them the least time, so they can stay in float32.
    """
    shapes = state_shapes(net, form, batch)
    names = state_names(len(shapes))
    states = list(zip(names, shapes, strict=True))
    small = net.variant.size.inner_px >> (len(shapes) - num_deep)
    inputs = {"heard": heard_shape(net, form, batch), **dict(states[:num_deep])}
    first = GraphBuilder(f"{net.variant.name}.render_deep", inputs)
    deep = render_deep(first, net, form, names[:num_deep], "heard")
    width = net.variant.size.up_widths[num_deep - 2]
    inputs = {"deep": (batch, width, small, small), **dict(states[num_deep:])}
    second = GraphBuilder(f"{net.variant.name}.render_shallow", inputs)
    picture = second.to_pixels(render_shallow(second, net, form, names[num_deep:], "deep"), "picture")
    return network_of(first.build([deep]), ["deep"]), network_of(second.build([picture]))


def whole_graph(net: FoldedUNet, batch: Batch = None) -> Graph:
    """The generator as published: `image` and `audio` to `output`, all float32."""
    side = net.variant.size.inner_px
    inputs = {"image": (batch, 6, side, side), "audio": (batch, *net.variant.audio.input_shape)}
    graph = GraphBuilder(net.variant.name, inputs)
    heard = speech_state(graph, net, "joined", "audio")
    state = picture_state(graph, net, "joined", "image")
    return graph.build([render(graph, net, "joined", state, heard, "output")])
