"""Build the constructed Gaussian head and its scene in the published formats: FOLDER/data and FOLDER/model.

    python scripts/make_gaussian_head.py head3d
    talkinghead generate --model talkinggaussian --scene head3d/data --checkpoint head3d/model \
        --audio-features phones --audio hello.wav -o out.mp4

Needs the extra `models`. Nothing is downloaded or trained: see talkinghead/families/talkinggaussian/procedural.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where data/ and model/ go")
    parser.add_argument("--size", type=int, default=512, help="side of the pictures in pixels (default 512)")
    parser.add_argument("--detail", type=float, default=1.0, help="1 is about 80 000 Gaussians; grows with the square")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    try:
        from talkinghead.families.talkinggaussian.procedural.build import ProceduralConfig, write_example
    except ImportError as error:
        print(f'error: {error.name} is not installed. Try: pip install ".[models]"', file=sys.stderr)
        return 1
    from talkinghead.terminal.program import program, quoted

    config = ProceduralConfig(size=arguments.size, detail=arguments.detail, seed=arguments.seed)
    facts = write_example(arguments.folder, config)
    print(f"{arguments.folder}: {facts.gaussians} Gaussians, {facts.num_frames} frames of {config.size}x{config.size}")
    words = ["--scene", str(arguments.folder / "data"), "--checkpoint", str(arguments.folder / "model")]
    print(
        f"Next: {program()} generate --model talkinggaussian {quoted(words)} "
        "--audio-features phones --audio hello.wav -o out.mp4"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
