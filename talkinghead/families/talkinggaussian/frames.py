"""The steps of one frame, as stages between bounded queues: deform, rasterize, compose."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from talkinghead.contracts import FloatArray, Frame
from talkinghead.engine.runner import Stage
from talkinghead.families.talkinggaussian.renderer import DeformedHead, DrawnHead, HeadRenderer, SpeechCode
from talkinghead.families.talkinggaussian.scene import Backdrop
from talkinghead.rendering.cameras import Camera

BLACK = np.zeros(3, np.float32)
MOTION_BATCH = 4
"""Frames that go through the motion network together: their Gaussians are read from memory once."""
QUEUE = 3
"""Frames that may wait between two steps; each holds pictures of both clouds."""


@dataclass(frozen=True, eq=False)
class Shot:
    """What one output frame shows."""

    index: int
    """Output frame."""
    code: SpeechCode
    """What is heard in it."""
    img_id: int
    """Frame of the recording whose torso picture stands behind."""
    camera: Camera
    au_exp: FloatArray
    """[6] float32 action units."""


@dataclass(frozen=True, eq=False)
class ShotBackdrop:
    shot: Shot
    backdrop: Frame


@dataclass(frozen=True, eq=False)
class ShotDeformed:
    shot: Shot
    backdrop: Frame
    head: DeformedHead


@dataclass(frozen=True, eq=False)
class ShotDrawn:
    shot: Shot
    backdrop: Frame
    drawn: DrawnHead


def shots_stage(make: Callable[[int], Shot], backdrop: Backdrop) -> Stage:
    """Output frame indices to shots with the picture behind the head."""

    def run(indices: Iterator[int]) -> Iterator[ShotBackdrop]:
        for index in indices:
            shot = make(index)
            yield ShotBackdrop(shot, backdrop.frame(shot.img_id))

    return Stage("read", run, QUEUE)


def deform_stage(renderer: HeadRenderer) -> Stage:
    """Move the clouds as the speech says, MOTION_BATCH frames together."""

    def run(items: Iterator[ShotBackdrop]) -> Iterator[ShotDeformed]:
        while batch := list(itertools.islice(items, MOTION_BATCH)):
            shots = [item.shot for item in batch]
            heads = renderer.deform([shot.code for shot in shots], np.stack([shot.au_exp for shot in shots]))
            for item, head in zip(batch, heads, strict=True):
                yield ShotDeformed(item.shot, item.backdrop, head)

    return Stage("pose", run, QUEUE)


def draw_stage(renderer: HeadRenderer, background: FloatArray = BLACK) -> Stage:
    """Rasterise both clouds."""

    def run(items: Iterator[ShotDeformed]) -> Iterator[ShotDrawn]:
        for item in items:
            yield ShotDrawn(item.shot, item.backdrop, renderer.draw(item.head, item.shot.camera, background))

    return Stage("draw", run, QUEUE)


def compose_stage(renderer: HeadRenderer, *, dilate_mouth: bool) -> Stage:
    """Face over mouth over background, RGB uint8."""

    def run(items: Iterator[ShotDrawn]) -> Iterator[Frame]:
        for item in items:
            yield renderer.compose(item.drawn, item.backdrop, dilate_mouth=dilate_mouth)

    return Stage("compose", run, QUEUE)
