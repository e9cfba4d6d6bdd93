"""Errors of the package in the words of who connects nodes: no flags of the command line."""

from __future__ import annotations

import re

from talkinghead.errors import TalkingHeadError

PLACES = {
    "face": "the image, the video or the source of Prepare Face",
    "template": "the source of Prepare Face",
    "scene": "the source of Prepare Face",
    "avatar": "the source of Prepare Face",
    "audio": "the audio",
    "text": "Speech from Text",
    "model": "the model of Load Head",
    "checkpoint": "the checkpoint of Load Head",
    "device": "the device of Load Head",
    "precision": "the precision of Load Head",
    "backend": "the backend of Load Head",
}
"""Flag, without its dashes, to where its value comes from here."""
_FLAG = re.compile(r"--(no-)?([a-z][a-z0-9-]*)(?: (?:[A-Z][A-Z_.]*(?:\.[a-z0-9]+)?|me\.jpg)\b)?")


class NodeError(Exception):
    """What a node could not do, and what to try."""

    def __init__(self, what: str, *, accepted: str | None = None, remedy: str | None = None) -> None:
        parts = [what, accepted and f"Accepted: {accepted}", remedy and f"Try: {remedy}"]
        super().__init__("\n".join(part for part in parts if part))


def node_error(error: TalkingHeadError) -> NodeError:
    """The same, told to somebody who sees nodes."""
    return NodeError(
        in_nodes(error.what),
        accepted=in_nodes(error.accepted) if error.accepted else None,
        remedy=in_nodes(error.remedy) if error.remedy else None,
    )


def in_nodes(text: str) -> str:
    """A sentence with inputs of nodes where it names flags."""

    def place(found: re.Match[str]) -> str:
        name = found[2].replace("-", "_")
        return f"{name} off" if found[1] else PLACES.get(found[2], name)

    return _FLAG.sub(place, text)
