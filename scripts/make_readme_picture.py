"""Make the picture at the top of the README: frames of what `talkinghead demo` really makes, side by side.

    python scripts/make_readme_picture.py [-o docs/images/demo.png] [--frames 6] [--height 256]

Runs the real command in a process of its own, reads its video back, and sets the frames where the mouth is widest open,
closed and in between into one strip. Needs the extra `demo`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from talkinghead.media import open_frames, write_png
from talkinghead.media.options import FrameOptions

ROOT = Path(__file__).resolve().parent.parent


def choose(activity: np.ndarray, count: int) -> list[int]:
    """Frames spread over the video, in each part the one that differs most from the last one chosen.

    Args:
        activity: [n, k] small pictures, flattened.
        count: how many to choose.
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
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "images" / "demo.png")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--height", type=int, default=256, help="of the strip, in pixels")
    parser.add_argument(
        "--crop", default="20,260,108,348", help="top,bottom,left,right of each frame; empty for all of it"
    )
    parser.add_argument("arguments", nargs="*", help="further arguments for `talkinghead demo`, after --")
    given = parser.parse_args()
    crop = tuple(int(part) for part in given.crop.split(",")) if given.crop else None
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "demo.mp4"
        command = [sys.executable, "-m", "talkinghead", "demo", "-o", str(video), *given.arguments]
        subprocess.run(command, check=True)
        frames = list(open_frames(video, options=FrameOptions(crop=crop)).read())  # type: ignore[arg-type]
    width = round(frames[0].shape[1] * given.height / frames[0].shape[0])
    small = [cv2.resize(frame, (width, given.height), interpolation=cv2.INTER_AREA) for frame in frames]
    activity = np.array([cv2.resize(frame, (32, 32), interpolation=cv2.INTER_AREA).ravel() for frame in frames], float)
    strip = np.hstack([small[i] for i in choose(activity, given.frames)])
    given.output.parent.mkdir(parents=True, exist_ok=True)
    write_png(given.output, np.ascontiguousarray(strip))
    print(f"{given.output}: {given.frames} of {len(frames)} frames, {strip.shape[1]}x{strip.shape[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
