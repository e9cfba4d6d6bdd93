"""What the processor can do, as far as the speed of networks depends on it."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from talkinghead.backends.runtimes import openvino
from talkinghead.contracts import Precision

FEATURES = ("sse4_2", "avx2", "fma", "f16c", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "amx_bf16",
            "amx_int8", "asimd", "asimdhp", "bf16", "i8mm")  # fmt: skip
"""Features that the networks' speed depends on, in the spelling of Linux."""

ProcessorKind = Literal["amx", "avx512-bf16", "arm-bf16", "plain"]
"""How bfloat16 is multiplied: by a matrix unit (AMX), by AVX-512 alone, by Arm's BF16, or not at all."""

KINDS: dict[ProcessorKind, str] = {
    "amx": "matrix unit for bfloat16 (AMX)",
    "avx512-bf16": "bfloat16 in AVX-512, no matrix unit",
    "arm-bf16": "bfloat16 of Arm",
    "plain": "no bfloat16 arithmetic",
}
"""Each kind in words."""

_MARKS: tuple[tuple[str, ProcessorKind], ...] = (
    ("amx_bf16", "amx"),
    ("avx512_bf16", "avx512-bf16"),
    ("bf16", "arm-bf16"),
)
"""Feature to kind; the first that is there decides."""


@dataclass(frozen=True)
class Processor:
    """A processor, or one that a test describes."""

    flags: frozenset[str] = frozenset()
    """Instruction set flags; empty where the system does not tell."""
    name: str | None = None
    openvino: frozenset[Precision] | None = None
    """Formats that OpenVINO computes in itself here, float32 among them; None asks it when the answer is needed."""

    @property
    def kind(self) -> ProcessorKind:
        return next((kind for flag, kind in _MARKS if flag in self.flags), "plain")

    @property
    def has_bfloat16(self) -> bool:
        """Whether the processor multiplies bfloat16 itself."""
        return self.kind != "plain"

    @property
    def features(self) -> tuple[str, ...]:
        """Those of FEATURES that it has."""
        return tuple(name for name in FEATURES if name in self.flags)

    def openvino_formats(self) -> frozenset[Precision]:
        """Formats that OpenVINO computes in itself; asked for others it computes in float32 without a word."""
        return self.openvino if self.openvino is not None else _openvino_formats()


@lru_cache(maxsize=1)
def this_processor() -> Processor:
    """The processor of this machine."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Processor(name=platform.processor() or None)
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    return Processor(
        flags=frozenset(flags[1].split()) if flags else frozenset(),
        name=name[1].strip() if name else platform.processor() or None,
    )


@lru_cache(maxsize=1)
def _openvino_formats() -> frozenset[Precision]:
    able = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    names: dict[str, Precision] = {"FP16": "float16", "BF16": "bfloat16", "INT8": "int8"}
    return frozenset({"float32", *(name for code, name in names.items() if code in able)})


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself (AMX or AVX-512 BF16 on x86, BF16 on Arm)."""
    return this_processor().has_bfloat16
