"""What `talkinghead bench synctalk2d` measures: the drawn person at the wanted size, on every back end."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.backends import DEPTHWISE, Placement, candidates, choose_device
from talkinghead.backends.placement import installed
from talkinghead.families.synctalk2d.choose import build_engine
from talkinghead.families.synctalk2d.crop import (
    crop_box,
    filled_canvas,
    inner_picture,
    network_input,
    paste_crop,
    picture_from_output,
    resize_crop,
    resize_filters,
)
from talkinghead.families.synctalk2d.engine import SPEECH_BATCH
from talkinghead.families.synctalk2d.folded import fold
from talkinghead.families.synctalk2d.procedural import write_models, write_template
from talkinghead.families.synctalk2d.template import open_template, template_order
from talkinghead.families.synctalk2d.variants import Variant
from talkinghead.families.synctalk2d.weights import GeneratorWeights
from talkinghead.measure.cases import BenchCase, BenchSettings, BenchTable

NUM_TEMPLATES = 50
PUBLISHED_FRAMES = 12


def cases(settings: BenchSettings, folder: Path) -> Sequence[BenchCase]:
    """One case per back end and precision that this machine has; only the chosen one where the call names one.

    The fastest of each precision is also measured with nothing kept between frames, as on the first pass through a
    template folder that is longer than the sound.
    """
    template = write_template(
        folder / "template", num_frames=NUM_TEMPLATES, width=settings.width, height=settings.height
    )
    load: dict[str, Any] = {}
    if "checkpoint" not in settings.load:
        load["checkpoint"] = write_models(folder / "model")
        load["ave_encoder"] = load["checkpoint"].parent / "audio_visual_encoder.safetensors"  # as a trained network
    size = f"{NUM_TEMPLATES} drawn templates, {settings.width}x{settings.height}"
    wanted = {key: settings.load.get(key, "auto") for key in ("backend", "device", "precision")}
    if any(value != "auto" for value in wanted.values()):
        new = f"{size}, nothing kept: each template as if shown for the first time"
        return [
            BenchCase("chosen", template, size, load=load),
            BenchCase("chosen-new-templates", template, new, load={**load, "cache_mb": 0}),
        ]
    found: list[BenchCase] = []
    ways = [("openvino", "fast"), ("onnx", "parity"), ("openvino", "parity"), ("torch", "parity")]
    for backend, precision in ways:
        if not installed(backend) or (backend == "torch" and choose_device() != "cpu"):
            continue
        choice = candidates(DEPTHWISE, "cpu", backend, precision)[0]
        if precision == "fast" and choice.precision == "float32":
            continue
        options = {**load, "backend": backend, "device": "cpu", "precision": precision}
        name, text = f"{backend}-{precision}", f"{choice.name}; {size}"
        found.append(BenchCase(name, template, text, load=options))
        if not any(case.load["precision"] == precision for case in found[:-1]):
            text += ", nothing kept: each template as if shown for the first time"
            found.append(BenchCase(f"{name}-new-templates", template, text, load={**options, "cache_mb": 0}))
    if choose_device() != "cpu":
        for precision in ("fast", "parity"):
            options = {**load, "backend": "torch", "device": "cuda", "precision": precision}
            found.append(BenchCase(f"cuda-{precision}", template, f"torch on the GPU; {size}", load=options))
    return found


def tables(settings: BenchSettings, folder: Path, tell: Callable[[str], None]) -> Sequence[BenchTable]:
    """The network alone on every back end, and the published script's loop on the same template."""
    from talkinghead.families.synctalk2d.weights import read_generator

    weights = read_generator(settings.load.get("checkpoint") or folder / "model" / "1.safetensors")
    mode = settings.load.get("mode", "auto")
    variant = weights.variant(None if mode == "auto" else mode)
    tell("the network alone")
    rows = [_network_row(choice, weights, variant) for choice in _choices()]
    network = BenchTable(
        "network alone, milliseconds",
        ("engine", "form", "template", "speech", "frame", "frames/s", "MB per template"),
        tuple(rows),
        "template: once per template frame; speech and frame: once per output frame; medians.",
    )
    if not (folder / "template").is_dir():
        return [network]
    tell("the published script")
    times = published_times(folder / "template", weights, variant, folder / "published.avi", PUBLISHED_FRAMES)
    total = sum(times.values())
    published = BenchTable(
        "published script's loop, milliseconds per frame",
        (*times, "total", "frames/s"),
        ((*(f"{1000 * seconds:.1f}" for seconds in (*times.values(), total)), f"{1 / total:.2f}"),),
        f"{PUBLISHED_FRAMES} frames: JPEG and landmarks read each time, eager float32 network, batch 1, MJPEG "
        "in between, then x264 (medium, crf 20).",
    )
    return [network, published]


def _choices() -> list[Placement]:
    """Every way to run on this machine."""
    found = [place for backend in ("openvino", "onnx", "torch") if installed(backend)
             for place in candidates(DEPTHWISE, "cpu", backend, "fast")]  # fmt: skip
    return found + list(candidates(DEPTHWISE, "cuda", "torch", "fast") if choose_device() != "cpu" else ())


def _network_row(choice: Placement, weights: GeneratorWeights, variant: Variant) -> tuple[Any, ...]:
    engine = build_engine(choice, fold(weights.tensors, variant))
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (engine.side, engine.side, 3)).astype(np.uint8)
    windows = rng.uniform(0, 1, (SPEECH_BATCH, *variant.audio.input_shape)).astype(np.float32)
    state, heard = engine.picture(picture), engine.speech(windows)
    count = engine.batch
    states, sounds = [state] * count, [heard[0]] * count
    template = _median_s(lambda: engine.picture(picture))
    speech = _median_s(lambda: engine.speech(windows)) / SPEECH_BATCH
    frame = _median_s(lambda: engine.render(states, sounds)) / count
    milliseconds = [f"{1000 * seconds:.1f}" for seconds in (template, speech, frame)]
    rate = f"{1 / (speech + frame):.0f}"
    return (choice.name, engine.form, *milliseconds, rate, f"{engine.state_bytes() / 1e6:.1f}")


def _median_s(work: Callable[[], Any], repeats: int = 15) -> float:
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def published_times(
    template_dir: Path, weights: GeneratorWeights, variant: Variant, temporary: Path, num_frames: int
) -> dict[str, float]:
    """Seconds per frame of a straightforward run of the published algorithm.

    Args:
        temporary: the intermediate MJPEG file; the final video lies beside it.
    """
    import cv2
    import torch

    from talkinghead.families.synctalk2d.network import load_unet
    from talkinghead.media import EncodeOptions, open_frames, write_video

    template = open_template(template_dir)
    network = load_unet(weights.tensors, variant)
    size = variant.size
    filters = resize_filters(size)
    rng = np.random.default_rng(0)
    windows = rng.uniform(0, 1, (num_frames, *variant.audio.input_shape)).astype(np.float32)
    times = {"read": 0.0, "network": 0.0, "paste": 0.0, "MJPEG": 0.0, "x264": 0.0}
    clock = time.perf_counter
    frame = template.read_frame(0)
    writer = cv2.VideoWriter(
        str(temporary), cv2.VideoWriter.fourcc(*"MJPG"), float(variant.audio.fps), (frame.shape[1], frame.shape[0])
    )
    with torch.inference_mode():
        network(*(torch.zeros(1, *shape) for shape in ((6, size.inner_px, size.inner_px), variant.audio.input_shape)))
        for i, key in enumerate(template_order(template.num_frames, num_frames).tolist()):
            started = clock()
            image = np.ascontiguousarray(template.read_frame(key)[:, :, ::-1])
            box = crop_box(template.read_landmarks(key), image.shape[1], image.shape[0])
            canvas = resize_crop(image, box, size, filters)
            planes = torch.from_numpy(network_input(inner_picture(canvas), size)[None])
            read = clock()
            output = network(planes, torch.from_numpy(windows[i : i + 1]))[0].numpy()
            done = clock()
            pasted = paste_crop(image, box, filled_canvas(canvas, picture_from_output(output)), filters)
            ready = clock()
            writer.write(pasted)
            written = clock()
            for name, seconds in zip(times, (read - started, done - read, ready - done, written - ready), strict=False):
                times[name] += seconds / num_frames
    writer.release()
    started = clock()
    options = EncodeOptions(codec="libx264", crf=20, preset="medium", audio_codec="none")
    source = open_frames(temporary)
    write_video(temporary.with_suffix(".mp4"), source.read(), fps=variant.audio.fps, options=options)
    times["x264"] = (clock() - started) / num_frames
    return times
