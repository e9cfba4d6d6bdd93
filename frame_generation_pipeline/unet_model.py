"""Alias: see `talkinghead.families.synctalk2d.published`."""

from talkinghead.families.synctalk2d.published import UNetModel

__all__ = ["UNetModel"]
