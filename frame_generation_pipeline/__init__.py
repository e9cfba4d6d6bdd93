"""The published package of this name, over `talkinghead`: its examples run unchanged.

See `talkinghead.families.synctalk2d.published`.
"""

from talkinghead.families.synctalk2d.published import (
    FrameGenerationPipeline,
    FrameGenerator,
    ImageProcessor,
    UNetModel,
)

__all__ = ["FrameGenerationPipeline", "FrameGenerator", "ImageProcessor", "UNetModel"]
