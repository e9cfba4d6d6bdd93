"""The five steps of a video as separate programs with files between them; the same pixels as `generate`.

features  sound                  -> speech features, .npy [T, positions, width]
motion    features, scene, head  -> deformed Gaussians, one .npz per frame
render    motion, scene, head    -> both clouds as drawn, one .npz per frame
compose   render, scene          -> pictures, one .png per frame
encode    pictures, sound        -> video
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from talkinghead.contracts import SPEECH_RATE_HZ
from talkinghead.engine.context import RunContext
from talkinghead.engine.head import LoadOptions, PrecisionChoice
from talkinghead.engine.steps import (
    StageReport,
    Stopwatch,
    check_free,
    pending_folder,
    picture_name,
    read_record,
    write_array,
    write_record,
)
from talkinghead.engine.timeline import FramePlan, source_indices
from talkinghead.errors import MediaNotFound, StaleStage
from talkinghead.families.talkinggaussian.config import TalkingGaussianConfig
from talkinghead.families.talkinggaussian.frames import BLACK
from talkinghead.families.talkinggaussian.listen import feature_source
from talkinghead.families.talkinggaussian.motion import Deformed
from talkinghead.families.talkinggaussian.pipeline import SceneAvatar, SceneCameras, TalkingGaussianHead
from talkinghead.families.talkinggaussian.renderer import DeformedHead, DrawnHead
from talkinghead.families.talkinggaussian.scene import FPS, Backdrop, scene_folder
from talkinghead.reading import read_npz, reading
from talkinghead.rendering.gaussians import Raster

CLOUDS = ("face", "mouth")


def extract_features(
    audio: Path,
    out: Path,
    *,
    checkpoint: Path,
    config: TalkingGaussianConfig,
    device: str = "auto",
    force: bool = False,
) -> StageReport:
    """Sound to the speech features that the head was trained with."""
    from talkinghead.backends.placement import choose_device
    from talkinghead.engine.speech_input import listen
    from talkinghead.families.talkinggaussian.checkpoint import read_trained_head

    check_free(out, force=force, inputs=(audio, checkpoint, config.deepspeech_graph))
    watch = Stopwatch()
    trained = read_trained_head(checkpoint, extractor=config.audio_extractor, iteration=config.iteration)
    source = feature_source(trained.extractor, config, choose_device(device))
    speech = listen(audio)
    rows = np.concatenate([block.transpose(0, 2, 1) for block in source.blocks(speech, None)])
    write_array(out, np.ascontiguousarray(rows))
    facts = {"num_frames": speech.clip.num_frames(Fraction(FPS)), "method": source.method}
    write_record(out, "features", {"audio_features": config.audio_features}, {"audio": audio}, facts)
    return StageReport("features", str(out), watch.seconds(), len(rows), "rows", {"method": source.method})


def write_motion(
    features: Path,
    scene: Path,
    out: Path,
    *,
    checkpoint: Path,
    config: TalkingGaussianConfig,
    num_frames: int = 0,
    precision: PrecisionChoice = "auto",
    force: bool = False,
) -> StageReport:
    """Speech features to deformed Gaussians, one file per frame.

    Args:
        num_frames: 0: as many as the sound of the features asked for, else as there are rows.
    """
    from talkinghead.contracts import AudioClip, Speech

    check_free(out, force=force, inputs=(features, scene, checkpoint, *_files(config)), folder=True)
    watch = Stopwatch()
    head, avatar = _load(scene, checkpoint, _with_features(config, features), precision)
    known = read_record(features)
    wanted = known.facts.get("num_frames") if known is not None else None
    nothing = AudioClip(np.zeros(0, np.float32), SPEECH_RATE_HZ)
    count = num_frames or int(wanted or head.feature_source.num_rows(Speech(nothing, nothing)))
    plan = _plan(avatar, count)
    shot = head.shot_maker(avatar, head.heard_rows(Speech(nothing, nothing), count, RunContext()), plan)
    if count:
        head.settle(shot(count // 2), avatar.backdrop, RunContext())
    with pending_folder(out) as folder:
        for index in range(count):
            item = shot(index)
            moved = head.renderer.deform([item.code], item.au_exp[None])[0]
            _write_arrays(folder, index, {
                f"{name}_{field}": getattr(getattr(moved, name), field).cpu().numpy()
                for name in CLOUDS
                for field in ("means", "scales", "rotations", "opacities")
            })  # fmt: skip
    inputs = {"features": features, "checkpoint": head.trained.path or checkpoint}
    write_record(out, "motion", _options(config), inputs, {"count": count})
    return StageReport("motion", str(out), watch.seconds(), count, "frames")


def render_motion(
    motion: Path,
    scene: Path,
    out: Path,
    *,
    checkpoint: Path,
    config: TalkingGaussianConfig,
    force: bool = False,
) -> StageReport:
    """Deformed Gaussians to both clouds as seen from the frame's camera, on black."""
    check_free(out, force=force, inputs=(motion, scene, checkpoint, *_files(config)), folder=True)
    watch = Stopwatch()
    head, avatar = _load(scene, checkpoint, config, "parity")
    count = _count(motion, "deformed Gaussians")
    plan = _plan(avatar, count)
    cameras = SceneCameras(avatar, config, head.pivot)
    with pending_folder(out) as folder:
        for index, arrays in enumerate(_read_arrays(motion, count)):
            deformed = _deformed(arrays, motion)
            with reading(motion, what="does not fit this head"):
                drawn = head.renderer.draw(deformed, cameras(int(plan.indices[index])), BLACK)
            _write_arrays(
                folder,
                index,
                {
                    f"{name}_{field}": getattr(getattr(drawn, name), field)
                    for name in CLOUDS
                    for field in ("color", "alpha")
                },
            )
    write_record(out, "render", _options(config), {"motion": motion}, {"count": count})
    return StageReport("render", str(out), watch.seconds(), count, "frames")


def compose_frames(
    rasters: Path, scene: Path, out: Path, *, config: TalkingGaussianConfig, force: bool = False
) -> StageReport:
    """Face over mouth over the scene's backdrop, numbered PNG files."""
    from talkinghead.families.talkinggaussian.compose import compose, dilate
    from talkinghead.families.talkinggaussian.pipeline import poses_path
    from talkinghead.families.talkinggaussian.scene import read_poses
    from talkinghead.media import write_png

    check_free(out, force=force, inputs=(rasters, scene, *_files(config)), folder=True)
    watch = Stopwatch()
    count = _count(rasters, "drawn clouds")
    folder = scene_folder(scene)
    poses = read_poses(poses_path(folder, config.poses))
    backdrop = Backdrop(folder, background=config.background, torso=config.torso)
    indices = source_indices(len(poses), count, "pingpong")
    with pending_folder(out) as pictures:
        for index, arrays in enumerate(_read_arrays(rasters, count)):
            drawn = _drawn(arrays, rasters)
            behind = backdrop.frame(poses.frames[int(indices[index])].img_id)
            if drawn.face.alpha.shape != behind.shape[:2]:
                raise StaleStage(f"{rasters} was drawn for another size than that of {scene}.")
            mouth_alpha = dilate(drawn.mouth.alpha) if config.dilate else drawn.mouth.alpha
            frame = compose(drawn.face.color, drawn.face.alpha, drawn.mouth.color, mouth_alpha, behind)
            write_png(pictures / picture_name(index), frame)
    write_record(out, "compose", _options(config), {"render": rasters}, {"count": count, "fps": str(FPS)})
    return StageReport("compose", str(out), watch.seconds(), count, "frames")


def encode_frames(frames: Path, audio: Path, out: Path, *, force: bool = False) -> StageReport:
    """Pictures and sound to a video."""
    from talkinghead.engine.picture_steps import encode_video

    return encode_video(frames, audio, out, fps=Fraction(FPS), force=force)


def _with_features(config: TalkingGaussianConfig, features: Path) -> TalkingGaussianConfig:
    from dataclasses import replace

    return replace(config, features=features, audio_features="trained", audio_model=None, deepspeech_graph=None)


def _load(
    scene: Path, checkpoint: Path, config: TalkingGaussianConfig, precision: PrecisionChoice
) -> tuple[TalkingGaussianHead, SceneAvatar]:
    family = {item.name: getattr(config, item.name) for item in fields(config)}
    head = TalkingGaussianHead(LoadOptions(checkpoint, device="cpu", precision=precision, family=family))
    return head, head.prepare(scene)


def _plan(avatar: SceneAvatar, count: int) -> FramePlan:
    return FramePlan(fps=Fraction(FPS), indices=source_indices(avatar.num_frames, count, "pingpong"))


def _files(config: TalkingGaussianConfig) -> tuple[Path, ...]:
    """Files that a configuration names; some of its choices may be one."""
    named = (config.poses, config.expression, config.background, config.features)
    return tuple(Path(value) for value in named if value is not None and Path(value).is_file())


def _options(config: TalkingGaussianConfig) -> dict[str, Any]:
    names = ("poses", "expression", "yaw", "pitch", "zoom", "torso", "background", "dilate")
    return {name: getattr(config, name) for name in names}


def _write_arrays(folder: Path, index: int, arrays: dict[str, NDArray[Any]]) -> None:
    np.savez(folder / f"{index:08d}.npz", **arrays)  # type: ignore[arg-type]


def _count(folder: Path, what: str) -> int:
    """Number of the folder's files 00000000.npz, 00000001.npz, ...

    Raises:
        MediaNotFound: no folder, or nothing in it. StaleStage: numbers are missing.
    """
    if not folder.is_dir():
        raise MediaNotFound(f"There is no folder {folder}.", accepted=f"a folder of {what}: 00000000.npz, ...")
    numbers = sorted(int(item.stem) for item in folder.glob("*.npz") if item.stem.isdigit())
    if not numbers:
        raise MediaNotFound(f"{folder} holds no {what}.", accepted="00000000.npz, 00000001.npz, ...")
    if numbers != list(range(len(numbers))):
        raise StaleStage(
            f"{folder} lacks some of its {what}.", remedy="run the stage that makes it again, with --force"
        )
    return len(numbers)


def _read_arrays(folder: Path, count: int) -> Iterator[dict[str, NDArray[np.float32]]]:
    for index in range(count):
        path = folder / f"{index:08d}.npz"
        yield read_npz(path)


def _deformed(arrays: dict[str, NDArray[np.float32]], source: Path) -> DeformedHead:
    with reading(source, what="does not hold deformed Gaussians"):
        clouds = []
        for name in CLOUDS:
            count = len(arrays[f"{name}_means"])
            wanted = {"means": (count, 3), "scales": (count, 3), "rotations": (count, 4), "opacities": (count,)}
            clouds.append(
                Deformed(
                    *(torch.from_numpy(_floats(arrays, f"{name}_{field}", shape)) for field, shape in wanted.items())
                )
            )
    return DeformedHead(*clouds)


def _floats(arrays: dict[str, NDArray[np.float32]], name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An array of a file, if it has this shape.

    Raises:
        KeyError, ValueError: it has not.
    """
    value = arrays[name]
    if value.shape != shape or value.dtype != np.float32:
        raise ValueError(f"{name} is {list(value.shape)} {value.dtype}, not {list(shape)} float32")
    return value


def _drawn(arrays: dict[str, NDArray[np.float32]], source: Path) -> DrawnHead:
    with reading(source, what="does not hold drawn clouds"):
        size = arrays[f"{CLOUDS[0]}_alpha"].shape
        if len(size) != 2:
            raise ValueError(f"{CLOUDS[0]}_alpha is {list(size)}")
        rasters = [
            Raster(
                _floats(arrays, f"{name}_color", (3, *size)),
                _floats(arrays, f"{name}_alpha", size),
                None,
                np.zeros(0, np.int32),
            )
            for name in CLOUDS
        ]
    return DrawnHead(*rasters)
