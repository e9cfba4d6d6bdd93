"""Prove that a fleet makes each row once, whatever dies: real small rows, real deaths, frames as one process.

    python scripts/prove_fleet.py /tmp/proof --rows 1000 --kills 20 --driver-kills 2 --json figures.json
    python scripts/prove_fleet.py /tmp/proof --only rates --rows 40 [--seconds 4 --rows 14] [--bind]    # a quiet minute

Run it in the root of the repository, with the packages of the tests. The parts, in order:

    reference   every row in this process, one after the other, without any part of the fleet; hashes of all frames
    deaths      the same rows on a Ray cluster of two workers with one thread each: workers and drivers are killed, the
                object store is filled; then results, frames and ledger are compared
    memory      the same rows again, undisturbed: what driver and workers hold while they go on
    rates       one worker and two workers, and the same rows without a fleet
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("reference", "deaths", "memory", "rates")
SOUND_S = 0.5
RATE_HZ = 16_000
WAV2LIP_EVERY = 4
"""Each so-many-th row is Wav2Lip, the others are viseme."""
RATES = "rates"
"""A folder of this name has rows of one model and one face, so that nothing is prepared in between."""
RATED_S = 1.0
"""How long they are, where nothing else is said."""
SETTLE_S = 10.0
"""So long a cluster that was just started is left alone before rates are measured."""
LONGEST_S = 3600.0


# Rows -----------------------------------------------------------------------------------------------------------------


def write_faces(folder: Path) -> list[str]:
    """Five small faces, 96 to 160 pixels wide; one of them moves. Gives the names of their files."""
    import av
    import cv2
    import numpy as np

    from talkinghead.assets.portrait import astronaut_close

    close = astronaut_close()
    names = []
    for number, side in enumerate((96, 128, 144, 160)):
        small = cv2.resize(close, (side, side), interpolation=cv2.INTER_AREA)
        picture = small[:, ::-1] if number % 2 else small
        cv2.imwrite(str(folder / f"face{number}.png"), np.ascontiguousarray(picture[..., ::-1]))
        names.append(f"face{number}.png")
    with av.open(str(folder / "moving.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width = stream.height = 128
        stream.pix_fmt = "yuv420p"
        for index in range(10):
            shifted = np.roll(close, 2 * index, axis=1)
            small = cv2.resize(shifted, (128, 128), interpolation=cv2.INTER_AREA)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        file.mux(stream.encode())
    return [*names, "moving.mp4"]


def write_table(folder: Path, rows: int, seconds: float = SOUND_S) -> Path:
    """A table, its faces, its sounds, each another one, and the weights. Gives the table's file."""
    import numpy as np

    from talkinghead.weights import write_safetensors

    network_weights = importlib.import_module("tests.golden_files").network_weights
    speech_like = importlib.import_module("tests.synthetic_media").speech_like

    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f"rows{rows}-{seconds:g}.csv"
    if table.exists():
        return table
    alike = folder.name == RATES
    faces = write_faces(folder)[: 1 if alike else None]
    (folder / "sounds").mkdir(exist_ok=True)
    if not (folder / "wav2lip.safetensors").exists():
        write_safetensors(network_weights("wav2lip/wav2lip96"), folder / "wav2lip.safetensors")
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "audio", "model", "checkpoint", "output"])
        for row in range(1, rows + 1):
            sound = folder / "sounds" / f"{row}-{seconds:g}.wav"
            samples = (speech_like(seconds, RATE_HZ, seed=row) * 32_767).astype("<i2")
            with wave.open(str(sound), "wb") as out:
                out.setnchannels(1)
                out.setsampwidth(2)
                out.setframerate(RATE_HZ)
                out.writeframes(np.ascontiguousarray(samples).tobytes())
            wav2lip = row % WAV2LIP_EVERY == 0 and not alike
            face = faces[row % len(faces)]
            weights = "wav2lip.safetensors" if wav2lip else ""
            writer.writerow(
                [face, f"sounds/{sound.name}", "wav2lip" if wav2lip else "viseme", weights, f"{row:05d}.mp4"]
            )
    return table


def plan_of(table: Path, out: Path) -> list[Any]:
    """The jobs of a table, as the command plans them."""
    from talkinghead.fleet.columns import Columns
    from talkinghead.fleet.contents import Contents
    from talkinghead.fleet.planning import make_plan
    from talkinghead.fleet.table import open_table
    from talkinghead.storage.address import Address
    from talkinghead.storage.store import open_store

    columns = Columns(Address.of(table.parent))
    return list(make_plan(open_table(table), table.name, columns, Contents(open_store), Address.of(out)))


def frames_hash(path: Path) -> str:
    """Of every decoded picture of a video, as it was coded, with its time."""
    import av

    digest = hashlib.sha256()
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            digest.update(f"{frame.pts} {frame.width}x{frame.height} {frame.format.name}".encode())
            for plane in frame.planes:
                digest.update(bytes(plane))
    return digest.hexdigest()


# One process ----------------------------------------------------------------------------------------------------------


def run_here(jobs: Sequence[Any], folder: Path) -> Iterator[tuple[Any, Path, float]]:
    """Every row by `service`, without the fleet: the job, its video, and seconds that it took."""
    from dataclasses import replace

    from talkinghead.engine.cache import Cache
    from talkinghead.service.request import Request
    from talkinghead.service.warm import Warm

    warm = Warm(heads=2, faces=16)
    folder.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        output = folder / "one.mp4"
        request = Request.from_dict(job.request)
        prepare = replace(request.prepare, cache=Cache(folder / "cache"))
        request = replace(request, output=output, prepare=prepare, render=replace(request.render, overwrite=True))
        before = time.perf_counter()
        warm.run(request, face=job.face)
        yield job, output, time.perf_counter() - before


def reference(folder: Path, rows: int) -> dict[str, Any]:
    """Hashes of the frames of every row, made in this process; kept in a file for later parts."""
    known = folder / f"frames{rows}.json"
    if known.exists():
        figures: dict[str, Any] = json.loads(known.read_text())
        return figures
    jobs = plan_of(write_table(folder, rows), folder / "nowhere")
    hashes, seconds = {}, 0.0
    for job, output, took in run_here(jobs, folder / "here"):
        hashes[str(job.row)] = frames_hash(output)
        seconds += took
    figures = {"hashes": hashes, "wall_s": round(seconds, 1), "rows_per_s": round(rows / seconds, 3)}
    known.write_text(json.dumps(figures))
    return figures


# A driver, in a process of its own ------------------------------------------------------------------------------------


def drive_table(
    folder: Path, rows: int, seconds: float, out: Path, address: str | None, workers: int, worker: str
) -> int:
    """What a driver does, as the command does it; says how far it is in lines of JSON."""
    from talkinghead.fleet.drive import Progress, drive
    from talkinghead.fleet.engines.cluster import ClusterOptions, RayEngine
    from talkinghead.fleet.opening import open_ledger

    jobs = plan_of(write_table(folder, rows, seconds), out)
    with open_ledger(str(out), facts={"rows": rows}) as ledger:
        plan = ledger.plan(jobs)
        assert not plan.refused, plan.refused
        options = ledger.worker_options(scratch=str(folder / "scratch"), cache=str(folder / "cache"), threads=1)
        before = len(plan.completed) + len(plan.found)
        cluster = ClusterOptions(address=address, workers=workers, threads=1)
        engine = RayEngine(options, cluster, worker=worker)
        first = None

        def tell(progress: Progress) -> None:
            nonlocal first
            if first is None and progress.done >= rows // 4:
                first = progress.elapsed_s, progress.done
            print(json.dumps({"done": before + progress.done, "failed": progress.failed}), flush=True)

        summary = drive(plan.todo, engine, ledger, workers, tell=tell)
        steady = None
        if first is not None and summary.elapsed_s > first[0]:  # after the workers and their models were there
            steady = (summary.done - first[1]) / (summary.elapsed_s - first[0])
        said = {"done": before + summary.done, "lost": summary.lost, "failed": summary.failed, "rows_per_s": steady}
        print(json.dumps({**said, "over": True, "failures": [f.error for f in summary.failures]}), flush=True)
    return 1 if summary.failed else 0


def open_bound(name: str, options: Mapping[str, Any]) -> Any:
    """A worker with one core of its own, as a machine with as many cores as workers would give it."""
    import fcntl

    from talkinghead.fleet.engines.cluster import open_worker

    for core in sorted(os.sched_getaffinity(0)):
        mine = os.open(Path(options["scratch"]) / f"core{core}", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until this process ends
        except BlockingIOError:
            os.close(mine)
            continue
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
        return open_worker(name, options)
    raise RuntimeError("there are fewer cores than workers")


class Driver:
    """A driver that runs, and what it says."""

    all: ClassVar[list[Driver]] = []

    def __init__(self, folder: Path, rows: int, out: Path, address: str | None, workers: int, *more: str) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), str(folder), "--rows", str(rows), "--drive", str(out)]
        command += ["--workers", str(workers), *(["--address", address] if address else []), *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._part = b""
        self.said: dict[str, Any] = {"done": 0}
        Driver.all.append(self)

    def look(self) -> dict[str, Any]:
        """The latest that it said."""
        assert self.process.stdout is not None
        while said := self.process.stdout.read():
            *lines, self._part = (self._part + said).split(b"\n")
            if lines:
                self.said = json.loads(lines[-1])
        return self.said

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self) -> dict[str, Any]:
        while self.process.poll() is None:
            self.look()
            time.sleep(0.05)
        return self.look()


@contextmanager
def cluster() -> Iterator[tuple[Any, str]]:
    """A Ray cluster of this machine that outlives its drivers; gives Ray and its address."""
    from talkinghead.fleet.engines.cluster import ClusterOptions, connect

    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ray = connect(ClusterOptions(workers=2))
    try:
        yield ray, ray.get_runtime_context().gcs_address
    finally:
        for driver in Driver.all:
            driver.kill()
        ray.shutdown()


def actors() -> list[int]:
    """Processes of our workers: children of the children of this process, by the name that Ray gives them."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                names[int(entry.name)] = (entry / "cmdline").read_bytes().split(b"\0")[0]
            except OSError:
                continue
    return [
        pid
        for pid, name in names.items()
        if name.startswith(b"ray::Actor") and parents.get(parents.get(pid, 0)) == os.getpid()
    ]


def memory_mb(pid: int) -> int:
    """What a process holds that is its own, in MiB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon:")), 0)
    except OSError:
        return 0


# Deaths ---------------------------------------------------------------------------------------------------------------


def deaths(folder: Path, rows: int, kills: int, driver_kills: int, seed: int) -> dict[str, Any]:
    """A run in which workers and drivers are killed and the object store is full for a while."""
    chance = random.Random(seed)
    out = folder / "deaths"
    shutil.rmtree(out, ignore_errors=True)
    # moments by rows done, so that they are spread over the run whatever its pace
    moments = sorted(chance.sample(range(1, max(2, rows - 2)), min(kills, max(1, rows - 3))))
    of_driver = [rows * (number + 1) // (driver_kills + 1) for number in range(driver_kills)]
    fill_at = rows // 2 + 1
    killed, drivers, filled = 0, 1, ""
    began = time.monotonic()
    with cluster() as (ray, address):
        driver = Driver(folder, rows, out, address, 2)
        held: Any = None
        while driver.process.poll() is None and time.monotonic() - began < LONGEST_S:
            done = driver.look()["done"]
            if of_driver and done >= of_driver[0]:
                of_driver.pop(0)
                driver.kill()
                driver = Driver(folder, rows, out, address, 2)
                drivers += 1
            elif moments and done >= moments[0] and (there := actors()):
                moments.pop(0)
                os.kill(chance.choice(there), signal.SIGKILL)
                killed += 1
            elif not filled and done >= fill_at:
                held, filled = fill(ray)
                emptied_at = done + max(2, rows // 10)
            elif held is not None and done >= emptied_at:
                held = None
            time.sleep(0.02)
        said = driver.wait()
    took = time.monotonic() - began
    return {
        "wall_s": round(took, 1),
        "workers_killed": killed,
        "drivers": drivers,
        "object_store": filled,
        "said": said,
        **check(folder, rows, out),
    }


def fill(ray: Any) -> tuple[list[Any], str]:
    """Fill the object store with what cannot be moved out of it; gives what holds it, and how full it is."""
    import numpy as np

    held: list[Any] = []
    total = ray.cluster_resources()["object_store_memory"]
    piece = np.zeros(4 << 20, np.uint8)
    while (len(held) // 2 + 1) * piece.nbytes < 0.97 * total:
        reference = ray.put(piece)
        held += [reference, ray.get(reference)]  # one that is read stays where it is
    used = len(held) // 2 * piece.nbytes
    return held, f"{used / 2**20:.0f} of {total / 2**20:.0f} MiB"


def check(folder: Path, rows: int, out: Path) -> dict[str, Any]:
    """Compare results with one process, and with what the ledger says."""
    from talkinghead.files import file_sha256
    from talkinghead.fleet.ledger import COMPLETED, read_entries
    from talkinghead.storage.address import Address
    from talkinghead.storage.store import open_store

    wanted = reference(folder, rows)["hashes"]
    found = sorted(path for path in out.iterdir() if path.is_file())
    wrong = [path.name for path in found if frames_hash(path) != wanted[str(int(path.stem))]]
    entries = list(read_entries(open_store(Address.of(out)), Address.of(out)))
    events = Counter(entry.event for entry in entries)
    completed = Counter(entry.key for entry in entries if entry.event in COMPLETED)
    hashes = {entry.row: entry.more["sha256"] for entry in entries if entry.event in COMPLETED}
    partial = [path for path in (out / ".talkinghead").rglob("*") if path.is_file() and "partial" in path.parts]
    untold = [path.name for path in found if hashes.get(int(path.stem)) != file_sha256(path)]
    return {
        "results": len(found),
        "missing": rows - len(found),
        "with_other_frames": wrong,
        "not_as_the_ledger_says": untold,
        "completed_in_the_ledger": len(completed),
        "completed_twice": sum(count > 1 for count in completed.values()),
        "half_written": len(partial),
        "ledger": dict(sorted(events.items())),
    }


# Memory and rates -----------------------------------------------------------------------------------------------------


def memory(folder: Path, rows: int) -> dict[str, Any]:
    """What driver and workers hold, each tenth of an undisturbed run."""
    out = folder / "memory"
    shutil.rmtree(out, ignore_errors=True)
    samples: list[Mapping[str, Any]] = []
    began = time.monotonic()
    with cluster() as (_, address):
        driver = Driver(folder, rows, out, address, 2)
        next_at = rows // 10
        while driver.process.poll() is None:
            done = driver.look()["done"]
            if done >= next_at:
                own = memory_mb(driver.process.pid)
                samples.append({"rows": done, "driver_mb": own, "workers_mb": sorted(map(memory_mb, actors()))})
                next_at += max(1, rows // 10)
            time.sleep(0.02)
        said = driver.wait()
    return {"wall_s": round(time.monotonic() - began, 1), "said": said, "samples": samples, **check(folder, rows, out)}


def rates(folder: Path, rows: int, seconds: float, *, bind: bool) -> dict[str, Any]:
    """Rows per second without a fleet, with one worker, with two: of the last three quarters, when all is warm.

    Args:
        seconds: length of a row.
        bind: each worker has one core of its own, and so has what is compared with it.
    """
    folder = folder / RATES
    jobs = plan_of(write_table(folder, rows, seconds), folder / "nowhere")
    every = os.sched_getaffinity(0)
    if bind:
        os.sched_setaffinity(0, {max(every)})
    steady = [took for _, _, took in run_here(jobs, folder / "here")][rows // 4 :]
    os.sched_setaffinity(0, every)
    found: dict[str, float] = {"without": len(steady) / sum(steady)}
    more = ["--seconds", str(seconds), *(["--bind"] if bind else [])]
    with cluster() as (_, address):
        time.sleep(SETTLE_S)
        for workers in (1, 2):
            out = folder / f"rates{workers}"
            shutil.rmtree(out, ignore_errors=True)
            found[f"workers{workers}"] = Driver(folder, rows, out, address, workers, *more).wait()["rows_per_s"]
    return {
        "seconds": seconds,
        **{name: round(value, 3) for name, value in found.items()},
        "two_against_one": round(found["workers2"] / found["workers1"], 3),
        "overhead": round(1 - found["workers1"] / found["without"], 4),
        "ms_for_each_row": round(1000 * (1 / found["workers1"] - 1 / found["without"]), 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder for all files of the proof")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20, help="workers to kill")
    parser.add_argument("--driver-kills", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=RATED_S, help="length of a row of the part rates")
    parser.add_argument("--bind", action="store_true", help="in the part rates, each worker has one core of its own")
    parser.add_argument("--seed", type=int, default=0, help="of whom is killed when")
    parser.add_argument("--only", choices=PARTS, action="append", help="parts to run; default: all but rates")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=2, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    sys.path.insert(0, str(ROOT))
    from talkinghead.fleet.engines.cluster import WORKER
    from talkinghead.fleet.threads import thread_environment

    os.environ |= thread_environment(1)
    folder = given.folder.absolute()
    if given.drive is not None:
        seconds = given.seconds if folder.name == RATES else SOUND_S
        worker = "scripts.prove_fleet:open_bound" if given.bind else WORKER
        return drive_table(folder, given.rows, seconds, given.drive, given.address, given.workers, worker)
    figures: dict[str, Any] = {}
    for part in given.only or PARTS[:3]:
        if part == "reference":
            figures[part] = {name: value for name, value in reference(folder, given.rows).items() if name != "hashes"}
        elif part == "deaths":
            figures[part] = deaths(folder, given.rows, given.kills, given.driver_kills, given.seed)
        elif part == "memory":
            figures[part] = memory(folder, given.rows)
        else:
            figures[part] = rates(folder, given.rows, given.seconds, bind=given.bind)
        print(json.dumps({part: figures[part]}, indent=1), flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if any(is_wrong(part, given.rows) for part in figures.values()) else 0


def is_wrong(part: Mapping[str, Any], rows: int) -> bool:
    """Whether a part shows that something was lost, made twice or changed."""
    if "results" not in part:
        return False
    named = ("missing", "with_other_frames", "not_as_the_ledger_says", "completed_twice", "half_written")
    return part["results"] != rows or part["completed_in_the_ledger"] != rows or any(part[name] for name in named)


if __name__ == "__main__":
    sys.exit(main())
