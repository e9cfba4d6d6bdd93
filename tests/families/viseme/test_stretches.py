"""A video of the animator in parts: blinks, idle movement and what is decoded are as in the whole."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import talkinghead as th
from talkinghead.contracts import Speech
from talkinghead.engine.head import PrepareOptions, RenderOptions
from talkinghead.face import FaceOptions
from tests.families.viseme.test_pipeline import FACE, options, speech
from tests.families.viseme.test_video import moving
from tests.stretches import check_stretches
from tests.synthetic_media import make_video

LIVELY = {"blinks_per_minute": 60.0, "head_motion": 1.0}


def longer(said: Speech, times: int) -> Speech:
    """The same sentence again and again."""
    clip = replace(said.clip, samples=np.tile(said.clip.samples, times))
    seconds = float(said.clip.duration_s)
    assert said.phones is not None
    phones = tuple(
        replace(phone, start_s=phone.start_s + k * seconds, end_s=phone.end_s + k * seconds)
        for k in range(times)
        for phone in said.phones
    )
    return Speech(clip, clip, phones=phones)


def test_a_picture_lives_on() -> None:
    head = th.load("viseme", **LIVELY)
    check_stretches(head, head.prepare(FACE.frame, options()), longer(speech(), 2), examples=3)


@pytest.mark.parametrize("loop", ["pingpong", "loop", "hold"])
@pytest.mark.thorough
def test_a_video_is_read_from_the_middle(tmp_path: Path, loop: str) -> None:
    """By seeking: groups of pictures and reordered ones lie across the cuts."""
    frames, _, _ = moving(FACE, 17)
    size = (frames[0].shape[1] & ~1, frames[0].shape[0] & ~1)
    cut = [frame[: size[1], : size[0]] for frame in frames]
    video = make_video(tmp_path / "face.mp4", num_frames=len(cut), size=size, frames=cut, gop=6)
    head = th.load("viseme")
    avatar = head.prepare(video, PrepareOptions(faces=FaceOptions(box=tuple(int(v) for v in FACE.box_xyxy))))  # type: ignore[arg-type]
    check_stretches(head, avatar, longer(speech(), 2), RenderOptions(loop=loop), examples=6)  # type: ignore[arg-type]


@pytest.mark.thorough
def test_at_another_rate_and_with_recognised_phones() -> None:
    said = replace(longer(speech(), 4), phones=None)  # long enough to be listened to while it is drawn
    head = th.load("viseme", **LIVELY)
    check_stretches(
        head, head.prepare(FACE.frame, options()), said, RenderOptions(fps=Fraction(30_000, 1001)), examples=4
    )
