#!/usr/bin/env python3
"""Make a drawn template folder and networks with constructed weights, to try SyncTalk_2D without any download.

python scripts/make_synctalk2d_template.py OUT
talkinghead generate --model synctalk2d --checkpoint OUT/model --template OUT/template --audio hello.wav -o out.mp4
"""

from __future__ import annotations

import argparse
from pathlib import Path

from talkinghead.families.synctalk2d.procedural import write_models, write_template


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--frames", type=int, default=100, help="template frames (default: %(default)s)")
    parser.add_argument("--width", type=int, default=960, help="pixels (default: %(default)s)")
    parser.add_argument("--height", type=int, default=540, help="pixels (default: %(default)s)")
    parser.add_argument("--size", choices=("328", "160"), default="328", help="network (default: %(default)s)")
    args = parser.parse_args()
    template = write_template(args.out / "template", num_frames=args.frames, width=args.width, height=args.height)
    checkpoint = write_models(args.out / "model", args.size, overwrite=True)
    print(f"template folder: {template}")
    print(f"generator:       {checkpoint}")
    print(f"AVE encoder:     {checkpoint.parent / 'audio_visual_encoder.safetensors'}")


if __name__ == "__main__":
    main()
