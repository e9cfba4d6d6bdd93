"""Alias: see `talkinghead.families.synctalk2d.published`."""

from talkinghead.families.synctalk2d.published import FrameGenerationPipeline

__all__ = ["FrameGenerationPipeline"]
