"""Two checkouts of the package side by side: the same command lines in turns, each in a fresh process.

    git worktree add ../before COMMIT
    python scripts/compare_speed.py ../before . --rounds 5
    python scripts/compare_speed.py ../before . --only help import --rounds 20
    python scripts/compare_speed.py ../before . --inputs /tmp/inputs --json speed.json

Rounds are A B, B A, A B, ...: whatever else the machine does hits both. Shown are the medians of both and, since a
machine is not equally fast all the time, the median of the ratios within a round, with its lowest and highest. Before
the first round each command runs once on either side, which fills caches (compiled kernels and networks) and is not
counted; every side has a cache and a home of its own. Processor time counts the children of a process too.

Renders use the constructed inputs of record_outputs.py, made once (by AFTER, or taken from --inputs). Where a command
line changed its name, the table takes several forms: the first one that a side accepts is used.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SPEECH = "--audio in/hello.wav"
MAIN = ("-m", "talkinghead")


@dataclass(frozen=True)
class Case:
    """What is run; all of it in a folder where `in` is the folder of inputs."""

    name: str
    arguments: tuple[tuple[str, ...], ...]
    """Arguments of Python, in one form or several."""
    inputs: bool = False
    """It needs the constructed inputs."""


def render(name: str, *lines: str) -> Case:
    return Case(name, tuple((*MAIN, "generate", "-q", *line.split(), "-o", "out.mp4") for line in lines), inputs=True)


CASES = (
    Case("help", ((*MAIN, "--help"),)),
    Case("generate-help", ((*MAIN, "generate", "--help"),)),
    Case("import", (("-c", "import talkinghead"),)),
    Case("load-names", (("-c", "import talkinghead as th; th.load, th.generate, th.models()"),)),
    render("viseme-picture", f"--face in/me.png {SPEECH}"),
    render("viseme-video", f"--face in/me.mp4 {SPEECH}"),
    render("wav2lip", f"--model wav2lip --checkpoint in/wav2lip_gan.pth --face in/me.mp4 {SPEECH}"),
    render(
        "synctalk2d",
        "--model synctalk2d --checkpoint in/unet160_ave.pth --template in/may160/template --mode ave "
        f"--ave-encoder in/ave_encoder.pth {SPEECH}",
    ),
    render(
        "talkinggaussian",
        f"--model talkinggaussian --scene in/head3d/data --checkpoint in/head3d/model --audio-features phones {SPEECH}",
    ),
    render("artalk-viseme", f"--model artalk --driver viseme --image-size 256 {SPEECH}"),
)


@dataclass(frozen=True)
class Run:
    """One run of one side."""

    wall_s: float
    processor_s: float


@dataclass(frozen=True)
class Comparison:
    """A case after all rounds; runs of both sides stand in the order of the rounds."""

    name: str
    before: tuple[Run, ...]
    after: tuple[Run, ...]

    def ratios(self, quantity: str) -> list[float]:
        """After over before, of each round."""
        return [
            getattr(one, quantity) / getattr(other, quantity)
            for one, other in zip(self.after, self.before, strict=True)
            if getattr(other, quantity) > 0
        ]

    def row(self) -> tuple[str, ...]:
        cells = [self.name]
        for quantity in ("wall_s", "processor_s"):
            cells += [f"{statistics.median(getattr(run, quantity) for run in runs):.3f}" for runs in self.sides]
            found = self.ratios(quantity)
            cells.append(f"{statistics.median(found):.3f} ({min(found):.2f} to {max(found):.2f})" if found else "-")
        return tuple(cells)

    @property
    def sides(self) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
        return self.before, self.after


class Side:
    """One checkout, with a working folder, a cache and a home of its own."""

    def __init__(self, package: Path, work: Path, inputs: Path | None) -> None:
        if not (package / "talkinghead" / "__init__.py").exists():
            raise SystemExit(f"{package} is no checkout of talkinghead")
        self.package, self.work = package.resolve(), work
        work.mkdir(parents=True)
        if inputs is not None:
            (work / "in").symlink_to(inputs.resolve())
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.package),
            "TALKINGHEAD_HOME": str(work / "home"),
            "TALKINGHEAD_CACHE": str(work / "cache"),
            "NUMBA_CACHE_DIR": str(work / "numba"),
            "TALKINGHEAD_OFFLINE": "1",
        }
        self._forms: dict[str, tuple[str, ...]] = {}

    def accept(self, case: Case, limit_s: float) -> None:
        """Find the form of a case that works here; what it fills is not measured.

        Raises:
            SystemExit: none works.
        """
        for form in case.arguments:
            done = self._start(form, limit_s)
            if done.returncode == 0:
                self._forms[case.name] = form
                return
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise SystemExit(f"{case.name} does not run in {self.package}: {said[-1] if said else done.returncode}")

    def run(self, case: Case, limit_s: float) -> Run:
        """Run a case once."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        done = self._start(self._forms[case.name], limit_s)
        wall_s = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            raise SystemExit(f"{case.name} failed in {self.package}: {done.stderr.decode(errors='replace')[-300:]}")
        return Run(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    def _start(self, arguments: Sequence[str], limit_s: float) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, *arguments], cwd=self.work, env=self.environment, capture_output=True, timeout=limit_s,
            check=False,
        )  # fmt: skip


def compare(case: Case, before: Side, after: Side, rounds: int, limit_s: float) -> Comparison:
    """Run a case on both sides in turns: A B, B A, A B, ..."""
    for side in (before, after):
        side.accept(case, limit_s)
    runs: Mapping[Side, list[Run]] = {before: [], after: []}
    for number in range(rounds):
        for side in (before, after) if number % 2 == 0 else (after, before):
            runs[side].append(side.run(case, limit_s))
    return Comparison(case.name, tuple(runs[before]), tuple(runs[after]))


def chosen(names: Sequence[str] | None) -> Iterator[Case]:
    """Cases by name."""
    known = [case.name for case in CASES]
    for name in names or ():
        if name not in known:
            raise SystemExit(f"there is no case {name!r}; known are {', '.join(known)}")
    return (case for case in CASES if not names or case.name in names)


def as_table(rows: Sequence[Comparison]) -> str:
    """Rows in Markdown; ratios below 1 mean that AFTER is faster."""
    header = (
        "case", "wall s before", "after", "ratio (lowest to highest)", "processor s before", "after",
        "ratio (lowest to highest)",
    )  # fmt: skip
    lines = [header, ("---",) * len(header), *(row.row() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def make_inputs(folder: Path) -> None:
    script = ROOT / "scripts" / "record_outputs.py"
    subprocess.run([sys.executable, str(script), "inputs", str(folder), "--package", str(ROOT)], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="checkout to compare with")
    parser.add_argument("after", type=Path, help="checkout that should be no slower")
    parser.add_argument(
        "--rounds", type=int, default=5, help="runs of each command on each side (default: %(default)s)"
    )
    parser.add_argument("--only", nargs="+", metavar="CASE", help=f"some of: {', '.join(case.name for case in CASES)}")
    parser.add_argument("--inputs", type=Path, help="folder that `record_outputs.py inputs` made")
    parser.add_argument("--timeout", type=float, default=300, help="seconds of one run (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write every run there too")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    cases = list(chosen(given.only))
    with tempfile.TemporaryDirectory(prefix="compare-speed-") as folder:
        inputs = given.inputs
        if inputs is None and any(case.inputs for case in cases):
            inputs = Path(folder) / "inputs"
            make_inputs(inputs)
        sides = [Side(path, Path(folder) / name, inputs) for name, path in (("a", given.before), ("b", given.after))]
        done = []
        for case in cases:
            done.append(compare(case, sides[0], sides[1], given.rounds, given.timeout))
            print(" | ".join(done[-1].row()), file=sys.stderr, flush=True)
        for side in sides:
            shutil.rmtree(side.work, ignore_errors=True)
    print(as_table(done))
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in done], indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
