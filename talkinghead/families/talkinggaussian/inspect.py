"""What a trained head holds: numbers, histograms, and the head seen from all sides."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame
from talkinghead.families.talkinggaussian.checkpoint import CanonicalCloud, TrainedHead
from talkinghead.families.talkinggaussian.export import softplus
from talkinghead.families.talkinggaussian.extractors import EXTRACTORS
from talkinghead.families.talkinggaussian.network import ACTION_UNITS, BOUND, WINDOW_ROWS
from talkinghead.families.talkinggaussian.renderer import HeadRenderer
from talkinghead.rendering.cameras import camera_from_pose, orbit

PERCENTILES = (1, 25, 50, 75, 99)
VISIBLE_OPACITY = 1 / 255
DISTANCE = 0.85
"""Of the turntable's camera, world units: about where published scenes have it."""
BACKDROP_LEVEL = 96


@dataclass(frozen=True)
class CloudFacts:
    """One cloud in numbers."""

    name: str
    gaussians: int
    sh_degree: int
    coefficients: int
    low: tuple[float, float, float]
    """Smallest coordinates, world units."""
    high: tuple[float, float, float]
    centre: tuple[float, float, float]
    """Median position."""
    opacity_percentiles: tuple[float, ...]
    """At PERCENTILES, in [0, 1]."""
    scale_percentiles: tuple[float, ...]
    """Of the largest axis, at PERCENTILES, world units."""
    transparent: int
    """Gaussians that never reach an alpha of 1/255."""
    not_finite: int
    """Gaussians with a value that is not finite; they are not drawn."""
    outside_grid: int
    """Centres outside the cube that the motion grids cover; they get no features there."""


def cloud_facts(name: str, cloud: CanonicalCloud) -> CloudFacts:
    """Measure one cloud."""
    finite = np.isfinite(cloud.xyz).all(1) & np.isfinite(cloud.features).all((1, 2)) & np.isfinite(cloud.opacity[:, 0])
    finite &= np.isfinite(cloud.scaling).all(1) & np.isfinite(cloud.rotation).all(1)
    xyz, opacity, scale = cloud.xyz[finite], sigmoid(cloud.opacity[finite, 0]), softplus(cloud.scaling[finite])
    if len(xyz) == 0:
        nowhere, nothing = (0.0, 0.0, 0.0), (0.0,) * len(PERCENTILES)
        low = high = centre = nowhere
        opacities = scales = nothing
    else:
        low, high, centre = (_triple(value) for value in (xyz.min(0), xyz.max(0), np.median(xyz, axis=0)))
        opacities, scales = (
            tuple(float(value) for value in np.percentile(values, PERCENTILES)) for values in (opacity, scale.max(1))
        )
    return CloudFacts(
        name=name,
        gaussians=len(cloud),
        sh_degree=cloud.sh_degree,
        coefficients=cloud.features.shape[1],
        low=low,
        high=high,
        centre=centre,
        opacity_percentiles=opacities,
        scale_percentiles=scales,
        transparent=int((opacity < VISIBLE_OPACITY).sum()),
        not_finite=int((~finite).sum()),
        outside_grid=int((np.abs(xyz) > BOUND).any(axis=1).sum()),
    )


def head_facts(head: TrainedHead) -> dict[str, Any]:
    """A trained head in numbers, plain values."""
    values = [value for weights in (head.face_motion, head.mouth_motion) for value in weights.values()]
    return {
        "checkpoint": str(head.path) if head.path is not None else None,
        "sha256": head.sha256,
        "audio_extractor": head.extractor,
        "clouds": [asdict(cloud_facts(name, cloud)) for name, cloud in (("face", head.face), ("mouth", head.mouth))],
        "network_values": int(sum(value.size for value in values)),
        "warnings": list(head.warnings),
    }


def sigmoid(raw: FloatArray) -> FloatArray:
    """1 / (1 + exp(-raw)), float32."""
    return (0.5 * (1 + np.tanh(0.5 * raw.astype(np.float64)))).astype(np.float32)


def _triple(values: NDArray[Any]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def histogram_picture(head: TrainedHead) -> Frame:
    """Opacity and scale histograms of both clouds, RGB uint8."""
    panels = []
    for name, cloud in (("face", head.face), ("mouth", head.mouth)):
        finite = np.isfinite(cloud.opacity[:, 0]) & np.isfinite(cloud.scaling).all(1)
        opacity = sigmoid(cloud.opacity[finite, 0])
        scale = np.log10(np.maximum(softplus(cloud.scaling[finite]).max(1), 1e-9))
        panels.append(
            np.concatenate(
                [
                    _panel(opacity, 0, 1, f"{name}: opacity, {len(cloud)} Gaussians", ("0", "0.5", "1")),
                    _panel(scale, -5, -1, f"{name}: largest scale, world units", ("1e-5", "1e-3", "0.1")),
                ],
                axis=1,
            )
        )
    return np.ascontiguousarray(np.concatenate(panels))


def _panel(values: FloatArray, low: float, high: float, title: str, ticks: tuple[str, str, str]) -> Frame:
    width, height, left, base = 420, 240, 30, 205
    picture = np.full((height, width, 3), 255, np.uint8)
    bins = 60
    counts, _ = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    span = width - 2 * left
    for index, count in enumerate(counts):
        tall = round(160 * count / max(1, counts.max()))
        x1, x2 = left + span * index // bins, left + span * (index + 1) // bins - 1
        cv2.rectangle(picture, (x1, base - tall), (x2, base), (62, 112, 176), thickness=-1)
    cv2.line(picture, (left, base + 1), (width - left, base + 1), (40, 40, 40), 1)
    cv2.putText(picture, title, (left, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    for place, text in zip((left, width // 2, width - left), ticks, strict=True):
        (text_width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
        origin = (place - text_width // 2, base + 20)
        cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1, cv2.LINE_AA)
    return picture


def turntable(
    head: TrainedHead, *, num_frames: int = 72, size: int = 512, swing: float | None = None, threads: int | None = None
) -> Iterator[Frame]:
    """The silent head, turned before the camera, on grey.

    Args:
        num_frames: for the whole turn.
        size: of the square pictures, pixels.
        swing: turn to and fro by this many degrees on each side instead of all round.
    Yields:
        RGB uint8 [size, size, 3].
    """
    renderer = HeadRenderer(head, threads=threads)
    facts = EXTRACTORS[head.extractor]
    silence = renderer.audio_rows(np.zeros((WINDOW_ROWS, facts.width, facts.positions), np.float32))
    still = renderer.codes(silence, np.array([WINDOW_ROWS // 2]), facts.positions)
    moved = renderer.deform([still[0]], np.zeros((1, ACTION_UNITS), np.float32))[0]
    known = head.face.xyz[np.isfinite(head.face.xyz).all(1)]
    if len(known) == 0:
        known = head.mouth.xyz
    pivot = np.median(known, axis=0).astype(np.float64) if len(known) else np.zeros(3)
    reach = float(np.percentile(np.linalg.norm(known - pivot, axis=1), 99)) if len(known) else 0.1
    pose = np.eye(4)
    pose[:3, 3] = pivot + np.array([0, 0, DISTANCE])
    focal_px = 0.45 * size * DISTANCE / max(reach, 1e-6)
    backdrop = np.full((size, size, 3), BACKDROP_LEVEL, np.uint8)
    black = np.zeros(3, np.float32)
    for index in range(num_frames):
        phase = 2 * math.pi * index / num_frames
        yaw = phase if swing is None else math.radians(swing) * math.sin(phase)
        camera = camera_from_pose(orbit(pose, pivot, yaw=yaw), focal_px, (size, size))
        yield renderer.compose(renderer.draw(moved, camera, black), backdrop)
