"""talkinghead: speech and a face in, a talking-head video out.

    import talkinghead as th

    head = th.load("viseme")                          # or "wav2lip", "synctalk2d", "artalk", "talkinggaussian"
    avatar = head.prepare("me.jpg")                   # slow part, once: decode, detect, cache
    result = head.render(avatar, th.listen("hello.wav"), "out.mp4")

Importing the package is cheap: networks, OpenCV and FFmpeg are imported when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from talkinghead.version import __version__

_LAZY = {
    "load": "talkinghead.api",
    "listen": "talkinghead.api",
    "prepare": "talkinghead.api",
    "render": "talkinghead.api",
    "frames": "talkinghead.api",
    "generate": "talkinghead.api",
    "models": "talkinghead.api",
    "say": "talkinghead.api",
    "AudioClip": "talkinghead.contracts",
    "Avatar": "talkinghead.engine.head",
    "Head": "talkinghead.engine.head",
    "LiveOptions": "talkinghead.engine.live",
    "LiveSession": "talkinghead.engine.live",
    "Moment": "talkinghead.engine.live",
    "Progress": "talkinghead.engine.context",
    "RenderOptions": "talkinghead.engine.head",
    "Report": "talkinghead.contracts",
    "Result": "talkinghead.contracts",
    "Speech": "talkinghead.contracts",
    "CancelToken": "talkinghead.engine.context",
    "TalkingHeadError": "talkinghead.errors",
}

__all__ = [
    "AudioClip",
    "Avatar",
    "CancelToken",
    "Head",
    "LiveOptions",
    "LiveSession",
    "Moment",
    "Progress",
    "RenderOptions",
    "Report",
    "Result",
    "Speech",
    "TalkingHeadError",
    "__version__",
    "frames",
    "generate",
    "listen",
    "load",
    "models",
    "prepare",
    "render",
    "say",
]

if TYPE_CHECKING:
    from talkinghead.api import frames, generate, listen, load, models, prepare, render, say
    from talkinghead.contracts import AudioClip, Report, Result, Speech
    from talkinghead.engine.context import CancelToken, Progress
    from talkinghead.engine.head import Avatar, Head, RenderOptions
    from talkinghead.engine.live import LiveOptions, LiveSession, Moment
    from talkinghead.errors import TalkingHeadError


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
