"""The one way in to ONNX Runtime and OpenVINO, which would tell their makers of every use."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from contextlib import suppress
from typing import Any

_TELEMETRY = "openvino_telemetry"
_LOCK = threading.Lock()


def onnxruntime() -> Any:
    """The module `onnxruntime`, imported without its statistics.

    Since 1.31 it sends facts of every session to its makers and keeps an identity in the user's cache folder, on Linux
    and macOS too, unless ORT_DISABLE_TELEMETRY is set before it is imported. A value that the user has set stays.

    Raises:
        ImportError: ONNX Runtime is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")


def openvino() -> Any:
    """The module `openvino`, imported without its statistics.

    `import openvino` looks up a host of statistics and keeps an identity and counts in the home folder. Without the
    package openvino_telemetry it has a stub of its own for that, so this package is hidden while OpenVINO is imported;
    a program that imported OpenVINO before keeps what it has.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    with _LOCK:
        if "openvino" not in sys.modules:
            _import_quietly()
    return sys.modules["openvino"]


def load_ahead() -> None:
    """Load OpenVINO with its plugin for processors, where it is installed: its libraries hold Python's lock for up to
    0.2 s, in which no live session shows a picture."""
    with suppress(ImportError, RuntimeError):
        openvino().Core().get_property("CPU", "FULL_DEVICE_NAME")


def _import_quietly() -> None:
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == _TELEMETRY}
    for name in before:
        del sys.modules[name]
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # what makes `import` raise ImportError
    try:
        importlib.import_module("openvino")
    finally:
        del sys.modules[_TELEMETRY]
        sys.modules.update(before)
