"""Running networks: device and precision choice, and three runtimes behind one small interface.

    graph = GraphBuilder("net"); ...; graph.build(...)          # or Network(torch_module=..., onnx_model=...)
    session = open_session(Network(...), Placement.choose(device="auto", precision="auto", backend="auto", offers=...))
    outputs = session.run({"mel": mel, "face": face})            # named arrays in, named arrays out

Importing this package imports no runtime.
"""

from talkinghead.backends.base import Network, Session, SessionFacts, TensorSpec, network_of
from talkinghead.backends.graph import Graph, GraphBuilder
from talkinghead.backends.open import open_session
from talkinghead.backends.placement import (
    BACKENDS,
    PRECISIONS,
    Placement,
    available_backends,
    choose_device,
    cpu_has_bfloat16,
)

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Graph",
    "GraphBuilder",
    "Network",
    "Placement",
    "Session",
    "SessionFacts",
    "TensorSpec",
    "available_backends",
    "choose_device",
    "cpu_has_bfloat16",
    "network_of",
    "open_session",
]
