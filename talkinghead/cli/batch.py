"""`talkinghead batch`: a table of jobs in, a folder of videos out, each made exactly once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkinghead.cli.signing import Key, Sign, TimestampUrl
from talkinghead.engine.flags import Given, Group, make_flags
from talkinghead.engine.options import build_config
from talkinghead.errors import OptionError, OutputExists, TalkingHeadError
from talkinghead.fleet.options import FleetOptions
from talkinghead.terminal import console
from talkinghead.terminal.flags import declared_flags, with_flags
from talkinghead.terminal.helping import HelpPage, help_page
from talkinghead.terminal.program import quoted

if TYPE_CHECKING:
    from talkinghead.fleet.drive import Progress, Summary
    from talkinghead.fleet.forecast import Forecast
    from talkinghead.fleet.job import Job
    from talkinghead.fleet.opening import Ledger
    from talkinghead.fleet.opening import Plan as Todo
    from talkinghead.fleet.planning import Plan
    from talkinghead.fleet.progress import Tell
    from talkinghead.fleet.splitting import Split
    from talkinghead.storage.address import Address

FLEET = Group("fleet", FleetOptions, "Where it runs")
SHOWN = 20
"""Rows that are named where there may be many."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of a batch besides its table and its workers."""

    retry: bool
    overwrite: bool
    results: str | None
    progress_json: str | None
    json_output: bool
    quiet: bool


@help_page(
    HelpPage(
        examples=("batch jobs.csv -o videos/ --dry-run", "batch jobs.csv -o videos/ --workers 2"),
        main=(
            "--output", "--set", "--output-name", "--dry-run", "--retry", "--overwrite", "--results", "--workers",
            "--engine", "--address", "--quiet",
        ),
    )
)  # fmt: skip
def batch(
    given: Given,
    jobs: Annotated[
        str,
        typer.Argument(
            metavar="JOBS",
            help="Table of jobs: .csv, .jsonl or .parquet; a path or an address (s3://bucket/jobs.csv).",
        ),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", help="Folder of the videos: a path or an address (s3://bucket/out).")
    ],
    defaults: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Value of a column for rows that have none. Several are allowed."
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column that is for others. Several are allowed, also as a,b."),
    ] = None,
    output_name: Annotated[
        str,
        typer.Option(
            metavar="PATTERN",
            help="Names of videos of rows without output: {row}, {audio.stem}, {source.stem} and any column in braces.",
        ),
    ] = "{row}-{audio.stem}",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row and say what would be done; write nothing.")
    ] = False,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry", help="Try rows again that failed in an earlier run, and make videos again that are gone."
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace videos in the folder that no earlier run with this folder has made."),
    ] = False,
    results: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Table of results to write, .csv or .parquet. Default: .talkinghead/results.csv in the folder.",
        ),
    ] = None,
    progress_json: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write progress as lines of JSON into this file; - is stdout.")
    ] = None,
    sign: Sign = None,
    key: Key = None,
    timestamp_url: TimestampUrl = None,
    json_output: Annotated[bool, typer.Option("--json", help="Show what came of it on stdout as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> int:
    """Make a video for each row of a table, exactly once, whatever dies in between.

    Columns have the names of `talkinghead generate`'s options: face, audio or text, model, fps and so on. All rows are
    checked before the first one runs. The same command again goes on where it stopped and makes nothing twice.
    """
    from talkinghead.fleet.batch import given_table, memory_folder
    from talkinghead.fleet.contents import Memory
    from talkinghead.provenance.signing import signing_with
    from talkinghead.storage.address import Address

    options = build_config(FleetOptions, given.of(FLEET.owner), owner="The batch")
    wanted = Wanted(retry, overwrite, results, progress_json, json_output, quiet)
    if progress_json == "-" and json_output:
        raise OptionError("--json and --progress-json - both write to stdout.", remedy="--progress-json FILE")
    out = Address.of(output)
    for address in (out, Address.of(results)) if results is not None else (out,):
        if address.is_web:
            raise OptionError(f"{address.shown!r} is only read.", accepted="a folder, s3://..., gs://... or az://...")
    if results is not None:
        _check_results(Address.of(results), write=not dry_run)
    with given_table(jobs) as table, Memory(memory_folder(options)) as memory:
        plan = _plan(table, memory, out, _pairs(defaults or ()), ignore or (), output_name, options, quiet=quiet)
        if dry_run:
            with signing_with(sign, key, timestamp_url):
                _check_signed(plan)
            return _say_what_would_be_done(plan, out, options, wanted)
        facts = {"table": table.name, "table_sha256": table.sha256, "rows": len(plan)}
        with signing_with(sign, key, timestamp_url):
            _check_signed(plan)
            return _run(plan, out, options, wanted, facts)


def _check_results(target: Address, *, write: bool) -> None:
    """Refuse a table of results that could not be written at the end."""
    from talkinghead.files import PendingOutput
    from talkinghead.fleet.results import check_results_name

    check_results_name(target.name)
    if target.is_local and write:
        PendingOutput(target.path).discard()


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    """`--set fps=30` as values by name."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise OptionError(f"--set {text!r} sets nothing.", accepted="NAME=VALUE, such as fps=30")
        if name.strip() in found:
            raise OptionError(f"--set {name.strip()} is given twice.", remedy="one of them")
        found[name.strip()] = value
    return found


def _plan(
    table: Any,
    memory: Any,
    out: Address,
    defaults: dict[str, str],
    ignore: Sequence[str],
    pattern: str,
    options: FleetOptions,
    *,
    quiet: bool,
) -> Plan:
    from talkinghead.fleet.columns import Columns
    from talkinghead.fleet.contents import Contents
    from talkinghead.fleet.planning import make_plan
    from talkinghead.storage.store import Stores

    ignored = [name.strip() for text in ignore for name in text.split(",") if name.strip()]
    columns = Columns(table.base, defaults, ignored, pattern, here=options.is_here)
    contents = Contents(Stores(), memory)
    return make_plan(table.table, table.name, columns, contents, out, Steps(quiet=quiet))


class Steps:
    """Says how far the checks are, where they take longer."""

    EVERY_S = 5.0

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._said_s = time.monotonic()

    def __call__(self, what: str, done: int, whole: int | None) -> None:
        if not self._quiet and time.monotonic() - self._said_s >= self.EVERY_S:
            self._said_s = time.monotonic()
            console.note(f"{what}: {done:,}" + (f" of {whole:,}" if whole is not None else ""))


# What would be done ---------------------------------------------------------------------------------------------------


def _check_signed(plan: Plan) -> None:
    """Refuse a table with videos that cannot be signed, where videos are."""
    from talkinghead.provenance.signing import configured
    from talkinghead.storage.address import Address

    signer = configured()
    if signer is None:
        return
    for job in plan:
        try:
            signer.check(Path(Address.of(job.output).name))
        except OptionError as error:
            raise OptionError(f"Row {job.row}: {error.what}", accepted=error.accepted, remedy=error.remedy) from None


def _say_what_would_be_done(plan: Plan, out: Address, options: FleetOptions, wanted: Wanted) -> int:
    from talkinghead.fleet.forecast import Rates, forecast
    from talkinghead.fleet.ledger import History, read_entries
    from talkinghead.fleet.opening import plan_jobs
    from talkinghead.fleet.splitting import split
    from talkinghead.storage.store import open_store

    store, rates = open_store(out), Rates()
    history = History(rates.watch(read_entries(store, out)))
    todo = plan_jobs(plan, store, out, history=history, overwrite=wanted.overwrite, retry=wanted.retry)
    refuse_what_is_there(todo.refused, plan.name)
    ahead = forecast(todo.todo, rates, options.workers)
    found = split(todo.todo, options.split, out, history, store) if options.split is not None else None
    if wanted.json_output:
        counts = {"rows": len(plan), "todo": len(todo.todo), "done": _done(todo), "aside": len(todo.aside)}
        cut = {} if found is None else {"split": {"rows": found.cut, "stretches": found.parts}}
        console.print_json({**counts, "files": plan.files, "bytes_read": plan.bytes_read, **cut, **ahead.to_dict()})
        return 0
    show_forecast(plan, todo, ahead, found)
    _say_what_is_gone(todo)
    return 0


def _done(todo: Todo) -> int:
    return len(todo.completed) + len(todo.found)


def show_forecast(plan: Plan, todo: Todo, ahead: Forecast, cut: Split | None = None) -> None:
    """What a run would do, on stdout."""
    from talkinghead.fleet.progress import time_text

    heading = ["row", "video", "seconds", "model", *(["stretches"] if cut is not None else [])]
    pieces = {job.key: len(job.parts) for job in cut.jobs} if cut is not None else {}
    rows: list[list[Any]] = []
    for job in todo.todo[:SHOWN]:
        rows.append([job.row, job.output, f"{job.seconds:.1f}", job.head.rpartition("-")[0]])
        rows[-1] += [pieces[job.key] or "-"] if cut is not None else []
    if rows:
        console.say(console.table(heading, rows))
        if len(todo.todo) > SHOWN:
            console.say(f"and {len(todo.todo) - SHOWN:,} more")
        console.say()
    console.say(f"{_rows(len(plan))}: {len(todo.todo):,} to do, {_done(todo):,} done, {len(todo.aside):,} put aside")
    for entry in todo.aside[:SHOWN]:
        console.say(f"row {entry[0].row:,} was put aside: {_one_line(entry[1].more.get('error'))}")
    for model, count in ahead.jobs.items():
        how = "as measured in this folder" if ahead.measured[model] else "at the pace of two cores of a server"
        console.say(
            f"{model}: {_rows(count)}, {time_text(ahead.video_s[model])} of video, "
            f"{time_text(ahead.work_s[model])} of work {how}"
        )
    for line in _of_stretches(cut) if cut is not None else ():
        console.say(line)
    if todo.todo:
        workers = "1 worker" if ahead.workers == 1 else f"{ahead.workers:,} workers, each with cores of its own"
        console.say(f"about {time_text(ahead.total_s)} with {workers}")
        files = "1 file" if plan.files == 1 else f"{plan.files:,} files"
        read, written = console.size_text(plan.bytes_read), console.size_text(ahead.bytes_written)
        console.say(f"reads {files} of {read}, writes about {written}; nothing was written now")


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _one_line(text: object) -> str:
    return " ".join(str(text or "").split())


def refuse_what_is_there(jobs: Sequence[Job], name: str) -> None:
    """Refuse rows whose videos would replace somebody's own.

    Raises:
        OutputExists
    """
    if not jobs:
        return
    first = "\n".join(f"row {job.row:,}: {job.output}" for job in jobs[:SHOWN])
    more = f"\nand {len(jobs) - SHOWN:,} more" if len(jobs) > SHOWN else ""
    raise OutputExists(
        f"The videos of {_rows(len(jobs))} of {name} are there already, and no run with this folder has made them; "
        f"nothing was started.\n{first}{more}",
        remedy="another folder, or --overwrite to replace them",
    )


# The run --------------------------------------------------------------------------------------------------------------


def _run(plan: Plan, out: Address, options: FleetOptions, wanted: Wanted, facts: dict[str, Any]) -> int:
    from talkinghead.fleet.batch import RESULTS, open_engine, worker_values
    from talkinghead.fleet.drive import drive
    from talkinghead.fleet.opening import open_ledger
    from talkinghead.storage.address import Address
    from talkinghead.version import __version__

    target = Address.of(wanted.results) if wanted.results is not None else out.join(RESULTS)
    facts = {"version": __version__, **facts, "options": {name: str(value) for name, value in asdict(options).items()}}
    with open_ledger(out, facts=facts) as ledger:
        todo = ledger.plan(plan, overwrite=wanted.overwrite, retry=wanted.retry)
        refuse_what_is_there(todo.refused, plan.name)
        if not wanted.quiet:
            _say_what_is_done(plan, todo)
        jobs = _in_stretches(todo.todo, ledger, options, quiet=wanted.quiet)
        summary, latest = None, Latest()
        try:
            if todo.todo:
                worker = ledger.worker_options(**worker_values(options, overwrite=wanted.overwrite))
                engine = open_engine(options, worker, ledger.lease)
                with _displays(wanted, latest) as tell:
                    summary = drive(jobs, engine, ledger, options.workers, tell=tell)
        except KeyboardInterrupt:
            _write_results(plan, ledger, target)
            _say_how_to_go_on(latest.done, len(todo.todo) - latest.done)
            raise
        except TalkingHeadError:
            _write_results(plan, ledger, target)
            raise
        _write_results(plan, ledger, target)
        return _say_what_came(plan, todo, summary, target, wanted)


def _in_stretches(jobs: list[Job], ledger: Ledger, options: FleetOptions, *, quiet: bool) -> list[Job]:
    """The jobs of a run: long rows cut, where that is asked for."""
    from talkinghead.fleet.splitting import split, sweep_parts

    sweep_parts(ledger.store, ledger.out, ledger.history)  # of a run that was stopped when it had joined them
    if options.split is None or not jobs:
        return jobs
    found = split(jobs, options.split, ledger.out, ledger.history, ledger.store)
    if not quiet:
        for line in _of_stretches(found):
            console.note(line)
    return found.jobs


def _of_stretches(found: Split) -> Iterator[str]:
    """What `--split` comes to, in lines."""
    if found.cut:
        parts = "1 stretch" if found.parts == 1 else f"{found.parts:,} stretches"
        joins = "1 join" if found.cut == 1 else f"{found.cut:,} joins"
        yield f"{_rows(found.cut)} in {parts} of about {found.seconds:g} s to make, and {joins}"
    elif not found.whole:
        yield f"no row is cut: none is longer than {1.5 * found.seconds:g} s"
    for reason, count in found.whole.most_common():
        yield f"{_rows(count)} in one piece: {reason}"


def _say_what_is_done(plan: Plan, todo: Todo) -> None:
    parts = [f"{_rows(len(plan))} of {plan.name}: {len(todo.todo):,} to do"]
    if done := _done(todo):
        parts.append(f"{done:,} done before")
    if todo.aside:
        parts.append(f"{len(todo.aside):,} failed before (--retry tries them again)")
    console.note(", ".join(parts))
    _say_what_is_gone(todo)


def _say_what_is_gone(todo: Todo) -> None:
    """Rows that the ledger calls done, and whose videos somebody has removed, moved away or replaced."""
    for jobs, one, many, flags in (
        (todo.gone, "has its video not there any more", "have their videos not there any more", "--retry"),
        (todo.altered, "has another file in its place", "have other files in their places", "--retry --overwrite"),
    ):
        if jobs:
            rows = ", ".join(f"{job.row:,}" for job in jobs[:SHOWN]) + (", ..." if len(jobs) > SHOWN else "")
            console.warn(
                f"{_rows(len(jobs))} of those done before {one if len(jobs) == 1 else many} ({rows}). "
                f"{flags} makes {'it' if len(jobs) == 1 else 'them'} again."
            )


class Latest:
    """How many rows were done when somebody last told."""

    def __init__(self) -> None:
        self.done = 0

    def __call__(self, progress: Progress) -> None:
        self.done = progress.done


@contextmanager
def _displays(wanted: Wanted, latest: Latest) -> Iterator[Tell]:
    """What is told how far a run is."""
    from talkinghead.fleet.progress import JsonProgress, TerminalProgress

    with ExitStack() as stack:
        tells: list[Tell] = [latest, stack.enter_context(TerminalProgress(quiet=wanted.quiet))]
        if wanted.progress_json == "-":
            tells.append(JsonProgress(sys.stdout))
        elif wanted.progress_json is not None:
            try:
                file = stack.enter_context(Path(wanted.progress_json).open("w", encoding="utf-8"))
            except OSError as error:
                from talkinghead.files import unwritable

                raise unwritable(Path(wanted.progress_json), error) from error
            tells.append(JsonProgress(file))

        def tell(progress: Progress) -> None:
            for one in tells:
                one(progress)

        yield tell


def _write_results(plan: Iterable[Job], ledger: Ledger, target: Address) -> None:
    from talkinghead.fleet.batch import deliver
    from talkinghead.fleet.ledger import read_entries
    from talkinghead.fleet.results import Results, check_results_name, write_results

    ledger.flush()
    with TemporaryDirectory(prefix="talkinghead-") as folder:
        path = Path(folder) / f"results{target.suffix}"
        with Results(read_entries(ledger.store, ledger.out, (*ledger.lease.runs, ledger.run))) as found:
            write_results(found.rows(plan), path, check_results_name(target.name))
        deliver(path, target, f"results-{ledger.run}")


def _say_how_to_go_on(done: int, left: int) -> None:
    verbs = ("is", "stays") if done == 1 else ("are", "stay")
    console.note(
        f"{_rows(done)} of this run {verbs[0]} done and {verbs[1]} done; {_rows(left)} {'is' if left == 1 else 'are'} "
        f"left. The same command goes on from there: talkinghead {quoted(sys.argv[1:])}"
    )


def _say_what_came(plan: Plan, todo: Todo, summary: Summary | None, target: Address, wanted: Wanted) -> int:
    from talkinghead.fleet.progress import time_text

    failed = len(todo.aside) + (summary.failed if summary is not None else 0)
    done = _done(todo) + (summary.done if summary is not None else 0)
    failures = [(job.row, _one_line(entry.more.get("error"))) for job, entry in todo.aside]
    failures += [(one.job.row, _one_line(one.error)) for one in (summary.failures if summary is not None else ())]
    if wanted.json_output:
        run = {} if summary is None else {
            "made": summary.done,
            "attempts": summary.attempts,
            "lost": summary.lost,
            "video_s": round(summary.video_s, 3),
            "elapsed_s": round(summary.elapsed_s, 3),
        }  # fmt: skip
        shown = [{"row": row, "error": error} for row, error in failures[:SHOWN]]
        counts = {"rows": len(plan), "done": done, "failed": failed, **run}
        console.print_json({**counts, "results": target.shown, "failures": shown})
        return 1 if failed else 0
    if wanted.progress_json == "-":
        return 1 if failed else 0
    for row, error in failures[:SHOWN]:
        console.say(f"row {row:,} failed: {error}")
    if len(failures) > SHOWN:
        console.say(f"and {failed - SHOWN:,} more failed")
    text = f"{done:,} of {_rows(len(plan))} {'is' if len(plan) == 1 else 'are'} done"
    if failed:
        text += f", {failed:,} failed"
    if summary is not None and summary.done:
        rate = summary.video_s / summary.elapsed_s if summary.elapsed_s else 0.0
        made = f"{time_text(summary.video_s)} of video in {time_text(summary.elapsed_s)}, {rate:.2f} times real time"
        text += f"; {summary.done:,} now: {made}"
    console.say(text)
    console.say(f"Table of results: {target.shown}")
    return 1 if failed else 0


command = with_flags(batch, make_flags([FLEET], taken=declared_flags(batch)))
