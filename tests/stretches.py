"""The law of stretches, for the tests of every family: made in parts, a video has the frames that it has as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkinghead.contracts import Picture, Speech
from talkinghead.engine.head import AnyHead, RenderOptions

FAR_S = 1_000.0
"""After the end."""


def check_stretches(
    head: AnyHead, avatar: Any, speech: Speech, render: RenderOptions | None = None, *, examples: int = 4
) -> None:
    """Cut a video anywhere, also within a group of frames that is computed together: all parts are to the bit as in
    the whole. The parts come in any order and from one head, which must not remember the others.
    """
    options = render or RenderOptions()
    whole = list(head.pictures(avatar, speech, options))
    fps = head.plan(avatar, speech, options).fps
    assert len({_bytes(picture) for picture in whole}) > 1, "a face that does not move proves nothing"

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(
        cuts=st.sets(st.integers(1, len(whole) - 1), min_size=1, max_size=3),
        order=st.randoms(use_true_random=False),
        early=st.booleans(),
    )
    def law(cuts: set[int], order: Any, early: bool) -> None:
        edges = [0.0, *(_moment(cut, fps, early) for cut in sorted(cuts)), FAR_S]
        parts = list(enumerate(pairwise(edges)))
        order.shuffle(parts)
        made: dict[int, Sequence[Any]] = {}
        for place, stretch in parts:
            made[place] = list(head.pictures(avatar, speech, replace(options, stretch=stretch)))
        found = [picture for place in sorted(made) for picture in made[place]]
        assert [len(made[place]) for place in sorted(made)] == [
            b - a for a, b in pairwise([0, *sorted(cuts), len(whole)])
        ]
        wrong = [i for i, (a, b) in enumerate(zip(found, whole, strict=True)) if _bytes(a) != _bytes(b)]
        assert not wrong, f"frames {wrong} of {len(whole)} differ, cut at {sorted(cuts)}"

    law()


def _moment(frame: int, fps: Fraction, early: bool) -> float:
    """A moment from which on a frame is the first to begin."""
    return float((frame - Fraction(1 + 8 * early, 10)) / fps)


def _bytes(picture: Any) -> bytes:
    parts = (picture.frame, picture.alpha) if isinstance(picture, Picture) else (picture,)
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
