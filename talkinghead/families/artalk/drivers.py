"""What moves a head: ARTalk's networks, or recognised phones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from talkinghead.audio.mouth import MouthConfig, mouth_motion
from talkinghead.backends.gate import Verdict, first_faithful, spread_psnr_db
from talkinghead.backends.placement import PRODUCTS, Order, Placement, Way, asked_by_name, candidates
from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, FloatArray, NetworkRun, Phone, Precision
from talkinghead.engine.context import RunContext
from talkinghead.engine.listener import Heard, Listener, Told, WholeSound
from talkinghead.errors import MissingDependency
from talkinghead.families.artalk.config import ARTalkConfig
from talkinghead.families.artalk.motion.config import MotionRow
from talkinghead.families.artalk.motion.counts import VideoLength
from talkinghead.families.artalk.viseme_driver import Liveliness, MouthShapes, motion_from_mouth
from talkinghead.files import file_sha256

if TYPE_CHECKING:
    from talkinghead.audio.phones import PhoneResult
    from talkinghead.engine.head import LoadOptions
    from talkinghead.families.artalk.live import LiveHead
    from talkinghead.families.artalk.motion.engine import MotionModel
    from talkinghead.families.artalk.motion.stream import MotionStream

MOTION = "motion network of ARTalk/1"
"""The network whose precision is measured; its version is raised when what it computes changes."""
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
"""Half precision flips bits of the motion: it has to be asked for, and `fast` measures how much that changes."""


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

    def live_listener(
        self, length: VideoLength, run: RunContext, phones: tuple[Phone, ...] | None
    ) -> Listener[FloatArray]:
        """What listens to an utterance of a live session; see `Head.live_listener`."""

    def live_face(self, fps: Fraction, shapes: MouthShapes | None) -> LiveHead:
        """What a live session shows of it.

        Args:
            shapes: what the drawn head's expressions can do.
        """

    def motion(self, clip: AudioClip, style: FloatArray | None = None) -> FloatArray:
        """Motion of a whole sound at 25 frames a second, not cut: [T, 106] float32.

        Args:
            style: [50, 106] motion whose style is taken, where the driver knows styles.
        """


@dataclass(eq=False)
class NetworkDriver:
    """ARTalk's networks.

    Its motion is at 25 frames a second, smoothed and cleared as published.
    """

    load: Callable[[], MotionModel]
    """Reads the networks, in float32, to where they run."""
    places: tuple[Placement, ...]
    """Ranked ways to run."""
    weights: Path
    """ARTalk_wav2vec.pt."""
    trusted: bool
    """The number format was asked for by name."""
    compiled: bool
    """Compile the audio encoder."""
    style: FloatArray | None
    """[50, 106] motion, or None."""
    smooth: bool
    fix_pose: bool
    published: bool
    """Refuse a sound that is too short to be smoothed, as published."""
    expressive: bool
    """The head that is drawn knows ARTalk's expressions."""
    lively: Liveliness
    """Of a live session where nothing is said."""
    _model: MotionModel = field(init=False)
    _verdict: Verdict | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._model = self.load()  # what is wrong with the file is said when the head is loaded

    @property
    def name(self) -> str:
        return "artalk"

    @property
    def networks(self) -> tuple[NetworkRun, ...]:
        return ((self._verdict or Verdict(self.places[0])).run("motion network"),)

    def model(self, run: RunContext) -> MotionModel:
        """The networks, as precise as was decided: half precision only where it says the same of our own speech."""
        if self._verdict is None:
            self._verdict = first_faithful(
                self.places,
                self._faithfulness_db,
                network=MOTION,
                weights_sha256=lambda: file_sha256(self.weights),
                store=run.cache,
                trusted=self.trusted,
            )
            self._compute_in(self._verdict.placement.precision)
            if self.compiled:
                self._model.compile_encoder()
        for sentence in self._verdict.refused:
            run.fall_back(sentence)
        return self._model

    def _compute_in(self, precision: Precision) -> None:
        """Make the networks ready in a number format."""
        import torch

        half = next(self._model.generator.attn_blocks.parameters()).dtype != torch.float32
        if half and precision == "float32":
            self._model = self.load()  # what was rounded does not come back
        elif precision != "float32":
            self._model.use(torch.bfloat16)

    def _faithfulness_db(self, place: Placement) -> float:
        """How near the motion of our own speech comes to the same in float32, of its spread.

        Without a style, so that what is remembered is the same whichever was asked for first.
        """
        from talkinghead.assets import demo_speech_path
        from talkinghead.media import read_audio

        samples = read_audio(demo_speech_path(), SPEECH_RATE_HZ).samples
        found = []
        for precision in ("float32", place.precision):
            self._compute_in(precision)
            found.append(self._model.generate(samples[: self._model.chunk_samples]).motion)
        exact, reduced = found
        return spread_psnr_db(reduced, exact)

    def listener(
        self,
        length: VideoLength,
        run: RunContext,
        phones: tuple[Phone, ...] | None,  # noqa: ARG002 (the networks listen themselves)
    ) -> Listener[MotionRow]:
        from talkinghead.families.artalk.motion.listener import MotionListener

        return MotionListener(self._stream(self.style, run), length, run, expressive=self.expressive)

    def live_listener(
        self, length: VideoLength, run: RunContext, phones: tuple[Phone, ...] | None
    ) -> Listener[FloatArray]:
        """The motion of the whole sound: a chunk of 4 s is heard before its first frame is known."""
        return self.listener(length, run, phones)

    def live_face(self, fps: Fraction, shapes: MouthShapes | None) -> LiveHead:
        from talkinghead.families.artalk.live import MovedHead

        return MovedHead(fps, shapes, self.lively)

    def motion(self, clip: AudioClip, style: FloatArray | None = None) -> FloatArray:
        stream = self._stream(style, RunContext())
        return np.concatenate((stream.feed(clip.samples), stream.finish()))

    def _stream(self, style: FloatArray | None, run: RunContext) -> MotionStream:
        from talkinghead.families.artalk.motion.stream import MotionStream

        model = self.model(run)
        return MotionStream(model, style, smooth=self.smooth, fix_pose=self.fix_pose, refuse_short=self.published)


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
            from talkinghead.audio.ahead import recognised

            found = recognised(clip, run.ahead, run.hearing(float(clip.duration_s)), given=phones)
            return self._moved(clip, length, found)

        return WholeSound(hear)

    def live_listener(
        self,
        length: VideoLength,
        run: RunContext,  # noqa: ARG002 - the interface
        phones: tuple[Phone, ...] | None,
    ) -> Listener[FloatArray]:
        from talkinghead.engine.live.rows import LiveRows
        from talkinghead.families.artalk.live import known_rows

        config = MouthConfig(openness=self.strength)
        return LiveRows(length.fps, config, "viseme (live)") if phones is None else known_rows(phones, length, config)

    def live_face(self, fps: Fraction, shapes: MouthShapes | None) -> LiveHead:
        from talkinghead.families.artalk.live import SpokenHead

        return SpokenHead(fps, shapes, self.lively)

    def motion(self, clip: AudioClip, style: FloatArray | None = None) -> FloatArray:  # noqa: ARG002 (has no styles)
        from talkinghead.audio.phones import recognise_phones

        return np.stack(self._moved(clip, VideoLength(), recognise_phones(clip)).windows)

    def _moved(self, clip: AudioClip, length: VideoLength, found: PhoneResult) -> Heard[MotionRow]:
        count = length.frames(len(clip.samples))
        mouth = mouth_motion(found.phones, clip, length.fps, count, MouthConfig(openness=self.strength))
        shapes = self.shapes()
        motion = motion_from_mouth(mouth, shapes, self.lively)
        notes = (*length.notes(len(clip.samples)), *found.notes)
        if shapes is None:
            notes += ("This head's file has no landmarks, so that recognised phones move only its jaw and head.",)
        told = Told(f"viseme ({found.method})", found.phones, notes)
        return Heard(list(motion), lambda: told)


def load_network_driver(
    checkpoint: Path,
    sizes: Path | None,
    config: ARTalkConfig,
    options: LoadOptions,
    *,
    style: FloatArray | None,
    expressive: bool,
    lively: Liveliness,
) -> NetworkDriver:
    """Read ARTalk's networks and put them where they run.

    Args:
        checkpoint: ARTalk_wav2vec.pt.
        sizes: config.json, or None for the published sizes.
    Raises:
        MissingDependency: PyTorch is not installed. WrongCheckpoint: other weights.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependency("torch", extra="models", purpose="The artalk driver") from error
    from talkinghead.families.artalk.weights import load_motion_model

    places = candidates(MOTION_NETWORK, options.device, options.backend, options.precision)
    return NetworkDriver(
        lambda: load_motion_model(checkpoint, sizes).to(places[0].device),
        places,
        checkpoint,
        trusted=asked_by_name(options.precision),
        compiled=config.compile,
        style=style,
        smooth=config.smooth,
        fix_pose=config.fix_pose,
        published=options.compat,
        expressive=expressive,
        lively=lively,
    )
