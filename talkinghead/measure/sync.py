"""Are mouth and sound together? Measured without any weights: the opening of the mouth against the speech envelope.

Both are brought to one clock of 100 steps per second, freed of slow trends, and compared by normalised
cross-correlation. The answer is good to a few milliseconds when the opening is known (our own motion) and to about a
frame when it is estimated from pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from talkinghead.audio.energy import frame_rms
from talkinghead.contracts import AudioClip, FaceTrack, FloatArray, Frame
from talkinghead.errors import AudioTooShort, OptionError

CLOCK_HZ = 100
MAX_LAG_S = 1.0
"""Offsets beyond this are not looked for."""
TREND_S = 0.6
"""Standard deviation of the window whose mean is taken off both signals."""
SMOOTH_S = 0.03
"""Standard deviation of the smoothing of the envelope, about that of a mouth's own inertia."""
WINDOW_S = 20.0
"""Length of the windows in which the offset is measured again for the drift."""
MIN_S = 1.0
PATCH_SIZE = (40, 32)
"""Width and height to which the mouth region is resized."""


@dataclass(frozen=True)
class SyncEstimate:
    """Offset between a mouth and a sound."""

    lag_ms: float
    """Positive: the mouth comes after the sound. Compared at the middle of each frame's interval."""
    confidence: float
    """In [0, 1]: how far the best offset stands out; under 0.2 the offset means little."""
    correlation: float
    """Correlation of opening and envelope at that offset, in [-1, 1]."""
    drift_ms_per_min: float | None
    """How much the offset grows per minute; None under 30 s, too short to tell."""
    windows: int = 0
    """How many stretches of the recording the drift rests on."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """For people."""
        if self.confidence < 0.2:
            return ("offset not measurable: the mouth does not follow the sound",)
        side = "after" if self.lag_ms > 0 else "before"
        lines = [f"mouth {abs(self.lag_ms):.0f} ms {side} the sound (confidence {self.confidence:.2f})"]
        if self.drift_ms_per_min is not None:
            lines.append(f"drift {self.drift_ms_per_min:+.1f} ms per minute")
        return tuple(lines)


def audio_video_offset(mouth_opening: FloatArray, fps: Fraction, clip: AudioClip) -> SyncEstimate:
    """Offset and drift of a mouth against a sound.

    Args:
        mouth_opening: [n], one value per video frame, in any unit and with any offset.
        fps: frames per second, exact.
        clip: the sound that is heard with the frames, starting with the first one.
    Raises:
        AudioTooShort: under one second of picture or sound in common.
        OptionError: values that are not finite.
    """
    opening = np.asarray(mouth_opening, dtype=np.float64)
    if not np.all(np.isfinite(opening)):
        raise OptionError("The mouth opening holds values that are not finite.")
    length_s = min(len(opening) / float(fps), float(clip.duration_s))
    if length_s < MIN_S:
        raise AudioTooShort(
            f"{length_s:.2f} s of picture and sound are too short to compare.", accepted=f"at least {MIN_S:.0f} s"
        )
    count = int(length_s * CLOCK_HZ)
    times = np.arange(count) / CLOCK_HZ
    moving = np.interp(times, (np.arange(len(opening)) + 0.5) / float(fps), opening)
    rms = frame_rms(clip.samples, clip.sample_rate_hz, hop_s=1.0 / CLOCK_HZ, window_s=0.02, num_frames=count)
    heard = _smooth(np.sqrt(rms.astype(np.float64)), SMOOTH_S)
    moving, heard = _detrend(moving), _detrend(heard)
    scores = _correlate(moving, heard, round(MAX_LAG_S * CLOCK_HZ))
    lag, peak, confidence = _best_lag(scores)
    drift, windows = _drift(moving, heard, lag)
    return SyncEstimate(
        lag_ms=1000.0 * lag / CLOCK_HZ,
        confidence=confidence,
        correlation=peak,
        drift_ms_per_min=drift,
        windows=windows,
    )


def _smooth(values: NDArray[np.float64], sigma_s: float) -> NDArray[np.float64]:
    """Gaussian smoothing on the clock; the ends are held."""
    radius = max(1, round(3 * sigma_s * CLOCK_HZ))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / (sigma_s * CLOCK_HZ)) ** 2)
    return np.convolve(np.pad(values, radius, mode="edge"), kernel / kernel.sum(), mode="valid")


def _detrend(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values - _smooth(values, TREND_S)


def _correlate(a: NDArray[np.float64], b: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Normalised correlation of a(t + lag) with b(t) for lag = -reach .. reach; [2 reach + 1]."""
    n = len(a)
    reach = min(reach, n // 2)
    size = 1 << (2 * n - 1).bit_length()

    def cross(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        full = np.fft.irfft(np.fft.rfft(x, size) * np.conj(np.fft.rfft(y, size)), size)
        return np.concatenate([full[-reach:], full[: reach + 1]]) if reach else full[:1]

    ones = np.ones(n)
    energy_a, energy_b = cross(a * a, ones), cross(ones, b * b)
    norm = np.sqrt(np.maximum(energy_a, 1e-12) * np.maximum(energy_b, 1e-12))
    tiny = (energy_a < 1e-9 * n) | (energy_b < 1e-12 * n)
    return np.where(tiny, 0.0, cross(a, b) / norm)


def _best_lag(scores: NDArray[np.float64]) -> tuple[float, float, float]:
    """(lag in clock steps with a fraction, correlation there, confidence) of the highest score."""
    reach = len(scores) // 2
    best = int(np.argmax(scores))
    lag = float(best - reach)
    if 0 < best < len(scores) - 1:
        before, here, after = scores[best - 1 : best + 2]
        curve = before - 2 * here + after
        if curve < 0:
            lag += 0.5 * float(before - after) / float(curve)
    peak = float(scores[best])
    away = np.abs(np.arange(len(scores)) - best) > 0.2 * CLOCK_HZ
    rival = float(np.max(scores[away])) if np.any(away) else 0.0
    confidence = float(np.clip(peak, 0.0, 1.0) * np.clip(2.0 * (peak - max(rival, 0.0)) / max(peak, 1e-6), 0.0, 1.0))
    return lag, peak, confidence


def _drift(moving: NDArray[np.float64], heard: NDArray[np.float64], lag: float) -> tuple[float | None, int]:
    """(milliseconds of offset gained per minute, windows used) from the offsets of overlapping windows."""
    width = round(WINDOW_S * CLOCK_HZ)
    if len(moving) < 1.5 * width:
        return None, 0
    reach = round(0.4 * CLOCK_HZ)
    shift = round(lag)
    centres, lags, weights = [], [], []
    for start in range(0, len(moving) - width + 1, width // 4):
        a, b = start + shift, start + shift + width
        if a < 0 or b > len(moving):
            continue
        found, peak, confidence = _best_lag(_correlate(moving[a:b], heard[start : start + width], reach))
        if peak > 0.1 and abs(found) < reach - 1:
            centres.append((start + width / 2) / CLOCK_HZ / 60.0)
            lags.append(found)
            weights.append(max(peak, 0.0) ** 2 * (0.1 + confidence))
    if len(centres) < 3:
        return None, len(centres)
    x, y, w = np.array(centres), np.array(lags), np.array(weights)
    slope = 0.0
    for _ in range(5):  # weighted line, then again without what lies far off it
        mean_x, mean_y = np.average(x, weights=w), np.average(y, weights=w)
        slope = float(np.sum(w * (x - mean_x) * (y - mean_y)) / max(float(np.sum(w * (x - mean_x) ** 2)), 1e-12))
        residual = np.abs(y - mean_y - slope * (x - mean_x))
        w = np.array(weights) / (1.0 + (residual / (2.0 * np.median(residual) + 0.5)) ** 2)
    return 1000.0 * slope / CLOCK_HZ, len(centres)


class MouthWatch:
    """How open the mouth looks in each picture, without landmarks or weights.

    The mouth region (between the mouth corners where the track has key points, else the lower middle of the face box)
    is cut out and made small; the opening is how far it differs from its own closed state and how much darker than
    skin its inside is. Values compare within one video only.

    Args:
        track: of the face whose mouth is watched.
    """

    def __init__(self, track: FaceTrack) -> None:
        self._track = track
        self._patches: list[NDArray[np.uint8]] = []

    def see(self, frame: Frame) -> None:
        """The next frame, in the order of the track; those behind its end are not looked at."""
        if len(self._patches) < len(self._track):
            self._patches.append(_mouth_patch(frame, self._track, len(self._patches)))

    def opening(self) -> FloatArray:
        """[n] float32 of the frames seen, 0 where the mouth looks most closed."""
        if not self._patches:
            return np.zeros(0, dtype=np.float32)
        return _opening_of_patches(np.stack(self._patches))


def _mouth_patch(frame: Frame, track: FaceTrack, index: int) -> NDArray[np.uint8]:
    """Grey picture of the mouth region, PATCH_SIZE, uint8."""
    import cv2

    x1, y1, x2, y2 = (float(v) for v in track.boxes_xyxy[index])
    if track.key_points is not None:
        left, right = track.key_points[index, 3].astype(np.float64), track.key_points[index, 4].astype(np.float64)
        centre = (left + right) / 2
        half = max(0.75 * float(np.hypot(*(right - left))), 4.0)
        centre_x, centre_y = float(centre[0]), float(centre[1]) + 0.15 * half
    else:
        half = 0.24 * (x2 - x1)
        centre_x, centre_y = (x1 + x2) / 2, y1 + 0.80 * (y2 - y1)
    width, height = PATCH_SIZE
    scale = width / (2 * half)
    matrix = np.array(
        [[scale, 0.0, width / 2 - scale * centre_x], [0.0, scale, height / 2 - scale * centre_y]], dtype=np.float64
    )
    # Shrinking by more than two needs an average, or the patch flickers with the noise of single pixels.
    blur = max(1, round(0.5 / scale))
    low_x, high_x = max(int(centre_x - 1.3 * half), 0), min(int(centre_x + 1.3 * half) + 2, frame.shape[1])
    low_y, high_y = max(int(centre_y - 1.3 * half), 0), min(int(centre_y + 1.3 * half) + 2, frame.shape[0])
    if high_x <= low_x or high_y <= low_y:
        return np.zeros((height, width), dtype=np.uint8)
    region = cv2.cvtColor(np.ascontiguousarray(frame[low_y:high_y, low_x:high_x]), cv2.COLOR_RGB2GRAY)
    if blur > 1:
        region = cv2.blur(region, (blur, blur))
    matrix[:, 2] += matrix[:, 0] * low_x + matrix[:, 1] * low_y
    patch = cv2.warpAffine(region, matrix, PATCH_SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(patch, dtype=np.uint8)


def _opening_of_patches(patches: NDArray[np.uint8]) -> FloatArray:
    """Opening per patch; [n, h, w] uint8 to [n] float32."""
    n = len(patches)
    dark = np.empty(n)
    for i, patch in enumerate(patches):
        skin = float(np.percentile(patch, 70))
        dark[i] = np.mean(np.maximum(0.55 * skin - patch.astype(np.float32), 0.0)) / max(skin, 1.0)
    # The closed mouth: the middle value of the pictures with the least dark inside.
    closed_few = np.argsort(dark, kind="stable")[: max(1, min(n // 5, 500))]
    closed = np.median(patches[closed_few], axis=0).astype(np.float32)
    level = float(np.mean(closed))
    change = np.empty(n)
    for i, patch in enumerate(patches):
        picture = patch.astype(np.float32)
        gain = level / max(float(np.mean(picture)), 1.0)  # exposure may wander
        change[i] = np.mean(np.abs(gain * picture - closed)) / max(level, 1.0)

    def scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
        low, high = np.percentile(values, 5), np.percentile(values, 95)
        return (values - low) / max(float(high - low), 1e-3)

    return np.maximum(0.5 * (scaled(dark) + scaled(change)), 0.0).astype(np.float32)
