"""Alias: see `talkinghead.families.synctalk2d.published`."""

from talkinghead.families.synctalk2d.published import FrameGenerator

__all__ = ["FrameGenerator"]
