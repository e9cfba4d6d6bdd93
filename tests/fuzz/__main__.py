"""Damaged files for every reader.

    python -m tests.fuzz                     300 to 400 files for each reader
    python -m tests.fuzz --minutes 30        as many as fit
    python -m tests.fuzz --only video sound  some readers
    python -m tests.fuzz replay              the seeds, and every file that once did harm
    python -m tests.fuzz seeds               make the seeds anew

A file does harm where its reader takes more than 10 s or more than twice its size and 500 MB of memory, ends the
process, raises what is no error of talkinghead, or touches anything outside. Such files are written to `results/fuzz`;
once mended, they belong into `tests/fuzz/findings/READER/`, which every run of the tests replays.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT
from tests.fuzz.limits import MB, SECONDS, Outcome, Watch, read_limited, watching
from tests.fuzz.mutate import mutated
from tests.fuzz.readers import FOLDER, READERS, Reader

USED = (
    "av", "cv2", "onnx", "PIL.AvifImagePlugin", "PIL.Image", "PIL.TiffImagePlugin", "PIL.WebPImagePlugin",
    "scipy.sparse", "talkinghead.cli.reference", "talkinghead.measure.seams", "talkinghead.service.models",
    "talkinghead.service.request",
)  # fmt: skip
"""Modules that readers import when they are called."""
KEPT_OF_A_KIND = 3
"""Files that are kept of one finding of one reader."""


@dataclass
class Tally:
    """What the files of one reader did."""

    reader: Reader
    counts: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    largest_bytes: int = 0
    findings: dict[str, list[str]] = field(default_factory=dict)
    """What was found: the files that show it."""

    def add(self, outcome: Outcome) -> None:
        self.counts[outcome.kind] += 1
        self.slowest_s = max(self.slowest_s, outcome.seconds)
        self.largest_bytes = max(self.largest_bytes, outcome.grown_bytes)

    @property
    def tried(self) -> int:
        return self.counts.total()


def main(given: list[str] | None = None) -> int:
    """Returns 0 where no file did harm."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("task", nargs="?", choices=("run", "replay", "seeds"), default="run")
    parser.add_argument("--minutes", type=float, default=0.0, help="time for all readers together (default: the least)")
    parser.add_argument("--only", nargs="+", choices=[reader.name for reader in READERS], metavar="READER")
    parser.add_argument("--seed", type=int, default=None, help="of the damage (default: another in every run)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="longest time for one file (default: %(default)g)"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("results/fuzz"), help="folder for what was found")
    asked = parser.parse_args(given)
    if asked.task == "seeds":
        from tests.fuzz.seeds import make_seeds

        make_seeds(FOLDER / "seeds")
        return 0
    readers = [reader for reader in READERS if not asked.only or reader.name in asked.only]
    _import_what_they_use()
    with watching() as watch, tempfile.TemporaryDirectory(prefix="talkinghead-fuzz-") as work:
        if asked.task == "replay":
            return _replay(readers, watch, Path(work), asked.seconds)
        seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(2**32)
        tallies = _run(readers, watch, Path(work), asked, seed)
    _report(tallies, asked.output, seed)
    return 1 if any(tally.findings for tally in tallies) else 0


def _import_what_they_use() -> None:
    """Once, before processes are forked. Nothing is computed, so that no thread is started."""
    import torch

    sys.dont_write_bytecode = True
    for name in USED:
        importlib.import_module(name)
    for package in ("audio", "engine", "face", "families", "media", "weights"):
        for path in sorted((ROOT / "talkinghead" / package).rglob("*.py")):
            if "cuda" not in path.name:
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    torch.set_num_threads(1)


def _replay(readers: list[Reader], watch: Watch, work: Path, seconds: float) -> int:
    """Seeds must be read or refused, as the findings must."""
    wrong = 0
    for reader in readers:
        for path in (*reader.seeds, *reader.findings):
            outcome = _tried(reader, path.read_bytes(), path.suffix, watch, work, seconds)
            if outcome.is_finding:
                wrong += 1
                print(f"{reader.name} {path.name}: {outcome.kind} {outcome.detail}")
    return 1 if wrong else 0


def _run(readers: list[Reader], watch: Watch, work: Path, asked: argparse.Namespace, seed: int) -> list[Tally]:
    until = time.monotonic() + asked.minutes * 60
    tallies = [Tally(reader) for reader in readers]
    streams = [_damaged(tally.reader, watch, seed) for tally in tallies]
    for round_ in itertools.count():
        for tally, stream in zip(tallies, streams, strict=True):
            for data, suffix in itertools.islice(stream, 20):
                if tally.tried >= tally.reader.least and time.monotonic() > until:
                    break
                outcome = _tried(tally.reader, data, suffix, watch, work, asked.seconds)
                tally.add(outcome)
                if outcome.is_finding:
                    _keep(tally, outcome, data, suffix, asked.output)
        if all(tally.tried >= tally.reader.least for tally in tallies) and time.monotonic() > until:
            return tallies
        if round_ % 5 == 0:
            print(f"{sum(tally.tried for tally in tallies)} files", file=sys.stderr, flush=True)
    raise AssertionError


def _damaged(reader: Reader, watch: Watch, seed: int) -> Iterator[tuple[bytes, str]]:
    """Damaged files of a reader without end, each with its suffix."""
    rng = random.Random(f"{seed} {reader.name}")
    files = [(path.read_bytes(), path.suffix) for path in (*reader.seeds, *reader.findings)]
    if not files:
        raise SystemExit(f"{reader.name} has no seeds")
    contents = [data for data, _ in files]
    while True:
        data, suffix = rng.choice(files)
        yield mutated(data, contents, rng, watch.words), suffix


def _tried(reader: Reader, data: bytes, suffix: str, watch: Watch, work: Path, seconds: float) -> Outcome:
    with tempfile.TemporaryDirectory(dir=work) as folder:
        path = Path(folder) / f"input{suffix}"
        path.write_bytes(data)
        return read_limited(reader.read, path, watch, seconds=seconds)


def _keep(tally: Tally, outcome: Outcome, data: bytes, suffix: str, output: Path) -> None:
    what = f"{outcome.kind}: {outcome.detail.partition(': ')[0]}" if outcome.kind == "traceback" else outcome.kind
    files = tally.findings.setdefault(what, [])
    if len(files) < KEPT_OF_A_KIND:
        name = f"{tally.reader.name}-{outcome.kind}-{tally.tried}{suffix}"
        output.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(data)
        files.append(name)
        print(f"{name}: {outcome.detail}", flush=True)


def _report(tallies: list[Tally], output: Path, seed: int) -> None:
    head = f"{'reader':18}{'files':>7}{'read':>7}{'refused':>9}{'found':>7}{'slowest s':>11}{'most MB':>9}"
    print(head)
    for tally in tallies:
        found = tally.tried - tally.counts["read"] - tally.counts["refused"]
        print(
            f"{tally.reader.name:18}{tally.tried:7}{tally.counts['read']:7}{tally.counts['refused']:9}{found:7}"
            f"{tally.slowest_s:11.2f}{tally.largest_bytes / MB:9.0f}"
        )
    rows = [
        {
            "reader": tally.reader.name, "files": tally.tried, "counts": dict(tally.counts),
            "slowest_s": tally.slowest_s, "largest_bytes": tally.largest_bytes, "findings": tally.findings,
        }
        for tally in tallies
    ]  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.json").write_text(json.dumps({"seed": seed, "readers": rows}, indent=1) + "\n")
    print(f"seed {seed}; {output / 'report.json'}")


if __name__ == "__main__":
    raise SystemExit(main())
