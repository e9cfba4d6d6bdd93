"""The family as a head: a template folder and a sound to a video."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.backends import DEPTHWISE, Placement, candidates
from talkinghead.backends.gate import Verdict, first_faithful, psnr_db
from talkinghead.backends.placement import asked_by_name
from talkinghead.contracts import FloatArray, Frame, Speech, StageTime
from talkinghead.engine.cache import Cache
from talkinghead.engine.head import (
    Avatar,
    Description,
    Head,
    LoadOptions,
    PrepareOptions,
    Progress,
    RenderOptions,
)
from talkinghead.engine.options import build_config
from talkinghead.engine.runner import CancelToken, Stage
from talkinghead.engine.timeline import FramePlan, source_indices
from talkinghead.errors import InputError, UnreadableMedia
from talkinghead.families.synctalk2d.choose import build_engine
from talkinghead.families.synctalk2d.config import SyncTalk2DConfig
from talkinghead.families.synctalk2d.crop import (
    CropBox,
    Picture,
    crop_box,
    filled_canvas,
    inner_picture,
    leaves_frame,
    parsing_keep,
    paste_crop,
    resize_crop,
    resize_filters,
)
from talkinghead.families.synctalk2d.engine import SPEECH_BATCH, Engine, StateCache
from talkinghead.families.synctalk2d.features import Features, features_of, load_array, smoothed_features
from talkinghead.families.synctalk2d.folded import fold
from talkinghead.families.synctalk2d.manifest import MANIFEST
from talkinghead.families.synctalk2d.speech import SpeechListener
from talkinghead.families.synctalk2d.template import TemplateFolder, open_template, read_image, template_order
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS, Variant
from talkinghead.families.synctalk2d.weights import GeneratorWeights, read_generator

NAME = "synctalk2d"
MAX_ROWS_MISSING = 5
"""Rows that given features may be shorter than the sound: published ones lack up to three."""


@dataclass(frozen=True, eq=False)
class Template:
    """One template frame, ready for the network."""

    frame: Frame
    box: CropBox
    canvas: Picture
    """[crop_px, crop_px, 3] RGB."""
    keep: Any
    """[h, w] bool of the box where the template shows through, or None."""

    @property
    def num_bytes(self) -> int:
        return self.frame.nbytes + self.canvas.nbytes + (0 if self.keep is None else self.keep.nbytes)


@dataclass(frozen=True, eq=False, kw_only=True)
class TemplateAvatar(Avatar):
    """A template folder that was looked through."""

    template: TemplateFolder
    variant: Variant
    reader: TemplateReader


@dataclass(frozen=True, eq=False)
class Conditioning:
    """The windows of a clip."""

    features: Features
    index: Any
    """[n] int64: feature row of each output frame."""
    edges: str

    def windows(self, start: int, stop: int) -> FloatArray:
        return self.features.windows(self.index[start:stop], edges=self.edges)


@dataclass(frozen=True, eq=False)
class _Work:
    """An output frame on its way."""

    index: int
    key: int
    template: Template


class TemplateReader:
    """Reads, crops and resizes templates, each once as long as there is room.

    Used by one thread at a time.
    """

    def __init__(self, folder: TemplateFolder, variant: Variant, config: SyncTalk2DConfig) -> None:
        self._folder = folder
        self._size = variant.size
        self._filters = resize_filters(variant.size, config.crop_filter)
        self._parsing = config.parsing
        self._max_bytes = config.cache_mb * 1_000_000 // 2
        self._kept: OrderedDict[int, Template] = OrderedDict()
        self._bytes = 0
        self.clamped = 0
        """Templates whose square left the frame at the left or top."""
        self._frame_size: tuple[int, int] | None = None

    @property
    def filters(self) -> Any:
        return self._filters

    def size(self) -> tuple[int, int]:
        """(width, height) of the frames."""
        self.get(0)
        assert self._frame_size is not None
        return self._frame_size

    def get(self, key: int) -> Template:
        """Template `key`.

        Raises:
            UnreadableMedia: not a picture, or of another size than the first. FaceError: no face in its landmarks.
        """
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        made = self._read(key)
        if made.num_bytes <= self._max_bytes:
            self._kept[key] = made
            self._bytes += made.num_bytes
            while self._bytes > self._max_bytes:
                _, old = self._kept.popitem(last=False)
                self._bytes -= old.num_bytes
        return made

    def _read(self, key: int) -> Template:
        path = self._folder.images[key]
        frame = self._folder.read_frame(key)
        height, width = frame.shape[:2]
        if self._frame_size is None and key == 0:
            self._frame_size = (width, height)
        if self._frame_size is not None and (width, height) != self._frame_size:
            raise UnreadableMedia(
                f"{path} is {width}x{height}, and the first template {self._frame_size[0]}x{self._frame_size[1]}.",
                accepted="template frames of one size",
                remedy="talkinghead template check",
            )
        landmarks = self._folder.read_landmarks(key)
        box = crop_box(landmarks, width, height, source=str(self._folder.landmarks[key]))
        self.clamped += leaves_frame(landmarks)
        keep = None
        parsing = self._folder.parsing[key]
        if self._parsing and parsing is not None:
            keep = parsing_keep(read_image(parsing), box)
        return Template(frame, box, resize_crop(frame, box, self._size, self._filters), keep)


class SyncTalk2DHead(Head):
    """A loaded generator."""

    def __init__(self, options: LoadOptions, *, weights: GeneratorWeights | None = None) -> None:
        """
        Args:
            weights: the generator, if it was read already.
        """
        self.facts = MANIFEST
        self.options = options
        self.config = build_config(SyncTalk2DConfig, options.family, owner=NAME)
        assert options.checkpoint is not None
        self.weights = weights or read_generator(options.checkpoint)
        precision = "parity" if options.compat and options.precision == "auto" else options.precision
        self._places = candidates(DEPTHWISE, options.device, options.backend, precision)
        mode = None if self.config.mode == "auto" else self.config.mode
        decided = mode is not None or len(self.weights.audio_variants) == 1 or self.weights.stated_mode is not None
        self._variant = self.weights.variant(mode) if decided else None
        self._engine: Engine | None = None
        self._listener: SpeechListener | None = None
        self._features: Features | None = None
        self._verdict: Verdict | None = None
        self._states: tuple[TemplateFolder, StateCache] | None = None
        self._cache: Cache | None = None

    def reconfigured(self, **changes: Any) -> SyncTalk2DHead:
        """A head with other options that shares weights and generator with this one."""
        other = copy(self)
        other.config = replace(self.config, **changes)
        other._features = None
        other._listener = None
        other._states = None
        return other

    # prepare --------------------------------------------------------------------------------------------------------

    @property
    def variant(self) -> Variant:
        """The network.

        Raises:
            OptionError: ave or hubert, and neither option, file nor template has said which.
        """
        if self._variant is None:
            self._variant = self.weights.variant(None)  # raises
        return self._variant

    def _decide_mode(self, template: TemplateFolder) -> None:
        """Where the weights leave the mode open, the training features in a template folder tell it."""
        if self._variant is not None:
            return
        possible = [AUDIO_VARIANTS[name].mode for name in self.weights.audio_variants]
        present = [mode for mode in template.modes if mode in possible]
        if len(present) == 1:
            self._variant = self.weights.variant(present[0])

    def prepare(
        self,
        source: str | Path | Frame,
        options: PrepareOptions | None = None,
        *,
        progress: Progress | None = None,  # noqa: ARG002 - the interface of every head
        cancel: CancelToken | None = None,  # noqa: ARG002
    ) -> TemplateAvatar:
        """Look through a template folder; frames are decoded when they are shown."""
        if not isinstance(source, (str, Path)):
            raise InputError("A picture is not a template.", accepted=self.facts.face_source)
        started = time.perf_counter()
        self._cache = options.cache if options is not None else None
        folder = open_template(source)
        if not 0 <= self.config.start_frame < folder.num_frames:
            template_order(folder.num_frames, 0, self.config.start_frame)
        self._decide_mode(folder)
        variant = self.variant
        reader = TemplateReader(folder, variant, self.config)
        size = reader.size()
        warnings: list[str] = []
        if folder.strays:
            names = ", ".join(path.name for path in folder.strays[:3])
            warnings.append(f"{len(folder.strays)} files in {folder.path} are no template frames: {names}.")
        if self.config.parsing and not any(folder.parsing):
            warnings.append(f"{folder.path} has no parsing pictures; --parsing has no effect.")
        return TemplateAvatar(
            source=None,
            track=None,
            size=size,
            fps=variant.audio.fps,
            num_frames=folder.num_frames,
            times=(StageTime("prepare", time.perf_counter() - started, 0.0, 0.0, 1),),
            warnings=tuple(warnings),
            template=folder,
            variant=variant,
            reader=reader,
        )

    def landmarks(self, avatar: Avatar, index: int) -> FloatArray:
        """The template's own landmarks."""
        assert isinstance(avatar, TemplateAvatar)
        return avatar.template.read_landmarks(index).astype(np.float32)

    # listen ---------------------------------------------------------------------------------------------------------

    def output_fps(self, avatar: Avatar, options: RenderOptions) -> Fraction:  # noqa: ARG002 - as every head
        return options.fps or self.variant.audio.fps

    def plan(self, avatar: Avatar, speech: Speech, options: RenderOptions) -> FramePlan:
        """Templates forwards and backwards from the second one; other loop policies begin with the first.

        At another frame rate than the network's, its frames are repeated or left out.
        """
        assert isinstance(avatar, TemplateAvatar)
        own_fps = self.variant.audio.fps
        fps = self.output_fps(avatar, options)
        num_own = self._num_own_frames(speech)
        num_templates, start = avatar.template.num_frames, self.config.start_frame
        if options.loop == "pingpong":
            order = template_order(num_templates, num_own, start)
        else:
            order = source_indices(num_templates - start, num_own, options.loop) + start
        if fps != own_fps:
            num_frames = -(-len(order) * fps // own_fps)
            order = order[_own_index(int(num_frames), fps, own_fps, len(order))]
        return FramePlan(fps=fps, indices=order)

    def num_output_frames(self, speech: Speech, fps: Fraction) -> int:
        own_fps = self.variant.audio.fps
        return int(-(-self._num_own_frames(speech) * fps // own_fps))

    def _num_own_frames(self, speech: Speech) -> int:
        """Frames at the network's own rate: as many as the sound is long, or as published under compat."""
        if not self.options.compat:
            return max(1, speech.clip.num_frames(self.variant.audio.fps))
        if self.config.features is not None:
            return len(self._given_features())
        return self.listener.num_rows(len(speech.clip.samples))

    @property
    def listener(self) -> SpeechListener:
        """The speech encoder."""
        if self._listener is None:
            first = self._places[0]
            self._listener = SpeechListener(
                self.variant.audio, self.config, self.weights.path, backend=first.backend, device=first.device
            )
        return self._listener

    def condition(self, speech: Speech, fps: Fraction, num_frames: int) -> Conditioning:
        own_fps = self.variant.audio.fps
        num_own = self._num_own_frames(speech)
        if self.config.features is not None:
            features = self._given_features()
            wanted = speech.clip.num_frames(own_fps)
            if not self.options.compat and abs(len(features) - wanted) > max(MAX_ROWS_MISSING, wanted // 50):
                raise InputError(
                    f"{self.config.features} has {len(features)} rows, and the sound lasts {wanted} frames.",
                    accepted="features of this very sound",
                    remedy="leave --features out, or --compat makes a video as long as the features",
                )
        else:
            features = self.listener.listen(speech.clip, None if self.options.compat else num_own)
        if self.config.smooth_features:
            features = smoothed_features(features)
        index = np.arange(num_frames) if fps == own_fps else _own_index(num_frames, fps, own_fps, num_own)
        return Conditioning(features, index, self.config.window_edges)

    def _given_features(self) -> Features:
        assert self.config.features is not None
        if self._features is None:
            path = self.config.features
            self._features = features_of(load_array(path), self.variant.audio, str(path))
        return self._features

    # render ---------------------------------------------------------------------------------------------------------

    def engine(self, picture: Picture, window: FloatArray) -> Engine:
        """The generator, in the first way to run that stays faithful to float32 on this picture and window."""
        if self._engine is not None:
            return self._engine
        net = fold(self.weights.tensors, self.variant)
        built: dict[str, Engine] = {}

        def ready(place: Placement) -> Engine:
            if place.name not in built:
                built[place.name] = build_engine(place, net, threads=self.config.threads)
            return built[place.name]

        def measure(place: Placement) -> float:
            exact = build_engine(replace(place, precision="float32"), net, threads=self.config.threads)
            return psnr_db(ready(place)(picture, window), exact(picture, window), peak=255)

        self._verdict = first_faithful(
            self._places,
            measure,
            network=f"{NAME} {self.variant.name}/1",
            weights_sha256=self.weights.sha256,
            store=self._cache or Cache(),
            trusted=asked_by_name(self.options.precision) or self.options.compat,
        )
        self._engine = ready(self._verdict.placement)
        return self._engine

    def stages(self, avatar: Avatar, conditioning: Any, plan: FramePlan) -> Sequence[Stage]:
        assert isinstance(avatar, TemplateAvatar)
        assert isinstance(conditioning, Conditioning)
        reader = avatar.reader
        first = int(plan.indices[0]) if len(plan) else 0
        middle = len(plan) // 2
        engine = self.engine(
            _bgr(inner_picture(reader.get(first).canvas)),
            conditioning.windows(middle, middle + 1)[0],
        )
        if self._states is None or self._states[0] is not avatar.template:
            room = self.config.cache_mb * 1_000_000 - self.config.cache_mb * 1_000_000 // 2
            self._states = (avatar.template, StateCache(engine, room))
        states = self._states[1]

        def read(indices: Iterator[int]) -> Iterator[_Work]:
            for i in indices:
                key = int(plan.indices[i])
                yield _Work(i, key, reader.get(key))

        def generate(work: Iterator[_Work]) -> Iterator[tuple[_Work, Picture]]:
            heard: dict[int, Any] = {}
            taken: deque[_Work] = deque()

            def pairs() -> Iterator[tuple[Any, Any]]:
                for item in work:
                    if item.index not in heard:
                        new = engine.speech(conditioning.windows(item.index, item.index + SPEECH_BATCH))
                        heard.update(enumerate(new, start=item.index))
                    taken.append(item)
                    yield states.get(item.key, _picture_of(item.template)), heard.pop(item.index)

            for picture in engine.stream(pairs()):
                yield taken.popleft(), picture

        def paste(pairs: Iterator[tuple[_Work, Picture]]) -> Iterator[Frame]:
            for item, picture_bgr in pairs:
                template = item.template
                canvas = filled_canvas(template.canvas, picture_bgr[:, :, ::-1])
                yield paste_crop(template.frame, template.box, canvas, reader.filters, keep=template.keep)

        stages = [Stage("template", read), Stage("network", generate), Stage("paste", paste)]
        if self.config.save_frames is not None:
            stages.append(Stage("save-frames", _saver(self.config.save_frames)))
        return stages

    def describe(self, avatar: Avatar, conditioning: Any) -> Description:
        assert isinstance(avatar, TemplateAvatar)
        assert isinstance(conditioning, Conditioning)
        engine, listener, verdict = self._engine, self._listener, self._verdict
        assert engine is not None
        assert verdict is not None
        warnings: list[str] = []
        if avatar.reader.clamped:
            warnings.append(f"The square of {avatar.reader.clamped} templates leaves the frame at the left or top.")
        return Description(
            weights_sha256=self.weights.sha256,
            networks=(verdict.run("generator"),),
            model_details={
                "network": avatar.variant.name,
                "mode": avatar.variant.audio.mode,
                "key_layout": self.weights.layout,
                "form": engine.form,
                "features": conditioning.features.source,
                "encoder": listener.encoder_name if listener is not None else "",
                "templates": avatar.template.num_frames,
                "state_cache_hits": self._states[1].hits if self._states else 0,
            },
            fallbacks=verdict.refused,
            warnings=tuple(warnings),
        )


def _own_index(num_frames: int, fps: Fraction, own_fps: Fraction, num_own: int) -> Any:
    """Frame of the network's own rate that shows at each output frame: floor(i * own_fps / fps), exact."""
    index = [i * own_fps // fps for i in range(num_frames)]
    return np.minimum(np.array(index, np.int64), num_own - 1)


def _bgr(picture_rgb: Picture) -> Picture:
    return np.ascontiguousarray(picture_rgb[:, :, ::-1])


def _picture_of(template: Template) -> Callable[[], Picture]:
    return lambda: _bgr(inner_picture(template.canvas))


def _saver(folder: Path) -> Callable[[Iterator[Frame]], Iterator[Frame]]:
    """A step that writes the frames it passes on, several at a time: compressing takes longer than all else."""

    def save(frames: Iterator[Frame]) -> Iterator[Frame]:
        from talkinghead.backends.processor import available_cores
        from talkinghead.media import write_png

        folder.mkdir(parents=True, exist_ok=True)
        cores = available_cores()
        with ThreadPoolExecutor(cores) as pool:
            waiting: deque[tuple[Frame, Future[None]]] = deque()
            for i, frame in enumerate(frames):
                waiting.append((frame, pool.submit(write_png, folder / f"frame_{i:05d}.png", frame)))
                if len(waiting) > cores:
                    yield _written(*waiting.popleft())
            while waiting:
                yield _written(*waiting.popleft())

    return save


def _written(frame: Frame, writing: Future[None]) -> Frame:
    writing.result()
    return frame


def build(options: LoadOptions) -> Head:
    """Load a generator; entry of the registry."""
    return SyncTalk2DHead(options)
