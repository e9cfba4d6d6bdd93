"""TalkingGaussian as a head: a scene prepared once, any sound rendered many times."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame, NetworkRun, Precision, Speech, StageTime
from talkinghead.engine.cache import Cache
from talkinghead.engine.head import Avatar, Description, Head, LoadOptions, PrepareOptions, Progress, RenderOptions
from talkinghead.engine.options import build_config
from talkinghead.engine.runner import CancelToken, Stage
from talkinghead.engine.timeline import FramePlan, source_indices
from talkinghead.errors import InputError, MissingDependency, OptionError
from talkinghead.families.talkinggaussian.checkpoint import TrainedHead, read_trained_head
from talkinghead.families.talkinggaussian.config import TalkingGaussianConfig
from talkinghead.families.talkinggaussian.frames import Shot, compose_stage, deform_stage, draw_stage, shots_stage
from talkinghead.families.talkinggaussian.listen import FeatureSource, check_rows, feature_source, speech_rows
from talkinghead.families.talkinggaussian.manifest import MANIFEST
from talkinghead.families.talkinggaussian.network import ACTION_UNITS
from talkinghead.families.talkinggaussian.renderer import HeadRenderer, SpeechCodes
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

PRECISIONS = ("auto", "parity", "fast", "float32", "bfloat16")
BACKENDS = ("auto", "torch")


@dataclass(frozen=True, eq=False)
class SceneAvatar(Avatar):
    """A scene, ready to stand around the head."""

    poses: Poses | None = None
    backdrop: Backdrop | None = None
    action_units: FloatArray | None = None
    """[n, 6] float32: one row per pose, or per output frame if they came from a file of their own."""
    own_expression: bool = False
    """The action units follow the output frames instead of the poses."""


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What the head understood of the speech."""

    codes: SpeechCodes
    num_rows: int
    """Rows of features; codes of later frames come from zeros."""
    warnings: tuple[str, ...] = ()


def build(options: LoadOptions) -> TalkingGaussianHead:
    """Load a trained head."""
    config = build_config(TalkingGaussianConfig, options.family, owner="The model talkinggaussian")
    if options.checkpoint is None:
        raise OptionError("The model talkinggaussian needs a checkpoint.", accepted="--checkpoint FOLDER")
    trained = read_trained_head(options.checkpoint, extractor=config.audio_extractor, iteration=config.iteration)
    return TalkingGaussianHead(trained, config, options)


class TalkingGaussianHead(Head):
    """A trained Gaussian head.

    Args:
        trained: the checkpoint.
        config: how it is driven and seen.
        options: device and precision. On processors with bfloat16, "fast" and "auto" use it for the products of the
            face's motion network; everything else is float32 always.
    """

    facts = MANIFEST

    def __init__(self, trained: TrainedHead, config: TalkingGaussianConfig, options: LoadOptions) -> None:
        from talkinghead.backends.placement import choose_device

        if options.precision not in PRECISIONS:
            raise OptionError(f"There is no precision {options.precision!r} here.", accepted=", ".join(PRECISIONS))
        if options.backend not in BACKENDS:
            raise OptionError(f"There is no backend {options.backend!r} here.", accepted=", ".join(BACKENDS))
        self.trained = trained
        self.config = config
        self.compat = options.compat
        self.fallbacks: tuple[str, ...] = ()
        device = choose_device(options.device)
        if device != "cpu":
            device = self._check_cuda(device, required=options.device != "auto")
        self.device = device
        self.motion_dtype = motion_dtype(options.precision, device, compat=options.compat)
        self.renderer = make_renderer(
            trained,
            device,
            threads=config.threads or None,
            exact=options.precision != "fast",
            dtype=self.motion_dtype,
        )
        self._cache: Cache | None = None
        self._features = feature_source(trained.extractor, config, device)
        self._pivot = np.median(trained.face.xyz, axis=0).astype(np.float64) if len(trained.face) else np.zeros(3)

    def _check_cuda(self, device: str, *, required: bool) -> str:
        from talkinghead.rendering.rasterize_cuda import available

        if available():
            return device
        if required:
            raise MissingDependency("gsplat", extra="cuda", purpose="Rendering Gaussians on a GPU")
        self.fallbacks = ("A GPU is there, but gsplat is not installed: rendered on the processor.",)
        return "cpu"

    @property
    def feature_source(self) -> FeatureSource:
        return self._features

    def prepare(
        self,
        source: str | Path | Frame,
        options: PrepareOptions | None = None,
        *,
        progress: Progress | None = None,  # noqa: ARG002 (preparing takes a moment)
        cancel: CancelToken | None = None,
    ) -> SceneAvatar:
        """Read a scene folder.

        Raises:
            MediaError: something that rendering needs is missing or damaged.
        """
        if not isinstance(source, (str, Path)):
            raise InputError(
                "The model talkinggaussian takes a scene folder, not a picture.", accepted="--scene FOLDER"
            )
        options = options or PrepareOptions()
        self._cache = options.cache
        started = time.perf_counter()
        folder = scene_folder(source)
        poses = read_poses(poses_path(folder, self.config.poses))
        backdrop = Backdrop(folder, background=self.config.background, torso=self.config.torso)
        needed = self.frames_needed(options, Fraction(FPS))
        shown = poses.frames if needed is None else poses.frames[:needed]
        backdrop.check(shown)
        if cancel is not None:
            cancel.check()
        units, own = self._action_units(folder, poses)
        return SceneAvatar(
            source=None,
            track=None,
            size=backdrop.size,
            fps=Fraction(FPS),
            num_frames=len(poses),
            times=(StageTime("prepare", time.perf_counter() - started, 0.0, 0.0, len(shown)),),
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

    def condition(self, speech: Speech, fps: Fraction, num_frames: int) -> Conditioning:
        """Speech to one code per frame and network; memory grows by 256 bytes per frame only."""
        if fps != FPS:
            raise OptionError(f"The speech features of this model have {FPS} rows a second, not {fps}.")
        rows, positions = speech_rows(
            self.renderer, self._features, speech, head_sha256=self.trained.sha256, cache=self._cache or Cache()
        )
        count = len(rows)
        codes = self.renderer.codes(rows, np.arange(num_frames), positions)
        warnings = []
        if self._features.stored and abs(count - num_frames) > 2:
            warnings.append(
                f"The features have {count} rows, {count / FPS:.2f} s, and the sound lasts {num_frames / FPS:.2f} s: "
                "they may belong to another sound."
            )
        if self._features.approximate:
            warnings.append("Speech features are approximated from recognised phones.")
        return Conditioning(codes, count, tuple(warnings))

    def plan(self, avatar: Avatar, speech: Speech, options: RenderOptions) -> FramePlan:
        """As long as the sound; under `compat` min(poses, feature rows) frames, as the published script."""
        if not self.compat:
            return super().plan(avatar, speech, options)
        rows = self._features.num_rows(speech)
        check_rows(rows, speech)
        return FramePlan(fps=Fraction(FPS), indices=source_indices(avatar.num_frames, rows, "trim"))

    def stages(self, avatar: Avatar, conditioning: Conditioning, plan: FramePlan) -> Sequence[Stage]:
        assert isinstance(avatar, SceneAvatar)
        assert avatar.backdrop is not None
        shot = self.shot_maker(avatar, plan)
        return (
            shots_stage(shot, avatar.backdrop),
            deform_stage(self.renderer, conditioning.codes),
            draw_stage(self.renderer),
            compose_stage(self.renderer, dilate_mouth=self.config.dilate),
        )

    def shot_maker(self, avatar: SceneAvatar, plan: FramePlan) -> ShotMaker:
        """What each output frame shows."""
        rows = plan.indices
        if avatar.own_expression:
            assert avatar.action_units is not None
            rows = source_indices(len(avatar.action_units), len(plan), "pingpong")
        return ShotMaker(avatar, plan, rows, self.config, self._pivot)

    def describe(self, avatar: Avatar, conditioning: Conditioning) -> Description:
        return Description(
            weights_sha256=self.trained.sha256,
            networks=self._networks(),
            model_details={
                "face_gaussians": len(self.trained.face),
                "mouth_gaussians": len(self.trained.mouth),
                "sh_degree": self.trained.face.sh_degree,
                "audio_extractor": self.trained.extractor,
                "features": self._features.method,
                "feature_rows": conditioning.num_rows,
                "poses": avatar.num_frames,
                "expression": self.config.expression,
            },
            fallbacks=self.fallbacks,
            warnings=(*self.trained.warnings, *conditioning.warnings),
        )

    def _networks(self) -> tuple[NetworkRun, ...]:
        return (
            NetworkRun("motion network", "torch", self.device, precision_of(self.motion_dtype)),
            NetworkRun("rasteriser", "numba" if self.device == "cpu" else "torch", self.device),
        )


@dataclass(frozen=True, eq=False)
class ShotMaker:
    """Output frame index to shot."""

    avatar: SceneAvatar
    plan: FramePlan
    expression_rows: NDArray[np.int64]
    """[n] int64, row of action units of each output frame."""
    config: TalkingGaussianConfig
    pivot: NDArray[np.float64]
    """[3] float64, the middle of the head."""

    def __call__(self, index: int) -> Shot:
        avatar = self.avatar
        assert avatar.poses is not None
        assert avatar.action_units is not None
        source = int(self.plan.indices[index])
        units = avatar.action_units[int(self.expression_rows[index])]
        return Shot(index, index, avatar.poses.frames[source].img_id, self.camera(source), units)

    def camera(self, source: int) -> Camera:
        """Camera of a pose, moved as the options say."""
        poses = self.avatar.poses
        assert poses is not None
        if not self.config.moves_camera:
            return poses.camera(source, self.avatar.size)
        config = self.config
        pose = orbit(
            poses.frames[source].pose,
            self.pivot,
            yaw=math.radians(config.yaw),
            pitch=math.radians(config.pitch),
            zoom=config.zoom,
        )
        return camera_from_pose(pose, poses.focal_px, self.avatar.size)


def poses_path(folder: Path, choice: str) -> Path:
    """The transforms file of a choice: "train", "val" or a file."""
    if choice in SPLITS:
        return folder / f"transforms_{choice}.json"
    return Path(choice)


def motion_dtype(precision: str, device: str, *, compat: bool) -> torch.dtype:
    """Number format of the face network's products."""
    from talkinghead.backends.processor import cpu_has_bfloat16

    if precision in ("parity", "float32") or compat or device != "cpu":
        return torch.float32
    return torch.bfloat16 if precision == "bfloat16" or cpu_has_bfloat16() else torch.float32


def precision_of(dtype: torch.dtype) -> Precision:
    """Name of a number format."""
    return "bfloat16" if dtype == torch.bfloat16 else "float32"


def make_renderer(
    trained: TrainedHead, device: str, *, threads: int | None, exact: bool, dtype: torch.dtype = torch.float32
) -> HeadRenderer:
    """The renderer of a device."""
    if device == "cpu":
        return HeadRenderer(trained, threads=threads, motion_dtype=dtype)
    from talkinghead.families.talkinggaussian.renderer_cuda import CudaHeadRenderer

    return CudaHeadRenderer(trained, device, exact=exact)
