"""Alias: see `talkinghead.families.synctalk2d.published`."""

from talkinghead.families.synctalk2d.published import ImageProcessor

__all__ = ["ImageProcessor"]
