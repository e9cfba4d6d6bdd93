"""SyncTalk_2D (and its ancestor Ultralight-Digital-Human): a U-Net that redraws the lower face of a template folder.

The published interface is here too: FrameGenerationPipeline, UNetModel, ImageProcessor, FrameGenerator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from talkinghead.lazy import lazy_names

if TYPE_CHECKING:
    from talkinghead.families.synctalk2d.published import (
        FrameGenerationPipeline,
        FrameGenerator,
        ImageProcessor,
        UNetModel,
    )

__all__ = ["FrameGenerationPipeline", "FrameGenerator", "ImageProcessor", "UNetModel"]

__getattr__ = lazy_names(__name__, dict.fromkeys(__all__, "published"))
