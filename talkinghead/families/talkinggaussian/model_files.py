"""How a head of TalkingGaussian is recognised. Each is of one person; none is published by the authors."""

from __future__ import annotations

from talkinghead.errors import TalkingHeadError
from talkinghead.weights.checkpoint import Checkpoint
from talkinghead.weights.kinds import Kind


def _is_head(checkpoint: Checkpoint) -> bool:
    from talkinghead.families.talkinggaussian.checkpoint import read_trained_head

    try:
        read_trained_head(checkpoint.path)
    except (TalkingHeadError, KeyError, IndexError, TypeError):
        return False
    return True


KINDS = (Kind("talkinggaussian", "a TalkingGaussian head of one person", model="talkinggaussian", holds=_is_head),)
