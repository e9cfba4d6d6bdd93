"""How a generator of SyncTalk_2D is recognised. Each is of one person; none is published by the authors."""

from __future__ import annotations

from talkinghead.errors import TalkingHeadError
from talkinghead.weights.checkpoint import Checkpoint
from talkinghead.weights.kinds import Kind


def _is_generator(checkpoint: Checkpoint) -> bool:
    from talkinghead.families.synctalk2d.weights import recognise, to_published_layout

    try:
        recognise(to_published_layout(checkpoint.tensors)[0], str(checkpoint.path))
    except TalkingHeadError:
        return False
    return True


KINDS = (Kind("synctalk2d", "a SyncTalk_2D generator of one person", model="synctalk2d", holds=_is_generator),)
