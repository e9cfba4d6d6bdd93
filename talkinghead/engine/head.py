"""What every family offers: prepare a face once, then render it many times.

A family implements `prepare`, `condition`, `stages` and `describe`; `frames` and `render` are the same for all.
"""

from __future__ import annotations

import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from talkinghead.contracts import (
    FaceStatus,
    FaceTrack,
    FloatArray,
    Frame,
    FrameSource,
    NetworkRun,
    Phone,
    Report,
    Result,
    Speech,
    StageTime,
)
from talkinghead.engine.runner import CancelToken, Run, Stage, run_stages, watching
from talkinghead.engine.timeline import LOOP_POLICIES, FramePlan, LoopPolicy, source_indices
from talkinghead.errors import OptionError, choices
from talkinghead.media.options import EncodeOptions, FrameOptions

if TYPE_CHECKING:
    from talkinghead.engine.cache import Cache
    from talkinghead.engine.manifest import Manifest
    from talkinghead.face import FaceOptions

DEFAULT_FPS = Fraction(25)


@dataclass(frozen=True)
class ProgressEvent:
    """How far a job is."""

    stage: str
    done: int
    total: int | None
    """None while unknown."""
    unit: str = "frames"
    """What `done` and `total` count: "frames", or "s" of sound."""


Progress = Callable[[ProgressEvent], None]
"""Called often, from the caller's thread or a stage's; must return quickly. To stop a job use a `CancelToken`."""


PrecisionAim = Literal["auto", "parity", "fast"]
PrecisionChoice = Literal[PrecisionAim, "float32", "bfloat16", "float16", "int8"]
"""What may be asked for: an aim that every model knows, or a number format that some have."""
BackendChoice = Literal["auto", "torch", "onnx", "openvino"]


@dataclass(frozen=True)
class LoadOptions:
    """What a model is loaded with: the only place where device, precision and backend are named and explained."""

    checkpoint: Path | None = None
    """Weights of the model: a file, or a name of the model store; default: the installed ones."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: PrecisionChoice = "auto"
    """auto, parity (float32, as published) or fast; or a number format that the model offers."""
    backend: BackendChoice = "auto"
    """auto, torch, onnx or openvino, where the model has them."""
    compat: bool = False
    """Behave as the published script does, quirks included."""
    family: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the family's own configuration; unknown ones are refused."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise OptionError(f"There is no device {self.device!r}.", accepted="auto, cpu, cuda or cuda:N")
        for name, kind in (("precision", PrecisionChoice), ("backend", BackendChoice)):
            if getattr(self, name) not in get_args(kind):
                raise OptionError(f"There is no {name} {getattr(self, name)!r}.", accepted=choices(get_args(kind)))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> LoadOptions:
        """From values by name: those of this class are its own, all others are options of the family."""
        own = {item.name for item in fields(cls)} - {"family"}
        general = {name: value for name, value in values.items() if name in own}
        if isinstance(general.get("checkpoint"), str):
            general["checkpoint"] = Path(general["checkpoint"])
        return cls(**general, family={name: value for name, value in values.items() if name not in own})


@dataclass(frozen=True)
class RenderOptions:
    """How a video is made from a prepared face and a sound."""

    fps: Fraction | None = None
    """Frame rate; default: the model's, else the face's, else 25."""
    loop: LoopPolicy = "pingpong"
    """When the video is shorter than the sound: play it forwards and backwards, start again, hold the last frame, or
    end with it."""
    encode: EncodeOptions | None = None
    """Codec, quality and sizes; None is H.264 and AAC with good quality."""
    overwrite: bool = True
    """Replace a video that exists (once the new one is complete)."""
    overlap: bool = True
    """Run the stages in threads of their own."""
    motion: Path | None = None
    """Also write what moves the head into this file, .npz; models that compute no motion are refused."""
    cues: Path | None = None
    """Also write the mouth shapes of the speech into this file; its suffix chooses the format (json, tsv, xml, srt,
    dat)."""

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise OptionError(f"--fps is {str(self.fps)!r}.", accepted="more than 0, at most 1000 frames per second")
        if self.loop not in LOOP_POLICIES:
            raise OptionError(f"There is no loop policy {self.loop!r}.", accepted=choices(LOOP_POLICIES))


@dataclass(frozen=True)
class PrepareOptions:
    """How `Head.prepare` reads and tracks the source; None means the default of each part."""

    frames: FrameOptions | None = None
    faces: FaceOptions | None = None
    cache: Cache | None = None
    """Where slow results are kept; None uses the user's cache folder."""
    speech: Speech | None = None
    """What the avatar will say, if that is all it is prepared for: frames that it cannot show need no work."""
    render: RenderOptions | None = None
    """How that will be rendered; its frame rate decides how many frames the speech shows."""


@dataclass(frozen=True, eq=False)
class Avatar:
    """A prepared face. Families add their own fields in subclasses."""

    source: FrameSource | None
    """Frames behind the face; None where the family renders whole frames."""
    track: FaceTrack | None
    size: tuple[int, int]
    """(width, height) of the output."""
    fps: Fraction | None
    """Rate of the source; None for a picture or a scene without one."""
    num_frames: int
    """Distinct source frames; 1 for a picture."""
    times: tuple[StageTime, ...] = ()
    """What preparing cost."""
    warnings: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    """The family's part of a report."""

    weights_sha256: str | None = None
    networks: tuple[NetworkRun, ...] = ()
    """Where each part that computes ran, the main one first."""
    model_details: Mapping[str, Any] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Head(ABC):
    """A loaded model.

    Not safe for use from several threads at once; prepared avatars may be shared.
    """

    facts: Manifest

    @abstractmethod
    def prepare(
        self,
        source: str | Path | Frame,
        options: PrepareOptions | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Avatar:
        """Read the face once: decode, detect, compute what does not depend on speech.

        Args:
            source: what `facts.face_source` names; a frame is RGB uint8 [H, W, 3].
        Raises:
            MediaError: the source cannot be read. NoFaceFound: no face in it.
        """

    @abstractmethod
    def condition(self, speech: Speech, fps: Fraction, num_frames: int) -> Any:
        """Turn speech into the family's conditioning, one window per video frame (the `listen` step)."""

    @abstractmethod
    def stages(self, avatar: Avatar, conditioning: Any, plan: FramePlan) -> Sequence[Stage]:
        """The steps from output frame indices (ints, in order) to finished frames (RGB uint8 [H, W, 3])."""

    @abstractmethod
    def describe(self, avatar: Avatar, conditioning: Any) -> Description:
        """What really ran, for the report."""

    def motion_arrays(self, conditioning: Any) -> Mapping[str, FloatArray] | None:  # noqa: ARG002
        """What moves the head, as named arrays of one row per output frame; None where the family has no such thing."""
        return None

    @property
    def has_motion(self) -> bool:
        """Whether `RenderOptions.motion` can be asked for."""
        return type(self).motion_arrays is not Head.motion_arrays

    def heard_phones(self, conditioning: Any) -> tuple[Phone, ...] | None:  # noqa: ARG002
        """The phones that the conditioning was made from; None where the family recognises none."""
        return None

    def landmarks(self, avatar: Avatar, index: int) -> FloatArray | None:
        """Points of the face in one source frame, for showing: [n, 2] float32 (x, y) in pixels, or None."""
        if avatar.track is None or avatar.track.key_points is None:
            return None
        points: FloatArray = avatar.track.key_points[index]
        return points

    def output_fps(self, avatar: Avatar, options: RenderOptions) -> Fraction:
        """Frame rate of the output."""
        return self.facts.fps or options.fps or avatar.fps or DEFAULT_FPS

    def num_output_frames(self, speech: Speech, fps: Fraction) -> int:
        """Frames that the sound asks for; a family may differ under `compat`."""
        return speech.clip.num_frames(fps)

    def plan(self, avatar: Avatar, speech: Speech, options: RenderOptions) -> FramePlan:
        """Which source frame each output frame shows."""
        fps = self.output_fps(avatar, options)
        num_frames = self.num_output_frames(speech, fps)
        policy = "hold" if avatar.num_frames == 1 and options.loop == "trim" else options.loop
        return FramePlan(fps=fps, indices=source_indices(avatar.num_frames, num_frames, policy))

    def frames_needed(self, options: PrepareOptions, source_fps: Fraction | None) -> int | None:
        """Source frames that can be shown at all, or None when the speech is not known while preparing."""
        if options.speech is None:
            return None
        fps = self.facts.fps or (options.render or RenderOptions()).fps or source_fps or DEFAULT_FPS
        return max(1, self.num_output_frames(options.speech, fps))

    def frames(
        self,
        avatar: Avatar,
        speech: Speech,
        options: RenderOptions | None = None,
        *,
        cancel: CancelToken | None = None,
    ) -> Iterator[Frame]:
        """Frames one by one as they are ready, RGB uint8 [H, W, 3]; closing the iterator stops the work."""
        options = options or RenderOptions()
        plan = self.plan(avatar, speech, options)
        conditioning = self._listen(speech, plan, None, cancel)
        run = self._start(avatar, conditioning, plan, options, cancel)
        yield from run

    def render(
        self,
        avatar: Avatar,
        speech: Speech,
        output: str | Path,
        options: RenderOptions | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Result:
        """Make the video; the final name appears only when the file is complete.

        Raises:
            OutputError: the result cannot be written. Cancelled: the token was used.
        """
        from talkinghead.measure.memory import peak_memory_bytes
        from talkinghead.media import check_output, write_video

        options = options or RenderOptions()
        output = Path(output)
        encode = options.encode or EncodeOptions()
        check_output(output, overwrite=options.overwrite, options=encode)
        started = time.perf_counter()
        plan = self.plan(avatar, speech, options)
        conditioning = self._listen(speech, plan, progress, cancel)
        self._write_beside(options, conditioning, speech, plan.fps)
        soundtrack, start_s = speech.soundtrack, speech.start_s
        del speech  # the samples of a long sound: freed here unless the caller keeps them
        listen_s = time.perf_counter() - started

        run = self._start(avatar, conditioning, plan, options, cancel)
        write = _SinkClock("write")
        # Closed here, not when collected: an exception that travels holds its frames and so the threads of the run.
        with closing(write.watch(iter(run), lambda done: _tell(progress, "render", done, len(plan)))) as watched:
            info = write_video(
                output,
                watched,
                fps=plan.fps,
                soundtrack=soundtrack,
                start_s=start_s,
                num_frames=len(plan),
                options=encode,
                overwrite=options.overwrite,
            )
        write.stop()
        description = self.describe(avatar, conditioning)
        report = Report(
            model=self.facts.name,
            model_details=description.model_details,
            weights_sha256=description.weights_sha256,
            networks=description.networks,
            output=str(output),
            video_codec=info.video_codec,
            video_encoder=info.encoder,
            audio_codec=info.audio_codec,
            width=info.width,
            height=info.height,
            fps=str(plan.fps),
            num_frames=len(plan),
            audio_s=float(len(plan) / plan.fps),
            wall_s=time.perf_counter() - started,
            stages=(StageTime("listen", listen_s, 0.0, 0.0, len(plan)), *run.times, write.freeze()),
            peak_memory_bytes=peak_memory_bytes(),
            face_frames=_face_frames(avatar.track),
            fallbacks=(*avatar.fallbacks, *description.fallbacks),
            warnings=(*avatar.warnings, *_source_warnings(avatar), *description.warnings, *info.notes),
        )
        return Result(path=output, report=replace(report, warnings=tuple(dict.fromkeys(report.warnings))))

    def _listen(self, speech: Speech, plan: FramePlan, progress: Progress | None, cancel: CancelToken | None) -> Any:
        """`condition`, with progress in seconds of sound and a way to stop it."""
        seconds = max(1, math.ceil(speech.clip.duration_s))

        def watch(done: float, total: float) -> None:
            if cancel is not None:
                cancel.check()
            if progress is not None:
                progress(ProgressEvent("listen", int(seconds * done / total) if total else seconds, seconds, unit="s"))

        watch(0.0, 1.0)
        with watching(watch):
            conditioning = self.condition(speech, plan.fps, len(plan))
        watch(1.0, 1.0)
        return conditioning

    def _write_beside(self, options: RenderOptions, conditioning: Any, speech: Speech, fps: Fraction) -> None:
        """The files of `options.motion` and `options.cues`."""
        if options.motion is not None:
            arrays = self.motion_arrays(conditioning)
            if arrays is None:
                raise OptionError(
                    f"The model {self.facts.name} computes no motion that could be written.",
                    remedy="leave the motion file out",
                )
            write_motion(options.motion, arrays, fps)
        if options.cues is not None:
            from talkinghead.audio.cues import write_speech_cues

            write_speech_cues(options.cues, speech, self.heard_phones(conditioning))

    def _start(
        self,
        avatar: Avatar,
        conditioning: Any,
        plan: FramePlan,
        options: RenderOptions,
        cancel: CancelToken | None,
    ) -> Run:
        stages = self.stages(avatar, conditioning, plan)
        return run_stages(range(len(plan)), stages, cancel=cancel, overlap=options.overlap)


class _SinkClock:
    """Times the consumer of a run: all time outside waiting for the next frame is its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._started = time.perf_counter()
        self._stopped: float | None = None
        self._wait_s = 0.0
        self._items = 0

    def watch(self, frames: Iterator[Frame], on_frame: Callable[[int], None]) -> Generator[Frame, None, None]:
        try:
            while True:
                started = time.perf_counter()
                try:
                    frame = next(frames)
                except StopIteration:
                    return
                finally:
                    self._wait_s += time.perf_counter() - started
                yield frame
                self._items += 1
                on_frame(self._items)
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()

    def stop(self) -> None:
        self._stopped = time.perf_counter()

    def freeze(self) -> StageTime:
        end = self._stopped if self._stopped is not None else time.perf_counter()
        return StageTime(self._name, max(0.0, end - self._started - self._wait_s), self._wait_s, 0.0, self._items)


def write_motion(path: Path, arrays: Mapping[str, FloatArray], fps: Fraction) -> None:
    """Write motion as .npz: the arrays by their names, and the exact frame rate as text under "fps".

    Raises:
        OptionError: another suffix. OutputError: it cannot be written.
    """
    import io

    from talkinghead.files import write_bytes

    if path.suffix != ".npz":
        raise OptionError(f"The motion file is {path.name!r}.", accepted="a name that ends in .npz")
    buffer = io.BytesIO()
    np.savez(buffer, fps=np.array(str(fps)), **{name: np.asarray(values) for name, values in arrays.items()})  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def _tell(progress: Progress | None, stage: str, done: int, total: int | None) -> None:
    if progress is not None:
        progress(ProgressEvent(stage, done, total))


def _face_frames(track: FaceTrack | None) -> dict[str, int]:
    if track is None:
        return {}
    counts = np.bincount(track.status, minlength=len(FaceStatus))
    return {status.name.lower(): int(counts[status]) for status in FaceStatus}


def _source_warnings(avatar: Avatar) -> tuple[str, ...]:
    return avatar.source.warnings if avatar.source is not None else ()
