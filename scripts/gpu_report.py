"""What a CUDA card does with this package: its tests, its numbers against the processor's, and its speed.

    make gpu                                        # with everything installed; docs/performance.md shows the tables
    python scripts/gpu_report.py -o results/gpu     # the same, into a folder
    python scripts/gpu_report.py --device cpu       # rehearse without a card: every part runs, nothing is proven

Writes gpu.json (everything) and gpu.md (tables), in at most 8 minutes. Every part runs in a process of its own with a
time limit; one that fails is named, and the others go on. The parts:

    machine    the card, its driver, the versions
    inputs     the constructed inputs of record_outputs.py (--inputs FOLDER takes a folder that was made before)
    tests      the tests marked `gpu`, where a missing card is a failure
    networks   every reference network on the card against float32 on the processor
    frames     frames of whole jobs on the card against those of the processor
    bench-X    `talkinghead bench` of each model, with short speech and one warm run

Without a card the parts that need one are skipped and say so; the exit status is then 2. It is 1 where a part failed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUDGET_S = 480.0
"""Of all parts together."""
LIMITS_DB = {"float32": 60.0, "fast": 45.0}
"""PSNR that a network must keep against float32 on the processor. PyTorch multiplies float32 in convolutions on cards
with ten bits (TF32) by default, so that their float32 is not that of a processor; 45 dB is the package's own gate."""
FRAMES_DB = {"parity": 50.0, "fast": 40.0}
"""The same for whole frames of 8 bits; a face of a network is then resized and blended by other code."""
NO_CARD = "no CUDA device"


@dataclass(frozen=True)
class Part:
    """One part of the report."""

    name: str
    limit_s: float
    command: tuple[str, ...]
    """What runs; it writes its results as JSON into the file after `--result`."""
    needs_card: bool = True
    needs: tuple[str, ...] = ()
    """Parts without which this one cannot run."""


@dataclass(frozen=True)
class Outcome:
    """What became of a part."""

    name: str
    status: str
    """"passed", "failed", "timed out" or "skipped"."""
    seconds: float = 0.0
    why: str = ""
    """Of what did not pass; one line."""
    data: Mapping[str, Any] = field(default_factory=dict)


# Running the parts ----------------------------------------------------------------------------------------------------


def parts(models: Sequence[str], inputs: Path, device: str, *, make_inputs: bool) -> tuple[Part, ...]:
    """All parts, in order: what matters most comes first, since the time is limited."""
    this = (sys.executable, str(Path(__file__).resolve()), "_part")
    shared = ("--inputs", str(inputs), "--device", device)
    card = device != "cpu"
    found = [Part("machine", 40, (*this, "machine", *shared), needs_card=False)]
    if make_inputs:
        found.append(Part("inputs", 120, (*this, "inputs", *shared), needs_card=False))
    needs = ("inputs",) if make_inputs else ()
    found += [
        Part("tests", 120, (*this, "tests", *shared), needs_card=False),
        Part("networks", 90, (*this, "networks", *shared), card, needs),
        Part("frames", 80, (*this, "frames", *shared), card, needs),
    ]
    found += [Part(f"bench-{model}", 80, (*this, "bench", *shared, "--model", model), card) for model in models]
    return tuple(found)


def run_parts(
    todo: Sequence[Part], work: Path, *, has_card: Callable[[Sequence[Outcome]], bool], budget_s: float = BUDGET_S
) -> Iterator[Outcome]:
    """Run parts one after the other.

    Args:
        has_card: tells from what ran before whether there is a card.
    Yields:
        An outcome for each, as soon as it is known.
    """
    ends = time.monotonic() + budget_s
    done: list[Outcome] = []
    for part in todo:
        failed = [name for name in part.needs if any(one.name == name and one.status != "passed" for one in done)]
        left_s = ends - time.monotonic()
        if part.needs_card and not has_card(done):
            outcome = Outcome(part.name, "skipped", why=NO_CARD)
        elif failed:
            outcome = Outcome(part.name, "skipped", why=f"it needs the part {failed[0]}, which did not pass")
        elif left_s < 1:
            outcome = Outcome(part.name, "skipped", why=f"the {budget_s:.0f} s of all parts were over")
        else:
            outcome = run_part(part, work, min(part.limit_s, left_s))
        done.append(outcome)
        yield outcome


def run_part(part: Part, work: Path, limit_s: float) -> Outcome:
    """Run one part in a process of its own, which is ended with all that it started when the time is over."""
    result = work / f"{part.name}.json"
    log = work / f"{part.name}.log"
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*part.command, "--result", str(result)],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return Outcome(part.name, "timed out", limit_s, f"it took more than {limit_s:.0f} s")
    seconds = time.monotonic() - started
    try:
        data = json.loads(result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return Outcome(part.name, "failed", seconds, f"{ended(status)}: {lines[-1] if lines else 'it said nothing'}")
    why = str(data.pop("why", "")) or (ended(status) if status else "")
    return Outcome(part.name, "failed" if status else "passed", seconds, why, data)


def ended(status: int) -> str:
    return f"ended by signal {-status}" if status < 0 else f"exit status {status}"


def found_card(done: Sequence[Outcome]) -> bool:
    return any(one.name == "machine" and one.data.get("card") for one in done)


# The parts ------------------------------------------------------------------------------------------------------------


def part_machine(_: argparse.Namespace) -> dict[str, Any]:
    import platform

    from talkinghead import __version__
    from talkinghead.service.doctor import examine_machine

    facts = examine_machine()
    data: dict[str, Any] = {
        "talkinghead": __version__,
        "python": platform.python_version(),
        "processor": facts.processor,
        "cores": facts.cores,
        "card": None,
    }
    try:
        import torch
    except ImportError:
        return {**data, "torch": None}
    data |= {"torch": torch.__version__, "cuda": torch.version.cuda}
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        data["card"] = card.name
        data["memory_bytes"] = card.total_memory
        data["capability"] = f"{card.major}.{card.minor}"
        data["driver"] = driver()
    return data


def driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0].strip() if done.stdout else None


def part_inputs(given: argparse.Namespace) -> dict[str, Any]:
    script = ROOT / "scripts" / "record_outputs.py"
    subprocess.run([sys.executable, str(script), "inputs", str(given.inputs), "--package", str(ROOT)], check=True)
    return {}


def part_tests(given: argparse.Namespace) -> dict[str, Any]:
    """The tests marked `gpu`."""
    environment = dict(os.environ)
    if given.device != "cpu" and card_is_here():
        environment["TALKINGHEAD_REQUIRE_GPU"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"]
        done = subprocess.run([*command, f"--junit-xml={report}"], cwd=ROOT, env=environment, check=False)
        counts = read_junit(report.read_text(encoding="utf-8"))
    if done.returncode != 0:
        counts["why"] = "; ".join(counts["failed"][:3]) or f"pytest: {ended(done.returncode)}"
    return counts


def read_junit(text: str) -> dict[str, Any]:
    """Numbers of tests, and the names of those that failed, from pytest's XML."""
    failed, skipped, total = [], [], 0
    for case in ElementTree.fromstring(text).iter("testcase"):
        total += 1
        name = f"{case.get('classname', '').replace('.', '/')}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif (mark := case.find("skipped")) is not None:
            skipped.append(mark.get("message", ""))
    passed = total - len(failed) - len(skipped)
    return {"passed": passed, "failed": failed, "skipped": len(skipped), "skipped_why": sorted(set(skipped))}


def card_is_here() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def part_networks(given: argparse.Namespace) -> dict[str, Any]:
    """Every reference network on the device, in float32 and fast, against float32 on the processor."""
    from safetensors.numpy import load_file

    from talkinghead.engine.networks import ReferenceOptions
    from talkinghead.reference.networks import run_network

    rows = []
    for name, files in reference_cases(given.inputs):
        inputs = read_arrays(files["--inputs"])
        weights = load_file(files["--weights"]) if "--weights" in files else {}
        config = json.loads(files["--config"].read_text(encoding="utf-8")) if "--config" in files else None

        def run(options: ReferenceOptions, case: tuple[Any, ...] = (name, weights, inputs, config)) -> dict[str, Any]:
            return run_network(case[0], case[1], case[2], case[3], options)

        rows += networks_rows(name, run, given.device)
    wrong = [f"{row['name']} in {row['precision']}" for row in rows if not row["ok"]]
    return {"rows": rows, **({"why": f"not within the limit: {', '.join(wrong)}"} if wrong else {})}


def networks_rows(name: str, run: Callable[[Any], dict[str, Any]], device: str) -> list[dict[str, Any]]:
    """A row for each precision of one network."""
    from talkinghead.engine.networks import ReferenceOptions

    try:
        expected = run(ReferenceOptions())
    except Exception as error:  # noqa: BLE001 (one network that fails is a row of the table, the others go on)
        note = f"on the processor: {type(error).__name__}: {error}".splitlines()[0]
        return [{"name": name, "precision": "float32", "limit_db": LIMITS_DB["float32"], "ok": False, "note": note}]
    return [compared(name, precision, limit_db, expected, run, device) for precision, limit_db in LIMITS_DB.items()]


def compared(
    name: str, precision: str, limit_db: float, expected: Mapping[str, Any], run: Callable[[Any], Any], device: str
) -> dict[str, Any]:
    """A row: a network on the device against what is expected."""
    from talkinghead.engine.networks import ReferenceOptions
    from talkinghead.errors import TalkingHeadError

    row: dict[str, Any] = {"name": name, "precision": precision, "limit_db": limit_db}
    options = ReferenceOptions(device=device, precision=precision)
    before = allocations()
    try:
        found = run(options)
    except TalkingHeadError as error:
        return {**row, "ok": True, "note": f"not offered: {error.what}"}
    except Exception as error:  # noqa: BLE001 (one network that fails is a row of the table, the others go on)
        return {**row, "ok": False, "note": f"{type(error).__name__}: {error}".splitlines()[0]}
    distances = [distance(found[key], value) for key, value in expected.items()]
    psnr_db, largest = min(psnr_db for psnr_db, _ in distances), max(difference for _, difference in distances)
    row |= judged(psnr_db, limit_db)
    if math.isfinite(largest):
        row["largest"] = largest
    if device != "cpu" and allocations() == before:
        row["note"] = "runs on the processor"
    return row


def judged(psnr_db: float, limit_db: float) -> dict[str, Any]:
    """Cells of a row: no PSNR where both are equal, or cannot be compared."""
    if math.isfinite(psnr_db):
        return {"ok": psnr_db >= limit_db, "psnr_db": psnr_db, "note": ""}
    return {"ok": psnr_db > 0, "note": "equal" if psnr_db > 0 else "of another shape, or not finite"}


def allocations() -> int:
    """How often memory of the card was taken so far."""
    import torch

    return int(torch.cuda.memory_stats().get("allocation.all.allocated", 0)) if torch.cuda.is_available() else 0


def distance(found: Any, expected: Any) -> tuple[float, float]:
    """PSNR in dB over the range of what is expected, and the largest difference."""
    import numpy as np

    one, other = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if one.shape != other.shape:
        return -math.inf, math.inf
    if np.array_equal(one, other, equal_nan=True):
        return math.inf, 0.0
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return -math.inf, math.inf
    difference = np.abs(one - other)
    spread = float(np.ptp(other)) or 1.0
    return 10 * math.log10(spread**2 / float(np.mean(difference**2))), float(difference.max())


def reference_cases(inputs: Path) -> Iterator[tuple[str, dict[str, Path]]]:
    """Name and files of each network in the table of record_outputs.py."""
    import record_outputs

    for case in record_outputs.CASES:
        for line in case.lines:
            words = shlex.split(line if isinstance(line, str) else line[0])
            if words[:2] == ["reference", "run"] and "--backend" not in words:
                options = dict(zip(words[3::2], words[4::2], strict=True))
                yield (
                    words[2],
                    {
                        name: inputs / path.removeprefix("in/")
                        for name, path in options.items()
                        if path.startswith("in/")
                    },
                )


def read_arrays(path: Path) -> dict[str, Any]:
    import numpy as np

    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def jobs(inputs: Path) -> dict[str, tuple[dict[str, Any], Path]]:
    """Model to keywords of `load` and the source to prepare; ARTalk's networks are among those of `networks`."""
    ave = {"checkpoint": inputs / "unet160_ave.pth", "mode": "ave", "ave_encoder": inputs / "ave_encoder.pth"}
    head3d = {"checkpoint": inputs / "head3d" / "model", "audio_features": "phones"}
    return {
        "wav2lip": ({"checkpoint": inputs / "wav2lip_gan.pth"}, inputs / "me.mp4"),
        "synctalk2d": (ave, inputs / "may160" / "template"),
        "talkinggaussian": (head3d, inputs / "head3d" / "data"),
    }


def part_frames(given: argparse.Namespace) -> dict[str, Any]:
    """Frames of short jobs on the device against those of the processor in float32."""
    import numpy as np

    import talkinghead as th

    speech = th.listen(given.inputs / "hello.wav", duration_s=0.4)

    def frames(model: str, device: str, precision: str) -> Any:
        options, source = jobs(given.inputs)[model]
        head = th.load(model, device=device, precision=precision, **options)
        return np.stack(list(head.frames(head.prepare(source), speech)))

    rows = []
    for model in jobs(given.inputs):
        expected = frames(model, "cpu", "parity")
        for precision, limit_db in FRAMES_DB.items():
            row = {"name": f"{model}, {len(expected)} frames", "precision": precision, "limit_db": limit_db}
            try:
                mean = float(np.mean((frames(model, given.device, precision).astype(np.float64) - expected) ** 2))
            except Exception as error:  # noqa: BLE001 (one model that fails is a row of the table, the others go on)
                rows.append({**row, "ok": False, "note": f"{type(error).__name__}: {error}"})
                continue
            rows.append({**row, **judged(math.inf if mean == 0 else 10 * math.log10(255**2 / mean), limit_db)})
    wrong = [f"{row['name']} in {row['precision']}" for row in rows if not row["ok"]]
    return {"rows": rows, **({"why": f"not within the limit: {', '.join(wrong)}"} if wrong else {})}


def part_bench(given: argparse.Namespace) -> dict[str, Any]:
    """`talkinghead bench` of a model."""
    from talkinghead.measure.cases import BenchSettings
    from talkinghead.service.bench import bench_model

    load = {} if given.model == "viseme" else {"device": given.device}
    return bench_model(given.model, BenchSettings(seconds=2.0, repeats=1, load=load), progress=print).to_dict()


PARTS: Mapping[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "machine": part_machine,
    "inputs": part_inputs,
    "tests": part_tests,
    "networks": part_networks,
    "frames": part_frames,
    "bench": part_bench,
}


def run_child(given: argparse.Namespace) -> int:
    """A part, in its own process: results go into a file; the exit status is 1 where `why` says what is wrong."""
    data = PARTS[given.part](given)
    given.result.write_text(json.dumps(data, default=str, allow_nan=False), encoding="utf-8")
    return 1 if data.get("why") else 0


# The report -----------------------------------------------------------------------------------------------------------


def as_markdown(report: Mapping[str, Any]) -> str:
    """The tables of a report."""
    outcomes = {one["name"]: one for one in report["parts"]}
    machine = outcomes.get("machine", {}).get("data", {})
    pieces = [headline(report["date"], machine)]
    rows = [
        (one["name"], one["status"] + (f": {one['why']}" if one["why"] else ""), f"{one['seconds']:.0f}")
        for one in report["parts"]
    ]
    pieces.append(table(("part", "result", "seconds"), rows))
    tests = outcomes.get("tests", {}).get("data", {})
    if tests:
        counts = f"{tests['passed']} passed, {len(tests['failed'])} failed, {tests['skipped']} skipped"
        reasons = f" ({'; '.join(tests['skipped_why'])})" if tests["skipped_why"] else ""
        pieces.append(f"Tests marked `gpu`: {counts}{reasons}.")
    speed = [row for name, one in outcomes.items() if name.startswith("bench-") for row in speed_rows(one["data"])]
    if speed:
        columns = ("model", "case", "ran on", "numbers", "frames/s", "times real time", "first run s", "limited by")
        pieces += ["**Speed**, from files to a finished file, encoding included:", table(columns, speed)]
    parity = [row for name in ("networks", "frames") for row in outcomes.get(name, {}).get("data", {}).get("rows", ())]
    if parity:
        heads = ("what", "numbers", "PSNR dB", "at least", "largest difference", "")
        pieces += ["**Parity** with float32 on the processor:", table(heads, [parity_row(row) for row in parity])]
    for name, one in outcomes.items():
        for each in one["data"].get("tables", ()) if name.startswith("bench-") else ():
            pieces += [f"**{each['title']}** ({name.removeprefix('bench-')})", table(each["columns"], each["rows"])]
            if each["note"]:
                pieces.append(each["note"])
    return "\n\n".join(pieces) + "\n"


def headline(date: str, machine: Mapping[str, Any]) -> str:
    """One sentence about what was measured on."""
    card = machine.get("card") or NO_CARD
    if machine.get("memory_bytes"):
        card += f" with {machine['memory_bytes'] / 2**30:.0f} GiB, driver {machine.get('driver') or 'unknown'}"
    rest = [
        f"PyTorch {machine.get('torch') or 'not installed'}, CUDA {machine.get('cuda') or 'none'}",
        f"{machine.get('processor') or 'a processor of unknown kind'}, {machine.get('cores', '?')} cores",
        f"talkinghead {machine.get('talkinghead', '?')}",
    ]
    return f"{date}, {card}; {'; '.join(rest)}."


def speed_rows(result: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """A row for each case that `talkinghead bench` measured."""
    return [
        (
            result["model"], f"{run['case']} ({run['description']})", run["warm"]["device"], run["warm"]["precision"],
            f"{run['warm']['frames_per_second']:.1f}", f"{run['warm']['realtime_factor']:.2f}",
            f"{run['cold']['wall_s']:.1f}", run["warm"]["limited_by"],
        )
        for run in result.get("runs", ())
    ]  # fmt: skip


def parity_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    shown = f"{row['psnr_db']:.1f}" if "psnr_db" in row else ""
    largest = f"{row['largest']:.2g}" if "largest" in row else ""
    note = row.get("note", "") if row["ok"] else f"**not within the limit** {row.get('note', '')}".strip()
    return row["name"], row["precision"], shown, f"{row['limit_db']:.0f}", largest, note


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown; cells lose what would end them."""
    lines = [list(header), ["---"] * len(header), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("results"), help="folder for gpu.json and gpu.md")
    parser.add_argument("--inputs", type=Path, help="folder that `record_outputs.py inputs` made")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a rehearsal")
    parser.add_argument("--only", nargs="+", metavar="PART", help="these parts, and the machine")
    given = parser.parse_args()
    from talkinghead.registry import FAMILIES

    with tempfile.TemporaryDirectory(prefix="gpu-report-") as folder:
        work = Path(folder)
        inputs = given.inputs.resolve() if given.inputs else work / "inputs"
        todo = parts(list(FAMILIES), inputs, given.device, make_inputs=given.inputs is None)
        if given.only:
            todo = tuple(part for part in todo if part.name in ("machine", *given.only))
        done = []
        for outcome in run_parts(todo, work, has_card=found_card):
            done.append(outcome)
            shown = f"{outcome.name:20} {outcome.status:10} {outcome.seconds:6.1f} s  {outcome.why}".rstrip()
            print(shown, file=sys.stderr, flush=True)
            if outcome.status in ("failed", "timed out"):
                tell_log(work / f"{outcome.name}.log")
    report = {"date": datetime.now(UTC).date().isoformat(), "parts": [asdict(one) for one in done]}
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "gpu.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (given.output / "gpu.md").write_text(as_markdown(report), encoding="utf-8")
    print(given.output / "gpu.md")
    if any(one.status in ("failed", "timed out") for one in done):
        return 1
    return 2 if given.device != "cpu" and not found_card(done) else 0


def tell_log(path: Path) -> None:
    """The end of what a part said."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]:
        print(f"    {line}", file=sys.stderr)


def main_child() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--model")
    parser.add_argument("--result", type=Path, required=True)
    return run_child(parser.parse_args(sys.argv[2:]))


if __name__ == "__main__":
    sys.exit(main_child() if sys.argv[1:2] == ["_part"] else main())
