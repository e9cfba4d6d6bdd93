"""Where the time of a model goes: the real pipeline on known inputs, cold and warm.

The inputs are those of `measure.cases`; a family with other needs names its own in its manifest (`bench`,
`bench_tables`). Nothing is cached between cold runs; encoding is included.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from talkinghead.contracts import AudioClip, Report
from talkinghead.engine.cache import NullCache
from talkinghead.engine.head import LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.speech_input import listen
from talkinghead.errors import OptionError
from talkinghead.measure.cases import BenchCase, BenchSettings, BenchTable, bench_speech, portrait_cases
from talkinghead.places import temporary_folder
from talkinghead.service.request import Request
from talkinghead.service.run import load, run


@dataclass(frozen=True)
class BenchRun:
    """One case, measured."""

    case: str
    description: str
    cold: Report
    """Load, prepare and render in a process that has not done it before (for the first case), nothing cached."""
    warm: Report
    """Rendering alone with the face prepared: the run of median length."""
    warm_wall_s: tuple[float, ...]
    """Of each warm run."""
    prepare_s: float
    """Of the cold run."""

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        data["cold"], data["warm"] = self.cold.to_dict(), self.warm.to_dict()
        return data


@dataclass(frozen=True)
class BenchResult:
    """Everything that `talkinghead bench` shows."""

    model: str
    seconds: float
    cores: int
    processor: str | None
    runs: tuple[BenchRun, ...]
    peak_memory_bytes: int | None
    """Of the whole process, all runs together."""
    tables: tuple[BenchTable, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "runs": [run.to_dict() for run in self.runs]}


def bench_model(
    model: str, settings: BenchSettings | None = None, *, progress: Callable[[str], None] | None = None
) -> BenchResult:
    """Measure a model.

    Args:
        progress: called with what is measured now, as a short phrase.
    Raises:
        OptionError: the model needs an input that cannot be made here, and none was given.
    """
    from talkinghead.backends import artefacts
    from talkinghead.measure.memory import peak_memory_bytes
    from talkinghead.service.doctor import examine_machine

    settings = settings or BenchSettings()
    speech = bench_speech(settings)
    with temporary_folder("talkinghead-bench-") as folder:
        runs = [_measure(model, case, speech, settings, folder, progress) for case in _cases(model, settings, folder)]
        tables = _tables(model, settings, folder, progress)
        artefacts.wait()  # they are written into the folder
    machine = examine_machine()
    return BenchResult(
        model=model,
        seconds=float(speech.duration_s),
        cores=machine.cores,
        processor=machine.processor,
        runs=tuple(runs),
        peak_memory_bytes=peak_memory_bytes(),
        tables=tuple(tables),
    )


def _measure(
    model: str,
    case: BenchCase,
    speech: AudioClip,
    settings: BenchSettings,
    folder: Path,
    progress: Callable[[str], None] | None,
) -> BenchRun:
    def tell(text: str) -> None:
        if progress is not None:
            progress(f"{case.name}: {text}")

    request = Request(
        source=case.source,
        speech=speech,
        output=folder / f"{case.name}.mp4",
        model=model,
        load=LoadOptions.of({**settings.load, **case.load}),
        prepare=PrepareOptions(faces=case.faces, cache=NullCache()),
        render=RenderOptions(fps=settings.fps),
    )
    tell("cold")
    started = time.perf_counter()
    head = load(model, request.load)
    load_s = time.perf_counter() - started
    cold = run(request, head=head).report
    tell("prepare")
    spoken = listen(speech)
    heard = replace(request, speech=spoken)
    prepare_started = time.perf_counter()
    avatar = head.prepare(case.source, replace(request.preparing, speech=spoken, render=request.render))
    prepare_s = time.perf_counter() - prepare_started
    warm: list[Report] = []
    for number in range(settings.repeats):
        tell(f"warm {number + 1}/{settings.repeats}")
        warm.append(run(heard, head=head, avatar=avatar).report)
    walls = [report.wall_s for report in warm]
    median = statistics.median_low(walls)
    return BenchRun(
        case=case.name,
        description=case.description,
        cold=replace(cold, output=None, wall_s=cold.wall_s + load_s),
        warm=replace(warm[walls.index(median)], output=None),
        warm_wall_s=tuple(round(wall, 4) for wall in walls),
        prepare_s=prepare_s,
    )


def _tables(
    model: str, settings: BenchSettings, folder: Path, progress: Callable[[str], None] | None
) -> Sequence[BenchTable]:
    from talkinghead.registry import family, named

    target = family(model).bench_tables
    if target is None:
        return []
    found: Sequence[BenchTable] = named(target)(settings, folder, progress or (lambda _: None))
    return found


def _cases(model: str, settings: BenchSettings, folder: Path) -> Sequence[BenchCase]:
    from talkinghead.registry import family, named

    facts = family(model)
    if settings.source is not None:
        return [BenchCase("given", settings.source, str(settings.source))]
    if facts.bench is not None:
        cases: Sequence[BenchCase] = named(facts.bench)(settings, folder)
        return cases
    if facts.source_option != "--face":
        raise OptionError(
            f"The model {model} cannot be measured without an input.",
            accepted=f"{facts.source_option}: {facts.face_source}",
        )
    return portrait_cases(settings, folder)
