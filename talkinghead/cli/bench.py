"""`talkinghead bench`: where the time of a model goes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkinghead.engine.flags import Given, Group, make_flags
from talkinghead.engine.options import build_config
from talkinghead.errors import OptionError
from talkinghead.live.settings import LiveBenchSettings
from talkinghead.measure.cases import BenchSettings
from talkinghead.registry import DEFAULT_FAMILY, FAMILIES, family
from talkinghead.service.groups import LOAD, LOADING, OPTIONS, model_groups
from talkinghead.terminal import console
from talkinghead.terminal.flags import declared_flags, with_flags
from talkinghead.terminal.helping import HelpPage, help_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from talkinghead.live.bench import LiveBench
    from talkinghead.service.bench import BenchResult

SETTINGS, LIVE = "settings", "live"


@help_page(
    HelpPage(
        examples=(f"bench {DEFAULT_FAMILY}", f"bench {DEFAULT_FAMILY} --size 1920x1080", "bench live --json"),
        main=(
            "--size",
            "--source",
            "--seconds",
            "--fps",
            "--repeats",
            "--checkpoint",
            "--device",
            "--precision",
            "--json",
        ),
    )
)
def bench(
    given: Given,
    model: Annotated[str, typer.Argument(help=f"Model: {', '.join(FAMILIES)}; or live: sessions through a real loop.")],
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Size of the made picture and video.")] = "1280x720",
    source: Annotated[
        Path | None,
        typer.Option("--source", "--face", help="Measure with this input of the model instead of made ones."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Show everything as JSON.")] = False,
) -> None:
    """Measure where the time of a model goes, encoding included.

    Cold is the first run: loading, preparing the face and rendering. Warm is rendering with the face prepared. `live`
    measures what arrives by WebRTC, and when (extra `live`).
    """
    from talkinghead.service.bench import bench_model

    is_live = model == LIVE
    if unused := given.flags_of([SETTINGS if is_live else LIVE]):
        raise OptionError(f"{unused[0]} has no effect with {model}.", remedy=f"leave {unused[0]} out")
    live = build_config(LiveBenchSettings, given.of(LIVE), owner="The benchmark")
    model = (live.model or DEFAULT_FAMILY) if is_live else model
    family(model)
    given.refuse_all_but(model, list(FAMILIES))
    measures = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    if measures is None:
        raise OptionError(f"--size is {size!r}.", accepted="WIDTHxHEIGHT in pixels, such as 1280x720")
    if is_live:
        loading = {**given.of(LOAD), **given.of(model)}
        _bench_live(live, model, (int(measures[1]), int(measures[2])), source, loading, as_json=json_output)
        return
    settings = BenchSettings(
        width=int(measures[1]),
        height=int(measures[2]),
        source=source,
        load={**given.of(LOAD), **given.of(model)},
        **given.of(SETTINGS),
    )
    result = bench_model(model, settings, progress=None if json_output else console.note)
    if json_output:
        console.print_json(result.to_dict())
    else:
        console.say(as_text(result))


def _bench_live(
    settings: LiveBenchSettings,
    model: str,
    size: tuple[int, int],
    source: Path | None,
    loading: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    from talkinghead.live.server import check_packages

    check_packages()
    from talkinghead.live.bench import measure_live, still_cast

    result = measure_live(
        settings, still_cast(model, size, source, loading), progress=None if as_json else console.note
    )
    if as_json:
        console.print_json(result.to_dict())
    else:
        console.say(live_text(result))


def live_text(result: LiveBench) -> str:
    """Two tables: the loop, and several sessions."""

    def ms(seconds: float) -> str:
        return f"{1000 * seconds:.0f} ms"

    rows: list[list[object]] = [
        ["flash after beep, first and most", f"{ms(result.skew_first_s)}, {ms(result.skew_most_s)}"],
        [f"drift of that in {result.minutes:g} min, {result.claps} claps", f"{1000 * result.skew_drift_s:.1f} ms"],
        ["flash and beep arrive apart by, median and p99", ", ".join(map(ms, result.arrival_skew_s))],
        [
            f"old sound arrives after an interruption ({result.interruptions}), median, p99, most",
            ", ".join(map(ms, result.arrived_s)),
        ],
        ["and leaves the receiver's buffer", ", ".join(map(ms, result.silence_s))],
        [f"first moving mouth ({result.utterances}), median and p99", ", ".join(map(ms, result.mouth_s))],
    ]
    if result.before is not None and result.after is not None:
        for name, old, new in (
            ("memory", *(console.size_text(each.memory_bytes) for each in (result.before, result.after))),
            ("threads", result.before.threads, result.after.threads),
            ("handles", result.before.handles, result.after.handles),
        ):
            rows.append([f"{name} of the server before and after the interruptions", f"{old}, {new}"])
    several = [
        [row["sessions"], row["moments"], row["late_pictures"], row["left_out"], ms(row["gap_s"]), ms(row["gap_p99_s"]),
         ms(row["latency_s"]), f"{row['cores']:.1f}"]
        for row in result.sessions
    ]  # fmt: skip
    columns = [
        "sessions",
        "moments",
        "late pictures",
        "left out in sending",
        "gap",
        "gap p99",
        "speech later by",
        "cores",
    ]
    (width, height), processor = result.size, result.processor or "unknown"
    title = f"{result.model} {width}x{height} on {result.cores} cores ({processor})"
    loop = console.table(["through ICE, DTLS and SRTP", ""], rows)
    return "\n".join([title, "", loop, "", console.table(columns, several)])


def as_text(result: BenchResult) -> str:
    """A table of stages for each case, and one line that sums up."""
    lines = [
        f"{result.model}: {result.seconds:g} s of speech on {result.cores} cores ({result.processor or 'unknown'})"
    ]
    for run in result.runs:
        warm, cold = run.warm, run.cold
        rows = [
            [
                stage.name,
                f"{stage.busy_s:.3f}",
                f"{1000 * stage.busy_s / warm.num_frames:.2f}" if warm.num_frames else "-",
                f"{stage.wait_input_s:.3f}",
                f"{stage.wait_output_s:.3f}",
            ]
            for stage in warm.stages
        ]
        lines += ["", f"{run.case} ({run.description}), {warm.device}, {warm.backend}, {warm.precision}"]
        lines.append(console.table(["stage", "seconds", "ms/frame", "waiting for input", "waiting for output"], rows))
        lines.append(
            f"warm: {warm.num_frames} frames in {warm.wall_s:.2f} s: {warm.frames_per_second:.1f} frames/s, "
            f"{warm.realtime_factor:.2f} times real time, limited by {warm.limited_by!r} "
            f"(runs: {', '.join(f'{wall:.2f}' for wall in run.warm_wall_s)} s)"
        )
        lines.append(
            f"cold: {cold.wall_s:.2f} s with loading and preparing ({cold.realtime_factor:.2f} times real time); "
            f"preparing again takes {run.prepare_s:.2f} s"
        )
    for table in result.tables:
        lines += ["", table.title, console.table(table.columns, table.rows)]
        if table.note:
            lines.append(table.note)
    if result.peak_memory_bytes is not None:
        lines += ["", f"peak memory of the process: {console.size_text(result.peak_memory_bytes)}"]
    return "\n".join(lines)


def _build() -> Any:
    own = (
        Group(SETTINGS, BenchSettings, OPTIONS, leave_out=frozenset({"width", "height", "source"})),
        replace(LOADING, leave_out=frozenset({"compat"})),
        Group(LIVE, LiveBenchSettings, "Live", names={"model": "--live-model"}),
    )
    return with_flags(bench, make_flags(own, model_groups(), declared_flags(bench)))


command = _build()
