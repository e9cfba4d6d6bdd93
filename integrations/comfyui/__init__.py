"""talkinghead in ComfyUI: a face and a sound become frames that speak, or a video file.

ComfyUI imports this folder from its `custom_nodes` and reads the two mappings.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

if find_spec("talkinghead") is None:
    raise ImportError(
        "The talkinghead nodes need the package talkinghead in ComfyUI's own Python. "
        f"Try: python -m pip install -r {Path(__file__).with_name('requirements.txt')}"
    )

from .faces import PrepareFace, PreviewFace
from .heads import LoadHead
from .options import FaceOptionsNode, VideoOptionsNode, model_option_nodes
from .speaking import Speak, SpeakToVideo
from .voices import SpeechFromText

NODE_CLASS_MAPPINGS: dict[str, type[Any]] = {
    "TalkingHeadLoadHead": LoadHead,
    "TalkingHeadPrepareFace": PrepareFace,
    "TalkingHeadPreviewFace": PreviewFace,
    "TalkingHeadSpeechFromText": SpeechFromText,
    "TalkingHeadSpeak": Speak,
    "TalkingHeadSpeakToVideo": SpeakToVideo,
    "TalkingHeadFaceOptions": FaceOptionsNode,
    "TalkingHeadVideoOptions": VideoOptionsNode,
    **model_option_nodes(),
}
NODE_DISPLAY_NAME_MAPPINGS = {name: node.TITLE for name, node in NODE_CLASS_MAPPINGS.items()}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
