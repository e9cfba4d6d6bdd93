"""Running networks: device and precision choice, and three runtimes behind one small interface.

    graph = GraphBuilder("net"); ...; graph.build(...)          # or Network(torch_module=..., onnx_model=...)
    session = open_session(Network(...), Placement.choose(device="auto", backend="auto", precision="auto", offer=DENSE))
    outputs = session.run({"mel": mel, "face": face})            # named arrays in, named arrays out

Importing this package imports no runtime.
"""

from talkinghead.backends.base import Network, Session, SessionFacts, TensorSpec, network_of
from talkinghead.backends.graph import Graph, GraphBuilder
from talkinghead.backends.open import open_session
from talkinghead.backends.placement import (
    BACKENDS,
    DENSE,
    DEPTHWISE,
    PRECISIONS,
    PRODUCTS,
    Offer,
    Placement,
    available_backends,
    candidates,
    choose_device,
)
from talkinghead.backends.processor import cpu_has_bfloat16

__all__ = [
    "BACKENDS",
    "DENSE",
    "DEPTHWISE",
    "PRECISIONS",
    "PRODUCTS",
    "Graph",
    "GraphBuilder",
    "Network",
    "Offer",
    "Placement",
    "Session",
    "SessionFacts",
    "TensorSpec",
    "available_backends",
    "candidates",
    "choose_device",
    "cpu_has_bfloat16",
    "network_of",
    "open_session",
]
