"""ARTalk as a head: sound to FLAME motion, drawn as a mesh or as a Gaussian avatar."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from talkinghead.contracts import (
    AudioClip,
    FloatArray,
    Frame,
    IntArray,
    NetworkRun,
    Phone,
    Precision,
    Speech,
    StageTime,
)
from talkinghead.engine.cache import Cache
from talkinghead.engine.context import CancelToken, Progress, ProgressEvent
from talkinghead.engine.head import Avatar, Description, Head, LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.options import build_config
from talkinghead.engine.runner import Stage
from talkinghead.engine.timeline import FramePlan
from talkinghead.errors import MediaNotFound, MissingDependency, MissingWeights, OptionError, WrongCheckpoint
from talkinghead.families.artalk.assets import NO_STYLE, AssetFolder, asset_folder
from talkinghead.families.artalk.config import ARTalkConfig
from talkinghead.families.artalk.flame import NUM_SHAPE, FlameModel, load_flame
from talkinghead.families.artalk.look import TRANSPARENT, backdrop, read_shape, read_texture, region_colours
from talkinghead.families.artalk.manifest import MANIFEST
from talkinghead.families.artalk.procedural.head import EXPRESSIONS, procedural_head
from talkinghead.families.artalk.viseme_driver import (
    Liveliness,
    at_rate,
    fitted_shapes,
    motion_from_mouth,
    procedural_shapes,
)
from talkinghead.files import file_sha256
from talkinghead.rendering.mesh import MeshCamera, MeshRenderer, MeshShading, orbit_camera

if TYPE_CHECKING:
    from talkinghead.families.artalk.gagavatar.renderer import GaussianRenderer, Shot
    from talkinghead.families.artalk.motion.engine import MotionModel

MESH = "mesh"
MOTION_FPS = Fraction(25)
PUBLISHED_CLIP = 750
PRECISIONS = ("auto", "parity", "fast", "float32")
VERTEX_BATCH = 32
"""Frames whose vertices are computed at once."""
NATURAL_LIGHT = MeshShading(
    light=(1.0, 1.1, 2.4), ambient=0.42, diffuse=0.62, specular=0.05, wrap=0.35, sky=0.07, rim=0.10
)


@dataclass(frozen=True, eq=False)
class HeadAvatar(Avatar):
    """A head, ready to be drawn."""

    name: str = MESH
    faces: IntArray | None = None
    shape: FloatArray | None = None
    """[1, 300] identity, or None for the mean head."""
    renderer: MeshRenderer | None = None
    """Of a mesh."""
    transparent: bool = False
    """The frames of the mesh are RGBA."""
    gaussians: GaussianRenderer | None = None
    """Of a Gaussian avatar."""
    translation: FloatArray | None = None
    """[3] of a Gaussian avatar's camera."""


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Motion of the head."""

    motion: FloatArray
    """[n, 106] float32, one row per output frame."""
    method: str
    notes: tuple[str, ...] = ()
    phones: tuple[Phone, ...] | None = None
    """Those that moved the mouth; None where networks listened."""


def build(options: LoadOptions) -> ARTalkHead:
    """Load the head and what drives it."""
    return ARTalkHead(build_config(ARTalkConfig, options.family, owner="The model artalk"), options)


class ARTalkHead(Head):
    """A 3D head that speaks.

    Args:
        config: what drives it and how it is seen.
        options: the checkpoint is ARTalk_wav2vec.pt; device and precision count for the networks.
    """

    def __init__(self, config: ARTalkConfig, options: LoadOptions) -> None:
        self.facts = MANIFEST
        self.config = config
        self.compat = options.compat
        self.precision = options.precision
        if options.precision not in PRECISIONS:
            raise OptionError(f"There is no precision {options.precision!r} here.", accepted=", ".join(PRECISIONS))
        if options.backend not in ("auto", "torch"):
            raise OptionError(f"There is no backend {options.backend!r} here.", accepted="auto, torch")
        self._device_asked = options.device
        self._device: str | None = None
        self.assets = asset_folder(config.assets, options.checkpoint)
        self.checkpoint = self._checkpoint(options.checkpoint)
        self.driver = self._driver()
        self.fallbacks = self._fallbacks()
        self.flame, self.is_procedural = self._flame()
        self.style = self._style()
        self._model: MotionModel | None = None
        if self.driver == "artalk":
            self._model = self._load_model()

    # Loading

    def _checkpoint(self, given: Path | None) -> Path | None:
        if given is not None and not given.is_file():
            raise MediaNotFound(f"There is no file {str(given)!r}.", accepted="--checkpoint ARTalk_wav2vec.pt")
        return given or self.assets.find("artalk_wav2vec")

    def _driver(self) -> str:
        if self.config.driver == "artalk" and self.checkpoint is None:
            raise MissingWeights(
                f"The driver artalk needs {self.assets.path('artalk_wav2vec')}, and there is no such file.",
                remedy="get ARTalk_wav2vec.pt and config.json from huggingface.co/xg-chu/ARTalk and give their folder "
                "with --assets; or --driver viseme, which needs no files",
            )
        if self.config.driver != "auto":
            return self.config.driver
        return "artalk" if self.checkpoint is not None else "viseme"

    def _fallbacks(self) -> tuple[str, ...]:
        if self.config.driver == "auto" and self.driver == "viseme":
            return ("ARTalk's weights were not found: recognised phones move the head (--driver viseme).",)
        return ()

    def _flame(self) -> tuple[FlameModel, bool]:
        given = self.config.flame
        if given is not None and str(given) != "procedural":
            return load_flame(given), False
        found = self.assets.find("flame_with_eye") if given is None else None
        if found is not None:
            return load_flame(found), False
        return procedural_head().flame, True

    def _style(self) -> FloatArray | None:
        name = self.config.style
        if name is None or name in NO_STYLE:
            return None
        if self.driver != "artalk":
            raise OptionError(
                f"--style {name} belongs to the artalk driver, and this head is driven by recognised phones.",
                remedy="leave --style out, or give ARTalk's files with --assets",
            )
        from talkinghead.families.artalk.weights import load_style

        path = self.assets.style(name)
        return load_style(path) if path is not None else None

    @property
    def device(self) -> str:
        """Of the networks."""
        if self._device is None:
            from talkinghead.backends.placement import choose_device

            self._device = choose_device(self._device_asked)
        return self._device

    def _load_model(self) -> MotionModel:
        try:
            import torch
        except ImportError as error:
            raise MissingDependency("torch", extra="models", purpose="The artalk driver") from error
        from talkinghead.families.artalk.weights import load_motion_model

        assert self.checkpoint is not None
        beside = self.checkpoint.with_name("config.json")
        config = beside if beside.is_file() else self.assets.find("config")
        model = load_motion_model(self.checkpoint, config).to(self.device)
        if self.motion_precision == "bfloat16":
            model.use(torch.bfloat16)
        if self.config.compile:
            model.compile_encoder()
        return model

    @property
    def motion_precision(self) -> Precision:
        """float32 unless `fast` is asked for: half precision flips bits of the motion, which changes it."""
        if self.precision != "fast":
            return "float32"
        from talkinghead.backends.processor import cpu_has_bfloat16

        return "bfloat16" if self.device != "cpu" or cpu_has_bfloat16() else "float32"

    # Preparing

    def prepare(
        self,
        source: str | Path | Frame = MESH,
        options: PrepareOptions | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> HeadAvatar:
        """Get an avatar ready.

        Args:
            source: "mesh", or the id of a tracked Gaussian avatar ("11.jpg" or "11").
        Raises:
            OptionError: no such avatar. MissingWeights: its files are not there.
        """
        started = time.perf_counter()
        if isinstance(source, np.ndarray):
            raise OptionError(
                "The model artalk cannot make an avatar from a picture itself.",
                accepted='"mesh", or the id of a tracked avatar',
                remedy="run the GAGAvatar tracker on the picture and put its tracked.pt into the assets",
            )
        options = options or PrepareOptions()
        if str(source) == MESH:
            return self._mesh_avatar(started)
        if progress is not None:
            progress(ProgressEvent("avatar", 0, 1))
        if cancel is not None:
            cancel.check()
        return self._gaussian_avatar(str(source), options.cache or Cache(), started, progress)

    def _mesh_avatar(self, started: float) -> HeadAvatar:
        config = self.config
        natural = config.look == "natural" or (config.look == "auto" and self.is_procedural and not self.compat)
        shading = NATURAL_LIGHT if natural else MeshShading()
        colours, texture = None, None
        if natural:
            colours = procedural_head().colours if self.is_procedural else region_colours(self.flame)
            texture = procedural_head().texture if self.is_procedural else None
        if config.texture is not None:
            texture = read_texture(config.texture, self.flame)
        colour, picture = backdrop(config.background, config.image_size, natural=natural)
        shading = replace(shading, background=colour, smooth=config.smooth_shading)
        camera = MeshCamera()
        if (config.yaw, config.pitch, config.zoom) != (0, 0, 1):
            camera = orbit_camera(camera, yaw=np.radians(config.yaw), pitch=np.radians(config.pitch), zoom=config.zoom)
        renderer = MeshRenderer(
            faces=self.flame.faces,
            size=config.image_size,
            camera=camera,
            shading=shading,
            colours=colours,
            texture=texture.for_size(self.flame.faces, camera.project(self.flame.template), config.image_size)
            if texture is not None
            else None,
            antialias=1 if self.compat else config.antialias,
            background=picture,
            threads=config.threads or None,
        )
        return HeadAvatar(
            source=None,
            track=None,
            size=(config.image_size, config.image_size),
            fps=None,
            num_frames=1,
            times=(StageTime("avatar", time.perf_counter() - started, 0.0, 0.0, 1),),
            name=MESH,
            faces=self.flame.faces,
            shape=read_shape(config.shape) if config.shape is not None else None,
            renderer=renderer,
            transparent=config.background == TRANSPARENT,
        )

    def _gaussian_avatar(self, name: str, cache: Cache, started: float, progress: Progress | None = None) -> HeadAvatar:
        purpose = f"The avatar {name!r}"
        mesh_only = [text for text in ("background", "texture") if getattr(self.config, text) not in ("auto", None)]
        if mesh_only:
            raise OptionError(
                f"--{mesh_only[0]} belongs to the mesh; a Gaussian avatar is drawn on black, as published.",
                remedy=f"leave --{mesh_only[0]} out, or --avatar mesh",
            )
        weights_path = self.assets.need("gagavatar_model", purpose)
        tracked_path = self.assets.need("tracked_avatars", purpose)
        if self.is_procedural:
            self.assets.need("flame_with_eye", purpose)
        logo_path = self.assets.need("gagavatar_logo", "The watermark (--no-watermark leaves it out)") \
            if self.config.watermark else None  # fmt: skip
        try:
            import torch
        except ImportError as error:
            raise MissingDependency("torch", extra="models", purpose="Drawing Gaussian avatars") from error
        from talkinghead.backends.processor import cpu_has_bfloat16
        from talkinghead.families.artalk.gagavatar.renderer import GaussianRenderer, build_gaussians
        from talkinghead.families.artalk.look import read_logo
        from talkinghead.families.artalk.weights import load_gagavatar, pick_tracked, read_tracked

        head = pick_tracked(read_tracked(tracked_path), name, tracked_path)
        model = load_gagavatar(weights_path)
        if len(model.head_base) != self.flame.num_vertices:
            raise WrongCheckpoint(
                f"The FLAME head has {self.flame.num_vertices} vertices and GAGAvatar.pt {len(model.head_base)}.",
                accepted="FLAME_with_eye.pt of the assets",
            )
        device = self._gaussian_device()
        model = model.to(device)
        gaussians = build_gaussians(model, head, cache, file_sha256(weights_path))
        fast = self.precision in ("auto", "fast") and (device != "cpu" or cpu_has_bfloat16())
        half = torch.bfloat16 if device == "cpu" else torch.float16
        renderer = GaussianRenderer(
            model,
            gaussians,
            logo=read_logo(logo_path) if logo_path is not None else None,
            seed=self.config.seed if self.config.noise == "random" else None,
            threads=self.config.threads or None,
            exact=not fast,
            autocast=half if fast else None,
        )
        warnings: tuple[str, ...] = ()
        if device == "cpu":
            if progress is not None:
                progress(ProgressEvent("trial frame", 0, 1))
            frame_s = renderer.trial(self.flame, head)
            if progress is not None:
                progress(ProgressEvent(f"trial frame: {frame_s:.1f} s, as each will take", 1, 1))
            warnings = (
                f"Without a GPU a frame of this avatar takes about {frame_s:.1f} s here, measured: "
                f"{frame_s * float(MOTION_FPS) / 60:.1f} minutes per second of speech; a mesh takes milliseconds.",
            )
        return HeadAvatar(
            source=None,
            track=None,
            size=(512, 512),
            fps=None,
            num_frames=1,
            times=(StageTime("avatar", time.perf_counter() - started, 0.0, 0.0, 1),),
            warnings=warnings,
            name=name,
            faces=self.flame.faces,
            shape=head.shape[None],
            gaussians=renderer,
            translation=head.transform[:, 3].copy(),
        )

    def _gaussian_device(self) -> str:
        if self.device == "cpu":
            return "cpu"
        from talkinghead.rendering.rasterize_cuda import available

        if available():
            return self.device
        if self._device_asked != "auto":
            raise MissingDependency("gsplat", extra="cuda", purpose="Rendering Gaussians on a GPU")
        self.fallbacks = (*self.fallbacks, "A GPU is there, but gsplat is not installed: drawn on the processor.")
        return "cpu"

    # Motion

    def output_fps(self, avatar: Avatar, options: RenderOptions) -> Fraction:  # noqa: ARG002
        """25 unless another rate is asked for; motion is interpolated."""
        if self.compat and options.fps not in (None, MOTION_FPS):
            raise OptionError(f"With --compat the rate is {MOTION_FPS}, not {options.fps}.", remedy="leave --fps out")
        return options.fps or MOTION_FPS

    def clip_frames(self, count: int, fps: Fraction) -> int:
        """Frames that are kept of `count`."""
        limit = self.config.clip_length or (PUBLISHED_CLIP if self.compat else 0)
        return min(count, int(limit * fps / MOTION_FPS)) if limit else count

    def num_output_frames(self, speech: Speech, fps: Fraction) -> int:
        """As many as the sound lasts; under `compat` the published count, which rounds up some exact multiples."""
        count = speech.clip.num_frames(fps)
        if self.compat:
            from talkinghead.families.artalk.motion.engine import num_motion_frames

            count = num_motion_frames(len(speech.clip.samples))
        return self.clip_frames(count, fps)

    def condition(self, speech: Speech, fps: Fraction, num_frames: int) -> Conditioning:
        cut: tuple[str, ...] = ()
        if num_frames < self.clip_frames(speech.clip.num_frames(fps), fps) or (
            num_frames < speech.clip.num_frames(fps)
        ):
            seconds = float(speech.clip.duration_s)
            cut = (f"The video is cut to {num_frames} frames; the sound lasts {seconds:.2f} s.",)
        if self.driver == "viseme":
            return self._viseme_motion(speech, fps, num_frames, cut)
        motion = self.motion(speech.clip, clip_length=None)
        notes = list(cut)
        if self.is_procedural:
            motion = motion.copy()
            motion[:, :100] = 0.0
            notes.append(
                "The head is not FLAME, so of ARTalk's motion only jaw and head rotation show; "
                "give FLAME_with_eye.pt in the assets to see its expressions."
            )
        return Conditioning(at_rate(motion, MOTION_FPS, fps, num_frames), "artalk", tuple(notes))

    def _viseme_motion(self, speech: Speech, fps: Fraction, num_frames: int, cut: tuple[str, ...]) -> Conditioning:
        from talkinghead.audio.mouth import MouthConfig, mouth_motion
        from talkinghead.audio.phones import PhoneResult, recognise_phones

        found = PhoneResult(speech.phones, "given") if speech.phones is not None else recognise_phones(speech.clip)
        mouth = mouth_motion(found.phones, speech.clip, fps, num_frames, MouthConfig(openness=self.config.strength))
        shapes = procedural_shapes(EXPRESSIONS) if self.is_procedural else fitted_shapes(self.flame)
        head_motion = 0.0 if self.config.fix_pose else self.config.head_motion
        lively = Liveliness(head_motion, self.config.blinks_per_minute, self.config.seed)
        motion = motion_from_mouth(mouth, shapes, lively)
        notes = [*cut, *found.notes]
        if shapes is None:
            notes.append("This head's file has no landmarks, so that recognised phones move only its jaw and head.")
        return Conditioning(motion, f"viseme ({found.method})", tuple(notes), found.phones)

    def motion(self, clip: AudioClip, *, clip_length: int | None = None) -> FloatArray:
        """ARTalk's motion of a sound at 25 frames a second, smoothed and cleared as published.

        Returns:
            [T, 106] float32.
        """
        from talkinghead.families.artalk.motion.engine import postprocess_motion
        from talkinghead.families.artalk.motion.smoothing import MIN_FRAMES

        if self._model is None:
            raise OptionError("This head is driven by recognised phones.", remedy='driver="artalk" and its weights')
        made = self._model.generate(clip.samples, self.style)
        smooth = self.config.smooth and (len(made.motion) >= MIN_FRAMES or self.compat)
        return postprocess_motion(made.motion, clip_length=clip_length, fix_pose=self.config.fix_pose, smooth=smooth)

    def motion_arrays(self, conditioning: Any) -> dict[str, FloatArray]:
        """ "motion": [n, 106], as the published program writes it."""
        assert isinstance(conditioning, Conditioning)
        return {"motion": conditioning.motion}

    def heard_phones(self, conditioning: Any) -> tuple[Phone, ...] | None:
        assert isinstance(conditioning, Conditioning)
        return conditioning.phones

    # Drawing

    def vertices(self, motion: FloatArray, avatar: HeadAvatar) -> FloatArray:
        """[n, 106] to [n, V, 3] float32 metres."""
        return self.flame.motion_vertices(motion, avatar.shape)

    def stages(self, avatar: Avatar, conditioning: Any, plan: FramePlan) -> Sequence[Stage]:  # noqa: ARG002
        assert isinstance(avatar, HeadAvatar)
        assert isinstance(conditioning, Conditioning)
        if avatar.gaussians is not None:
            return self._gaussian_stages(avatar, avatar.gaussians, conditioning.motion)
        assert avatar.renderer is not None
        renderer, motion, transparent = avatar.renderer, conditioning.motion, avatar.transparent

        def pose(indices: Iterator[int]) -> Iterator[FloatArray]:
            for batch in batched(indices, VERTEX_BATCH):
                yield from self.vertices(motion[batch[0] : batch[-1] + 1], avatar)

        def draw(meshes: Iterator[FloatArray]) -> Iterator[Frame]:
            yield from renderer.frames(meshes, transparent=transparent)

        return [Stage("vertices", pose), Stage("render", draw)]

    def _gaussian_stages(self, avatar: HeadAvatar, renderer: GaussianRenderer, motion: FloatArray) -> Sequence[Stage]:
        import torch

        from talkinghead.families.artalk.gagavatar.geometry import HeadPoints, head_transform
        from talkinghead.families.artalk.gagavatar.renderer import Shot

        assert avatar.shape is not None
        assert avatar.translation is not None
        shape, translation = avatar.shape, avatar.translation

        def pose(indices: Iterator[int]) -> Iterator[Shot]:
            points = HeadPoints(self.flame, shape)  # a clip begins without the forehead of the one before
            for index in indices:
                row = motion[index]
                yield Shot(points.step(row), head_transform(row[100:103], translation))

        def splat(shots: Iterator[Shot]) -> Iterator[Any]:
            for batch in batched(shots, renderer.batch_size()):
                yield torch.stack([renderer.splat(shot) for shot in batch])

        def upsample(batches: Iterator[Any]) -> Iterator[Frame]:
            first = 0
            for channels in batches:
                yield from renderer.pictures(channels, first)
                first += len(channels)

        return [Stage("points", pose), Stage("splat", splat, queue_size=2), Stage("upsample", upsample)]

    def stream(
        self, chunks: Iterable[FloatArray], avatar: HeadAvatar | None = None
    ) -> Iterator[tuple[FloatArray, Frame]]:
        """Motion and frames while the sound arrives, at 25 frames a second.

        The algorithmic delay is one chunk of 4 s and 4 frames of smoothing (4.16 s). Bits and motion are those of the
        whole sound (for the same batch size of the audio encoder, which here is one chunk).

        Args:
            chunks: 16 kHz mono float32 sound, in pieces of any length.
            avatar: a mesh avatar of this head; None draws the mesh.
        Yields:
            [106] motion and the frame of it, in order.
        Raises:
            OptionError: the head is driven by recognised phones, which look at the whole sound.
        """
        from talkinghead.families.artalk.motion.stream import MotionStream

        if self._model is None:
            raise OptionError("Recognised phones look at the whole sound.", accepted="the artalk driver")
        avatar = avatar or self.prepare(MESH)
        stream = MotionStream(self._model, self.style, smooth=self.config.smooth, fix_pose=self.config.fix_pose)
        seen = 0
        for motion in itertools.chain((stream.feed(chunk) for chunk in chunks), (stream.finish() for _ in range(1))):
            if not len(motion):
                continue
            shown = motion.copy()
            if self.is_procedural:
                shown[:, :100] = 0.0
            drawing = Conditioning(shown, "artalk")
            plan = FramePlan(fps=MOTION_FPS, indices=np.zeros(len(motion), np.int64))
            values: Iterator[Any] = iter(range(len(motion)))
            for stage in self.stages(avatar, drawing, plan):
                values = stage.run(values)
            yield from zip(motion, values, strict=True)
            seen += len(motion)

    def describe(self, avatar: Avatar, conditioning: Any) -> Description:
        assert isinstance(avatar, HeadAvatar)
        assert isinstance(conditioning, Conditioning)
        sha256 = None
        if self._model is not None and self.checkpoint is not None:
            sha256 = file_sha256(self.checkpoint)
        return Description(
            weights_sha256=sha256,
            networks=self._networks(avatar),
            model_details={
                "driver": conditioning.method,
                "avatar": avatar.name,
                "head": "procedural" if self.is_procedural else "FLAME",
                "vertices": self.flame.num_vertices,
                "style": self.config.style or "none",
                "antialias": avatar.renderer.antialias if avatar.renderer is not None else None,
            },
            fallbacks=self.fallbacks,
            warnings=conditioning.notes,
        )

    def _networks(self, avatar: HeadAvatar) -> tuple[NetworkRun, ...]:
        found = []
        if self._model is not None:
            found.append(NetworkRun("motion network", "torch", self.device, self.motion_precision))
        if avatar.gaussians is not None:
            device = str(avatar.gaussians.device)
            upsampler = str(avatar.gaussians.autocast or "float32").removeprefix("torch.")
            found.append(NetworkRun("rasteriser", "numba" if device == "cpu" else "torch", device))
            found.append(NetworkRun("upsampler", "torch", device, cast("Precision", upsampler)))
        else:
            found.append(NetworkRun("mesh", "numba"))
        return tuple(found)


def batched(values: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Lists of at most `size` values, in order."""
    while batch := list(itertools.islice(values, size)):
        yield batch


__all__ = ["NUM_SHAPE", "ARTalkHead", "AssetFolder", "Conditioning", "HeadAvatar", "build"]
