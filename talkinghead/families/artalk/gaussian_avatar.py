"""A head as 3D Gaussians: reading a tracked avatar, and its pictures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from talkinghead.backends.gate import Verdict, first_faithful
from talkinghead.backends.placement import Offer, Order, Way, asked_by_name, candidates, choose_device
from talkinghead.contracts import FloatArray, Frame, NetworkRun, StageTime
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import LoadOptions
from talkinghead.engine.runner import Stage
from talkinghead.errors import MissingDependency, OptionError, WrongCheckpoint
from talkinghead.families.artalk.assets import AssetFolder
from talkinghead.families.artalk.avatar import HeadAvatar, LivePose, batches, moments
from talkinghead.families.artalk.config import ARTalkConfig
from talkinghead.families.artalk.flame import FlameModel
from talkinghead.families.artalk.gagavatar.avatar import IMAGE_SIZE
from talkinghead.families.artalk.gagavatar.geometry import FLAME_SCALE, HeadPoints, head_transform
from talkinghead.families.artalk.gagavatar.renderer import GaussianRenderer, Shot, build_gaussians
from talkinghead.families.artalk.look import read_logo
from talkinghead.families.artalk.motion.config import GLOBAL_ROTATION, MOTION_FPS, MotionRow
from talkinghead.families.artalk.weights import load_gagavatar, pick_tracked, read_tracked
from talkinghead.files import file_sha256
from talkinghead.rendering import rasterize_cuda

_BFLOAT16: tuple[Way, ...] = (("torch", "bfloat16"),)
UPSAMPLER = Offer(
    title="convolutions with a style on large pictures, in PyTorch",
    exact=(("torch", "float32"),),
    exact_source="the only runtime",
    reduced={
        "amx": Order(_BFLOAT16, "measured: a frame in 0.41 s, float32 0.64"),
        "avx512-bf16": Order(_BFLOAT16, "known, not measured: half the memory traffic"),
        "arm-bf16": Order(_BFLOAT16, "known, not measured: half the memory traffic"),
    },
    cuda=("float16", "float32"),
    cuda_named=("bfloat16",),
)
HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class PosedHead:
    """What one frame shows."""

    shot: Shot
    index: int
    """Output frame, which random noise depends on."""
    pause: bool
    """See `avatar.Paced`."""


@dataclass(frozen=True, eq=False)
class Splat:
    """Frames between the rasteriser and the network."""

    channels: torch.Tensor
    """[B, 32, 512, 512] float32 on the device."""
    first: int
    """Output frame of the first; the others follow it."""


@dataclass(frozen=True, eq=False)
class GaussianDrawer:
    """Draws a Gaussian avatar."""

    flame: FlameModel
    renderer: GaussianRenderer
    shape: FloatArray
    """[1, 300] identity."""
    translation: FloatArray
    """[3] of the camera."""
    upsampler: Verdict
    """Where and how precisely the network runs."""

    @property
    def networks(self) -> tuple[NetworkRun, ...]:
        device = self.upsampler.placement.device
        rasteriser = NetworkRun("rasteriser", "numba" if device == "cpu" else "torch", device)
        return (self.upsampler.run("upsampler"), rasteriser)

    @property
    def antialias(self) -> None:
        return None

    def with_shape(self, shape: FloatArray) -> GaussianDrawer:
        return replace(self, shape=shape)

    def stages(self, motion: Sequence[MotionRow]) -> Sequence[Stage]:
        renderer = self.renderer

        def pose(indices: Iterator[int]) -> Iterator[PosedHead]:
            points = HeadPoints(self.flame, self.shape)  # a clip begins without the forehead of the one before
            done = 0
            for moment in moments(indices, motion):
                for index in range(done, moment.index):  # the forehead follows from the first frame on
                    points.step(motion[index])
                done = moment.index + 1
                camera = head_transform(moment.row[GLOBAL_ROTATION], self.translation)
                yield PosedHead(Shot(points.step(moment.row), camera), moment.index, moment.pause)

        def draw(posed: Iterator[PosedHead]) -> Iterator[Splat]:
            for batch in batches(posed, renderer.batch_size()):
                yield Splat(torch.stack([renderer.splat(head.shot) for head in batch]), batch[0].index)

        def upsample(splats: Iterator[Splat]) -> Iterator[Frame]:
            for splat in splats:
                yield from renderer.pictures(splat.channels, splat.first)

        return [Stage("pose", pose), Stage("draw", draw, queue_size=2), Stage("upsample", upsample)]

    @property
    def group(self) -> int:
        return self.renderer.batch_size()

    @property
    def at_once(self) -> int:
        return self.renderer.batch_size()

    def begin(self) -> HeadPoints:
        return HeadPoints(self.flame, self.shape)

    def draw(self, poses: Sequence[LivePose]) -> list[Frame]:
        shots = [
            Shot(pose.memory.step(pose.row), head_transform(pose.row[GLOBAL_ROTATION], self.translation))
            for pose in poses
        ]
        channels = torch.stack([self.renderer.splat(shot) for shot in shots])
        return list(self.renderer.pictures(channels, poses[0].index))


def open_gaussian_avatar(
    name: str,
    assets: AssetFolder,
    config: ARTalkConfig,
    options: LoadOptions,
    flame: FlameModel,
    run: RunContext,
    *,
    procedural: bool,
) -> HeadAvatar:
    """Read a tracked avatar and compute its Gaussians, or take them from the cache.

    Args:
        name: its id, with or without the suffix of its picture.
        procedural: `flame` is our own head, on which these avatars cannot ride.
    Raises:
        OptionError: no such avatar, or an option that belongs to the mesh. MissingWeights: a file is not there.
        WrongCheckpoint: files that do not belong together. MissingDependency: gsplat, where a GPU was asked for.
    """
    started = time.perf_counter()
    run.tell("open-face", 0, 1)
    _refuse_mesh_options(config)
    weights_path, tracked_path, logo_path = _files(name, assets, config, procedural=procedural)
    head = pick_tracked(read_tracked(tracked_path), name, tracked_path)
    model = load_gagavatar(weights_path)
    if len(model.head_base) != flame.num_vertices:
        raise WrongCheckpoint(
            f"The FLAME head has {flame.num_vertices} vertices and GAGAvatar.pt {len(model.head_base)}.",
            accepted="FLAME_with_eye.pt of the assets",
        )
    weights_sha256 = file_sha256(weights_path)
    device = _device(options.device, run)
    model = model.to(device)
    renderer = GaussianRenderer(
        model,
        build_gaussians(model, head, run.cache, weights_sha256),
        logo=read_logo(logo_path) if logo_path is not None else None,
        seed=config.seed if config.noise == "random" else None,
        threads=config.threads or None,
    )
    rest = Shot(flame.vertices(head.shape.reshape(1, -1), scale=FLAME_SCALE)[0], head.transform)
    verdict = _place_upsampler(renderer, rest, device, options, weights_sha256, run)
    half = HALVES.get(verdict.placement.precision)
    renderer = replace(renderer, exact=half is None, autocast=half)
    times = [StageTime("open-face", time.perf_counter() - started, 0.0, 0.0, 1)]
    run.tell("open-face", 1, 1)
    if device == "cpu":
        times.append(_try_frame(renderer, rest, run))
    return HeadAvatar(
        source=None,
        track=None,
        size=(IMAGE_SIZE, IMAGE_SIZE),
        fps=None,
        num_frames=1,
        times=tuple(times),
        name=name,
        drawer=GaussianDrawer(flame, renderer, head.shape[None], head.transform[:, 3].copy(), verdict),
    )


def _files(name: str, assets: AssetFolder, config: ARTalkConfig, *, procedural: bool) -> tuple[Path, Path, Path | None]:
    """Weights, tracked heads, and the logo where it is drawn."""
    purpose = f"The avatar {name!r}"
    weights, tracked = assets.need("gagavatar_model", purpose), assets.need("tracked_avatars", purpose)
    if procedural:
        assets.need("flame_with_eye", purpose)
    logo = None
    if config.watermark:
        logo = assets.need("gagavatar_logo", "The watermark (--no-watermark leaves it out)")
    return weights, tracked, logo


def _refuse_mesh_options(config: ARTalkConfig) -> None:
    for name in ("background", "texture"):
        if getattr(config, name) not in ("auto", None):
            raise OptionError(
                f"--{name} belongs to the mesh; a Gaussian avatar is drawn on black, as published.",
                remedy=f"leave --{name} out, or --avatar mesh",
            )


def _place_upsampler(
    renderer: GaussianRenderer, shot: Shot, device: str, options: LoadOptions, weights_sha256: str, run: RunContext
) -> Verdict:
    """Half precision only where it keeps the picture of this avatar at rest."""
    verdict = first_faithful(
        candidates(UPSAMPLER, device, options.backend, options.precision),
        lambda place: renderer.faithfulness_db(shot, HALVES[place.precision]),
        network="gagavatar-upsampler/1",
        weights_sha256=weights_sha256,
        store=run.cache,
        trusted=asked_by_name(options.precision),
    )
    for sentence in verdict.refused:
        run.fall_back(sentence)
    return verdict


def _try_frame(renderer: GaussianRenderer, shot: Shot, run: RunContext) -> StageTime:
    """Draw one frame, and say how long all the others will take."""
    started = time.perf_counter()
    run.tell("try-frame", 0, 1)
    frame_s = renderer.trial(shot)
    run.tell("try-frame", 1, 1)
    run.warn(
        f"Without a GPU a frame of this avatar takes about {frame_s:.1f} s here, measured: "
        f"{frame_s * MOTION_FPS / 60:.1f} minutes per second of speech; a mesh takes milliseconds."
    )
    return StageTime("try-frame", time.perf_counter() - started, 0.0, 0.0, 1)


def _device(asked: str, run: RunContext) -> str:
    """A GPU where gsplat draws on it, else the processor."""
    device = choose_device(asked)
    if device == "cpu" or rasterize_cuda.available():
        return device
    if asked != "auto":
        raise MissingDependency("gsplat", extra="cuda", purpose="Rendering Gaussians on a GPU")
    run.fall_back("A GPU is there, but gsplat is not installed: drawn on the processor.")
    return "cpu"
