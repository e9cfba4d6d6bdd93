"""Make the picture of the 3D head: frames of what `talkinghead generate --model artalk` really makes, without weights.

    python scripts/make_artalk_picture.py [-o docs/images/artalk.png] [--height 256]

Sets frames of different mouths side by side.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

import talkinghead as th
from talkinghead.assets import demo_speech_path
from talkinghead.media import write_png

SPOKEN_S = 2.4
"""How much of the bundled sentence is spoken."""
ROOT = Path(__file__).resolve().parent.parent
VIEWS = ((0, 0, 2), (-28, 4, 1), (30, 4, 1), (75, 0, 1))
"""Yaw and pitch in degrees, and how many frames of that view."""


def choose(activity: np.ndarray, count: int) -> list[int]:
    """Frames spread over the video, in each part the one that differs most from the last one chosen.

    Args:
        activity: [n, k] small pictures, flattened.
    """
    edges = np.linspace(0, len(activity), count + 1).astype(int)
    chosen: list[int] = []
    for start, stop in pairwise(edges):
        before = activity[chosen[-1]] if chosen else activity[0]
        distance = np.abs(activity[start:stop] - before).sum(axis=1)
        chosen.append(int(start + np.argmax(distance)))
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "images" / "artalk.png")
    parser.add_argument("--height", type=int, default=256, help="of the strip, in pixels")
    parser.add_argument("--zoom", type=float, default=1.0)
    given = parser.parse_args()
    strip = []
    speech = th.listen(demo_speech_path(), duration_s=SPOKEN_S)
    for yaw, pitch, count in VIEWS:
        head = th.load("artalk", driver="viseme", yaw=yaw, pitch=pitch, zoom=given.zoom, image_size=2 * given.height)
        frames = list(head.frames(head.prepare("mesh"), speech))
        size = (given.height, given.height)
        small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
        lower = [cv2.resize(frame[given.height // 2 :], (32, 16), interpolation=cv2.INTER_AREA) for frame in small]
        activity = np.array([part.ravel() for part in lower], float)
        strip += [small[index] for index in choose(activity, count)]
    picture = np.ascontiguousarray(np.hstack(strip), np.uint8)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    write_png(given.output, picture)
    print(f"{given.output}: {picture.shape[1]}x{picture.shape[0]}, {given.output.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
