"""ARTalk: speech to FLAME motion, rendered as a mesh or as a Gaussian avatar."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from talkinghead.families.artalk.published import ARTAvatarInferEngine

__all__ = ["ARTAvatarInferEngine"]


def __getattr__(name: str) -> Any:
    """The published engine, imported when it is asked for."""
    if name == "ARTAvatarInferEngine":
        return import_module("talkinghead.families.artalk.published").ARTAvatarInferEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
