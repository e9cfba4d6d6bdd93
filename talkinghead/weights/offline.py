"""Whether the network may be used. It never is unless the user asks for something from it."""

from __future__ import annotations

import os

OFFLINE_VARIABLES = ("TALKINGHEAD_OFFLINE", "HF_HUB_OFFLINE")


def offline_reason() -> str | None:
    """The variable that forbids the network, or None where it may be used."""
    for name in OFFLINE_VARIABLES:
        if os.environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off"):
            return name
    return None
