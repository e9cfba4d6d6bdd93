"""What moves a head: ARTalk's networks, or recognised phones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from talkinghead.backends.placement import PRODUCTS, Order, Placement, Way
from talkinghead.contracts import AudioClip, FloatArray, NetworkRun, Phone
from talkinghead.engine.context import RunContext
from talkinghead.engine.listener import Heard, Listener, WholeSound
from talkinghead.errors import MissingDependency
from talkinghead.families.artalk.config import ARTalkConfig
from talkinghead.families.artalk.motion.config import MotionRow
from talkinghead.families.artalk.motion.counts import VideoLength
from talkinghead.families.artalk.viseme_driver import Liveliness, MouthShapes, motion_from_mouth

if TYPE_CHECKING:
    from talkinghead.engine.head import LoadOptions
    from talkinghead.families.artalk.motion.engine import MotionModel
    from talkinghead.families.artalk.motion.stream import MotionStream

_BFLOAT16: Way = ("torch", "bfloat16")
MOTION_NETWORK = replace(
    PRODUCTS,
    title="ARTalk's motion network",
    reduced={
        "amx": Order((_BFLOAT16,), "measured: 8 s of sound in 1.1 s, float32 2.0"),
        "avx512-bf16": Order((_BFLOAT16,), "known, not measured: half the memory traffic"),
        "arm-bf16": Order((_BFLOAT16,), "known, not measured: half the memory traffic"),
    },
    cuda=("bfloat16", "float32"),
    auto="parity",
)
"""Half precision flips bits of the motion, which changes it, so it has to be asked for."""


class Driver(Protocol):
    """Sound to motion."""

    @property
    def name(self) -> str:
        """ "artalk" or "viseme"."""

    @property
    def networks(self) -> tuple[NetworkRun, ...]:
        """Where those ran that turn sound into motion."""

    def listener(self, length: VideoLength, run: RunContext, phones: tuple[Phone, ...] | None) -> Listener[MotionRow]:
        """What listens to one sound; see `Head.listener`."""

    def motion(self, clip: AudioClip, style: FloatArray | None = None) -> FloatArray:
        """Motion of a whole sound at 25 frames a second, not cut: [T, 106] float32.

        Args:
            style: [50, 106] motion whose style is taken, where the driver knows styles.
        """


@dataclass(frozen=True, eq=False)
class NetworkDriver:
    """ARTalk's networks.

    Its motion is at 25 frames a second, smoothed and cleared as published.
    """

    model: MotionModel
    place: Placement
    style: FloatArray | None
    """[50, 106] motion, or None."""
    smooth: bool
    fix_pose: bool
    published: bool
    """Refuse a sound that is too short to be smoothed, as published."""
    expressive: bool
    """The head that is drawn knows ARTalk's expressions."""

    @property
    def name(self) -> str:
        return "artalk"

    @property
    def networks(self) -> tuple[NetworkRun, ...]:
        return (self.place.run("motion network"),)

    def listener(
        self,
        length: VideoLength,
        run: RunContext,
        phones: tuple[Phone, ...] | None,  # noqa: ARG002 (the networks listen themselves)
    ) -> Listener[MotionRow]:
        from talkinghead.families.artalk.motion.listener import MotionListener

        return MotionListener(self._stream(self.style), length, run, expressive=self.expressive)

    def motion(self, clip: AudioClip, style: FloatArray | None = None) -> FloatArray:
        stream = self._stream(style)
        return np.concatenate((stream.feed(clip.samples), stream.finish()))

    def _stream(self, style: FloatArray | None) -> MotionStream:
        from talkinghead.families.artalk.motion.stream import MotionStream

        return MotionStream(self.model, style, smooth=self.smooth, fix_pose=self.fix_pose, refuse_short=self.published)


@dataclass(frozen=True, eq=False)
class PhoneDriver:
    """Recognised phones; needs no files."""

    shapes: Callable[[], MouthShapes | None]
    """What the head's expressions can do; None for a head where only the jaw and the head move."""
    lively: Liveliness
    strength: float
    """Factor on the mouth."""

    @property
    def name(self) -> str:
        return "viseme"

    @property
    def networks(self) -> tuple[NetworkRun, ...]:
        return ()

    def listener(self, length: VideoLength, run: RunContext, phones: tuple[Phone, ...] | None) -> Listener[MotionRow]:
        """Phones are recognised over the whole sound, and the mouth opens as wide as its loudest parts."""

        def hear(clip: AudioClip) -> Heard[MotionRow]:
            return self._hear(clip, length, phones, run.hearing(float(clip.duration_s)))

        return WholeSound(hear)

    def motion(self, clip: AudioClip, style: FloatArray | None = None) -> FloatArray:  # noqa: ARG002 (has no styles)
        return np.stack(self._hear(clip, VideoLength(), None, None).windows)

    def _hear(
        self,
        clip: AudioClip,
        length: VideoLength,
        phones: tuple[Phone, ...] | None,
        tell: Callable[[float, float], None] | None,
    ) -> Heard[MotionRow]:
        from talkinghead.audio.mouth import MouthConfig, mouth_motion
        from talkinghead.audio.phones import PhoneResult, recognise_phones

        found = PhoneResult(phones, "given") if phones is not None else recognise_phones(clip, progress=tell)
        count = length.frames(len(clip.samples))
        mouth = mouth_motion(found.phones, clip, length.fps, count, MouthConfig(openness=self.strength))
        shapes = self.shapes()
        motion = motion_from_mouth(mouth, shapes, self.lively)
        notes = (*length.notes(len(clip.samples)), *found.notes)
        if shapes is None:
            notes += ("This head's file has no landmarks, so that recognised phones move only its jaw and head.",)
        return Heard(list(motion), f"viseme ({found.method})", found.phones, notes)


def load_network_driver(
    checkpoint: Path,
    sizes: Path | None,
    config: ARTalkConfig,
    options: LoadOptions,
    *,
    style: FloatArray | None,
    expressive: bool,
) -> NetworkDriver:
    """Read ARTalk's networks and put them where they run.

    Args:
        checkpoint: ARTalk_wav2vec.pt.
        sizes: config.json, or None for the published sizes.
    Raises:
        MissingDependency: PyTorch is not installed. WrongCheckpoint: other weights.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependency("torch", extra="models", purpose="The artalk driver") from error
    from talkinghead.families.artalk.weights import load_motion_model

    place = Placement.choose(options.device, options.backend, options.precision, offer=MOTION_NETWORK)
    model = load_motion_model(checkpoint, sizes).to(place.device)
    if place.precision == "bfloat16":
        model.use(torch.bfloat16)
    if config.compile:
        model.compile_encoder()
    return NetworkDriver(
        model,
        place,
        style,
        smooth=config.smooth,
        fix_pose=config.fix_pose,
        published=options.compat,
        expressive=expressive,
    )
