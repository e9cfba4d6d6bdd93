"""A video of ARTalk in parts: motion that follows its own past, a head drawn with a memory, noise by number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import talkinghead as th
from talkinghead.assets import demo_speech_path
from talkinghead.backends.gate import Verdict
from talkinghead.backends.placement import Placement
from talkinghead.contracts import AudioClip, Speech
from talkinghead.families.artalk.avatar import HeadAvatar
from talkinghead.families.artalk.gagavatar.renderer import GaussianRenderer
from talkinghead.families.artalk.gaussian_avatar import GaussianDrawer
from talkinghead.media import read_audio
from tests.families.artalk.test_gagavatar import stand_in
from tests.stretches import check_stretches


def speech(seconds: float) -> Speech:
    return th.listen(read_audio(demo_speech_path(), 16_000, duration_s=seconds))


@pytest.mark.parametrize("background", ["auto", pytest.param("transparent", marks=pytest.mark.thorough)])
def test_a_mesh(background: str) -> None:
    """More frames than are posed together."""
    head = th.load("artalk", driver="viseme", image_size=48, antialias=1, background=background)
    check_stretches(head, head.prepare("mesh"), speech(1.7), examples=3)


@pytest.mark.thorough
def test_motion_of_the_networks(assets: Path, small_sizes: None) -> None:
    """Each chunk of 4 s follows from the one before: a part hears the sound from its beginning."""
    head = th.load("artalk", assets=assets, image_size=32, antialias=1)
    said = speech(2.0)
    clip = AudioClip(np.tile(said.clip.samples, 3), 16_000)
    check_stretches(head, head.prepare("mesh"), Speech(clip, clip), examples=3)


@pytest.mark.thorough
def test_a_gaussian_avatar_whose_forehead_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    from talkinghead.families.artalk.gagavatar import geometry

    head = th.load("artalk", driver="viseme")
    monkeypatch.setattr(geometry, "FOREHEAD", np.arange(40))  # of our own head, which is not FLAME's
    model, gaussians = stand_in(head.flame.num_vertices)
    drawer = GaussianDrawer(
        head.flame, GaussianRenderer(model, gaussians), np.zeros((1, 300), np.float32),
        np.array([0, 0, 9.77], np.float32), Verdict(Placement("cpu", "torch", "float32")),
    )  # fmt: skip
    avatar = HeadAvatar(None, None, (512, 512), None, 1, name="11", drawer=drawer)
    check_stretches(head, avatar, speech(0.24), examples=1)
