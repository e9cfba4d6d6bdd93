"""What can be chosen with the files that are there now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talkinghead.families.artalk.assets import asset_folder


def choices_now(options: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    """Avatars ("source") and speaking styles ("style").

    Args:
        options: fields of `ARTalkConfig` that are set; `assets` decides where to look.
    """
    assets = asset_folder(options.get("assets"), None)
    found: dict[str, tuple[str, ...]] = {"source": ("mesh",)}
    if assets.find("artalk_wav2vec") is not None and assets.styles:
        found["style"] = ("default", *assets.styles)
    tracked = assets.find("tracked_avatars")
    if tracked is not None and all(assets.find(name) is not None for name in ("gagavatar_model", "flame_with_eye")):
        from talkinghead.families.artalk.weights import read_tracked

        found["source"] = ("mesh", *sorted(read_tracked(tracked)))
    return found
