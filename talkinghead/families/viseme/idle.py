"""Signs of life for a still picture: blinks, and a head that is never quite at rest."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from talkinghead.families.viseme.config import VisemeConfig
from talkinghead.families.viseme.geometry import FaceGeometry, Region, Values

CLOSE_S, SHUT_S, OPEN_S = 0.085, 0.045, 0.15
"""A blink: the lid falls, rests, and rises more slowly."""
MIN_INTERVAL_S = 1.3
DOUBLE_BLINK = 0.12
"""Chance that a blink is followed by another at once."""
OVER_S = 2.0
"""After its beginning a blink is over for certain, and who asks for frames once more asks for none so old."""

DRIFTS = {
    "x": (0.012, 7.0),
    "y": (0.009, 5.5),
    "roll": (0.009, 8.0),
    "scale": (0.004, 9.0),
    "yaw": (0.016, 6.0),
    "pitch": (0.010, 5.0),
}
"""How far the head drifts, in the units of `IdleMotion`, and the seconds of its slowest wave."""
LIVELY_S, QUICK_NOD_S, SLOW_NOD_S = 0.5, 0.16, 0.9
"""Standard deviations over which speech makes the head lively, and between which it nods with the jaw."""

HEAD_RADIUS = 1.55
"""Eye distances around the middle of the face that move as one."""
HEAD_REACH = 2.8
"""Eye distances where the surroundings come to rest."""
FACE_RADIUS = 0.95
"""Eye distances: size of the part of the face that is nearer to the camera."""


@dataclass(frozen=True, eq=False)
class IdleMotion:
    """Movement of a still picture, one value per output frame; [n] float32."""

    lids: Values
    """[0, 1]: 0 as in the picture, 1 shut."""
    x: Values
    """Head to the right, eye distances."""
    y: Values
    """Head down, eye distances."""
    roll: Values
    """Radians, clockwise in the image."""
    scale: Values
    """Logarithm of the size: the head comes nearer."""
    yaw: Values
    """Turn to the right: nearer parts move further than farther ones, eye distances."""
    pitch: Values
    """Nod, likewise."""

    def __len__(self) -> int:
        return len(self.lids)


def still_life(num_frames: int) -> IdleMotion:
    """No movement at all."""
    zero = np.zeros(num_frames, np.float32)
    return IdleMotion(zero, zero, zero, zero, zero, zero, zero)


def idle_motion(num_frames: int, fps: Fraction, config: VisemeConfig, speaking: Values, jaw: Values) -> IdleMotion:
    """Blinks and head movement of a job.

    Deterministic in the seed; the first frames do not depend on how many follow.

    Args:
        speaking, jaw: [n] of the `MouthMotion`; the head moves more in speech and nods with it.
    """
    return IdleLife(fps, config).frames(speaking, jaw, range(num_frames), range(num_frames))


class IdleLife:
    """`idle_motion` in parts, for speech that becomes known bit by bit and goes on for as long as it likes."""

    def __init__(self, fps: Fraction, config: VisemeConfig) -> None:
        seeds = np.random.SeedSequence(config.seed).spawn(2)
        self._fps, self._amount = float(fps), config.head_motion
        self._blinks = Blinks(config.blinks_per_minute, np.random.default_rng(seeds[0]))
        rng = np.random.default_rng(seeds[1])
        self._drifts = {name: _Drift(size, slowest_s, rng) for name, (size, slowest_s) in DRIFTS.items()}

    @property
    def reach(self) -> int:
        """Frames before and after one whose speech moves the head in it."""
        return _reach(SLOW_NOD_S * self._fps)

    def frames(self, speaking: Values, jaw: Values, known: range, wanted: range) -> IdleMotion:
        """Movement of some frames.

        Args:
            speaking, jaw: of the frames `known`, which hold those `wanted` and `reach` frames around them, as far as
                there are any.
        """
        part = slice(wanted.start - known.start, wanted.stop - known.start)
        speech = _smooth(speaking, LIVELY_S * self._fps)[part]
        nod = (_smooth(jaw, QUICK_NOD_S * self._fps) - _smooth(jaw, SLOW_NOD_S * self._fps))[part]
        return self.moved(wanted, speech, nod)

    def moved(self, wanted: range, speech: Values, nod: Values) -> IdleMotion:
        """Movement of some frames.

        Args:
            speech: [n] in [0, 1], how much is said about each frame. nod: [n], how far speech nods the head in it.
        """
        lively = 0.6 + 0.4 * speech
        times = (np.arange(wanted.start, wanted.stop) + 0.5) / self._fps
        drift = {name: each.at(times) for name, each in self._drifts.items()}

        def scaled(values: Values) -> Values:
            return (self._amount * values).astype(np.float32)

        return IdleMotion(
            lids=self._blinks.at(times),
            x=scaled(lively * drift["x"]),
            y=scaled(lively * drift["y"] + 0.012 * nod),
            roll=scaled(lively * drift["roll"]),
            scale=scaled(drift["scale"]),
            yaw=scaled(lively * drift["yaw"]),
            pitch=scaled(lively * drift["pitch"] + 0.022 * nod),
        )


class _Drift:
    """A sum of slow waves with random phases, about `size` large."""

    def __init__(self, size: float, slowest_s: float, rng: np.random.Generator) -> None:
        self._size = size
        self._waves = [(slowest_s / 1.9**octave * rng.uniform(0.85, 1.15), rng.random()) for octave in range(3)]

    def at(self, times_s: Values) -> Values:
        """[n] float64 at the given times."""
        total = np.zeros(len(times_s))
        for octave, (period_s, phase) in enumerate(self._waves):
            total += np.sin(2 * np.pi * (times_s / period_s + phase)) * 0.62**octave
        return self._size * total / 1.4


class Blinks:
    """When the lids close, for any time; the same however it is asked for."""

    def __init__(self, per_minute: float, rng: np.random.Generator) -> None:
        self._never = per_minute <= 0
        self._mean_s = 0.0 if self._never else max(60.0 / per_minute, MIN_INTERVAL_S + 0.3)
        self._rng = rng
        self._next_s = 0.0 if self._never else 0.4 + float(rng.gamma(2.0, 0.25 * self._mean_s))
        self._known: deque[tuple[float, float]] = deque()
        """When each begins, and its speed; those that are long over are let go."""

    def at(self, times_s: Values) -> Values:
        """Closing of the lids [n] float32 in [0, 1] at ascending times, none much before those asked for already."""
        closed = np.zeros(len(times_s))
        if self._never or len(times_s) == 0:
            return closed.astype(np.float32)
        while self._next_s < float(times_s[-1]) + 1.0:
            self._add()
        while self._known and self._known[0][0] < float(times_s[0]) - OVER_S:
            self._known.popleft()
        for start_s, speed in self._known:
            closed = np.maximum(closed, _one_blink((times_s - start_s) * speed))
        return closed.astype(np.float32)

    def _add(self) -> None:
        """The next blink, or two at once."""
        rng = self._rng
        speed = float(rng.uniform(0.85, 1.2))
        for _ in range(2 if rng.random() < DOUBLE_BLINK else 1):
            self._known.append((self._next_s, speed))
            self._next_s += (CLOSE_S + SHUT_S + OPEN_S) / speed + 0.05
        # Gamma of shape 2.5: neither a metronome nor bursts.
        self._next_s += MIN_INTERVAL_S + float(rng.gamma(2.5, max(self._mean_s - MIN_INTERVAL_S, 0.3) / 2.5))


def _one_blink(t: Values) -> Values:
    falling = _ease64(t / CLOSE_S)
    rising = _ease64((t - CLOSE_S - SHUT_S) / OPEN_S)
    return falling - rising


def _ease64(t: Values) -> Values:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _reach(sigma: float) -> int:
    """Frames on either side over which `_smooth` looks."""
    return max(1, int(3 * sigma))


def _smooth(values: Values, sigma: float) -> Values:
    """Gaussian over frames, ends held."""
    if len(values) == 0:
        return values.astype(np.float64)
    reach = _reach(sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    padded = np.pad(values.astype(np.float64), reach, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


@dataclass(frozen=True)
class HeadPose:
    """One frame of the head's movement; see `IdleMotion`."""

    x: float = 0.0
    y: float = 0.0
    roll: float = 0.0
    scale: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0


def head_region(face: FaceGeometry, size: tuple[int, int]) -> Region:
    """The box that head movement can touch, in a frame of (width, height)."""
    centre = face.mouth.centre - 0.55 * face.eye_distance * face.mouth.down
    return Region.around(centre, HEAD_REACH / 0.85 * face.eye_distance, size)


def head_weight(face: FaceGeometry, size: tuple[int, int], x: Values, y: Values) -> tuple[Values, Values]:
    """How much each point takes part in the head's movement, and how near it is.

    Args:
        size: (width, height) of the picture. x, y: pixels.
    Returns:
        Share in [0, 1], smooth, 0 at the border of the picture and far from the head; nearness in [0, 1].
    """
    d = np.float32(face.eye_distance)
    mouth = face.mouth
    cx, cy = (np.float32(v) for v in mouth.centre - 0.55 * face.eye_distance * mouth.down)
    ax, ay = (np.float32(v) for v in mouth.axis)
    along, down = (x - cx) * ax + (y - cy) * ay, (y - cy) * ax - (x - cx) * ay
    # Shoulders follow a little: the ellipse is longer below.
    radius = np.hypot(along / d, np.where(down > 0, down * np.float32(0.85), down) / d)
    share = _fall((radius - HEAD_RADIUS) / (HEAD_REACH - HEAD_RADIUS))
    width, height = size
    margin = np.float32(max(0.6 * face.eye_distance, 2.0))
    border = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y)) / margin
    share = share * (1 - _fall(border))
    near = np.exp(-((along / (FACE_RADIUS * d)) ** 2) - (down / (1.1 * FACE_RADIUS * d)) ** 2)
    return share.astype(np.float32), near.astype(np.float32)


def _fall(t: Values) -> Values:
    """1 to 0 with zero slope and curvature at both ends."""
    t = np.clip(t, 0, 1)
    fallen: Values = 1 - t * t * t * (t * (6 * t - 15) + 10)
    return fallen


def head_field(
    face: FaceGeometry, pose: HeadPose, share: Values, near: Values, x: Values, y: Values
) -> tuple[Values, Values]:
    """Inverse displacement of the head's movement: the still picture's point minus the output's, pixels."""
    d = face.eye_distance
    pivot = face.mouth.centre + 0.9 * d * face.mouth.down  # the neck
    rx, ry = x - np.float32(pivot[0]), y - np.float32(pivot[1])
    roll, scale = np.float32(pose.roll), np.float32(pose.scale)
    move_x = np.float32(pose.x * d) - roll * ry + scale * rx + np.float32(pose.yaw * d) * near
    move_y = np.float32(pose.y * d) + roll * rx + scale * ry + np.float32(pose.pitch * d) * near
    return -share * move_x, -share * move_y
