"""Sharpening as a step that runs alone: a folder of finished frames in, a folder of sharper ones out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from talkinghead.engine.cache import Cache
from talkinghead.engine.context import Progress, RunContext
from talkinghead.engine.head import LoadOptions
from talkinghead.engine.picture_steps import PICTURE_FPS, PictureFolder, fps_of, write_picture
from talkinghead.engine.runner import run_stages
from talkinghead.engine.steps import (
    StageReport,
    Stopwatch,
    check_free,
    pending_folder,
    picture_name,
    read_array,
    write_record,
)
from talkinghead.engine.timeline import frame_plan
from talkinghead.enhance.config import EnhanceConfig
from talkinghead.enhance.faces import MadeFace
from talkinghead.enhance.restorer import find_restorer
from talkinghead.enhance.stage import Enhancement
from talkinghead.errors import OptionError, StaleStage


def enhance_frames(
    frames: Path,
    out: Path,
    config: EnhanceConfig,
    *,
    coords: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    force: bool = False,
) -> StageReport:
    """Sharpen the faces of numbered pictures.

    Args:
        frames: folder of finished frames.
        config: names the network.
        coords: boxes of the face, .npy [n, 4] integers (y1, y2, x1, x2); the frames go through them again and again.
            None: the face is looked for.
    Raises:
        OptionError: no network is named. StaleStage: a box leaves the frames. And as `Enhancement`.
    """
    if config.network is None:
        raise OptionError("No network is named.", accepted="--enhance FILE, or a name of the model store")
    network = find_restorer(config.network)
    check_free(out, force=force, inputs=(frames, network, coords), folder=True)
    watch = Stopwatch()
    source = PictureFolder(frames)
    boxes = None if coords is None else _boxes(coords, source.size)

    def faces(index: int, _: int) -> Iterator[MadeFace]:
        yield MadeFace(box_xyxy=None if boxes is None else boxes[index % len(boxes)])

    work, run = Enhancement(config, LoadOptions(device=device)), RunContext(cache=Cache(), progress=progress)
    plan = frame_plan(len(source), None, len(source), source.fps or PICTURE_FPS, "hold")
    stages = work.stages(faces, plan, run)
    finished = run_stages(source.read(), stages, overlap=False) if stages else source.read()
    with pending_folder(out) as folder:
        for index, frame in enumerate(finished):
            write_picture(folder / picture_name(index), frame)
    plain = {"strength": config.enhance_strength, "area": config.enhance_area}
    inputs = {"frames": frames, "network": network, **({} if coords is None else {"coords": coords})}
    write_record(out, "enhance-frames", plain, inputs, {"fps": fps_of(frames), "count": len(source)})
    details = {**work.details(run), "placement": work.networks[0].why, "notes": run.fallbacks}
    return StageReport("enhance-frames", str(out), watch.seconds(), len(source), "frames", details)


def _boxes(coords: Path, size: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    """[n, 4] int32 (x1, y1, x2, y2) from a file of (y1, y2, x1, x2)."""
    boxes = read_array(coords, (None, 4), "boxes (y1, y2, x1, x2)")[:, [2, 0, 3, 1]].astype(np.int32)
    inside = (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= np.array(size)).all()
    if len(boxes) == 0 or not inside or (boxes[:, :2] >= boxes[:, 2:]).any():
        raise StaleStage(
            f"{coords} holds no box, or one that is empty or leaves the frames of {size[0]}x{size[1]} pixels.",
            accepted="the boxes of these frames",
        )
    return boxes
