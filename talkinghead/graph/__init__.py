"""Convolutional networks written once and run anywhere: folded weights, a few operations, two carriers.

A network is a function over `Ops`. `TorchOps` computes it at once on any device; `OnnxOps` writes it as an ONNX graph,
which ONNX Runtime and OpenVINO run (`compiled`).
"""

from talkinghead.graph.conv import BATCH_NORM_EPS, Conv, Ops, fold_batch_norm

__all__ = ["BATCH_NORM_EPS", "Conv", "Ops", "fold_batch_norm"]
