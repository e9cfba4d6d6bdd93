"""What every family offers: prepare a face once, then render it many times.

A family implements `open_avatar`, `listener`, `stages` and `describe`; `prepare`, `hear`, `frames`, `stream` and
`render` are the same for all.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, get_args

import numpy as np

from talkinghead.bounds import FRAME_RATES, MOMENTS_S, check_fields
from talkinghead.contracts import (
    STAGES,
    FaceSource,
    FaceStatus,
    FaceTrack,
    FloatArray,
    Frame,
    FrameSource,
    NetworkRun,
    Phone,
    Picture,
    Report,
    Result,
    Speech,
    StageTime,
)
from talkinghead.engine.cache import Cache
from talkinghead.engine.context import CancelToken, Progress, RunContext
from talkinghead.engine.listener import Heard, Listener, RecentWindows, WindowT, hear_all
from talkinghead.engine.runner import Run, Stage, run_stages, together
from talkinghead.engine.speech_input import with_its_pictures
from talkinghead.engine.timeline import (
    LOOP_POLICIES,
    SLOWEST_FPS,
    FramePlan,
    LoopPolicy,
    frame_plan,
    frames_between,
    held_first,
    source_frames_needed,
    speaking_fps,
)
from talkinghead.errors import OptionError, choices
from talkinghead.files import text_to_paths
from talkinghead.media.options import EncodeOptions, FrameOptions
from talkinghead.places import check_apart
from talkinghead.provenance.origin import Origin
from talkinghead.provenance.signing import Signer

if TYPE_CHECKING:
    from talkinghead.audio.ahead import PhonesAhead
    from talkinghead.engine.live import LiveOptions, LiveSession
    from talkinghead.engine.live.face import LiveFace, Order
    from talkinghead.engine.live.host import Host
    from talkinghead.engine.manifest import Manifest
    from talkinghead.face import FaceOptions
    from talkinghead.media.transform import Turn
    from talkinghead.media.writer import EncodeInfo

STREAM_HOURS = 24
"""How long `Head.stream` goes on at most."""

AvatarT = TypeVar("AvatarT", bound="Avatar")


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
        text_to_paths(self, "checkpoint")
        check_fields(self)
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", self.device):
            raise OptionError(f"There is no device {self.device!r}.", accepted="auto, cpu, cuda or cuda:N")
        for name, kind in (("precision", PrecisionChoice), ("backend", BackendChoice)):
            if getattr(self, name) not in get_args(kind):
                raise OptionError(f"There is no {name} {getattr(self, name)!r}.", accepted=choices(get_args(kind)))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> LoadOptions:
        """From values by name: those of this class are its own, all others are options of the family."""
        own = {item.name for item in fields(cls)} - {"family"}
        general = {name: value for name, value in values.items() if name in own}
        return cls(**general, family={name: value for name, value in values.items() if name not in own})


@dataclass(frozen=True)
class RenderOptions:
    """How a video is made from a prepared face and a sound."""

    fps: Annotated[Fraction | None, FRAME_RATES] = None
    """Frame rate; default: the model's, else the face's (a multiple of it below 24), else 25."""
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
    stretch: Annotated[tuple[float, float] | None, MOMENTS_S] = None
    """Make only what begins between these two moments of the video, in seconds: frame for frame as in the whole, with
    the sound of that part."""

    def __post_init__(self) -> None:
        text_to_paths(self, "motion", "cues")
        check_fields(self)
        if self.stretch is not None and self.stretch[0] >= self.stretch[1]:
            raise OptionError(
                f"The stretch goes from {self.stretch[0]:g} to {self.stretch[1]:g} s.",
                accepted="two moments, the earlier one first",
            )
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
    cache: Cache | None = None
    """Where slow results about this face are kept, as it was prepared; None: the user's cache folder."""
    turn: Turn | None = None
    """What set the face upright: `source` and `track` are turned by it, and finished frames are turned back."""


@dataclass(frozen=True)
class Description:
    """The family's part of a report."""

    networks: tuple[NetworkRun, ...] = ()
    """Where each network ran, the main one first."""
    weights_sha256: str | None = None
    model_details: Mapping[str, Any] = field(default_factory=dict)


class Head(ABC, Generic[AvatarT, WindowT]):
    """A loaded model: `AvatarT` is its prepared face, `WindowT` what it hears of one video frame.

    It keeps nothing of the last face or job, so prepared avatars may be shared and jobs may follow each other in any
    order. Not safe for use from several threads at once.

    Args:
        manifest: the family's.
        options: what was asked for.
    """

    def __init__(self, manifest: Manifest, options: LoadOptions) -> None:
        self.facts = manifest
        self.options = options
        self.compat = options.compat
        self.fallbacks: tuple[str, ...] = ()
        """Each way in which what was loaded differs from what was asked, as a sentence."""
        self.host: Host | None = None
        """Draws for its live sessions, from the first one on."""

    # What a family implements -----------------------------------------------------------------------------------------

    @abstractmethod
    def open_avatar(self, source: FaceSource, options: PrepareOptions, run: RunContext) -> AvatarT:
        """Read the face once: decode, detect, compute what does not depend on speech; see `prepare`."""

    @abstractmethod
    def listener(
        self, avatar: AvatarT, fps: Fraction, run: RunContext, *, phones: tuple[Phone, ...] | None = None
    ) -> Listener[WindowT]:
        """What listens to one sound: pieces of 16 kHz sound to one window per video frame.

        Args:
            fps: of the output.
            phones: exact phone times, where they are known.
        """

    @abstractmethod
    def stages(self, avatar: AvatarT, heard: Heard[WindowT], plan: FramePlan, run: RunContext) -> Sequence[Stage]:
        """The steps from output frame numbers (ints, in order) to finished frames: RGB uint8 [H, W, 3], or a `Picture`
        where there is transparency.
        """

    @abstractmethod
    def describe(self, avatar: AvatarT, heard: Heard[WindowT], run: RunContext) -> Description:
        """What really ran, for the report."""

    def frames_to_make(self, avatar: AvatarT, plan: FramePlan, wanted: range) -> range:  # noqa: ARG002 - the interface
        """Output frames to be made one after the other so that the wanted ones are as in the whole video, bit for bit;
        what is not wanted is thrown away.

        By default all from the first one on, until the last wanted one has left, which holds for every model. One whose
        frames do not depend on those before them, or on few of them, or on those that are computed together with them,
        says so here; its stages then begin with the frame number that comes first (`RunContext.first`).
        """
        return range(len(plan))

    def motion_arrays(self, heard: Heard[WindowT]) -> Mapping[str, FloatArray] | None:  # noqa: ARG002
        """What moves the head, as named arrays of one row per output frame; None where the family has no such thing."""
        return None

    def landmarks(self, avatar: AvatarT, index: int) -> FloatArray | None:
        """Points of the face in one source frame, for showing: [n, 2] float32 (x, y) in pixels, or None."""
        if avatar.track is None or avatar.track.key_points is None:
            return None
        points: FloatArray = avatar.track.key_points[index]
        return points

    def output_fps(self, avatar: AvatarT, options: RenderOptions) -> Fraction:
        """Frame rate of the output."""
        return self.facts.fps or options.fps or self.own_fps(avatar.fps)

    def own_fps(self, source_fps: Fraction | None) -> Fraction:
        """Frame rate of the output where none is asked for."""
        return speaking_fps(source_fps)

    def num_output_frames(self, speech: Speech, fps: Fraction) -> int:
        """Frames that the sound asks for; a family may differ under `compat`."""
        return speech.clip.num_frames(fps)

    def plan(self, avatar: AvatarT, speech: Speech, options: RenderOptions) -> FramePlan:
        """Which source frame each output frame shows."""
        fps = self.output_fps(avatar, options)
        num_frames = self.num_output_frames(speech, fps)
        held = min(round(speech.hold_s * fps), max(0, num_frames - 1))
        return held_first(self.plan_frames(avatar, num_frames - held, fps, options), held)

    def plan_frames(self, avatar: AvatarT, num_frames: int, fps: Fraction, options: RenderOptions) -> FramePlan:
        """Which source frame each of so many output frames shows; a family may differ under `compat`."""
        policy = "hold" if avatar.num_frames == 1 and options.loop == "trim" else options.loop
        return frame_plan(avatar.num_frames, avatar.fps, num_frames, fps, policy)

    # What all have in common ------------------------------------------------------------------------------------------

    @property
    def hears_phones(self) -> bool:
        """Whether the phones of a sound, where they are not given, are what `listener` waits for."""
        return False

    def listen_ahead(
        self, speech: Speech, options: RenderOptions | None = None, cache: Cache | None = None
    ) -> AbstractContextManager[PhonesAhead | None]:
        """Phones of a speech, recognised from now on beside other work; None where nobody waits for them.

        Args:
            options: where they ask for a stretch, phones are left in the cache for the next one.
        """
        from talkinghead.audio.ahead import PhonesAhead
        from talkinghead.audio.apart import is_heard_apart

        waited_for = self.hears_phones and speech.phones is None
        if not waited_for or not is_heard_apart(speech.clip):
            return nullcontext()
        is_part = options is not None and options.stretch is not None
        return PhonesAhead(speech.clip, (cache or Cache()) if is_part else None)

    @property
    def has_motion(self) -> bool:
        """Whether `RenderOptions.motion` can be asked for."""
        return type(self).motion_arrays is not Head.motion_arrays

    def lookahead_s(self, avatar: AvatarT, fps: Fraction | None = None) -> float:
        """Sound after a frame's time that the frame needs, in seconds; infinite where it is all of it."""
        rate = fps or self.output_fps(avatar, RenderOptions())
        return self.listener(avatar, rate, RunContext(cache=avatar.cache or Cache())).lookahead_s

    def can_stream(self, avatar: AvatarT) -> bool:
        """Whether frames can leave before the sound has ended."""
        return math.isfinite(self.lookahead_s(avatar))

    def prepare(
        self,
        source: FaceSource,
        options: PrepareOptions | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> AvatarT:
        """Read the face once: decode, detect, compute what does not depend on speech.

        Args:
            source: what `facts.face_source` names; a frame is RGB uint8 [H, W, 3], and several with their rate are an
                `ArraySource`.
        Raises:
            MediaError: the source cannot be read. NoFaceFound: no face in it.
        """
        options = options or PrepareOptions()
        if options.speech is not None:
            options = replace(options, speech=self._beside(source, options.speech))
        run = RunContext(
            cache=options.cache if options.cache is not None else Cache(),
            cancel=cancel or CancelToken(),
            progress=progress,
        )
        avatar = self.open_avatar(source, options, run)
        return replace(
            avatar,
            cache=run.cache,
            warnings=(*avatar.warnings, *run.warnings),
            fallbacks=(*avatar.fallbacks, *run.fallbacks),
        )

    def _beside(self, source: object, speech: Speech) -> Speech:
        """The speech as it stands beside this source: where both are one file, as far apart as they begin in it."""
        return speech if self.compat else with_its_pictures(speech, source)

    def _of(self, avatar: AvatarT, speech: Speech) -> Speech:
        return self._beside(avatar.source.info.path if avatar.source is not None else None, speech)

    def frames_needed(self, options: PrepareOptions, source_fps: Fraction | None) -> int | None:
        """Source frames that can be shown at all, or None when the speech is not known while preparing."""
        if options.speech is None:
            return None
        fps = self.facts.fps or (options.render or RenderOptions()).fps or self.own_fps(source_fps)
        return max(1, source_frames_needed(self.num_output_frames(options.speech, fps), fps, source_fps))

    def hear(
        self, avatar: AvatarT, speech: Speech, fps: Fraction | None = None, *, run: RunContext | None = None
    ) -> Heard[WindowT]:
        """Listen to a whole sound.

        Args:
            fps: of the output; None takes the avatar's own.
        """
        run = run or RunContext(cache=avatar.cache or Cache())
        rate = fps or self.output_fps(avatar, RenderOptions())
        seconds = max(1, math.ceil(speech.clip.duration_s))
        run.tell("listen", 0, seconds, unit="s")
        heard = hear_all(self.listener(avatar, rate, run, phones=speech.phones), [speech.clip.samples])
        run.tell("listen", seconds, seconds, unit="s")
        return heard

    def frames(
        self,
        avatar: AvatarT,
        speech: Speech,
        options: RenderOptions | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[Frame]:
        """Frames one by one as they are ready, RGB uint8 [H, W, 3]; closing the iterator stops the work.

        Args:
            progress: told of the listening; frames are counted by who takes them.
        """
        with closing(self.pictures(avatar, speech, options, progress=progress, cancel=cancel)) as made:
            for picture in made:
                yield picture.frame if isinstance(picture, Picture) else picture

    def pictures(
        self,
        avatar: AvatarT,
        speech: Speech,
        options: RenderOptions | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Generator[Frame | Picture, None, None]:
        """As `frames`, with alpha: a `Picture` instead of a frame where the model draws transparency."""
        options = options or RenderOptions()
        run = RunContext(cache=avatar.cache or Cache(), cancel=cancel or CancelToken(), progress=progress)
        speech = self._of(avatar, speech)
        plan = self.plan(avatar, speech, options)
        shown = _shown(plan, options)
        with self.listen_ahead(speech, options, run.cache) as run.ahead:
            heard = self.hear(avatar, speech, plan.fps, run=run)
            yield from _only(iter(self._start(avatar, heard, plan, shown, options, run)), run.first, shown)

    def stream(
        self,
        avatar: AvatarT,
        pieces: Iterable[FloatArray],
        options: RenderOptions | None = None,
        *,
        cancel: CancelToken | None = None,
    ) -> Iterator[Frame]:
        """Frames while the sound arrives: each as soon as `lookahead_s` of sound after its time is there.

        Memory does not grow with the sound: what was heard for frames that have left is let go.

        Args:
            pieces: 16 kHz mono float32 sound, in pieces of any length; taken from a thread of the run.
        Raises:
            OptionError: the model hears the whole sound first, as it is set.
        """
        options = options or RenderOptions()
        fps = self.output_fps(avatar, options)
        run = RunContext(cache=avatar.cache or Cache(), cancel=cancel or CancelToken())
        listener = self.of_parts(self.listener(avatar, fps, run))
        windows: RecentWindows[WindowT] = RecentWindows()

        def indices() -> Iterator[int]:
            for piece in itertools.chain(pieces, (None,)):
                first = len(windows)
                windows.extend(listener.flush() if piece is None else listener.push(piece))
                yield from range(first, len(windows))

        plan = self.plan_frames(avatar, int(STREAM_HOURS * 3600 * fps), fps, options)
        stages = self._checked_stages(avatar, Heard(windows), plan, run)
        for index, value in enumerate(run_stages(indices(), stages, cancel=run.cancel, overlap=options.overlap)):
            yield value.frame if isinstance(value, Picture) else value
            windows.has_left(index)

    def of_parts(self, listener: Listener[WindowT]) -> Listener[WindowT]:
        """A listener that needs no more than a part of the sound at once."""
        if not math.isfinite(listener.lookahead_s):
            reasons = "; ".join(self.facts.whole_sound)
            raise OptionError(
                f"The model {self.facts.name} hears the whole sound first, as it is set"
                + (f": {reasons}." * bool(reasons)),
                remedy="frames() with the whole sound",
            )
        return listener

    # Live -------------------------------------------------------------------------------------------------------------

    @property
    def drawn_at_once(self) -> int:
        """Pictures of all its live sessions that `draw` had best be given at the same time."""
        return 1

    def live_listener(
        self, avatar: AvatarT, fps: Fraction, run: RunContext, *, phones: tuple[Phone, ...] | None = None
    ) -> Listener[WindowT]:
        """What listens to an utterance that is still being spoken: by default `listener`.

        Args:
            phones: those of a sentence that is said, where the voice knows them: then its whole sound comes at once.
        """
        return self.listener(avatar, fps, run, phones=phones)

    def live_face(
        self,
        avatar: AvatarT,  # noqa: ARG002 - the interface
        fps: Fraction,  # noqa: ARG002
        run: RunContext,  # noqa: ARG002
    ) -> LiveFace[WindowT]:
        """A prepared face for one live session.

        Raises:
            OptionError: the model cannot be live, as it is set.
        """
        raise OptionError(
            f"The model {self.facts.name} has no live session yet.",
            remedy="frames(), or stream() where the model hears no more than a part of the sound",
        )

    def draw(self, orders: Sequence[Order]) -> Sequence[Frame | Picture]:
        """Finished frames of some orders, of whatever sessions; called from one thread at a time."""
        raise NotImplementedError

    def live(self, avatar: AvatarT, options: LiveOptions | None = None) -> LiveSession[WindowT]:
        """A session that speaks while the sound still arrives; a context manager. Sessions of one head share it, and
        may share a prepared face.

        Raises:
            OptionError: the model hears the whole sound first, as it is set, or cannot be live.
        """
        from talkinghead.engine.live.opening import open_session

        return open_session(self, avatar, options)

    def render(
        self,
        avatar: AvatarT,
        speech: Speech,
        output: str | Path,
        options: RenderOptions | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
        ahead: PhonesAhead | None = None,
        signer: Signer | None = None,
        look: Callable[[Frame | Picture], object] | None = None,
    ) -> Result:
        """Make the video, or a stretch of it; the final name appears only when the file is complete.

        Args:
            ahead: recognises the phones of this speech already.
            signer: signs the finished video; None: nobody does.
            look: called with each frame once it is written, from the caller's thread; must return quickly.
        Raises:
            OutputError: the result cannot be written. Cancelled: the token was used.
        """
        from talkinghead.media import check_output, write_video

        options = options or RenderOptions()
        output = Path(output)
        encode = options.encode or EncodeOptions()
        seen = avatar.source.info.path if avatar.source is not None else None
        sound = speech.soundtrack if isinstance(speech.soundtrack, Path) else None
        check_apart([output, options.motion, options.cues], [seen, sound])
        check_output(output, overwrite=options.overwrite, options=encode)
        if signer is not None:
            signer.check(output)
        started = time.perf_counter()
        run = RunContext(cache=avatar.cache or Cache(), cancel=cancel or CancelToken(), progress=progress, ahead=ahead)
        speech = self._of(avatar, speech)
        plan = self.plan(avatar, speech, options)
        shown = _shown(plan, options)
        with ExitStack() as stack:
            if run.ahead is None:
                run.ahead = stack.enter_context(self.listen_ahead(speech, options, run.cache))
            heard = self.hear(avatar, speech, plan.fps, run=run)
            self._write_beside(options, heard, speech, plan.fps)
            soundtrack, lead_s = speech.soundtrack, speech.lead_s
            start_s = speech.start_s + float(shown.start / plan.fps)
            for sentence in speech.warnings:
                run.warn(sentence)
            del speech  # the samples of a long sound: freed once they were listened to unless the caller keeps them
            listen_s = time.perf_counter() - started

            work = self._start(avatar, heard, plan, shown, options, run)
            write = _SinkClock("write")

            def written(done: int, frame: Frame | Picture) -> None:
                run.tell("render", done, len(shown))
                if look is not None:
                    look(frame)

            # Closed here, not when collected: an exception that travels holds its frames and so the threads of the run.
            watched = stack.enter_context(closing(write.watch(_only(iter(work), run.first, shown), written)))
            info = write_video(
                output,
                watched,
                fps=plan.fps,
                soundtrack=soundtrack,
                start_s=start_s,
                lead_s=lead_s,
                num_frames=len(shown),
                options=encode,
                overwrite=options.overwrite,
                origin=self.origin(seen, sound),
                signer=signer,
            )
        write.stop()
        times = together((StageTime("listen", listen_s, 0.0, 0.0, len(plan)), *work.times, write.freeze()))
        report = self._report(avatar, heard, plan, run, info, times)
        report = replace(report, num_frames=len(shown), audio_s=float(len(shown) / plan.fps))
        return Result(path=output, report=replace(report, output=str(output), wall_s=time.perf_counter() - started))

    def origin(self, face: Path | None = None, sound: Path | None = None) -> Origin:
        """What videos of this head say of themselves.

        Args:
            face, sound: files that they are made of.
        """
        return Origin(self.facts.made_with(self.options.family), self.facts.name, face, sound)

    def _report(
        self,
        avatar: AvatarT,
        heard: Heard[WindowT],
        plan: FramePlan,
        run: RunContext,
        info: EncodeInfo,
        times: tuple[StageTime, ...],
    ) -> Report:
        from talkinghead.measure.memory import peak_memory_bytes

        description = self.describe(avatar, heard, run)
        decoding = avatar.source.warnings if avatar.source is not None else ()
        slow = () if avatar.fps is None or avatar.fps >= min(SLOWEST_FPS, plan.fps) else (_slow(avatar.fps, plan.fps),)
        track = avatar.track
        faces = () if track is None else track.notes
        warnings = (*avatar.warnings, *faces, *slow, *decoding, *heard.notes, *run.warnings, *info.notes)
        detector = () if track is None or track.network is None else (track.network,)
        found_otherwise = () if track is None else track.fallbacks
        return Report(
            model=self.facts.name,
            model_details=description.model_details,
            weights_sha256=description.weights_sha256,
            networks=(*description.networks, *detector),
            video_codec=info.video_codec,
            video_encoder=info.encoder,
            audio_codec=info.audio_codec,
            width=info.width,
            height=info.height,
            fps=str(plan.fps),
            num_frames=len(plan),
            audio_s=float(len(plan) / plan.fps),
            stages=times,
            peak_memory_bytes=peak_memory_bytes(),
            face_frames=_face_frames(avatar.track),
            fallbacks=(*self.fallbacks, *avatar.fallbacks, *found_otherwise, *run.fallbacks),
            warnings=tuple(dict.fromkeys(warnings)),
        )

    def _write_beside(self, options: RenderOptions, heard: Heard[WindowT], speech: Speech, fps: Fraction) -> None:
        """The files of `options.motion` and `options.cues`."""
        if options.motion is not None:
            arrays = self.motion_arrays(heard)
            if arrays is None:
                raise OptionError(
                    f"The model {self.facts.name} computes no motion that could be written.",
                    remedy="leave the motion file out",
                )
            write_motion(options.motion, arrays, fps)
        if options.cues is not None:
            from talkinghead.audio.cues import write_speech_cues

            write_speech_cues(options.cues, speech, heard.phones)

    def _start(
        self,
        avatar: AvatarT,
        heard: Heard[WindowT],
        plan: FramePlan,
        shown: range,
        options: RenderOptions,
        run: RunContext,
    ) -> Run:
        """A run that makes the frames that are to be shown; it may begin before them (`run.first`) and end after."""
        if len(heard.windows) < len(plan):
            raise RuntimeError(f"{self.facts.name} heard {len(heard.windows)} windows for {len(plan)} frames")
        stages = self._checked_stages(avatar, heard, plan, run)
        made = shown if options.stretch is None else self.frames_to_make(avatar, plan, shown)
        run.first = made.start
        return run_stages(made, stages, cancel=run.cancel, overlap=options.overlap)

    def _checked_stages(
        self, avatar: AvatarT, heard: Heard[WindowT], plan: FramePlan, run: RunContext
    ) -> Sequence[Stage]:
        stages = self.stages(avatar, heard, plan, run)
        for stage in stages:
            if stage.name not in STAGES:
                raise RuntimeError(f"{stage.name!r} is no stage of the vocabulary: {', '.join(STAGES)}")
        return stages if avatar.turn is None else [*stages[:-1], _turned_back(stages[-1], avatar.turn.undone)]


AnyHead = Head[Any, Any]
"""A head of whatever family."""


def _shown(plan: FramePlan, options: RenderOptions) -> range:
    """Output frames that leave."""
    if options.stretch is None:
        return range(len(plan))
    return frames_between(options.stretch, plan.fps, len(plan))


def _only(values: Iterator[Any], first: int, shown: range) -> Generator[Any, None, None]:
    """Of values from number `first` on those that are shown; what comes before leads in, what comes after completes."""
    try:
        for number, value in enumerate(values, first):
            if number >= shown.stop:
                return
            if number >= shown.start:
                yield value
    finally:
        values.close()  # type: ignore[attr-defined] # of a run


class _SinkClock:
    """Times the consumer of a run: all time outside waiting for the next frame is its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._started = time.perf_counter()
        self._stopped: float | None = None
        self._wait_s = 0.0
        self._items = 0

    def watch(
        self, frames: Iterator[Frame | Picture], on_frame: Callable[[int, Frame | Picture], None]
    ) -> Generator[Frame, None, None]:
        """Frames as the writer takes them, RGBA where there is alpha."""
        try:
            while True:
                started = time.perf_counter()
                try:
                    frame = next(frames)
                except StopIteration:
                    return
                finally:
                    self._wait_s += time.perf_counter() - started
                yield np.dstack((frame.frame, frame.alpha)) if isinstance(frame, Picture) else frame
                self._items += 1
                on_frame(self._items, frame)
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()

    def stop(self) -> None:
        self._stopped = time.perf_counter()

    def freeze(self) -> StageTime:
        end = self._stopped if self._stopped is not None else time.perf_counter()
        return StageTime(self._name, max(0.0, end - self._started - self._wait_s), self._wait_s, 0.0, self._items)


def _turned_back(stage: Stage, turn: Turn) -> Stage:
    """The last stage of a run, with its finished frames turned."""

    def run(items: Iterator[Any]) -> Iterator[Any]:
        return (turn.apply(frame) for frame in stage.run(items))

    return replace(stage, run=run)


def _slow(source_fps: Fraction, fps: Fraction) -> str:
    return (
        f"The face changes slowly ({float(source_fps):.3g} times a second); {float(fps):.4g} frames a second are "
        "shown, so that the mouth can move (--fps asks for another rate)."
    )


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


def _face_frames(track: FaceTrack | None) -> dict[str, int]:
    if track is None:
        return {}
    counts = np.bincount(track.status, minlength=len(FaceStatus))
    return {status.name.lower(): int(counts[status]) for status in FaceStatus}
