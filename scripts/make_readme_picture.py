"""Make the moving picture at the top of the README from what the real commands make, side by side.

    python scripts/make_readme_picture.py [-o docs/images/demo.webp] [--height 288] [--every 2] [--quality 80]

A portrait speaks (`talkinghead demo`), a constructed head of 3D Gaussians speaks while the camera stands to its side
(`generate --model talkinggaussian`), and a mesh speaks (`generate --model artalk`), all the same sentence. Each command
runs in a process of its own. Needs the extra `models`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from talkinghead.assets import demo_speech_path
from talkinghead.contracts import Frame
from talkinghead.media import open_frames
from talkinghead.media.options import FrameOptions

ROOT = Path(__file__).resolve().parent.parent
PORTRAIT_CROP = (16, 496, 16, 496)
GAUSSIANS_CROP = (50, 370, 96, 416)
"""Top, bottom, left and right of the face."""


def talkinghead(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "talkinghead", *arguments], check=True, cwd=ROOT)


def make_videos(folder: Path) -> list[tuple[Path, FrameOptions]]:
    """The three videos, and which part of each is shown."""
    speech = str(demo_speech_path())
    portrait, gaussians, mesh = (folder / f"{name}.mp4" for name in ("portrait", "gaussians", "mesh"))
    talkinghead("demo", "-o", str(portrait))
    builder = ROOT / "scripts" / "make_gaussian_head.py"
    subprocess.run([sys.executable, str(builder), str(folder / "head3d")], check=True, cwd=ROOT)
    talkinghead(
        "generate", "--model", "talkinggaussian", "--scene", str(folder / "head3d" / "data"), "--checkpoint",
        str(folder / "head3d" / "model"), "--audio-features", "phones", "--audio", speech, "-o", str(gaussians),
    )  # fmt: skip
    talkinghead(
        "generate", "--model", "artalk", "--driver", "viseme", "--yaw", "15", "--audio", speech, "-o", str(mesh)
    )
    return [
        (portrait, FrameOptions(crop=PORTRAIT_CROP)),
        (gaussians, FrameOptions(crop=GAUSSIANS_CROP)),
        (mesh, FrameOptions()),
    ]


def squares(frames: list[Frame], height: int) -> list[Frame]:
    """The middle square of each frame, resized."""
    side = min(frames[0].shape[:2])
    top, left = ((size - side) // 2 for size in frames[0].shape[:2])
    cut = [frame[top : top + side, left : left + side] for frame in frames]
    method = cv2.INTER_AREA if side >= height else cv2.INTER_CUBIC
    return [np.asarray(cv2.resize(frame, (height, height), interpolation=method), np.uint8) for frame in cut]


def write_animation(path: Path, frames: list[Frame], fps: Fraction, quality: int) -> None:
    """An animated WebP that plays for ever; frames are RGB."""
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in frames]
    animation.durations = np.full(len(frames), round(1000 / fps), np.int32)  # type: ignore[assignment]  # OpenCV wants an array here and says a sequence
    if not cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, quality]):
        raise RuntimeError(f"{path} was not written")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "images" / "demo.webp")
    parser.add_argument("--height", type=int, default=288, help="of each part, in pixels")
    parser.add_argument("--every", type=int, default=2, help="take every n-th of 25 frames per second")
    parser.add_argument("--quality", type=int, default=80, help="of WebP, 1 to 100")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            squares(list(open_frames(video, options=options).read())[:: given.every], given.height)
            for video, options in make_videos(Path(folder))
        ]
    rows = [np.ascontiguousarray(np.hstack(frames)) for frames in zip(*parts, strict=False)]
    given.output.parent.mkdir(parents=True, exist_ok=True)
    write_animation(given.output, rows, Fraction(25, given.every), given.quality)
    size = given.output.stat().st_size / 1e6
    print(f"{given.output}: {len(rows)} frames of {rows[0].shape[1]}x{rows[0].shape[0]}, {size:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
