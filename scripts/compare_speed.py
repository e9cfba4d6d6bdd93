"""How quick two checkouts are, side by side: the same command lines in turns, each in a fresh process.

    python scripts/record_outputs.py inputs in                        # constructed inputs, once
    python scripts/compare_speed.py BEFORE AFTER --inputs in --rounds 5

BEFORE and AFTER are folders of checkouts. Both run with this Python and its packages. Every round runs each command
line with the one and then with the other, so that a slow moment of the machine meets both. What is shown is the median
of the rounds, and the ratio of the medians: above 1 the second is slower.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "import": ("-c", "import talkinghead"),
    "help": ("-m", "talkinghead", "--help"),
    "generate help": ("-m", "talkinghead", "generate", "--help"),
    "viseme, a picture": ("generate", "--face", "in/me.png"),
    "viseme, a video": ("generate", "--face", "in/me.mp4"),
    "wav2lip": ("generate", "--model", "wav2lip", "--checkpoint", "in/wav2lip_gan.pth", "--face", "in/me.mp4"),
    "artalk, a mesh": ("generate", "--model", "artalk", "--driver", "viseme"),
    "talkinggaussian": (
        *("generate", "--model", "talkinggaussian", "--scene", "in/head3d/data", "--checkpoint", "in/head3d/model"),
        *("--audio-features", "phones"),
    ),
    "synctalk2d": (
        *("generate", "--model", "synctalk2d", "--checkpoint", "in/unet160_ave.pth", "--mode", "ave"),
        *("--template", "in/may160/template", "--ave-encoder", "in/ave_encoder.pth"),
    ),
}
"""Name to arguments of Python, or of `talkinghead generate`, which get the sound and the output."""


def seconds(package: Path, arguments: tuple[str, ...], work: Path) -> float:
    """Run a command line with a checkout, and measure it from start to end.

    Raises:
        RuntimeError: it failed.
    """
    given = list(arguments)
    if given[0] == "generate":
        given = ["-m", "talkinghead", *given, "--audio", "in/hello.wav", "-o", "out.mp4", "-q"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(package),
        "TALKINGHEAD_CACHE": str(work / "cache" / package.name),
        "TALKINGHEAD_HOME": str(work / "home"),
    }
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *given], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{package}: {' '.join(given)} failed:\n{done.stderr[-2000:]}")
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--inputs", type=Path, required=True, help="folder that `record_outputs.py inputs` made")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="command lines whose name begins so")
    parser.add_argument("--json", type=Path, help="write all times here")
    given = parser.parse_args()
    packages = (given.before.resolve(), given.after.resolve())
    rows: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="compare-speed-") as folder:
        work = Path(folder)
        (work / "in").symlink_to(given.inputs.resolve())
        for name, arguments in COMMANDS.items():
            if given.only and not name.startswith(tuple(given.only)):
                continue
            times: dict[str, list[float]] = {"before": [], "after": []}
            for number in range(given.rounds + 1):
                for side, package in zip(times, packages, strict=True):
                    took = seconds(package, arguments, work)
                    if number:  # the first round fills caches
                        times[side].append(took)
            rows[name] = times
            before, after = (statistics.median(values) for values in times.values())
            print(f"{name:20} {before:7.2f} s {after:7.2f} s   {after / before:5.2f}", flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
