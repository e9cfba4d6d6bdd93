"""What `talkinghead bench artalk` measures: the speaking mesh as a whole, and its parts, with networks of the published
size and random weights where no files are given: drawing, motion, Gaussian avatars, memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from talkinghead.contracts import SPEECH_RATE_HZ
from talkinghead.families.artalk.look import STUDIO
from talkinghead.families.artalk.mesh_avatar import NATURAL_LIGHT
from talkinghead.families.artalk.procedural.head import procedural_head
from talkinghead.families.artalk.viseme_driver import WIDEST_JAW
from talkinghead.measure.cases import BenchCase, BenchSettings, BenchTable
from talkinghead.measure.memory import peak_memory_bytes
from talkinghead.rendering.mesh import MeshRenderer, MeshShading

if TYPE_CHECKING:
    from talkinghead.families.artalk.gagavatar.avatar import GAGAvatar

MESH_SAMPLES = (1, 2, 3, 4)
MOTION_S = 8.0
"""Two chunks."""


def cases(settings: BenchSettings, folder: Path) -> Sequence[BenchCase]:  # noqa: ARG001 (nothing has to be written)
    """The mesh; its size and samples come from the settings of the model (--image-size, --antialias)."""
    return [BenchCase("mesh", "mesh", "a mesh head, driven as the options say")]


def tables(settings: BenchSettings, folder: Path, tell: Callable[[str], None]) -> Sequence[BenchTable]:  # noqa: ARG001
    """Parts by themselves; the networks only where PyTorch is installed."""
    device = str(settings.load.get("device", "auto"))
    found = [_mesh_table(tell)]
    try:
        import torch  # noqa: F401
    except ImportError:
        return found
    from talkinghead.backends.placement import choose_device

    device = choose_device(device)
    compiled = bool(settings.load.get("compile"))
    return [*found, _motion_table(device, compiled, tell), _gaussian_table(device, tell)]


def _megabytes() -> str:
    used = peak_memory_bytes()
    return "-" if used is None else f"{used / 1e6:.0f}"


def _mesh_table(tell: Callable[[str], None]) -> BenchTable:
    rows: list[tuple[Any, ...]] = []
    speed = None
    for natural in (False, True):
        for antialias in MESH_SAMPLES if natural else MESH_SAMPLES[:2]:
            tell(f"mesh, {antialias * antialias} samples a pixel")
            speed = mesh_speed(antialias=antialias, natural=natural)
            look = "natural, textured" if natural else "as published" if antialias == 1 else "plain"
            numbers = (f"{speed.posing_ms:.1f}", f"{speed.drawing_ms:.1f}", f"{speed.frames_per_second:.0f}")
            rows.append((look, antialias, antialias * antialias, *numbers))
    assert speed is not None
    return BenchTable(
        title=f"mesh of {speed.vertices} vertices and {speed.faces} faces at 512x512, without encoding",
        columns=("look", "--antialias", "samples", "posing ms", "drawing ms", "frames/s"),
        rows=tuple(rows),
        note="posing and drawing of 100 frames, all cores; the default is natural with --antialias 2",
    )


def _motion_table(device: str, compiled: bool, tell: Callable[[str], None]) -> BenchTable:
    rows = []
    for precision in ("float32", "bfloat16"):
        tell(f"motion in {precision}")
        speed = motion_speed(MOTION_S, device, half=precision == "bfloat16", compiled=compiled)
        factor = f"{speed.realtime_factor:.2f}"
        rows.append((precision, f"{speed.encoder_s:.2f}", f"{speed.generator_s:.2f}", factor, _megabytes()))
    return BenchTable(
        title=f"motion of {MOTION_S:g} s of sound, networks of the published size with random weights, on {device}",
        columns=("numbers", "audio encoder s", "autoregression and decoding s", "times real time", "peak MB so far"),
        rows=tuple(rows),
        note="loading not included; bfloat16 (--precision bfloat16) changes some bits of the motion",
    )


def _gaussian_table(device: str, tell: Callable[[str], None]) -> BenchTable:
    from talkinghead.backends.processor import cpu_has_bfloat16

    rows = []
    halves = (False, True) if device != "cpu" or cpu_has_bfloat16() else (False,)
    for half in halves:
        tell(f"Gaussian avatar, {'half precision' if half else 'float32'}")
        speed = gaussian_speed(device, half=half)
        numbers = (f"{speed.build_s:.1f}", f"{speed.splat_s:.3f}", f"{speed.upsample_s:.3f}")
        rows.append((("half" if half else "float32"), *numbers, f"{speed.frames_per_second:.2f}", _megabytes()))
    return BenchTable(
        title=f"Gaussian avatar of the published size (180 255 Gaussians, 512x512) with random weights, on {device}",
        columns=("upsampler", "avatar s (once)", "splat s", "upsample s", "frames/s", "peak MB so far"),
        rows=tuple(rows),
        note="half: float16 on GPUs, bfloat16 on processors that have it, where it is the default; a trained avatar's "
        "Gaussians are smaller or larger than random ones, and the splat takes more or less time",
    )


@dataclass(frozen=True)
class MeshSpeed:
    """Drawing alone, without encoding."""

    vertices: int
    faces: int
    frames_per_second: float
    posing_ms: float
    drawing_ms: float


def mesh_speed(
    size: int = 512, antialias: int = 1, num_frames: int = 100, threads: int | None = None, *, natural: bool = False
) -> MeshSpeed:
    """Pose and draw a head that opens its jaw, as fast as possible.

    Args:
        natural: in our own head's colours and light, else the published ones.
    """
    from dataclasses import replace

    head = procedural_head()
    motion = np.zeros((num_frames, 106), np.float32)
    motion[:, 103] = WIDEST_JAW * np.abs(np.sin(np.arange(num_frames) / 5))
    renderer = MeshRenderer(
        head.flame.faces,
        size,
        shading=replace(NATURAL_LIGHT, background=STUDIO) if natural else MeshShading(),
        colours=head.colours if natural else None,
        texture=head.texture if natural else None,
        antialias=antialias,
        threads=threads,
    )
    list(renderer.frames(head.flame.motion_vertices(motion[:2])))  # compiles
    started = time.perf_counter()
    vertices = np.concatenate([head.flame.motion_vertices(motion[i : i + 32]) for i in range(0, num_frames, 32)])
    posed = time.perf_counter()
    for _ in renderer.frames(vertices):
        pass
    drawn = time.perf_counter()
    return MeshSpeed(
        vertices=head.flame.num_vertices,
        faces=len(head.flame.faces),
        frames_per_second=num_frames / (drawn - started),
        posing_ms=1000 * (posed - started) / num_frames,
        drawing_ms=1000 * (drawn - posed) / num_frames,
    )


@dataclass(frozen=True)
class MotionSpeed:
    """Sound to motion with networks of the published size and random weights."""

    seconds_of_sound: float
    realtime_factor: float
    encoder_s: float
    generator_s: float


def motion_speed(
    seconds: float = MOTION_S, device: str = "cpu", seed: int = 0, *, half: bool = False, compiled: bool = False
) -> MotionSpeed:
    """Time the motion networks at their published size; needs about 3 GB of memory."""
    import torch

    from talkinghead.families.artalk.motion.counts import num_motion_frames
    from talkinghead.families.artalk.motion.engine import MotionModel

    torch.manual_seed(seed)
    model = MotionModel().eval().requires_grad_(False).to(device)
    if half:
        model.use(torch.bfloat16)
    if compiled:
        model.compile_encoder()
    samples = (0.1 * np.random.default_rng(seed).standard_normal(int(SPEECH_RATE_HZ * seconds))).astype(np.float32)

    def clock() -> float:
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter()

    model.generate(samples)
    started = clock()
    with torch.inference_mode():
        features = list(model.features(model.chunks(samples)))
    encoded = clock()
    model.generate_from(iter(features), len(samples))
    done = clock()
    covered = num_motion_frames(len(samples)) / 25
    return MotionSpeed(covered, covered / (done - started), encoded - started, done - encoded)


@dataclass(frozen=True)
class GaussianSpeed:
    """A Gaussian avatar of the published size and random weights."""

    build_s: float
    splat_s: float
    upsample_s: float
    frames_per_second: float
    """One frame after the other; in a run the two steps overlap."""


def gaussian_speed(device: str = "cpu", seed: int = 0, *, half: bool = False, repeats: int = 3) -> GaussianSpeed:
    """Time building an avatar and drawing a frame; the best of `repeats`."""
    import torch

    from talkinghead.families.artalk.gagavatar.avatar import IMAGE_SIZE, TrackedHead
    from talkinghead.families.artalk.gagavatar.renderer import GaussianRenderer, Shot

    rng = np.random.default_rng(seed)
    model = random_gagavatar(seed).to(device)
    away = np.array([[0.0], [0.0], [10.0]])
    transform = np.concatenate([np.diag([-1.0, 1.0, -1.0]), away], axis=1).astype(np.float32)
    head = TrackedHead(rng.random((3, IMAGE_SIZE, IMAGE_SIZE), np.float32), transform, np.zeros(300, np.float32))

    def clock() -> float:
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter()

    started = clock()
    gaussians = model.build(head)
    built = clock() - started
    kind = torch.bfloat16 if device == "cpu" else torch.float16
    renderer = GaussianRenderer(model, gaussians, autocast=kind if half else None, exact=not half)
    shot = Shot(procedural_head().flame.template[: len(model.head_base)] * np.float32(5), transform)
    splats, upsamples = [], []
    for _ in range(repeats + 1):
        started = clock()
        channels = renderer.splat(shot)[None]
        drawn = clock()
        list(renderer.pictures(channels, 0))
        splats.append(drawn - started)
        upsamples.append(clock() - drawn)
    splat, upsample = min(splats[1:]), min(upsamples[1:])
    return GaussianSpeed(built, splat, upsample, 1.0 / (splat + upsample))


def random_gagavatar(seed: int = 0) -> GAGAvatar:
    """GAGAvatar of the published size with random weights that make Gaussians of ordinary size."""
    import torch

    from talkinghead.families.artalk.gagavatar.avatar import GAGAvatar

    torch.manual_seed(seed)
    model = GAGAvatar().eval().requires_grad_(False)
    for name, value in model.named_parameters():
        if name.endswith("modulated_conv.weight"):
            value.normal_(0.0, (2.0 / value[0, 0].numel()) ** 0.5)
        elif name.endswith("modulation.bias"):
            value.fill_(1.0)
        elif name.endswith(("constant_input.weight", "head_base", "cls_token")):
            value.normal_()
    return model
