"""TalkingGaussian as a head: a scene prepared once, any sound rendered many times."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from talkinghead.backends import PRODUCTS, Placement, candidates, choose_device
from talkinghead.backends.gate import Verdict, first_faithful, psnr_db
from talkinghead.backends.placement import asked_by_name
from talkinghead.backends.torch_backend import DTYPES
from talkinghead.contracts import AudioClip, FaceSource, FloatArray, Frame, NetworkRun, Phone, Speech, StageTime
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import Avatar, Description, Head, LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.listener import Heard, Listener, Told, WholeSound
from talkinghead.engine.live.face import Order
from talkinghead.engine.options import build_config
from talkinghead.engine.runner import Stage
from talkinghead.engine.timeline import FramePlan, in_groups, looped, source_indices
from talkinghead.enhance.faces import MadeFace
from talkinghead.enhance.stage import Enhancement
from talkinghead.errors import InputError, MissingDependency, OptionError
from talkinghead.families.talkinggaussian.checkpoint import TrainedHead, read_trained_head
from talkinghead.families.talkinggaussian.config import TalkingGaussianConfig
from talkinghead.families.talkinggaussian.frames import (
    BLACK,
    MOTION_BATCH,
    Shot,
    compose_stage,
    deform_stage,
    draw_stage,
    shots_stage,
)
from talkinghead.families.talkinggaussian.listen import check_rows, feature_source, speech_rows
from talkinghead.families.talkinggaussian.live import LiveCodes, LiveHearing, LiveSceneFace
from talkinghead.families.talkinggaussian.manifest import MANIFEST
from talkinghead.families.talkinggaussian.network import ACTION_UNITS
from talkinghead.families.talkinggaussian.renderer import HeadRenderer, SpeechCode
from talkinghead.families.talkinggaussian.scene import (
    FPS,
    SPLITS,
    Backdrop,
    Poses,
    action_units_of,
    read_action_units,
    read_poses,
    scene_folder,
)
from talkinghead.rendering.cameras import Camera, camera_from_pose, orbit

MOTION = "face motion network/1"
"""The network whose precision is measured; its version is raised when what it computes changes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SceneAvatar(Avatar):
    """A scene, ready to stand around the head."""

    poses: Poses
    backdrop: Backdrop
    action_units: FloatArray
    """[n, 6] float32: one row per pose, or per output frame if they came from a file of their own."""
    own_expression: bool = False
    """The action units follow the output frames instead of the poses."""


def build(options: LoadOptions) -> TalkingGaussianHead:
    """Load a trained head."""
    return TalkingGaussianHead(options)


class TalkingGaussianHead(Head[SceneAvatar, SpeechCode]):
    """A trained Gaussian head.

    Args:
        options: the checkpoint, how it is driven and seen, device and precision. On processors with bfloat16, "fast"
            and "auto" use it for the products of the face's motion network; everything else is float32 always.
    """

    def __init__(self, options: LoadOptions) -> None:
        super().__init__(MANIFEST, options)
        self.config = build_config(TalkingGaussianConfig, options.family, owner="The model talkinggaussian")
        if options.checkpoint is None:
            raise OptionError("The model talkinggaussian needs a checkpoint.", accepted="--checkpoint FOLDER")
        self.trained = read_trained_head(
            options.checkpoint, extractor=self.config.audio_extractor, iteration=self.config.iteration
        )
        self.enhancement = Enhancement(self.config, options)
        device = choose_device(options.device)
        if device != "cpu":
            device = self._check_cuda(device, required=options.device != "auto")
        self.device = device
        self._places = candidates(PRODUCTS, device, options.backend, "parity" if self.compat else options.precision)
        self._verdict: Verdict | None = None
        self.renderer = make_renderer(
            self.trained,
            device,
            threads=self.config.threads or None,
            exact=options.precision != "fast",
            dtype=DTYPES[self._places[0].precision],
        )
        as_trained = self.compat and self.config.audio_features == "auto"
        listening = replace(self.config, audio_features="trained") if as_trained else self.config
        self.feature_source = feature_source(self.trained.extractor, listening, device)
        face = self.trained.face
        self.pivot = np.median(face.xyz, axis=0).astype(np.float64) if len(face) else np.zeros(3)
        """[3] float64, the middle of the head."""
        self._settling = threading.Lock()
        self._has_drawn = False
        """For a live session."""

    def _check_cuda(self, device: str, *, required: bool) -> str:
        from talkinghead.rendering.rasterize_cuda import available

        if available():
            return device
        if required:
            raise MissingDependency("gsplat", extra="cuda", purpose="Rendering Gaussians on a GPU")
        self.fallbacks = ("A GPU is there, but gsplat is not installed: rendered on the processor.",)
        return "cpu"

    def open_avatar(self, source: FaceSource, options: PrepareOptions, run: RunContext) -> SceneAvatar:
        """Read a scene folder.

        Raises:
            MediaError: something that rendering needs is missing or damaged.
        """
        if not isinstance(source, (str, Path)):
            raise InputError(
                "The model talkinggaussian takes a scene folder, not a picture.", accepted="--scene FOLDER"
            )
        started = time.perf_counter()
        folder = scene_folder(source)
        poses = read_poses(poses_path(folder, self.config.poses))
        backdrop = Backdrop(folder, background=self.config.background, torso=self.config.torso)
        needed = self.frames_needed(options, Fraction(FPS))
        shown = poses.frames if needed is None else poses.frames[:needed]
        backdrop.check(shown)
        run.cancel.check()
        units, own = self._action_units(folder, poses)
        return SceneAvatar(
            source=None,
            track=None,
            size=backdrop.size,
            fps=Fraction(FPS),
            num_frames=len(poses),
            times=(StageTime("open-face", time.perf_counter() - started, 0.0, 0.0, len(shown)),),
            warnings=self._camera_warnings(),
            poses=poses,
            backdrop=backdrop,
            action_units=units,
            own_expression=own,
        )

    def _action_units(self, folder: Path, poses: Poses) -> tuple[FloatArray, bool]:
        choice = self.config.expression
        if choice == "neutral":
            return np.zeros((len(poses), ACTION_UNITS), np.float32), False
        if choice == "source":
            path = folder / "au.csv"
            return action_units_of(read_action_units(path), poses.frames, path), False
        return read_action_units(Path(choice)), True

    def _camera_warnings(self) -> tuple[str, ...]:
        if self.config.moves_camera and self.config.torso:
            return ("The camera was moved; the torso picture stays as it was filmed (--no-torso leaves it out).",)
        return ()

    def num_output_frames(self, speech: Speech, fps: Fraction) -> int:
        """As many as the sound lasts; under `compat` as many as there are rows of features, as the published script."""
        if not self.compat:
            return super().num_output_frames(speech, fps)
        rows = self.feature_source.num_rows(speech)
        check_rows(rows, speech)
        return rows

    def plan_frames(self, avatar: SceneAvatar, num_frames: int, fps: Fraction, options: RenderOptions) -> FramePlan:
        """Under `compat` the video ends with the poses."""
        if not self.compat:
            return super().plan_frames(avatar, num_frames, fps, options)
        return FramePlan(fps=fps, indices=source_indices(avatar.num_frames, num_frames, "trim"))

    def frames_to_make(self, avatar: SceneAvatar, plan: FramePlan, wanted: range) -> range:  # noqa: ARG002
        """Clouds are moved several together; faces that are sharpened need some frames before them."""
        return in_groups(self.enhancement.led_in(wanted), MOTION_BATCH, len(plan))

    def listener(
        self,
        avatar: SceneAvatar,  # noqa: ARG002 - the interface
        fps: Fraction,
        run: RunContext,
        *,
        phones: tuple[Phone, ...] | None = None,
    ) -> Listener[SpeechCode]:
        """Speech to one code per frame and network; memory grows by 256 bytes per frame only."""
        if fps != FPS:
            raise OptionError(f"The speech features of this model have {FPS} rows a second, not {fps}.")

        def hear(clip: AudioClip) -> Heard[SpeechCode]:
            speech = Speech(clip, clip, phones=phones)
            return self.heard_rows(speech, self.num_output_frames(speech, fps), run)

        return WholeSound(hear)

    def heard_rows(self, speech: Speech, num_frames: int, run: RunContext) -> Heard[SpeechCode]:
        """The codes of so many frames; those beyond the rows of features come from zeros."""
        source = self.feature_source
        rows, positions = speech_rows(
            self.renderer,
            source,
            speech,
            head_sha256=self.trained.sha256,
            cache=run.cache,
            watch=run.hearing(float(speech.clip.duration_s)),
        )
        count = len(rows)
        codes = self.renderer.codes(rows, np.arange(num_frames), positions)
        run.count("rows of features", count)
        notes = []
        if source.fallback:
            run.fall_back(source.fallback)
        if source.stored and abs(count - num_frames) > 2:
            notes.append(
                f"The features have {count} rows, {count / FPS:.2f} s, and the sound lasts {num_frames / FPS:.2f} s: "
                "they may belong to another sound."
            )
        if source.approximate:
            notes.append("Speech features are approximated from recognised phones.")
        told = Told(source.method, notes=tuple(notes))
        return Heard(codes, lambda: told)

    # Live

    @cached_property
    def _hearing(self) -> LiveHearing:
        return LiveHearing(self.config, self.trained.extractor, self._load_encoder)

    def _load_encoder(self) -> Any:
        from talkinghead.audio.encoders.wav2vec2 import load_encoder

        return load_encoder(self.trained.extractor, self.config.audio_model, self.device)

    @property
    def drawn_at_once(self) -> int:
        return MOTION_BATCH

    def live_listener(
        self,
        avatar: SceneAvatar,  # noqa: ARG002 - the interface
        fps: Fraction,  # noqa: ARG002
        run: RunContext,  # noqa: ARG002
        *,
        phones: tuple[Phone, ...] | None = None,
    ) -> LiveCodes:
        """See `live.LiveHearing`.

        Raises:
            OptionError: features that are made of the whole sound.
        """
        return self._hearing.listener(self.renderer, phones)

    def live_face(self, avatar: SceneAvatar, fps: Fraction, run: RunContext) -> LiveSceneFace:  # noqa: ARG002
        """See `Head.live_face`; a live session restores no faces."""
        if self.enhancement.works:
            raise OptionError("Faces are to be restored, which a live session cannot do.", remedy="leave enhance out")
        if self.compat:
            raise OptionError(
                "Under compat a video ends with the poses, and a live session goes on.", remedy="leave compat out"
            )
        rest = self._hearing.rest(self.renderer)
        order = Order(avatar, 0, None, (0, rest))
        with self._settling:
            if not self._has_drawn:
                self.settle(self._live_shot(order), avatar.backdrop, run)
                self.draw([order])  # the first picture takes longer
                self._has_drawn = True
        return LiveSceneFace(rest)

    def draw(self, orders: Sequence[Order]) -> Sequence[Frame]:
        """The clouds of all orders are moved together."""
        shots = [self._live_shot(order) for order in orders]
        heads = self.renderer.deform([shot.code for shot in shots], np.stack([shot.au_exp for shot in shots]))
        frames = []
        for order, shot, head in zip(orders, shots, heads, strict=True):
            behind = order.avatar.backdrop.frame(shot.img_id)
            drawn = self.renderer.draw(head, shot.camera, BLACK)
            frames.append(self.renderer.compose(drawn, behind, dilate_mouth=self.config.dilate))
        return frames

    def _live_shot(self, order: Order) -> Shot:
        avatar: SceneAvatar = order.avatar
        index, code = order.pose
        source, units = order.source_index, avatar.action_units
        row = int(looped(np.array([index]), len(units), "pingpong")[0]) if avatar.own_expression else source
        camera = SceneCameras(avatar, self.config, self.pivot)(source)
        return Shot(index, code, avatar.poses.frames[source].img_id, camera, units[row])

    # Render

    def stages(
        self,
        avatar: SceneAvatar,
        heard: Heard[SpeechCode],
        plan: FramePlan,
        run: RunContext,
    ) -> Sequence[Stage]:
        shot = self.shot_maker(avatar, heard, plan)
        if len(plan):
            self.settle(shot(len(plan) // 2), avatar.backdrop, run)
        return (
            shots_stage(shot, avatar.backdrop),
            deform_stage(self.renderer),
            draw_stage(self.renderer),
            compose_stage(self.renderer, dilate_mouth=self.config.dilate),
            *self.enhancement.stages(lambda _index, _source: (MadeFace(),), plan, run),
        )

    def settle(self, shot: Shot, backdrop: Backdrop, run: RunContext) -> None:
        """Decide how precisely the motion network of the face computes: reduced only if this shot stays as in float32.

        It is decided once; `renderer` computes so from then on.
        """
        if self._verdict is None:

            def measure(_: Placement) -> float:
                return self._faithfulness_db(shot, backdrop)

            self._verdict = first_faithful(
                self._places,
                measure,
                network=MOTION,
                weights_sha256=self.trained.sha256,
                store=run.cache,
                trusted=asked_by_name(self.options.precision),
            )
            if self._verdict.placement.precision == "float32":
                self.renderer = self.renderer.in_float32()
        for text in self._verdict.refused:
            run.fall_back(text)

    def _faithfulness_db(self, shot: Shot, backdrop: Backdrop) -> float:
        """How near a shot comes to the same in float32."""
        behind = backdrop.frame(shot.img_id)
        pictures = []
        for renderer in (self.renderer, self.renderer.in_float32()):
            (moved,) = renderer.deform([shot.code], shot.au_exp[None])
            drawn = renderer.draw(moved, shot.camera, BLACK)
            pictures.append(renderer.compose(drawn, behind, dilate_mouth=self.config.dilate))
        return psnr_db(pictures[0], pictures[1], peak=255)

    def shot_maker(self, avatar: SceneAvatar, heard: Heard[SpeechCode], plan: FramePlan) -> ShotMaker:
        """What each output frame shows."""
        rows = np.asarray(plan.indices)
        if avatar.own_expression:
            rows = source_indices(len(avatar.action_units), len(plan), "pingpong")
        return ShotMaker(avatar, heard, plan, rows, SceneCameras(avatar, self.config, self.pivot))

    def describe(self, avatar: SceneAvatar, heard: Heard[SpeechCode], run: RunContext) -> Description:
        for text in self.trained.warnings:
            run.warn(text)
        motion = self._verdict or Verdict(self._places[0])
        return Description(
            networks=(
                motion.run("face motion network"),
                NetworkRun("mouth motion network", "torch", self.device),
                NetworkRun("rasteriser", "numba" if self.device == "cpu" else "torch", self.device),
                *self.enhancement.networks,
            ),
            weights_sha256=self.trained.sha256,
            model_details={
                "face_gaussians": len(self.trained.face),
                "mouth_gaussians": len(self.trained.mouth),
                "sh_degree": self.trained.face.sh_degree,
                "audio_extractor": self.trained.extractor,
                "features": heard.method,
                "feature_rows": run.counters["rows of features"],
                "poses": avatar.num_frames,
                "expression": self.config.expression,
                **self.enhancement.details(run),
            },
        )


@dataclass(frozen=True, eq=False)
class SceneCameras:
    """Pose of the recording to the camera there, moved as the options say."""

    avatar: SceneAvatar
    config: TalkingGaussianConfig
    pivot: NDArray[np.float64]
    """[3] float64, the middle of the head."""

    def __call__(self, source: int) -> Camera:
        poses, config = self.avatar.poses, self.config
        if not config.moves_camera:
            return poses.camera(source, self.avatar.size)
        pose = orbit(
            poses.frames[source].pose,
            self.pivot,
            yaw=math.radians(config.yaw),
            pitch=math.radians(config.pitch),
            zoom=config.zoom,
        )
        return camera_from_pose(pose, poses.focal_px, self.avatar.size)


@dataclass(frozen=True, eq=False)
class ShotMaker:
    """Output frame index to shot."""

    avatar: SceneAvatar
    heard: Heard[SpeechCode]
    plan: FramePlan
    expression_rows: NDArray[np.int64]
    """[n] int64, row of action units of each output frame."""
    cameras: SceneCameras

    def __call__(self, index: int) -> Shot:
        avatar = self.avatar
        source = int(self.plan.indices[index])
        units = avatar.action_units[int(self.expression_rows[index])]
        return Shot(index, self.heard.windows[index], avatar.poses.frames[source].img_id, self.cameras(source), units)


def poses_path(folder: Path, choice: str) -> Path:
    """The transforms file of a choice: "train", "val" or a file."""
    if choice in SPLITS:
        return folder / f"transforms_{choice}.json"
    return Path(choice)


def make_renderer(
    trained: TrainedHead, device: str, *, threads: int | None, exact: bool, dtype: torch.dtype = torch.float32
) -> HeadRenderer:
    """The renderer of a device."""
    if device == "cpu":
        return HeadRenderer(trained, threads=threads, motion_dtype=dtype)
    from talkinghead.families.talkinggaussian.renderer_cuda import CudaHeadRenderer

    return CudaHeadRenderer(trained, device, exact=exact)
