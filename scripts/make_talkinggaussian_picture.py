"""Render the picture of docs/talkinggaussian.md: the constructed head speaking, and seen by a moved camera.

    python scripts/make_talkinggaussian_picture.py [-o docs/images/talkinggaussian.png] [--tile 256]

Nothing is downloaded; the head is built anew.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from talkinghead.families.talkinggaussian.procedural.build import Example

SPEAKING_S = (0.08, 1.32, 2.80)
"""Upper row: times in the bundled sentence, lips closed, half open and wide open."""
VIEWS = ({"yaw": -32.0}, {"pitch": 16.0}, {"yaw": 32.0})
"""Lower row: cameras, at VIEW_S."""
VIEW_S = 1.04
CUT = (88, 64, 424, 400)
"""x1, y1, x2, y2 of the part of the 512 x 512 frames that is shown."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images/talkinggaussian.png"))
    parser.add_argument("--tile", type=int, default=256, help="side of each picture in pixels (default 256)")
    arguments = parser.parse_args()

    import cv2
    import numpy as np

    import talkinghead as th
    from talkinghead.assets import demo_speech_path
    from talkinghead.families.talkinggaussian.procedural.build import write_example
    from talkinghead.media import write_png

    speech = th.listen(demo_speech_path())

    def frames(example: Example, times_s: tuple[float, ...], camera: Mapping[str, float]) -> list[np.ndarray]:
        head = th.load(
            "talkinggaussian",
            checkpoint=example.model,
            features=example.data / "aud_ds.npy",
            torso=not camera,
            device="cpu",
            **dict[str, Any](camera),
        )
        wanted = {round(25 * time_s) for time_s in times_s}
        found = {}
        for index, frame in enumerate(head.frames(head.prepare(example.data), speech)):
            if index in wanted:
                x1, y1, x2, y2 = CUT
                found[index] = cv2.resize(
                    frame[y1:y2, x1:x2], (arguments.tile, arguments.tile), interpolation=cv2.INTER_AREA
                )
            if len(found) == len(wanted):
                break
        return [found[index] for index in sorted(found)]

    with tempfile.TemporaryDirectory() as folder:
        example = write_example(Path(folder))
        upper = frames(example, SPEAKING_S, {})
        lower = [frames(example, (VIEW_S,), view)[0] for view in VIEWS]
    picture = np.vstack([np.hstack(upper), np.hstack(lower)])
    write_png(arguments.output, picture)
    print(f"{arguments.output}: {picture.shape[1]}x{picture.shape[0]}, {arguments.output.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
