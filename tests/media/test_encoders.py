"""How encoders are opened."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from talkinghead.media import encoders
from talkinghead.media.options import EncodeOptions


class Context:
    """Takes what an encoder is told."""

    def open(self) -> None:
        pass


@pytest.mark.parametrize("preset", [None, "veryfast"])
@pytest.mark.parametrize(("name", "size"), [("libx264", 96), ("libx264", 8192), ("libx265", 96)])
def test_x264_does_without_avx512(name: str, size: int, preset: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its functions for AVX-512 do not give the same bytes each time. Elsewhere it is not told: it would believe it."""
    (facts,) = (facts for facts in encoders.ENCODERS if facts.name == name)
    told: dict[bool, dict[str, Any]] = {}
    for has in (False, True):
        monkeypatch.setattr(encoders, "has_avx512", lambda has=has: has)
        context: Any = Context()
        encoders.set_up(context, facts, EncodeOptions(preset=preset), size, size, Fraction(25))
        told[has] = context.options
    before, after = (told[has].get("x264-params") for has in (False, True))
    if name == "libx264":
        assert after == (f"{before}:asm=AVX2" if before else "asm=AVX2")
        assert "asm" not in (before or "")
    else:
        assert told[True] == told[False]
