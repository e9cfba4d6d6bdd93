"""The Wav2Lip head: prepare a face, listen, generate, paste."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends import Placement
from talkinghead.backends.artefacts import compiled_folder
from talkinghead.contracts import AudioClip, FaceStatus, FaceTrack, Frame, FrameSource, Speech, StageTime
from talkinghead.engine.cache import Cache, NullCache
from talkinghead.engine.context import CancelToken, Progress, ProgressEvent
from talkinghead.engine.head import DEFAULT_FPS, Avatar, Description, Head, LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.options import build_config
from talkinghead.engine.runner import Stage
from talkinghead.engine.timeline import FramePlan, PlannedFrame, planned_frames, source_indices
from talkinghead.errors import OptionError
from talkinghead.families.wav2lip.config import Wav2LipConfig, published
from talkinghead.families.wav2lip.engine import Ears, Engine, EngineOptions, Face, Lru, Request, new_source
from talkinghead.families.wav2lip.features import MOST_KEPT, FeatureStore
from talkinghead.families.wav2lip.listening import Listening, listen, listen_published, published_num_frames
from talkinghead.families.wav2lip.manifest import MANIFEST
from talkinghead.families.wav2lip.postprocess import match_colours, paste_box, paste_lower_face
from talkinghead.families.wav2lip.preprocess import face_crop_bgr
from talkinghead.families.wav2lip.tracking import published_track, several_tracks
from talkinghead.families.wav2lip.weights import load_generator
from talkinghead.measure.trace import NoTracer, Tracer

SPLIT_MIN_REPEATS = 1.5
"""Face features are kept where each source frame is shown this often on average."""
CROPS_KEPT = 512
"""Crops of source frames kept per avatar."""
REPEATS_KEPT = 512
"""Generated faces kept for the same face hearing the same again."""


@dataclass(frozen=True, eq=False)
class Wav2LipAvatar(Avatar):
    """A prepared face, or several."""

    tracks: tuple[FaceTrack, ...] = ()
    """One per face that will speak."""
    crops: Lru = field(default_factory=lambda: Lru(CROPS_KEPT))
    """(face, source frame) to crop; filled while rendering, used again by the next."""
    static: bool = False
    """Only the first frame is used."""
    number: int = field(default_factory=new_source, init=False)
    """Tells its faces from all others in what the engine keeps."""


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What each face hears."""

    faces: tuple[Listening, ...]

    def __len__(self) -> int:
        return len(self.faces[0])


@dataclass(eq=False)
class _Work:
    """One output frame on its way."""

    planned: PlannedFrame
    crops: tuple[Face | None, ...]
    """Per face; None where nothing is generated."""
    faces: list[Face | None]
    """Generated, per face."""
    missing: int = 0


def build(options: LoadOptions) -> Wav2LipHead:
    """Load the family: see `talkinghead.load`."""
    return Wav2LipHead(options)


class Wav2LipHead(Head):
    """Wav2Lip with any of its published checkpoints."""

    def __init__(self, options: LoadOptions) -> None:
        self.facts = MANIFEST
        config = build_config(Wav2LipConfig, options.family, owner="Wav2Lip")
        self.compat = options.compat
        self.config = published(config, options.family) if options.compat else config
        precision = "parity" if options.compat and options.precision == "auto" else options.precision
        self.placement = Placement.choose(options.device, options.backend, precision)
        assert options.checkpoint is not None
        self.checkpoint = Path(options.checkpoint)
        started = time.perf_counter()
        self.weights = load_generator(self.checkpoint)
        self.tracer: Tracer = Tracer() if self.config.profile is not None else NoTracer()
        self.read_s = time.perf_counter() - started
        self.engine = self._engine(None)
        self._cache: Cache = NullCache()
        """Of the last `prepare`."""

    def _engine(self, cache: Cache | None) -> Engine:
        folder = None if isinstance(cache, NullCache) else compiled_folder((cache or Cache()).folder)
        options = EngineOptions(
            batch_size=self.config.batch,
            compile=self.config.compile,
            latency=self.config.latency,
            threads=self.config.threads,
            cache_folder=folder,
            profile=self.config.profile is not None,
        )
        if self.placement.device != "cpu":
            from talkinghead.families.wav2lip.device import DeviceEngine, Finish

            finish = Finish(self.config.paste, self.config.feather, self.config.colour_match)
            return DeviceEngine(self.weights, self.placement, options, finish=finish, tracer=self.tracer)
        return Engine(self.weights, self.placement, options, tracer=self.tracer)

    # Prepare --------------------------------------------------------------------------------------------------------

    def prepare(
        self,
        source: str | Path | Frame,
        options: PrepareOptions | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Wav2LipAvatar:
        """See `Head.prepare`. Under `compat`, frames that the speech cannot show are left out before detection, which
        changes the smoothing of the last boxes: give the speech with the options for results that equal the published.
        """
        from talkinghead.face import FaceOptions, load_detector
        from talkinghead.media import FrameOptions, open_frames
        from talkinghead.media.arrays import ArraySource

        options = options or PrepareOptions()
        frame_options = options.frames or FrameOptions()
        started = time.perf_counter()
        frames: FrameSource
        if isinstance(source, np.ndarray):
            frames = ArraySource([source], options=frame_options)
        else:
            frames = open_frames(source, options=frame_options)
        opened_s = time.perf_counter() - started
        cache = options.cache if options.cache is not None else Cache()
        self.weights.file_hash.start(cache)
        if isinstance(cache, NullCache):
            self.engine.options = replace(self.engine.options, cache_folder=None)
        self._cache = cache
        faces = options.faces or FaceOptions()
        if self.config.face_index is not None:
            faces = replace(faces, select=f"index:{self.config.face_index}")
        needed = self.frames_needed(options, frames.fps)
        count = 1 if self.config.static else len(frames) if needed is None else min(needed, len(frames))

        def told(done: int, total: int) -> None:
            if cancel is not None:
                cancel.check()
            if progress is not None:
                progress(ProgressEvent("prepare", done, total))

        started = time.perf_counter()
        chosen = tuple(sorted(self.config.sounds()))
        if self.compat:
            tracks = published_track(
                frames,
                faces,
                pads=faces.padding if any(faces.padding) else self.config.pads,
                stop=count,
                cache=cache,
                selections=chosen,
                progress=told,
            )
        else:
            tracks = several_tracks(
                frames,
                faces,
                load_detector(faces),
                pads=self.config.pads,
                stop=count,
                cache=cache,
                selections=chosen,
                progress=told,
            )
        track_s = time.perf_counter() - started
        return Wav2LipAvatar(
            source=frames,
            track=tracks[0],
            size=frames.size,
            fps=frames.fps,
            num_frames=count,
            times=(StageTime("open-face", opened_s, 0.0, 0.0, 1), StageTime("detect-faces", track_s, 0.0, 0.0, count)),
            tracks=tracks,
            static=self.config.static,
        )

    # Listen ---------------------------------------------------------------------------------------------------------

    def output_fps(self, avatar: Avatar, options: RenderOptions) -> Fraction:
        """Under `compat` a video keeps its own rate."""
        if self.compat:
            return avatar.fps or options.fps or DEFAULT_FPS
        return options.fps or avatar.fps or DEFAULT_FPS

    def num_output_frames(self, speech: Speech, fps: Fraction) -> int:
        if self.compat:
            return published_num_frames(len(speech.clip.samples), fps)
        return super().num_output_frames(speech, fps)

    def plan(self, avatar: Avatar, speech: Speech, options: RenderOptions) -> FramePlan:
        """Under `compat` a video that is too short starts again."""
        if not self.compat:
            return super().plan(avatar, speech, options)
        fps = self.output_fps(avatar, options)
        return FramePlan(fps, source_indices(avatar.num_frames, self.num_output_frames(speech, fps), "loop"))

    def condition(self, speech: Speech, fps: Fraction, num_frames: int) -> Conditioning:
        """One mel window per frame for each face; see `listening`."""
        config = self.config
        sounds = config.sounds()
        if self.compat and not sounds:
            return Conditioning((listen_published(speech.clip, fps, mel_padding=config.mel_padding),))
        clips = self._clips(sounds) if sounds else [speech.clip]
        return Conditioning(
            tuple(
                listen(
                    clip,
                    fps,
                    num_frames,
                    align=config.align,
                    mel_padding=config.mel_padding,
                    silence_gate=config.silence_gate,
                )
                for clip in clips
            )
        )

    @staticmethod
    def _clips(sounds: Mapping[int, Path]) -> list[AudioClip]:
        from talkinghead.media import read_audio

        return [read_audio(path, 16_000) for _, path in sorted(sounds.items())]

    # Render ---------------------------------------------------------------------------------------------------------

    def stages(self, avatar: Avatar, conditioning: Any, plan: FramePlan) -> Sequence[Stage]:
        """read -> crop -> generate -> paste."""
        assert isinstance(avatar, Wav2LipAvatar)
        assert isinstance(conditioning, Conditioning)
        if len(conditioning.faces) != len(avatar.tracks):
            raise OptionError(
                f"{len(avatar.tracks)} faces were prepared and {len(conditioning.faces)} sounds are given.",
                accepted="a face for each sound of --map",
            )
        split = self._splits(avatar, plan)
        self.engine.feature_store = self._feature_store(avatar, plan) if split else None
        self.engine.open_ahead(split=split)
        return (
            Stage("read", lambda indices: self._read(avatar, plan, indices), queue_size=4),
            Stage("crop", lambda frames: self._crop(avatar, conditioning, frames), queue_size=16),
            Stage("generate", lambda work: self._generate(avatar, conditioning, work, split=split), queue_size=16),
            Stage("paste", lambda work: self._paste(avatar, conditioning, work), queue_size=4),
        )

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
        avatar = Wav2LipAvatar(source, track, source.size, source.fps, count, tracks=(track,))
        conditioning = Conditioning((Listening.of_windows(windows),))
        plan = FramePlan(source.fps or DEFAULT_FPS, source_indices(count, len(windows), "loop"))
        frames = self._read(avatar, plan, iter(range(len(plan))))
        works = self._crop(avatar, conditioning, frames)
        if self.engine.finishes:
            self.engine = Engine(self.weights, self.placement, self.engine.options, tracer=self.tracer)
        for work in self._generate(avatar, conditioning, works, split=self._splits(avatar, plan)):
            face = work.faces[0]
            assert face is not None
            yield face

    def _splits(self, avatar: Wav2LipAvatar, plan: FramePlan) -> bool:
        """Whether the features of source frames are worth keeping: they come again, and all of them fit."""
        distinct = self._distinct_faces(avatar, plan)
        shown = len(plan) * len(avatar.tracks)
        return self.config.reuse and shown >= SPLIT_MIN_REPEATS * distinct and distinct <= self.engine.most_features

    @staticmethod
    def _distinct_faces(avatar: Wav2LipAvatar, plan: FramePlan) -> int:
        return len(np.unique(plan.indices)) * len(avatar.tracks)

    def _feature_store(self, avatar: Wav2LipAvatar, plan: FramePlan) -> FeatureStore | None:
        """Where features are kept on disk, for a job of few faces."""
        few = self._distinct_faces(avatar, plan) <= MOST_KEPT[self.config.keep_features]
        if not few or self.engine.finishes or isinstance(self._cache, NullCache):
            return None
        return FeatureStore(self._cache, self.weights.sha256, self.placement)

    def _read(self, avatar: Wav2LipAvatar, plan: FramePlan, indices: Iterator[int]) -> Iterator[PlannedFrame]:
        assert avatar.source is not None
        planned = planned_frames(avatar.source, plan)
        for _ in indices:
            with self.tracer.span("read"):
                frame = next(planned, None)
            if frame is None:
                return
            yield frame

    def _crop(
        self, avatar: Wav2LipAvatar, conditioning: Conditioning, frames: Iterator[PlannedFrame]
    ) -> Iterator[_Work]:
        size = self.engine.size
        for planned in frames:
            crops: list[Face | None] = []
            with self.tracer.span("crop"):
                for number, (track, heard) in enumerate(zip(avatar.tracks, conditioning.faces, strict=True)):
                    index = planned.source_index
                    if heard.gate[planned.index] <= 0 or track.status[index] == FaceStatus.MISSING:
                        crops.append(None)
                        continue
                    if self.engine.finishes:
                        x1, y1, x2, y2 = (int(edge) for edge in track.boxes_xyxy[index])
                        crops.append(planned.frame[y1:y2, x1:x2])
                        continue
                    crop = avatar.crops.find((number, index, size))
                    if crop is None:
                        crop = face_crop_bgr(planned.frame, track.boxes_xyxy[index], size)
                        avatar.crops.keep((number, index, size), crop)
                    crops.append(crop)
            yield _Work(planned, tuple(crops), [None] * len(crops), sum(crop is not None for crop in crops))

    def _generate(
        self, avatar: Wav2LipAvatar, conditioning: Conditioning, works: Iterator[_Work], *, split: bool
    ) -> Iterator[_Work]:
        """Ask the engine for what is not known yet; frames leave in order."""
        reuse = self.config.reuse
        ears = [Ears(self.engine, heard, reuse=reuse) for heard in conditioning.faces]
        known = Lru(REPEATS_KEPT)
        asked: dict[Hashable, list[tuple[_Work, int]]] = {}
        waiting: deque[_Work] = deque()
        most_waiting = (
            self.engine.in_flight + self.engine.state.batch
        )  # then the network finishes what it has, also while nobody speaks

        def requests() -> Iterator[Request | None]:
            for work in works:
                waiting.append(work)
                for number, crop in enumerate(work.crops):
                    if crop is None:
                        continue
                    embedding, heard = ears[number].embedding(work.planned.index)
                    source = (number, work.planned.source_index)
                    identity: tuple[Hashable, ...] = (source, heard if heard is not None else work.planned.index)
                    if self.engine.finishes:  # a finished box also depends on how much of the face is shown
                        identity = (*identity, float(conditioning.faces[number].gate[work.planned.index]))
                    face = known.find(identity)
                    if face is not None:
                        work.faces[number] = face
                        work.missing -= 1
                        self.engine.state.reused_faces += 1
                    elif identity in asked:
                        asked[identity].append((work, number))
                        self.engine.state.reused_faces += 1
                    else:
                        asked[identity] = [(work, number)]
                        strength = float(conditioning.faces[number].gate[work.planned.index])
                        yield Request(embedding, crop, (avatar.number, *source), strength, owner=identity)
                if waiting and (len(waiting) >= most_waiting or not waiting[0].missing):
                    yield None

        for result in self.engine.run(requests(), split=split):
            if result is not None:
                request, face = result
                if reuse:
                    known.keep(request.owner, face)
                for work, number in asked.pop(request.owner):
                    work.faces[number] = face
                    work.missing -= 1
            while waiting and not waiting[0].missing:
                yield waiting.popleft()

    def _paste(self, avatar: Wav2LipAvatar, conditioning: Conditioning, works: Iterator[_Work]) -> Iterator[Frame]:
        for work in works:
            frame = work.planned.frame
            with self.tracer.span("paste"):
                for number, (face, crop) in enumerate(zip(work.faces, work.crops, strict=True)):
                    if face is None or crop is None:
                        continue
                    box = avatar.tracks[number].boxes_xyxy[work.planned.source_index]
                    if self.engine.finishes:
                        x1, y1, x2, y2 = (int(edge) for edge in box)
                        frame = frame.copy() if frame is work.planned.frame else frame
                        frame[y1:y2, x1:x2] = face
                        continue
                    strength = float(conditioning.faces[number].gate[work.planned.index])
                    frame = self.paste(frame, face, crop, box, strength)
            yield frame

    def paste(self, frame: Frame, face: Face, crop: Face, box_xyxy: NDArray[Any], strength: float = 1.0) -> Frame:
        """Put one generated face into a copy of the frame, as the options say."""
        if self.config.colour_match:
            face = match_colours(face, crop)
        if self.config.paste == "box" and strength >= 1:
            return paste_box(frame, face, box_xyxy)
        feather = 0.0 if self.config.paste == "box" else self.config.feather
        return paste_lower_face(frame, face, box_xyxy, feather=feather, strength=strength)

    def describe(self, avatar: Avatar, conditioning: Any) -> Description:  # noqa: ARG002 - the interface
        state = self.engine.state
        self._write_profile()
        session_facts = {
            "architecture": self.weights.architecture.name,
            "container": self.weights.container,
            "placement": self.placement.why,
            "batch_size": state.batch,
            "compat": self.compat,
            "align": self.config.align,
            "faces_generated": state.generated,
            "faces_reused": state.reused_faces,
            "features_reused": state.reused_features,
            "features_from_disk": state.stored_features,
            "windows_encoded": state.encoded_windows,
            "windows_reused": state.reused_windows,
            "int8_psnr_db": state.int8_psnr_db,
            "network_open_s": round(self.engine.open_s, 4),
            "compiled_from_cache": self.engine.from_cache,
            "checkpoint_read_s": round(self.read_s, 4),
        }
        return Description(
            weights_sha256=self.weights.sha256,
            networks=(self.placement.run("generator", psnr_db=state.int8_psnr_db),),
            model_details=session_facts,
            fallbacks=tuple(state.fallbacks),
        )

    def _write_profile(self) -> None:
        if self.config.profile is None:
            return
        now = time.perf_counter()
        for part, operators in self.engine.profile().items():
            begin = now
            for item in operators:
                self.tracer.add(
                    item.name,
                    begin,
                    begin + item.seconds,
                    track=f"operators of one call: {part}",
                    kind=item.kind,
                    implementation=item.implementation,
                )
                begin += item.seconds
        self.tracer.write(self.config.profile)
