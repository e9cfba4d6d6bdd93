"""SyncTalk_2D (and its ancestor Ultralight-Digital-Human): a U-Net that redraws the lower face of a template folder.

The published interface is here too: FrameGenerationPipeline, UNetModel, ImageProcessor, FrameGenerator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from talkinghead.families.synctalk2d.published import (
        FrameGenerationPipeline,
        FrameGenerator,
        ImageProcessor,
        UNetModel,
    )

__all__ = ["FrameGenerationPipeline", "FrameGenerator", "ImageProcessor", "UNetModel"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from talkinghead.families.synctalk2d import published

    return getattr(published, name)
