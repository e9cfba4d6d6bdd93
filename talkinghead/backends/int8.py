"""8-bit weights and activations, calibrated on the user's own inputs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from talkinghead.backends.base import Array
from talkinghead.backends.runtimes import onnxruntime
from talkinghead.errors import MissingDependency, OptionError
from talkinghead.places import temporary_folder


class _Samples:
    """What the calibrator reads."""

    def __init__(self, samples: Sequence[dict[str, Array]]) -> None:
        self._samples = samples
        self._iterator: Iterator[dict[str, Array]] = iter(samples)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._iterator, None)

    def rewind(self) -> None:
        self._iterator = iter(self._samples)


def quantise(model: bytes, samples: Sequence[dict[str, Array]]) -> bytes:
    """An ONNX model with 8-bit convolutions: weights per channel, activations by the range seen on the samples.

    Args:
        model: float32, serialised.
        samples: inputs by name; a few dozen frames of the clip that will be rendered.
    Returns:
        The model with quantise-dequantise pairs, which ONNX Runtime and OpenVINO turn into 8-bit arithmetic. The last
        convolution stays as it was: its error would go straight into the picture.
    Raises:
        OptionError: no samples. MissingDependency: onnxruntime is not installed.
    """
    if not samples:
        raise OptionError(
            "8-bit precision has to be calibrated and no sample was given.",
            remedy="prepare with the speech known (talkinghead generate does), or --precision fast",
        )
    try:
        import onnx

        onnxruntime()
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingDependency("onnxruntime", extra="models", purpose="8-bit calibration") from error
    logging.getLogger().setLevel(max(logging.getLogger().level, logging.WARNING))
    with temporary_folder() as folder:
        source, ready, result = (folder / name for name in ("float.onnx", "ready.onnx", "int8.onnx"))
        source.write_bytes(model)
        quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
        graph = onnx.load(str(ready)).graph
        convolutions = [node.name for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
        quantize_static(
            str(ready),
            str(result),
            _Samples([{name: np.ascontiguousarray(value) for name, value in sample.items()} for sample in samples]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Add", "Concat"],
            nodes_to_exclude=convolutions[-1:],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return result.read_bytes()
