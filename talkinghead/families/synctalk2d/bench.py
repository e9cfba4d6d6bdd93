"""What `talkinghead bench synctalk2d` measures: the drawn person at the wanted size, on every back end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from talkinghead.families.synctalk2d.choose import candidates, has_cuda, installed
from talkinghead.families.synctalk2d.procedural import write_models, write_template
from talkinghead.measure.bench import BenchCase, BenchSettings

NUM_TEMPLATES = 50


def cases(settings: BenchSettings, folder: Path) -> Sequence[BenchCase]:
    """One case per back end and precision that this machine has; only the chosen one where the call names one."""
    template = write_template(
        folder / "template", num_frames=NUM_TEMPLATES, width=settings.width, height=settings.height
    )
    load: dict[str, Any] = {}
    if "checkpoint" not in settings.load:
        load["checkpoint"] = write_models(folder / "model")
    size = f"{NUM_TEMPLATES} drawn templates, {settings.width}x{settings.height}"
    wanted = {key: settings.load.get(key, "auto") for key in ("backend", "device", "precision")}
    if any(value != "auto" for value in wanted.values()):
        return [BenchCase("chosen", template, size, load=load)]
    found: list[BenchCase] = []
    ways = [("openvino", "fast"), ("openvino", "parity"), ("onnx", "parity"), ("torch", "parity")]
    for backend, precision in ways:
        if not installed(backend) or (backend == "torch" and has_cuda()):
            continue
        choice = candidates(backend, "cpu", precision, compat=False)[0]
        if precision == "fast" and choice.precision == "float32":
            continue
        options = {**load, "backend": backend, "device": "cpu", "precision": precision}
        found.append(BenchCase(f"{backend}-{precision}", template, f"{choice.name}; {size}", load=options))
    if has_cuda():
        for precision in ("fast", "parity"):
            options = {**load, "backend": "torch", "device": "cuda", "precision": precision}
            found.append(BenchCase(f"cuda-{precision}", template, f"torch on the GPU; {size}", load=options))
    return found
