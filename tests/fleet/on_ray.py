"""A program for tests: the engine on a Ray cluster of its own, with a worker that makes nothing. Prints what it saw.

    python -m tests.fleet.on_ray FOLDER [hold]

With `hold` it says who its workers are, and waits to be killed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from talkinghead.engine.context import ProgressEvent
from talkinghead.fleet.engines.base import Died, Ended, Progressed, Ready
from talkinghead.fleet.engines.cluster import ClusterOptions, RayEngine
from talkinghead.fleet.job import Job, Outcome
from talkinghead.fleet.worker import WorkerOptions
from talkinghead.system import is_running


class Idle:
    """Does what a request says: dies, waits, or ends at once."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name, self.options = name, options

    def run(self, job: Job, attempt: int, *, progress: Any) -> Outcome:
        if job.request.get("dies"):
            os._exit(9)
        for done in range(int(job.request.get("steps", 0))):
            progress(ProgressEvent("render", done, None))
            time.sleep(0.1)
        facts = {"pid": os.getpid(), "omp": os.environ["OMP_NUM_THREADS"], "threads": self.options["threads"]}
        return Outcome(job.key, "done", report={**facts, "attempt": attempt})


def open_idle(name: str, options: Mapping[str, Any]) -> Idle:
    """What actors run."""
    if options["scratch"] == "missing":
        raise FileNotFoundError("no such scratch folder")
    return Idle(name, options)


def job(key: str, **request: Any) -> Job:
    return Job(key, 1, request, f"/out/{key}", "h", "f", 1.0)


def listening() -> list[str]:
    """Addresses at which this process and all below it listen, as the kernel writes them."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    sockets = set()
    for pid in family:
        try:
            sockets |= {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
        except OSError:
            continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.append(fields[1].partition(":")[0])
    return sorted(set(found))


class Seen:
    """Events, until what is waited for is among them."""

    def __init__(self, engine: RayEngine) -> None:
        self.engine = engine
        self.events: list[Any] = []

    def until(self, kind: type, worker: str) -> Any:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for event in self.events:
                if isinstance(event, kind) and event.worker == worker:
                    self.events.remove(event)
                    return event
            self.events += self.engine.events(0.5)
        raise TimeoutError(f"no {kind.__name__} of {worker}")


def main(folder: str, hold: bool) -> None:
    options = WorkerOptions(out=folder, lease="1", scratch=folder)
    engine = RayEngine(options, ClusterOptions(workers=2), worker="tests.fleet.on_ray:open_idle")
    first, second = engine.start(), engine.start()
    seen = Seen(engine)
    for worker in (first, second):
        seen.until(Ready, worker)
    told: dict[str, Any] = {"listening": listening()}
    engine.submit(first, job("a" * 64), 3)
    told["done"] = seen.until(Ended, first).outcome.to_dict()
    if hold:
        print(json.dumps({**told["done"]["report"], "folder": str(engine._folder)}), flush=True)
        time.sleep(600)
    engine.submit(first, job("b" * 64, steps=100), 1)
    told["share"] = seen.until(Progressed, first).share
    began = time.monotonic()
    engine.stop(first)
    told["stop_s"] = time.monotonic() - began
    told["gone"] = not is_running(told["done"]["report"]["pid"])
    engine.submit(second, job("c" * 64, dies=True), 1)
    told["died"] = seen.until(Died, second).reason
    third = engine.start()
    seen.until(Ready, third)
    engine.submit(third, job("d" * 64), 1)
    told["after"] = seen.until(Ended, third).outcome.end
    engine._options = json.dumps({**options.to_dict(), "scratch": "missing"})
    told["unborn"] = seen.until(Died, engine.start()).reason
    folder_of_ray = engine._folder
    engine.close()
    told["left"] = folder_of_ray is not None and folder_of_ray.exists()
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], len(sys.argv) > 2)
