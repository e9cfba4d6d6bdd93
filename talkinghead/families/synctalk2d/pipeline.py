"""The family as a head: a template folder and a sound to a video."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends import DEPTHWISE, Placement, candidates
from talkinghead.backends.gate import Verdict, first_faithful, psnr_db
from talkinghead.backends.placement import asked_by_name
from talkinghead.contracts import AudioClip, FaceSource, FloatArray, Frame, Phone, Speech, StageTime
from talkinghead.engine.cache import Cache
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import Avatar, Description, Head, LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.listener import Heard, Listener, Told, WholeSound
from talkinghead.engine.live.face import Order
from talkinghead.engine.lru import Lru
from talkinghead.engine.options import build_config
from talkinghead.engine.runner import Stage
from talkinghead.engine.timeline import FramePlan, SourceIndices, in_groups, looped, source_frames_at
from talkinghead.enhance.faces import MadeFace
from talkinghead.enhance.stage import Enhancement
from talkinghead.errors import InputError, OptionError, UnreadableMedia
from talkinghead.face.landmarks.layout import key_points_of
from talkinghead.families.synctalk2d.choose import GPU_BATCH, build_engine
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
from talkinghead.families.synctalk2d.live import LiveDrawing, LiveHearing, LiveTemplateFace
from talkinghead.families.synctalk2d.manifest import MANIFEST
from talkinghead.families.synctalk2d.phone_features import PhoneFeatures, phone_features
from talkinghead.families.synctalk2d.speech import SpeechListener
from talkinghead.families.synctalk2d.template import (
    TemplateFolder,
    open_template,
    read_image,
    template_at,
    template_order,
)
from talkinghead.families.synctalk2d.variants import AUDIO_VARIANTS, AudioVariant, Variant
from talkinghead.families.synctalk2d.weights import PHONES, SOUND_ROWS, GeneratorWeights, read_generator

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


@dataclass(eq=False)
class _States:
    """What the picture half of the generator made of templates, for one generator."""

    cache: StateCache | None = None
    engine: Engine | None = None

    def of(self, engine: Engine, room_bytes: int) -> StateCache:
        if self.cache is None or self.engine is not engine:
            self.cache, self.engine = StateCache(engine, room_bytes), engine
        return self.cache


@dataclass(frozen=True, eq=False, kw_only=True)
class TemplateAvatar(Avatar):
    """A template folder that was looked through."""

    template: TemplateFolder
    variant: Variant
    """The network; where the weights leave open which it is, the template told."""
    reader: TemplateReader
    states: _States = field(default_factory=_States)


@dataclass(frozen=True, eq=False)
class SpeechWindows(Sequence[FloatArray]):
    """The windows of a sound, cut when they are asked for: [*input_shape] float32 each, a slice [n, *input_shape]."""

    features: Features
    rows: NDArray[np.int64]
    """[n], row of features of each output frame."""
    edges: str

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> FloatArray: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[FloatArray]: ...

    def __getitem__(self, index: int | slice) -> FloatArray | Sequence[FloatArray]:
        if isinstance(index, slice):
            return cast("Sequence[FloatArray]", self.features.windows(self.rows[index], edges=self.edges))
        window: FloatArray = self.features.windows(self.rows[[index]], edges=self.edges)[0]
        return window


@dataclass(frozen=True)
class _Chosen:
    """The generator, and how it was chosen."""

    engine: Engine
    verdict: Verdict


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
        self._kept: Lru[int, Template] = Lru(config.cache_mb * 1_000_000 // 2, lambda template: template.num_bytes)
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
        kept = self._kept.find(key)
        if kept is not None:
            return kept
        made = self._read(key)
        self._kept.keep(key, made)
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


class SyncTalk2DHead(Head[TemplateAvatar, FloatArray]):
    """A loaded generator."""

    def __init__(self, options: LoadOptions) -> None:
        super().__init__(MANIFEST, options)
        self.config = build_config(SyncTalk2DConfig, options.family, owner=MANIFEST.name)
        assert options.checkpoint is not None
        self.weights = self.read_weights(options.checkpoint)
        self.enhancement = Enhancement(self.config, options)
        precision = "parity" if options.compat and options.precision == "auto" else options.precision
        self._places = candidates(DEPTHWISE, options.device, options.backend, precision)
        self._fixed = self._stated_variant()
        self._chosen: dict[str, _Chosen] = {}
        """By name of the network."""
        self._encoders: dict[str, SpeechListener] = {}
        """By mode."""
        self._given: dict[str, Features] = {}
        """Features of a file, by mode."""

    def read_weights(self, checkpoint: Path) -> GeneratorWeights:
        """The generator of a checkpoint."""
        return read_generator(checkpoint)

    def reconfigured(self, **changes: Any) -> SyncTalk2DHead:
        """A head with other options that shares weights and generator with this one."""
        other = copy(self)
        other.config = replace(self.config, **changes)
        other._given, other._encoders = {}, {}
        other.host = None
        for name in ("_drawing", "_hearing"):
            other.__dict__.pop(name, None)
        return other

    # prepare --------------------------------------------------------------------------------------------------------

    def _stated_variant(self) -> Variant | None:
        """The network that option or weights name; None where a template has to tell.

        Raises:
            OptionError: the option contradicts the weights.
        """
        mode = None if self.config.mode == "auto" else self.config.mode
        decided = mode is not None or len(self.weights.audio_variants) == 1 or self.weights.stated_mode is not None
        return self.weights.variant(mode) if decided else None

    def variant(self, template: TemplateFolder | None = None) -> Variant:
        """The network. Where the weights leave the mode open, the training features in a template folder tell it.

        Raises:
            OptionError: ave or hubert, and neither option, file nor template has said which.
        """
        if self._fixed is not None:
            return self._fixed
        if template is not None:
            possible = [AUDIO_VARIANTS[name].mode for name in self.weights.audio_variants]
            present = [known for known in template.modes if known in possible]
            if len(present) == 1:
                return self.weights.variant(present[0])
        return self.weights.variant(None)

    def open_avatar(self, source: FaceSource, options: PrepareOptions, run: RunContext) -> TemplateAvatar:  # noqa: ARG002
        """Look through a template folder; frames are decoded when they are shown."""
        if not isinstance(source, (str, Path)):
            raise InputError("A picture is not a template.", accepted=self.facts.face_source)
        started = time.perf_counter()
        folder = open_template(source)
        if not 0 <= self.config.start_frame < folder.num_frames:
            template_order(folder.num_frames, 0, self.config.start_frame)
        variant = self.variant(folder)
        reader = TemplateReader(folder, variant, self.config)
        size = reader.size()
        if folder.strays:
            names = ", ".join(path.name for path in folder.strays[:3])
            run.warn(f"{len(folder.strays)} files in {folder.path} are no template frames: {names}.")
        if self.config.parsing and not any(folder.parsing):
            run.warn(f"{folder.path} has no parsing pictures; --parsing has no effect.")
        return TemplateAvatar(
            source=None,
            track=None,
            size=size,
            fps=variant.audio.fps,
            num_frames=folder.num_frames,
            times=(StageTime("open-face", time.perf_counter() - started, 0.0, 0.0, 1),),
            template=folder,
            variant=variant,
            reader=reader,
        )

    def landmarks(self, avatar: TemplateAvatar, index: int) -> FloatArray:
        """The template's own landmarks."""
        return avatar.template.read_landmarks(index).astype(np.float32)

    # listen ---------------------------------------------------------------------------------------------------------

    def output_fps(self, avatar: TemplateAvatar, options: RenderOptions) -> Fraction:
        return options.fps or avatar.variant.audio.fps

    def num_output_frames(self, speech: Speech, fps: Fraction) -> int:
        return self._num_frames(self.variant(), speech.clip, fps)

    def plan(self, avatar: TemplateAvatar, speech: Speech, options: RenderOptions) -> FramePlan:
        fps = self.output_fps(avatar, options)
        return self.plan_frames(avatar, self._num_frames(avatar.variant, speech.clip, fps), fps, options)

    def plan_frames(self, avatar: TemplateAvatar, num_frames: int, fps: Fraction, options: RenderOptions) -> FramePlan:
        """Templates forwards and backwards from the second one; other loop policies begin with the first.

        At another frame rate than the network's, its frames are repeated or left out.
        """
        num_templates, start = avatar.template.num_frames, self.config.start_frame
        own_fps, loop = avatar.variant.audio.fps, options.loop
        if loop == "trim":
            num_frames = min(num_frames, math.ceil((num_templates - start) * fps / own_fps))

        def shown(frames: NDArray[np.int64]) -> NDArray[np.int64]:
            own = source_frames_at(frames, fps, own_fps)
            if loop == "pingpong":
                return template_at(own, num_templates, start)
            return looped(own, num_templates - start, loop) + start

        return FramePlan(fps=fps, indices=SourceIndices(num_frames, shown))

    def frames_to_make(self, avatar: TemplateAvatar, plan: FramePlan, wanted: range) -> range:  # noqa: ARG002
        """GPUs draw several frames together; faces that are sharpened need some before them."""
        return in_groups(self.enhancement.led_in(wanted), self.drawn_at_once, len(plan))

    def _num_frames(self, variant: Variant, clip: AudioClip, fps: Fraction) -> int:
        return int(-(-self._num_own_frames(variant, clip) * fps // variant.audio.fps))

    def _num_own_frames(self, variant: Variant, clip: AudioClip) -> int:
        """Frames at the network's own rate: as many as the sound is long, or as published under compat."""
        if not self.compat:
            return max(1, clip.num_frames(variant.audio.fps))
        if self.config.features is not None:
            return len(self._given_features(variant.audio, self.config.features))
        return self.encoder(variant.audio).num_rows(len(clip.samples))

    def encoder(self, audio: AudioVariant) -> SpeechListener:
        """The speech encoder of a network."""
        if audio.mode not in self._encoders:
            first = self._places[0]
            self._encoders[audio.mode] = SpeechListener(
                audio,
                self.config,
                self.weights.path,
                backend=first.backend,
                device=first.device,
                own=self.weights.hears == SOUND_ROWS and self.config.ave_encoder is None,
            )
        return self._encoders[audio.mode]

    def listener(
        self,
        avatar: TemplateAvatar,
        fps: Fraction,
        run: RunContext,
        *,
        phones: tuple[Phone, ...] | None = None,
    ) -> Listener[FloatArray]:
        def hear(clip: AudioClip) -> Heard[FloatArray]:
            said: PhoneFeatures | None = None
            if self._hears_phones(avatar.variant):
                num_frames, tell = self._num_own_frames(avatar.variant, clip), run.hearing(float(clip.duration_s))
                said = phone_features(clip, num_frames, phones, tell, run.ahead)
                features, method = said.features, said.features.source
            else:
                features, method = self._features(avatar.variant, clip, run)
            if self.config.smooth_features:
                features = smoothed_features(features)
            numbers = np.arange(self._num_frames(avatar.variant, clip, fps), dtype=np.int64)
            index = source_frames_at(numbers, fps, avatar.variant.audio.fps)
            windows = SpeechWindows(features, index, self.config.window_edges)
            told = Told(method, said.phones if said else None, said.notes if said else ())
            return Heard(windows, lambda: told)

        return WholeSound(hear)

    def _hears_phones(self, variant: Variant) -> bool:
        """A constructed network says so in its file; an encoder or features that are given come first."""
        given = self.config.features is not None or self.config.ave_encoder is not None or self.compat
        return self.weights.hears == PHONES and variant.audio.mode == "ave" and not given

    def _features(self, variant: Variant, clip: AudioClip, run: RunContext) -> tuple[Features, str]:
        """Rows of features of a sound, and where they are from."""
        own_fps = variant.audio.fps
        path = self.config.features
        if path is None:
            wanted = None if self.compat else self._num_own_frames(variant, clip)
            encoder = self.encoder(variant.audio)
            features = encoder.listen(
                clip, wanted, progress=run.hearing(float(clip.duration_s)), cache_folder=run.cache.compiled_folder
            )
            return features, features.source
        features = self._given_features(variant.audio, path)
        wanted = clip.num_frames(own_fps)
        if not self.compat and abs(len(features) - wanted) > max(MAX_ROWS_MISSING, wanted // 50):
            raise InputError(
                f"{path} has {len(features)} rows, and the sound lasts {wanted} frames.",
                accepted="features of this very sound",
                remedy="leave --features out, or --compat makes a video as long as the features",
            )
        return features, features.source

    def _given_features(self, audio: AudioVariant, path: Path) -> Features:
        if audio.mode not in self._given:
            self._given[audio.mode] = features_of(load_array(path), audio, str(path))
        return self._given[audio.mode]

    # live -----------------------------------------------------------------------------------------------------------

    @cached_property
    def _hearing(self) -> LiveHearing:
        return LiveHearing(self.config, self.encoder, published=self.compat)

    @cached_property
    def _drawing(self) -> LiveDrawing:
        """With engines of its own: jobs on this head may run beside its sessions."""
        return LiveDrawing(
            self._live_engine,
            lambda avatar: TemplateReader(avatar.template, avatar.variant, self.config),
            cache_bytes=self.config.cache_mb * 1_000_000,
        )

    @property
    def drawn_at_once(self) -> int:
        return GPU_BATCH if self._places[0].device != "cpu" else 1

    def live_listener(
        self, avatar: TemplateAvatar, fps: Fraction, run: RunContext, *, phones: tuple[Phone, ...] | None = None
    ) -> Listener[FloatArray]:
        """See `live.LiveHearing`; where phones are given that the network understands, as `listener`.

        Raises:
            OptionError: features that are made of the whole sound.
        """
        if phones is not None and self._hears_phones(avatar.variant):
            return self.listener(avatar, fps, run, phones=phones)
        return self._hearing.listener(avatar.variant.audio, fps, phones=self._hears_phones(avatar.variant))

    def live_face(self, avatar: TemplateAvatar, fps: Fraction, run: RunContext) -> LiveTemplateFace:  # noqa: ARG002
        """See `Head.live_face`; a live session restores no faces."""
        if self.enhancement.works:
            raise OptionError("Faces are to be restored, which a live session cannot do.", remedy="leave enhance out")
        rest = self._hearing.rest(avatar.variant.audio, phones=self._hears_phones(avatar.variant))
        self._drawing.expect(avatar, rest, run)
        return LiveTemplateFace(rest)

    def draw(self, orders: Sequence[Order]) -> Sequence[Frame]:
        return self._drawing.draw(orders)

    def _live_engine(self, avatar: TemplateAvatar, window: FloatArray, run: RunContext) -> Engine:
        """A second generator, where and as precise as was decided."""
        picture = _bgr(inner_picture(avatar.reader.get(self.config.start_frame).canvas))
        verdict = self.engine(avatar.variant, picture, window, run.cache).verdict
        for text in verdict.refused:
            run.fall_back(text)
        net = fold(self.weights.tensors, avatar.variant)
        folder = run.cache.compiled_folder
        return build_engine(verdict.placement, net, threads=self.config.threads, cache_folder=folder, live=True)

    # render ---------------------------------------------------------------------------------------------------------

    def engine(self, variant: Variant, picture: Picture, window: FloatArray, cache: Cache) -> _Chosen:
        """The generator, in the first way to run that stays faithful to float32 on this picture and window."""
        if variant.name in self._chosen:
            return self._chosen[variant.name]
        net = fold(self.weights.tensors, variant)
        built: dict[str, Engine] = {}

        def ready(place: Placement) -> Engine:
            if place.name not in built:
                built[place.name] = build_engine(
                    place, net, threads=self.config.threads, cache_folder=cache.compiled_folder
                )
            return built[place.name]

        def measure(place: Placement) -> float:
            exact = build_engine(replace(place, precision="float32"), net, threads=self.config.threads)
            return psnr_db(ready(place)(picture, window), exact(picture, window), peak=255)

        verdict = first_faithful(
            self._places,
            measure,
            network=f"{MANIFEST.name} {variant.name}/1",
            weights_sha256=self.weights.sha256,
            store=cache,
            trusted=asked_by_name(self.options.precision) or self.compat,
        )
        self._chosen[variant.name] = _Chosen(ready(verdict.placement), verdict)
        return self._chosen[variant.name]

    def _chosen_for(
        self, avatar: TemplateAvatar, heard: Heard[FloatArray], plan: FramePlan, run: RunContext
    ) -> _Chosen:
        first = int(plan.indices[0]) if len(plan) else 0
        middle = min(len(plan), len(heard.windows)) // 2
        picture = _bgr(inner_picture(avatar.reader.get(first).canvas))
        return self.engine(avatar.variant, picture, heard.windows[middle], run.cache)

    def stages(
        self, avatar: TemplateAvatar, heard: Heard[FloatArray], plan: FramePlan, run: RunContext
    ) -> Sequence[Stage]:
        reader = avatar.reader
        chosen = self._chosen_for(avatar, heard, plan, run)
        for text in chosen.verdict.refused:
            run.fall_back(text)
        engine = chosen.engine
        states = avatar.states.of(engine, self.config.cache_mb * 1_000_000 - self.config.cache_mb * 1_000_000 // 2)

        def read(indices: Iterator[int]) -> Iterator[_Work]:
            for i in indices:
                key = int(plan.indices[i])
                yield _Work(i, key, reader.get(key))

        def generate(work: Iterator[_Work]) -> Iterator[tuple[_Work, Picture]]:
            ahead: dict[int, Any] = {}
            taken: deque[_Work] = deque()

            def pairs() -> Iterator[tuple[Any, Any]]:
                for item in work:
                    if item.index not in ahead:
                        first = item.index - item.index % SPEECH_BATCH  # together with the same ones in every run
                        new = engine.speech(np.asarray(heard.windows[first : first + SPEECH_BATCH]))
                        ahead.update(enumerate(new, start=first))
                    taken.append(item)
                    before = states.hits
                    state = states.get(item.key, _picture_of(item.template))
                    run.count("template states reused", states.hits - before)
                    yield state, ahead.pop(item.index)

            for picture in engine.stream(pairs()):
                yield taken.popleft(), picture

        def paste(pairs: Iterator[tuple[_Work, Picture]]) -> Iterator[Frame]:
            for item, picture_bgr in pairs:
                template = item.template
                canvas = filled_canvas(template.canvas, picture_bgr[:, :, ::-1])
                yield paste_crop(template.frame, template.box, canvas, reader.filters, keep=template.keep)

        stages = [Stage("read", read), Stage("generate", generate), Stage("compose", paste)]
        stages += self.enhancement.stages(partial(self._faces, avatar), plan, run)
        if self.config.save_frames is not None:
            stages.append(Stage("save-frames", _saver(self.config.save_frames, run)))
        return stages

    def _faces(self, avatar: TemplateAvatar, _: int, key: int) -> tuple[MadeFace, ...]:
        """The face of a template, for sharpening."""
        return (MadeFace(key_points=key_points_of(self.landmarks(avatar, key)), is_steady=False),)

    def describe(self, avatar: TemplateAvatar, heard: Heard[FloatArray], run: RunContext) -> Description:
        chosen = self._chosen[avatar.variant.name]
        engine, mode = chosen.engine, avatar.variant.audio.mode
        encoder = self._encoders.get(mode)
        if avatar.reader.clamped:
            run.warn(f"The square of {avatar.reader.clamped} templates leaves the frame at the left or top.")
        return Description(
            networks=(chosen.verdict.run("generator"), *self.enhancement.networks),
            weights_sha256=self.weights.sha256,
            model_details={
                "network": avatar.variant.name,
                "mode": mode,
                "key_layout": self.weights.layout,
                "form": engine.form,
                "features": heard.method,
                "encoder": encoder.encoder_name if encoder is not None else "",
                "templates": avatar.template.num_frames,
                "state_cache_hits": run.counters["template states reused"],
                **self.enhancement.details(run),
            },
        )


def _bgr(picture_rgb: Picture) -> Picture:
    return np.ascontiguousarray(picture_rgb[:, :, ::-1])


def _picture_of(template: Template) -> Callable[[], Picture]:
    return lambda: _bgr(inner_picture(template.canvas))


def _saver(folder: Path, run: RunContext) -> Callable[[Iterator[Frame]], Iterator[Frame]]:
    """A step that writes the frames it passes on, several at a time: compressing takes longer than all else."""

    def save(frames: Iterator[Frame]) -> Iterator[Frame]:
        from talkinghead.cores import available_cores
        from talkinghead.media import write_png

        folder.mkdir(parents=True, exist_ok=True)
        cores = available_cores()
        with ThreadPoolExecutor(cores) as pool:
            waiting: deque[tuple[Frame, Future[None]]] = deque()
            for i, frame in enumerate(frames, run.first):
                waiting.append((frame, pool.submit(write_png, folder / f"frame_{i:05d}.png", frame)))
                if len(waiting) > cores:
                    yield _written(*waiting.popleft())
            while waiting:
                yield _written(*waiting.popleft())

    return save


def _written(frame: Frame, writing: Future[None]) -> Frame:
    writing.result()
    return frame


def build(options: LoadOptions) -> SyncTalk2DHead:
    """Load a generator; entry of the registry."""
    return SyncTalk2DHead(options)
