"""Assemble the constructed head and its scene, and write both in the published formats."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.bounds import SEEDS, Between, check_fields
from talkinghead.contracts import SPEECH_RATE_HZ, Frame, Phone
from talkinghead.families.talkinggaussian.checkpoint import (
    CanonicalCloud,
    TrainedHead,
    check_network,
    write_published,
)
from talkinghead.families.talkinggaussian.network import FACE, MOUTH
from talkinghead.families.talkinggaussian.procedural import UNIT, rig, sculpt
from talkinghead.families.talkinggaussian.procedural.sculpt import Splats
from talkinghead.families.talkinggaussian.scene import AU_COLUMNS, FPS
from talkinghead.rendering.spherical_harmonics import C0, C1, C2, num_coefficients

SH_DEGREE = 2
DISTANCE = 0.85
"""Of the camera, world units."""
FOCAL_PER_PIXEL = 2.3
"""Focal length as a multiple of the picture's side."""
AIM_Y = -0.16
"""Height of the point in the middle of the picture, head units."""
PIVOT = np.array([0.0, -1.25, -0.28]) * UNIT
"""What head and shoulders turn about."""
FACING = (-0.45, 1.35, -0.90)
"""See `facing`."""
AU_NUMBERS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
Values = NDArray[np.float64]


@dataclass(frozen=True)
class ProceduralConfig:
    """What is built."""

    size: Annotated[int, Between(32, 4_096)] = 512
    """Side of the pictures in pixels."""
    detail: Annotated[float, Between(0.1, 4)] = 1.0
    """1 gives about 60 000 Gaussians; their number grows with the square."""
    num_frames: Annotated[int, Between(0, 1_000_000)] = 0
    """Frames of the recording; 0: as long as the sentence."""
    seed: Annotated[int, SEEDS] = 0

    def __post_init__(self) -> None:
        check_fields(self)


def quaternions(tangents: Values, normals: Values) -> Values:
    """[N, 4] (w, x, y, z) whose axes are the tangent, the other tangent and the normal."""
    second = np.cross(normals, tangents)
    m = np.stack([tangents, second, normals], axis=2)
    w = np.sqrt(np.clip(1 + m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2], 0, None)) / 2
    x = np.sqrt(np.clip(1 + m[:, 0, 0] - m[:, 1, 1] - m[:, 2, 2], 0, None)) / 2
    y = np.sqrt(np.clip(1 - m[:, 0, 0] + m[:, 1, 1] - m[:, 2, 2], 0, None)) / 2
    z = np.sqrt(np.clip(1 - m[:, 0, 0] - m[:, 1, 1] + m[:, 2, 2], 0, None)) / 2
    x = np.copysign(x, m[:, 2, 1] - m[:, 1, 2])
    y = np.copysign(y, m[:, 0, 2] - m[:, 2, 0])
    z = np.copysign(z, m[:, 1, 0] - m[:, 0, 1])
    return np.stack([w, x, y, z], axis=1)


def facing(normals: Values) -> Values:
    """Harmonics of what a surface loses in brightness when it is not seen from its front, [N, 9].

    With t the cosine between normal and view, 1 + FACING . (1, t, t^2) is near 1 for t from 0.4 to 1, a half at 0 and
    at most 0 from -0.35 down.
    """
    x, y, z = normals.T
    constant, linear, square = FACING
    out = np.zeros((len(normals), num_coefficients(2)))
    out[:, 0] = (constant + square / 3) / C0
    out[:, 1:4] = -linear / C1 * np.stack([-y, z, -x], axis=1)  # t is minus the product of normal and direction
    mixed = (2 * x * y, 2 * y * z, z * z / 2 - 1 / 6, 2 * x * z, (x * x - y * y) / 2)
    out[:, 4:] = square * np.stack([value / factor for value, factor in zip(mixed, C2, strict=True)], axis=1)
    return out


def canonical(splats: Splats, dark_behind: Values | None = None) -> CanonicalCloud:
    """Gaussians as a checkpoint stores them.

    Args:
        dark_behind: [N] in [0, 1], 1 where a Gaussian is dark when it is seen from behind.
    """
    features = np.zeros((len(splats), num_coefficients(SH_DEGREE), 3))
    features[:, 0] = (splats.colors - 0.5) / C0
    if dark_behind is not None:
        features += (dark_behind[:, None] * facing(splats.normals))[..., None] * splats.colors[:, None]
    scales = np.maximum(splats.sizes * UNIT, 1e-6)
    return CanonicalCloud(
        xyz=(splats.points * UNIT).astype(np.float32),
        features=features.astype(np.float32),
        scaling=np.log(np.expm1(scales)).astype(np.float32),
        rotation=quaternions(splats.tangents, splats.normals).astype(np.float32),
        opacity=np.log(splats.opacities / (1 - splats.opacities))[:, None].astype(np.float32),
        sh_degree=SH_DEGREE,
    )


def build_head(config: ProceduralConfig) -> TrainedHead:
    """The constructed head; the same for the same configuration."""
    rng = np.random.default_rng(config.seed)
    spacing = 0.017 / config.detail
    face_network, mouth_network = rig.face_network(), rig.mouth_network()
    skin, skin_behind = _parted(sculpt.skin(spacing, rng))
    hair, hair_behind = _parted(sculpt.hair(1.1 * spacing, rng))
    skin = replace(skin, points=rig.stored(skin.points, face_network))
    face = sculpt.join(
        skin,
        sculpt.eyes(0.45 * spacing),
        sculpt.lids(0.55 * spacing, rng),
        hair,
        sculpt.cheek_lining(1.2 * spacing, rng),
        sculpt.bust(2.0 * spacing, rng),
    )
    still, moving = sculpt.mouth_inside(0.8 * spacing, rng)
    mouth = sculpt.join(still, sculpt.fully_open(moving), skin_behind, hair_behind)
    return TrainedHead(
        face=canonical(face, sculpt.around_mouth(face.points)),
        mouth=canonical(mouth),
        face_motion=check_network("the constructed face", face_network, FACE, 29),
        mouth_motion=check_network("the constructed mouth", mouth_network, MOUTH, 29),
        extractor="deepspeech",
    )


def _parted(splats: Splats) -> tuple[Splats, Splats]:
    """What is drawn with the face, and what stands behind the open mouth."""
    behind = sculpt.seen_through_mouth(splats.points)
    return splats.take(~behind), splats.take(behind)


# The scene ----------------------------------------------------------------------------------------------------------


def head_poses(count: int, seed: int = 0) -> Values:
    """Camera poses of a head that moves a little while it speaks: [count, 4, 4], smooth and periodic."""
    rng = np.random.default_rng(seed)
    time = np.arange(count) / max(1, count)

    def wave(degrees: float, cycles: Sequence[int]) -> Values:
        total = sum(np.sin(2 * np.pi * (c * time + rng.uniform())) / (k + 1) for k, c in enumerate(cycles))
        return math.radians(degrees) * np.asarray(total)

    base = max(1, round(count / 75))
    yaw, pitch, roll = wave(4.0, (base, 3 * base)), wave(1.8, (2 * base, 3 * base)), wave(1.0, (base, 2 * base))
    poses = np.tile(np.eye(4), (count, 1, 1))
    aim = np.array([0.0, AIM_Y * UNIT, DISTANCE])
    for index in range(count):
        rx, ry, rz = _rotation(pitch[index], 0), _rotation(yaw[index], 1), _rotation(roll[index], 2)
        turn = rz @ ry @ rx  # of the head; the camera moves the other way
        poses[index, :3, :3] = turn.T
        poses[index, :3, 3] = turn.T @ (aim - PIVOT) + PIVOT
    return poses


def _rotation(angle: float, axis: int) -> Values:
    c, s = math.cos(angle), math.sin(angle)
    i, j = ((1, 2), (2, 0), (0, 1))[axis]
    m = np.eye(3)
    m[i, i] = m[j, j] = c
    m[i, j], m[j, i] = -s, s
    return m


def action_units(count: int, seed: int = 0) -> Values:
    """Expressions of the recording: blinks every few seconds, brows that move now and then; [count, 17]."""
    rng = np.random.default_rng(seed)
    table = np.zeros((count, len(AU_NUMBERS)))
    blink = AU_NUMBERS.index(45)
    at = 0.8
    while at < count / FPS:
        middle = at * FPS
        phase = np.abs(np.arange(count) - middle) / 3.2
        table[:, blink] = np.maximum(table[:, blink], rig.BLINK_FULL * np.clip(1.25 - phase, 0, 1))
        at += rng.uniform(1.8, 4.0)
    for unit, height in ((1, 1.6), (2, 1.2), (6, 0.9)):
        at = rng.uniform(0.3, 1.5)
        while at < count / FPS:
            shape = np.exp(-0.5 * ((np.arange(count) / FPS - at) / 0.25) ** 2)
            column = AU_NUMBERS.index(unit)
            table[:, column] = np.maximum(table[:, column], height * rng.uniform(0.4, 1) * shape)
            at += rng.uniform(1.2, 3.0)
    return np.round(table, 2)


def backdrop(size: int) -> Frame:
    """A plain studio wall with a soft light on it."""
    ys, xs = np.mgrid[:size, :size] / size
    glow = np.exp(-(((xs - 0.40) / 0.55) ** 2 + ((ys - 0.34) / 0.6) ** 2))
    color = np.array([52, 66, 84]) + glow[..., None] * np.array([78, 84, 84])
    return np.clip(color, 0, 255).astype(np.uint8)


def write_scene(folder: Path, config: ProceduralConfig, phones: Sequence[Phone], duration_s: float) -> int:
    """Write a dataset folder; returns its number of frames.

    Args:
        phones: what the recording says, with times.
        duration_s: how long it lasts.
    """
    from talkinghead.contracts import AudioClip, Speech
    from talkinghead.families.talkinggaussian.phone_features import phone_rows

    clip = AudioClip(np.zeros(round(duration_s * SPEECH_RATE_HZ), np.float32), SPEECH_RATE_HZ)
    rows = np.concatenate(list(phone_rows(Speech(clip, clip, phones=tuple(phones)))))
    count = config.num_frames or len(rows)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "torso_imgs").mkdir(exist_ok=True)
    poses = head_poses(count, config.seed)
    split = int(count * 10 / 11)
    for name, ids in (("train", range(split)), ("val", range(split, count))):
        frames = [{"img_id": i, "aud_id": i, "transform_matrix": poses[i].tolist()} for i in ids]
        data: dict[str, Any] = {
            "focal_len": FOCAL_PER_PIXEL * config.size,
            "cx": config.size / 2,
            "cy": config.size / 2,
            "frames": frames,
        }
        (folder / f"transforms_{name}.json").write_text(json.dumps(data), encoding="utf-8")
    np.save(folder / "aud_ds.npy", rows.astype(np.float32))
    _write_au(folder / "au.csv", action_units(count, config.seed))
    _write_picture(folder / "bc.jpg", backdrop(config.size)[..., ::-1], ".jpg")
    empty = np.zeros((config.size, config.size, 4), np.uint8)  # the shoulders are part of the cloud
    done, data_png = cv2.imencode(".png", empty)
    assert done
    for index in range(count):
        (folder / "torso_imgs" / f"{index}.png").write_bytes(data_png.tobytes())
    return count


def _write_picture(path: Path, picture: NDArray[np.uint8], suffix: str) -> None:
    done, data = cv2.imencode(suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    path.write_bytes(data.tobytes())


def _write_au(path: Path, table: Values) -> None:
    names = [f"AU{number:02d}_r" for number in AU_NUMBERS]
    assert set(AU_COLUMNS) <= set(names)
    lines = [", ".join(["frame", "timestamp", "success", *names])]
    for index, row in enumerate(table):
        lines.append(", ".join([str(index + 1), f"{index / FPS:.3f}", "1", *(f"{value:.2f}" for value in row)]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_model(folder: Path, head: TrainedHead) -> Path:
    """Write `chkpnt_fuse_latest.pth` and `cfg_args`; returns the checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg_args").write_text("Namespace(sh_degree=2, audio_extractor='deepspeech')\n", encoding="utf-8")
    path = folder / "chkpnt_fuse_latest.pth"
    write_published(head, path)
    return path


@dataclass(frozen=True)
class Example:
    """What `write_example` made."""

    data: Path
    model: Path
    gaussians: int
    num_frames: int


def write_example(folder: Path, config: ProceduralConfig | None = None) -> Example:
    """Build head and scene from scratch: folder/data and folder/model. The recording says the bundled sentence."""
    from talkinghead.assets import demo_phones_path, demo_speech_path
    from talkinghead.audio.phones import read_phones
    from talkinghead.media import read_audio

    config = config or ProceduralConfig()
    duration_s = float(read_audio(demo_speech_path(), SPEECH_RATE_HZ).duration_s)
    head = build_head(config)
    num_frames = write_scene(folder / "data", config, read_phones(demo_phones_path()), duration_s)
    write_model(folder / "model", head)
    return Example(folder / "data", folder / "model", len(head.face) + len(head.mouth), num_frames)
