"""The Wav2Lip head: prepare a face, listen, generate, put back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends import DENSE, Placement, candidates
from talkinghead.backends.placement import asked_by_name
from talkinghead.bounds import FRAME_RATES
from talkinghead.contracts import (
    SPEECH_RATE_HZ,
    AudioClip,
    FaceSource,
    FaceStatus,
    FaceTrack,
    Frame,
    FrameSource,
    Phone,
    Speech,
    StageTime,
)
from talkinghead.engine.cache import NullCache
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import Description, Head, LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.listener import Heard, Listener, WholeSound, hear_all
from talkinghead.engine.live.face import Order
from talkinghead.engine.options import build_config
from talkinghead.engine.runner import Stage
from talkinghead.engine.timeline import DEFAULT_FPS, FramePlan, SourceIndices, frame_plan, source_frames_at
from talkinghead.enhance.faces import MadeFace, tracked_face
from talkinghead.enhance.stage import Enhancement
from talkinghead.errors import OptionError
from talkinghead.face import Detector
from talkinghead.families.wav2lip.config import Wav2LipConfig, published
from talkinghead.families.wav2lip.engine import Engine, EngineOptions, Face, Task
from talkinghead.families.wav2lip.features import MOST_KEPT, FeatureStore
from talkinghead.families.wav2lip.frames import FaceRun, Wav2LipAvatar
from talkinghead.families.wav2lip.listening import (
    PublishedWindows,
    SoundWindows,
    Window,
    Windows,
    gated,
    published_num_frames,
)
from talkinghead.families.wav2lip.live_faces import LiveDrawing, LiveWav2LipFace
from talkinghead.families.wav2lip.livetalking import LIVE_FPS, LiveTalkingWindows
from talkinghead.families.wav2lip.manifest import MANIFEST
from talkinghead.families.wav2lip.postprocess import Finish
from talkinghead.families.wav2lip.precision import GeneratorPlace
from talkinghead.families.wav2lip.preprocess import mirror_index
from talkinghead.families.wav2lip.tracking import published_track, several_tracks
from talkinghead.families.wav2lip.weights import load_generator
from talkinghead.measure.trace import NoTracer, Tracer

LIVE_CPU_BATCH = 1
"""Faces per call in live sessions: speech that comes in time asks for one at a time."""
SPLIT_MIN_REPEATS = 1.5
"""Face features are kept where each source frame is shown this often on average."""


def build(options: LoadOptions) -> Wav2LipHead:
    """Load the family: see `talkinghead.load`."""
    return Wav2LipHead(options)


class Wav2LipHead(Head[Wav2LipAvatar, Windows]):
    """Wav2Lip with any of its published checkpoints."""

    def __init__(self, options: LoadOptions) -> None:
        super().__init__(MANIFEST, options)
        config = build_config(Wav2LipConfig, options.family, owner="Wav2Lip")
        self.config = published(config, options.family) if options.compat else config
        precision = "parity" if options.compat and options.precision == "auto" else options.precision
        places = candidates(DENSE, options.device, options.backend, precision)
        assert options.checkpoint is not None
        started = time.perf_counter()
        self.weights = load_generator(Path(options.checkpoint))
        self.read_s = time.perf_counter() - started
        self.place = GeneratorPlace(places, self.weights, trusted=asked_by_name(precision))
        self.engine = self._engine()
        self.enhancement = Enhancement(self.config, options)

    @property
    def placement(self) -> Placement:
        """Where the generator runs: the first way until it is decided at the first face."""
        return self.place.placement

    def _engine(self, *, live: bool = False) -> Engine:
        config = self.config
        options = EngineOptions(
            batch_size=config.batch or (LIVE_CPU_BATCH if live and self.placement.device == "cpu" else 0),
            compile=config.compile,
            latency=config.latency or live,
            threads=config.threads,
            profile=config.profile is not None,
            whole_sound=not live,
        )
        finish = Finish(config.paste, config.feather, config.colour_match)
        if self.placement.device != "cpu":
            from talkinghead.families.wav2lip.device import DeviceEngine

            return DeviceEngine(self.weights, self.placement, options, finish=finish)
        return Engine(self.weights, self.placement, options, finish=finish)

    # Prepare --------------------------------------------------------------------------------------------------------

    def open_avatar(self, source: FaceSource, options: PrepareOptions, run: RunContext) -> Wav2LipAvatar:
        """See `Head.prepare`. Under `compat`, frames that the speech cannot show are left out before detection, which
        changes the smoothing of the last boxes: give the speech with the options for results that equal the published.
        """
        from talkinghead.face import FaceOptions, load_detector
        from talkinghead.face.upright import stood_up, turned_note
        from talkinghead.media import FrameOptions
        from talkinghead.media.sources import frames_of

        frame_options = options.frames or FrameOptions()
        started = time.perf_counter()
        frames = frames_of(source, options=frame_options, check=run.cancel.check)
        opened_s = time.perf_counter() - started
        self.weights.file_hash.start(run.cache)
        faces = self.config.face_options(options.faces or FaceOptions())
        needed = self.frames_needed(options, frames.fps)
        count = 1 if self.config.static else len(frames) if needed is None else min(needed, len(frames))

        def told(done: int, total: int) -> None:
            run.tell("detect-faces", done, total)

        started = time.perf_counter()
        chosen = tuple(sorted(self.config.sounds()))
        size, turn = frames.size, None
        if self.compat:
            tracks = published_track(frames, faces, stop=count, cache=run.cache, selections=chosen, progress=told)
        else:
            detector = load_detector(faces)
            frames, turn = stood_up(frames, detector, cache=run.cache, stop=count)
            if turn is not None:
                run.warn(turned_note(turn))
            tracks = several_tracks(
                frames, faces, detector, stop=count, cache=run.cache, selections=chosen, progress=told
            )
            _look_at_mouths(frames, tracks, detector, run)
        track_s = time.perf_counter() - started
        return Wav2LipAvatar(
            source=frames,
            track=tracks[0],
            size=size,
            turn=turn,
            fps=frames.fps,
            num_frames=count,
            times=(StageTime("open-face", opened_s, 0.0, 0.0, 1), StageTime("detect-faces", track_s, 0.0, 0.0, count)),
            frames=frames,
            tracks=tracks,
        )

    # Listen ---------------------------------------------------------------------------------------------------------

    @property
    def _live(self) -> bool:
        """LiveTalking's windows."""
        return self.config.windows == "livetalking"

    @property
    def _as_published(self) -> bool:
        """Windows of the published script."""
        return self.compat and not self._live

    def output_fps(self, avatar: Wav2LipAvatar, options: RenderOptions) -> Fraction:
        """Under `compat` a video keeps its own rate.

        Raises:
            OptionError: a rate that LiveTalking's windows do not have.
        """
        if self._live:
            if options.fps not in (None, LIVE_FPS):
                raise OptionError(
                    f"{options.fps} frames per second were asked for, with the windows of LiveTalking.",
                    accepted=f"{LIVE_FPS}",
                    remedy="leave the rate out, or the windows",
                )
            return Fraction(LIVE_FPS)
        if self.compat:
            return self.own_fps(avatar.fps) if avatar.fps is not None else options.fps or DEFAULT_FPS
        return options.fps or self.own_fps(avatar.fps)

    def own_fps(self, source_fps: Fraction | None) -> Fraction:
        """Under `compat` a video keeps its own rate, however slow."""
        if not self.compat:
            return super().own_fps(source_fps)
        return source_fps if source_fps is not None and source_fps >= FRAME_RATES.least else DEFAULT_FPS

    def frames_needed(self, options: PrepareOptions, source_fps: Fraction | None) -> int | None:
        """Under `compat` a video keeps its own rate, whatever is asked for."""
        if self.compat and source_fps is not None and options.render is not None:
            options = replace(options, render=replace(options.render, fps=None))
        return super().frames_needed(options, source_fps)

    def num_output_frames(self, speech: Speech, fps: Fraction) -> int:
        return self._num_frames(speech.clip, fps)

    def _num_frames(self, clip: AudioClip, fps: Fraction) -> int:
        return published_num_frames(len(clip.samples), fps) if self._as_published else clip.num_frames(fps)

    def plan_frames(self, avatar: Wav2LipAvatar, num_frames: int, fps: Fraction, options: RenderOptions) -> FramePlan:
        """Under `compat` a video that is too short starts again; LiveTalking shows the frames at both ends twice."""
        if self._live and options.loop == "pingpong":
            rate = avatar.fps or fps
            return FramePlan(
                fps,
                SourceIndices(
                    num_frames, lambda index: mirror_index(source_frames_at(index, fps, rate), avatar.num_frames)
                ),
            )
        if self._as_published:
            return frame_plan(avatar.num_frames, None, num_frames, fps, "loop")
        return super().plan_frames(avatar, num_frames, fps, options)

    def frames_to_make(self, avatar: Wav2LipAvatar, plan: FramePlan, wanted: range) -> range:
        """Each face can be made alone, but 8 bits are calibrated on the first ones of the video; faces that are
        sharpened need some frames before them."""
        if self.options.precision == "int8":
            return super().frames_to_make(avatar, plan, wanted)
        return self.enhancement.led_in(wanted)

    def listener(
        self,
        avatar: Wav2LipAvatar,
        fps: Fraction,
        run: RunContext,
        *,
        phones: tuple[Phone, ...] | None = None,  # noqa: ARG002 - the interface
    ) -> Listener[Windows]:
        """One mel window per frame for each face; see `listening`."""
        config = self.config
        sounds = config.sounds()
        if len(avatar.tracks) != max(1, len(sounds)):
            raise OptionError(
                f"{len(avatar.tracks)} faces were prepared and {len(sounds)} sounds are given.",
                accepted="a face for each sound of --map",
            )
        if self._live:
            return LiveTalkingWindows(config.step_frames, silence_gate=config.silence_gate)
        if sounds:
            return WholeSound(lambda clip: self._hear_several(sounds, fps, self._num_frames(clip, fps), run))
        if self.compat:
            return PublishedWindows(fps, mel_padding=config.mel_padding, check=run.cancel.check)
        if config.silence_gate:
            return WholeSound(lambda clip: Heard(self._hear_one(clip, fps, clip.num_frames(fps), run)))
        return self._cutter(fps, None, run)

    def _hear_several(
        self, sounds: Mapping[int, Path], fps: Fraction, num_frames: int, run: RunContext
    ) -> Heard[Windows]:
        """What several faces hear of their sounds."""
        from talkinghead.media import read_audio

        clips = [read_audio(path, SPEECH_RATE_HZ) for _, path in sorted(sounds.items())]
        each = [self._hear_one(clip, fps, num_frames, run) for clip in clips]
        return Heard([tuple(window for (window,) in windows) for windows in zip(*each, strict=True)])

    def _hear_one(self, clip: AudioClip, fps: Fraction, num_frames: int, run: RunContext) -> Sequence[Windows]:
        windows = hear_all(self._cutter(fps, num_frames, run), [clip.samples]).windows
        return list(gated(windows, clip, fps)) if self.config.silence_gate else windows

    def _cutter(self, fps: Fraction, num_frames: int | None, run: RunContext) -> SoundWindows:
        config = self.config
        return SoundWindows(
            fps,
            lead_frames=1 if config.align == "training" else 0,
            mel_padding=config.mel_padding,
            num_frames=num_frames,
            check=run.cancel.check,
        )

    # Render ---------------------------------------------------------------------------------------------------------

    def stages(self, avatar: Wav2LipAvatar, heard: Heard[Windows], plan: FramePlan, run: RunContext) -> Sequence[Stage]:
        """read -> crop -> generate -> compose (-> enhance); see `frames`."""
        self.place.recall(run.cache)
        self.engine.move(self.placement)
        if not self.place.is_decided:
            self.engine.expect_comparison()
        work = self._face_run(self.engine, avatar, heard.windows, plan, run)
        self.engine.open_ahead(work.task)

        def faces(index: int, source_index: int) -> Iterator[MadeFace]:
            for number, (track, window) in enumerate(zip(avatar.tracks, heard.windows[index], strict=True)):
                face = tracked_face(track, source_index, person=number, share=window.gate)
                if face is not None:
                    yield face

        return (*work.stages(), *self.enhancement.stages(faces, plan, run))

    def _face_run(
        self, engine: Engine, avatar: Wav2LipAvatar, windows: Sequence[Windows], plan: FramePlan, run: RunContext
    ) -> FaceRun:
        distinct = plan.num_distinct * len(avatar.tracks)
        shown = len(plan) * len(avatar.tracks)
        profile = self.config.profile
        split = self._splits(shown, distinct)
        store = None
        if split and distinct <= MOST_KEPT[self.config.keep_features] and not isinstance(run.cache, NullCache):
            store = FeatureStore(run.cache, self.weights.sha256, lambda: engine.placement)
        task = Task(run, split, store, Tracer() if profile is not None else NoTracer())
        return FaceRun(engine, avatar, windows, plan, task, self.place, reuse=self.config.reuse, profile=profile)

    def _splits(self, shown: int, distinct: int) -> bool:
        """Whether the features of source frames are worth keeping: they come again, and all of them fit."""
        return self.config.reuse and shown >= SPLIT_MIN_REPEATS * distinct and distinct <= self.engine.most_features

    # Live -----------------------------------------------------------------------------------------------------------

    @cached_property
    def _drawing(self) -> LiveDrawing:
        """An engine of its own: jobs on this head may run beside its sessions."""
        return LiveDrawing(self._engine(live=True), self.place, reuse=self.config.reuse)

    @property
    def drawn_at_once(self) -> int:
        return self._drawing.at_once

    def live_listener(
        self,
        avatar: Wav2LipAvatar,
        fps: Fraction,
        run: RunContext,
        *,
        phones: tuple[Phone, ...] | None = None,  # noqa: ARG002 - the interface
    ) -> Listener[Windows]:
        """As `listener`, without the gate that silence shuts, which is judged by the whole sound."""
        if self._live or self.config.sounds() or self.compat:
            return self.listener(avatar, fps, run)
        return self._cutter(fps, None, run)

    def live_face(self, avatar: Wav2LipAvatar, fps: Fraction, run: RunContext) -> LiveWav2LipFace:  # noqa: ARG002
        """See `Head.live_face`; a live session restores no faces."""
        if self.enhancement.works:
            raise OptionError("Faces are to be restored, which a live session cannot do.", remedy="leave enhance out")
        self._drawing.expect(avatar, run)
        return LiveWav2LipFace(avatar)

    def draw(self, orders: Sequence[Order]) -> Sequence[Frame]:
        return self._drawing.draw(orders)

    def faces_of_windows(
        self, source: FrameSource, boxes_xyxy: NDArray[np.int32], windows: NDArray[np.float32]
    ) -> Iterator[Face]:
        """Only the network: one face per window, before it is resized and pasted, as files between stages hold it.

        Args:
            boxes_xyxy: [n, 4], one per source frame; frames start again after n.
            windows: [N, 80, 16] float32.
        Returns:
            N faces, [S, S, 3] uint8 BGR.
        """
        count = 1 if self.config.static else len(boxes_xyxy)
        status = np.full(count, FaceStatus.DETECTED, np.uint8)
        track = FaceTrack(boxes_xyxy[:count].astype(np.int32), status, np.ones(count, np.float32))
        avatar = Wav2LipAvatar(
            source=source,
            track=track,
            size=source.size,
            fps=source.fps,
            num_frames=count,
            frames=source,
            tracks=(track,),
        )
        plan = frame_plan(count, None, len(windows), source.fps or DEFAULT_FPS, "loop")
        engine = Engine(self.weights, self.placement, self.engine.options, finish=Finish(paste="box"))  # whole faces
        heard: list[Windows] = [(Window(window, 0),) for window in windows]
        work = self._face_run(engine, avatar, heard, plan, RunContext())
        try:
            for done in work.generate(work.crop(work.read(iter(range(len(plan)))))):
                (face,) = done.faces
                assert face is not None
                yield face
        finally:
            engine.close()

    def describe(self, avatar: Wav2LipAvatar, heard: Heard[Windows], run: RunContext) -> Description:  # noqa: ARG002
        engine, counted = self.engine, run.counters
        verdict, place = self.place.verdict, self.placement
        generator, hearing = verdict.run("generator"), place.run("audio encoder")
        if place.precision == "int8":  # the audio encoder costs little
            generator = place.run("generator", psnr_db=engine.int8_psnr_db)
            hearing = replace(place, precision="float32").run("audio encoder")
        return Description(
            networks=(generator, hearing, *self.enhancement.networks),
            weights_sha256=self.weights.sha256,
            model_details={
                "architecture": self.weights.architecture.name,
                "container": self.weights.container,
                "placement": self.placement.why,
                "batch_size": engine.batch,
                "compat": self.compat,
                "align": self.config.align,
                "windows": self.config.windows,
                "faces_generated": counted["faces generated"],
                "faces_reused": counted["faces reused"],
                "features_reused": counted["features reused"],
                "features_from_disk": counted["features from disk"],
                "windows_encoded": counted["windows encoded"],
                "windows_reused": counted["windows reused"],
                "int8_psnr_db": engine.int8_psnr_db,
                "network_open_s": counted["milliseconds opening networks"] / 1000,
                "compiled_from_cache": engine.from_cache,
                "checkpoint_read_s": round(self.read_s, 4),
                **self.enhancement.details(run),
            },
        )


def _look_at_mouths(frames: FrameSource, tracks: Sequence[FaceTrack], detector: Detector, run: RunContext) -> None:
    """Warn of mouths that are covered, where the face mesh found the faces."""
    from talkinghead.face.detectors.mesh import MeshDetector
    from talkinghead.face.mesh.covered import COVERED_NOTE, looks_at, mouth_is_covered

    if not isinstance(detector, MeshDetector):
        return
    if any(mouth_is_covered(looks_at(frames, track), detector.mesh) for track in tracks):
        run.warn(COVERED_NOTE)
