"""Make the portraits that come with the package: rays through sculpted heads, then light, paint or ink.

    python scripts/make_portraits.py [NAME ...] [-o talkinghead/assets] [--side 512] [--samples 1.75]

Each head is a signed distance made of ellipsoids and capsules, with hair that is grooved along its flow; nothing in
the pictures comes from anywhere else. Needs the extra `models` (numba). About a minute for each on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from portraits.light import photograph
from portraits.people import PORTRAITS, rgb
from portraits.styles import STYLES

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 40_000
SEED = 7


def make(name: str, target: Path, side: int, samples: float) -> None:
    """Render one portrait and write it as the best WebP below `MAX_BYTES`."""
    style, face, colors, backdrop, scale, centre_y = PORTRAITS[name]
    buffers = photograph(face, colors, round(side * samples), scale=scale, centre_y=centre_y)
    behind = (np.array(rgb(backdrop[0]), np.float32), np.array(rgb(backdrop[1]), np.float32))
    picture = STYLES[style](buffers, behind, side, np.random.default_rng(SEED))
    bgr = np.ascontiguousarray(np.round(picture * 255).astype(np.uint8)[..., ::-1])
    for quality in range(95, 50, -1):
        _, written = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
        if len(written) < MAX_BYTES:
            break
    path = target / f"portrait-{name}.webp"
    path.write_bytes(written.tobytes())
    print(f"{path}: {style}, quality {quality}, {len(written)} bytes")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(PORTRAITS)}; default: all")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "talkinghead" / "assets")
    parser.add_argument("--side", type=int, default=512, help="width and height in pixels")
    parser.add_argument("--samples", type=float, default=1.75, help="rays per pixel and direction")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(PORTRAITS))
    if unknown:
        print(f"error: there is no portrait {unknown[0]!r}; there are: {', '.join(PORTRAITS)}", file=sys.stderr)
        return 2
    for name in arguments.names or PORTRAITS:
        make(name, arguments.output, arguments.side, arguments.samples)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
