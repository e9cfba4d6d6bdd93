"""How close a video is to the true one: PSNR, SSIM, LPIPS, landmark distances, per frame and in the mean.

Definitions of PSNR, LPIPS and landmark distance: the evaluation of TalkingGaussian (`metrics.py`). SSIM: Wang et al.
2004 with an 11 x 11 Gaussian window, per colour channel. All on RGB in [0, 1], over the frames that both videos have.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from talkinghead.backends.gate import psnr_db
from talkinghead.contracts import Frame
from talkinghead.errors import InputError, MissingDependency, UnreadableMedia, WrongCheckpoint
from talkinghead.measure.landmarks import FaceLandmarks, landmark_distance

if TYPE_CHECKING:
    import torch

Box = tuple[int, int, int, int]
"""(x1, y1, x2, y2) in pixels, half open."""

SSIM_SIGMA = 1.5
SSIM_RADIUS = 5
SSIM_K1, SSIM_K2 = 0.01, 0.03

_LPIPS_SHIFT = (-0.030, -0.088, -0.188)
_LPIPS_SCALE = (0.458, 0.448, 0.450)
_ALEXNET = ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False), (10, 1, 1, False))
"""Convolutions of AlexNet: index in `features`, stride, padding, and whether a 3 x 3 pooling comes before."""
_ALEXNET_WIDTHS = (64, 192, 384, 256, 256)


def psnr(a: Frame, b: Frame) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 frames of one shape; infinite where they are equal."""
    _same_shape(a, b)
    return psnr_db(a, b, peak=255)


def ssim(a: Frame, b: Frame) -> float:
    """Mean structural similarity in [-1, 1] of two uint8 RGB frames.

    Gaussian window of sigma 1.5 cut to 11 x 11, population covariance, border of 5 pixels left out, mean over channels.

    Raises:
        InputError: a side of less than 11 pixels.
    """
    import cv2

    _same_shape(a, b)
    if min(a.shape[:2]) <= 2 * SSIM_RADIUS:
        raise InputError(f"SSIM needs frames of at least 11x11 pixels, not {a.shape[1]}x{a.shape[0]}.")
    taps = cv2.getGaussianKernel(2 * SSIM_RADIUS + 1, SSIM_SIGMA, cv2.CV_64F)

    def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
        inner = cv2.sepFilter2D(values, cv2.CV_64F, taps, taps)
        return np.asarray(inner[SSIM_RADIUS:-SSIM_RADIUS, SSIM_RADIUS:-SSIM_RADIUS], np.float64)

    x, y = a.astype(np.float64) / 255, b.astype(np.float64) / 255
    mean_x, mean_y = smooth(x), smooth(y)
    var_x, var_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    denominator = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float(np.mean(numerator / denominator))


def _same_shape(a: Frame, b: Frame) -> None:
    if a.shape != b.shape or a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"frames must be uint8 of one shape, not {list(a.shape)} {a.dtype}, {list(b.shape)} {b.dtype}")


class Lpips:
    """Learned perceptual distance with AlexNet features (Zhang et al. 2018, version 0.1).

    Args:
        tensors: AlexNet's convolutions as torchvision names them (`features.0.weight`, ...) and the five linear layers
            as the LPIPS project names them (`lin0.model.1.weight`, ...); other names are ignored.
        device: where it runs.
    Raises:
        WrongCheckpoint: a weight is missing or of another shape.
    """

    def __init__(self, tensors: Mapping[str, NDArray[Any]], device: str = "cpu") -> None:
        try:
            import torch
        except ImportError as error:
            raise MissingDependency("torch", extra="models", purpose="LPIPS") from error
        self._layers: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for level, (index, *_) in enumerate(_ALEXNET):
            weight = _tensor(tensors, (f"features.{index}.weight", f"net.slice{level + 1}.{index}.weight"))
            bias = _tensor(tensors, (f"features.{index}.bias", f"net.slice{level + 1}.{index}.bias"))
            linear = _tensor(tensors, (f"lin{level}.model.1.weight", f"lins.{level}.model.1.weight"))
            width = _ALEXNET_WIDTHS[level]
            if weight.ndim != 4 or weight.shape[0] != width or bias.shape != (width,) or linear.size != width:
                raise WrongCheckpoint(f"The LPIPS weights of level {level} have wrong shapes.")
            self._layers.append(
                (
                    torch.from_numpy(np.array(weight, np.float32)).to(device),
                    torch.from_numpy(np.array(bias, np.float32)).to(device),
                    torch.from_numpy(np.array(linear, np.float32).reshape(1, width, 1, 1)).to(device),
                )
            )
        self._shift = torch.tensor(_LPIPS_SHIFT, device=device).reshape(1, 3, 1, 1)
        self._scale = torch.tensor(_LPIPS_SCALE, device=device).reshape(1, 3, 1, 1)

    @classmethod
    def read(cls, paths: Sequence[Path], device: str = "cpu") -> Lpips:
        """Read the weights from one file that holds both parts, or from two."""
        from talkinghead.reading import reading
        from talkinghead.weights import read_checkpoint

        tensors: dict[str, NDArray[Any]] = {}
        for path in paths:
            tensors.update(read_checkpoint(path).tensors)
        with reading(paths[0], WrongCheckpoint, what="does not hold the weights of LPIPS"):
            return cls(tensors, device)

    def __call__(self, a: Frame, b: Frame) -> float:
        """Distance of two uint8 RGB frames, 0 for equal ones."""
        import torch

        _same_shape(a, b)
        with torch.inference_mode():
            pair = torch.from_numpy(np.stack([a, b])).to(self._shift.device).permute(0, 3, 1, 2).float() / 255
            return float(self.distance(pair[:1], pair[1:])[0])

    def distance(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Distances of pictures, [B], through which gradients go.

        Args:
            a, b: [B, 3, H, W] float32 RGB in [0, 1].
        """
        import torch
        from torch.nn import functional

        x = ((torch.cat([a, b]) * 2 - 1) - self._shift) / self._scale
        total = x.new_zeros(len(a))
        for (_, stride, padding, pooled), (weight, bias, linear) in zip(_ALEXNET, self._layers, strict=True):
            if pooled:
                x = functional.max_pool2d(x, kernel_size=3, stride=2)
            x = torch.relu(functional.conv2d(x, weight, bias, stride=stride, padding=padding))
            unit = x / (x.square().sum(dim=1, keepdim=True) + 1e-20).sqrt()
            total = total + (linear * (unit[: len(a)] - unit[len(a) :]).square()).sum(dim=1).mean(dim=(1, 2))
        return total


def _tensor(tensors: Mapping[str, NDArray[Any]], names: Sequence[str]) -> NDArray[Any]:
    for name in names:
        if name in tensors:
            return tensors[name]
    raise WrongCheckpoint(
        f"The LPIPS weights lack {names[0]}.",
        accepted="AlexNet of torchvision and alex.pth of the LPIPS project (version 0.1), in one file or two",
    )


@dataclass(frozen=True)
class QualityReport:
    """One comparison."""

    predicted: str
    truth: str
    num_frames: int
    """Frames that both have."""
    per_frame: Mapping[str, tuple[float | None, ...]]
    """Measure to value per frame; None where it could not be taken."""
    notes: tuple[str, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def mean(self) -> dict[str, float | None]:
        """Mean over the frames that have a value; frames of infinite PSNR are counted as infinite."""
        means: dict[str, float | None] = {}
        for name, values in self.per_frame.items():
            known = [value for value in values if value is not None]
            means[name] = float(np.mean(known)) if known else None
        return means

    def to_dict(self) -> dict[str, Any]:
        def plain(value: float | None) -> float | str | None:
            return "inf" if value is not None and math.isinf(value) else value

        return {
            "predicted": self.predicted,
            "truth": self.truth,
            "num_frames": self.num_frames,
            "mean": {name: plain(value) for name, value in self.mean.items()},
            "per_frame": {name: [plain(value) for value in values] for name, values in self.per_frame.items()},
            "details": dict(self.details),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"


def compare_frames(
    predicted: Iterator[Frame],
    truth: Iterator[Frame],
    *,
    lpips: Callable[[Frame, Frame], float] | None = None,
    landmarks: FaceLandmarks | None = None,
    regions: Sequence[Box] | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> dict[str, tuple[float | None, ...]]:
    """Measures of each pair of frames, until the shorter ends; one pair at a time is held.

    Args:
        regions: a box per frame inside which PSNR is taken too; frames beyond the last one have none.
    Raises:
        UnreadableMedia: the frames differ in size.
    """
    values: dict[str, list[float | None]] = {"psnr_db": [], "ssim": []}
    if lpips is not None:
        values["lpips"] = []
    if landmarks is not None:
        values |= {"lmd_px": [], "f_lmd_px": []}
    if regions is not None:
        values["psnr_region_db"] = []
    for done, (a, b) in enumerate(zip(predicted, truth, strict=False), start=1):
        if a.shape != b.shape:
            raise UnreadableMedia(
                f"The frames differ in size: {a.shape[1]}x{a.shape[0]} and {b.shape[1]}x{b.shape[0]}.",
                accepted="two videos of the same size",
            )
        values["psnr_db"].append(psnr(a, b))
        values["ssim"].append(ssim(a, b) if min(a.shape[:2]) > 2 * SSIM_RADIUS else None)
        if lpips is not None:
            values["lpips"].append(lpips(a, b))
        if landmarks is not None:
            one, other = landmarks.find(a), landmarks.find(b)
            if one is None or other is None:
                distances: tuple[float | None, float | None] = (None, None)
            else:
                distances = landmark_distance(one.mouth, other.mouth), landmark_distance(one.whole, other.whole)
            values["lmd_px"].append(distances[0])
            values["f_lmd_px"].append(distances[1])
        if regions is not None:
            values["psnr_region_db"].append(_region_psnr(a, b, regions[done - 1] if done <= len(regions) else None))
        if on_frame is not None:
            on_frame(done)
    return {name: tuple(series) for name, series in values.items()}


def _region_psnr(a: Frame, b: Frame, box: Box | None) -> float | None:
    if box is None:
        return None
    x1, y1, x2, y2 = (max(0, value) for value in box)
    part = np.s_[y1:y2, x1:x2]
    return psnr(a[part], b[part]) if a[part].size else None


def evaluate_videos(
    predicted: Path,
    truth: Path,
    *,
    lpips: Callable[[Frame, Frame], float] | None = None,
    landmarks: FaceLandmarks | None = None,
    regions: Sequence[Box] | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> QualityReport:
    """Compare two videos frame by frame.

    Raises:
        MediaError: one cannot be read, or they differ in size.
    """
    from talkinghead.media import open_frames

    sources = open_frames(predicted), open_frames(truth)
    counts = len(sources[0]), len(sources[1])
    notes = []
    if counts[0] != counts[1]:
        notes.append(
            f"{predicted.name} has {counts[0]} frames and {truth.name} {counts[1]}: the first {min(counts)} count."
        )
    if sources[0].fps != sources[1].fps:
        notes.append(f"The frame rates differ: {sources[0].fps} and {sources[1].fps}.")
    total = min(counts)
    per_frame = compare_frames(
        sources[0].read(0, total),
        sources[1].read(0, total),
        lpips=lpips,
        landmarks=landmarks,
        regions=regions,
        on_frame=(lambda done: on_frame(done, total)) if on_frame is not None else None,
    )
    if landmarks is not None:
        lost = sum(value is None for value in per_frame["lmd_px"])
        if lost:
            notes.append(f"No face in {lost} of {total} frames: they do not count for the landmark distances.")
    details = {"landmarks": landmarks.name} if landmarks is not None else {}
    return QualityReport(str(predicted), str(truth), total, per_frame, tuple(notes), details)
