"""What makes one row into one video, whoever calls it: this process, a child of it, a Ray actor.

Models and faces stay warm from one job to the next. A video gets its name in one instant, after the ledger says what is
about to get it; a worker that is killed at any moment leaves nothing that somebody takes for a result.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Any

from talkinghead.bounds import THREADS, Between, check_fields
from talkinghead.contracts import Report
from talkinghead.engine.cache import Cache
from talkinghead.engine.context import CancelToken, Progress
from talkinghead.errors import (
    Cancelled,
    InputError,
    NothingThere,
    OptionError,
    OutputExists,
    StorageError,
    TalkingHeadError,
    UnwritableOutput,
)
from talkinghead.files import file_sha256, unwritable
from talkinghead.fleet.inputs import addresses, with_paths
from talkinghead.fleet.job import Job, Outcome
from talkinghead.fleet.lease import Superseded, still_holds
from talkinghead.fleet.ledger import Entry, EventName, Intent, Journal, now, open_journal, read_entries, was_published
from talkinghead.measure.memory import give_back
from talkinghead.service.request import Request
from talkinghead.service.warm import Warm, face_key
from talkinghead.storage.address import Address
from talkinghead.storage.scratch import Scratch
from talkinghead.storage.store import Stat, Store, StoreOptions, open_store
from talkinghead.system import is_ours, user_number

SCRATCH_BYTES = 8 << 30
"""Of a worker's copies of inputs and of its outputs on their way."""
HEADS_KEPT = 2
"""Loaded models of a worker."""
FACES_KEPT = 16
"""Prepared faces of a worker; the decoded frames of one."""
OUTPUT_BYTES_PER_S = 250_000
"""Room on the scratch disk that is asked for, per second of video."""
OUTPUT_BYTES = 16 << 20
"""And for any video."""
GIVE_BACK_S = 5.0
"""Seconds between two times that memory is given back to the system."""


@dataclass(frozen=True)
class WorkerOptions:
    """What all workers of a run have in common. All of it is JSON."""

    out: str
    """Path or address of the folder that the run fills."""
    lease: str
    """Token of the run's lease."""
    runs: tuple[str, ...] = ()
    """Names of earlier runs, as the lease knows them."""
    overwrite: bool = False
    """Replace what has the name of an output and is nobody's of whom the ledger speaks."""
    scratch: str | None = None
    """Folder for copies of inputs and for unfinished outputs; None: the system's for temporary files."""
    scratch_bytes: Annotated[int, Between(0, 2**50)] = SCRATCH_BYTES
    """How much of it one worker may use."""
    cache: str | None = None
    """Folder of what was found out about faces, which workers may share; None: the user's."""
    threads: Annotated[int | None, THREADS] = None
    """Cores that one worker uses; None: all."""
    heads: Annotated[int, Between(1, 1_000)] = HEADS_KEPT
    faces: Annotated[int, Between(1, 1_000_000)] = FACES_KEPT
    storage: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `storage.StoreOptions` that differ from their defaults."""

    def __post_init__(self) -> None:
        check_fields(self)

    def to_dict(self) -> dict[str, Any]:
        """A row of JSON values; `from_dict` takes it."""
        return {**asdict(self), "storage": dict(self.storage)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> WorkerOptions:
        """Options from their row."""
        return WorkerOptions(**{**data, "runs": tuple(data.get("runs", ()))})

    @property
    def store_options(self) -> StoreOptions:
        return StoreOptions(**self.storage)


Make = Callable[[Request, Job, Progress | None, CancelToken], Mapping[str, Any]]
"""Makes the video of a job by a request whose files are all here; gives figures of the run."""


class Renderer:
    """Makes videos with models and faces that are kept warm."""

    def __init__(self, options: WorkerOptions) -> None:
        self._cache = Cache(Path(options.cache)) if options.cache is not None else None
        self._warm = Warm(heads=options.heads, faces=options.faces)

    def __call__(self, request: Request, job: Job, progress: Progress | None, cancel: CancelToken) -> Mapping[str, Any]:
        if request.prepare.cache is None and self._cache is not None:
            request = replace(request, prepare=replace(request.prepare, cache=self._cache))
        # By its content, and by its path too: a copy that was fetched again has another one.
        face = (job.face, *face_key(request)) if job.shares_face else None
        return figures(self._warm.run(request, face=face, progress=progress, cancel=cancel).report)


def figures(report: Report) -> dict[str, Any]:
    """What the ledger keeps of a report."""
    return {
        "model": report.model,
        "num_frames": report.num_frames,
        "fps": report.fps,
        "audio_s": round(report.audio_s, 4),
        "wall_s": round(report.wall_s, 4),
        "realtime_factor": round(report.realtime_factor, 4),
        "device": report.device,
        "precision": report.precision,
        "weights_sha256": report.weights_sha256,
        "peak_memory_bytes": report.peak_memory_bytes,
        "stages": {stage.name: round(stage.busy_s, 4) for stage in report.stages},
        "warnings": list(report.warnings),
    }


class _Made(Exception):
    """Another worker has made this video meanwhile."""

    def __init__(self, intent: Intent) -> None:
        super().__init__(intent)
        self.intent = intent


class _Place(Exception):
    """Wraps what would have failed for any row."""


class Worker:
    """Does one job at a time. A context manager; `close` ends it.

    Args:
        name: that no other worker of this or an earlier run has.
        make: makes videos; default: a `Renderer`.
        store: of OUT; default: opened by its address.
    Raises:
        UnwritableOutput, StorageError: the ledger or the scratch folder cannot be written.
    """

    def __init__(
        self, name: str, options: WorkerOptions, *, make: Make | None = None, store: Store | None = None
    ) -> None:
        self.name, self.options = name, options
        self.out = Address.of(options.out)
        self._store = store or open_store(self.out, options=options.store_options)
        self._make: Make = make or Renderer(options)
        self._gave_back_s = time.monotonic()
        self._names: dict[str, str] = {}
        """Of the job at hand: what copies on this machine are called in the table."""
        with ExitStack() as stack:
            folder = scratch_folder(options)
            self._scratch = stack.enter_context(Scratch(folder, options.scratch_bytes, options=options.store_options))
            self._journal: Journal = open_journal(self._store, self.out, name)
            stack.callback(self._journal.close)
            self._close = stack.pop_all()

    def run(
        self, job: Job, attempt: int, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Outcome:
        """Make the video of a job, and give it its name.

        Args:
            attempt: how often the job has been given so far, from 1.
        Returns:
            What came of it; errors are part of it.
        Raises:
            Cancelled: the token was used. The video has its name then, or is as if it had never been begun.
        """
        token = cancel or CancelToken()
        self._give_back_now_and_then()
        try:
            with self._room(job) as (request, output):
                return self._outcome(job, attempt, request, output, progress, token)
        except Cancelled:
            raise
        except _Place as error:
            return self._failed(job, attempt, error.__cause__ or error, "place")
        except StorageError as error:  # of what the row reads; where it may pass, any row would have failed
            return self._failed(job, attempt, error, "place" if error.retryable else "row")
        except Exception as error:  # noqa: BLE001 (it is told with the row, and the worker goes on)
            return self._failed(job, attempt, error, "row")

    def _give_back_now_and_then(self) -> None:
        """Let go of what earlier videos left in memory: a gigabyte otherwise, and a tenth of a short row each time."""
        if time.monotonic() - self._gave_back_s >= GIVE_BACK_S:
            give_back()
            self._gave_back_s = time.monotonic()

    def close(self) -> None:
        """Remove what is on the scratch disk; the ledger says nothing more."""
        self._close.close()

    def abandon(self) -> None:
        """For a process that is about to end in the middle of a job: remove what is on the scratch disk."""
        self._scratch.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _outcome(
        self,
        job: Job,
        attempt: int,
        request: Request,
        output: Path,
        progress: Progress | None,
        cancel: CancelToken,
    ) -> Outcome:
        with _place():
            before = self._store.stat(Address.of(job.output))
            found = self._published_before(job, before)
            if found is not None:
                return self._completed(job, attempt, "resumed", found)
        if job.parts:
            report = self._joined(request, job, progress, cancel)
        else:
            report = self._make(request, job, progress, cancel)
        if not output.is_file():
            raise OptionError(f"{output.name!r} is no single file.", accepted="a codec that makes one file")
        cancel.check()
        intent = Intent(
            job.key, job.row, self.name, attempt, job.output, output.stat().st_size, file_sha256(output),
            before.version if before is not None else None, report,
        )  # fmt: skip
        with _place():
            return self._published(job, attempt, request, output, intent, cancel)

    def _joined(self, request: Request, job: Job, progress: Progress | None, cancel: CancelToken) -> Mapping[str, Any]:
        """The video of stretches that are made; what lies beside the first one comes along."""
        from shutil import copyfile

        from talkinghead.service.stretches import join

        with ExitStack() as stack:
            paths = [stack.enter_context(self._scratch.have(part, store=self._store)) for part in job.parts]
            self._names |= {str(path): Address.of(part).shown for path, part in zip(paths, job.parts, strict=True)}
            for path in _beside(request):
                part = Address.of(job.parts[0]).parent.join(path.name)
                copyfile(stack.enter_context(self._scratch.have(part, store=self._store)), path)
            return figures(join(request, paths, progress=progress, cancel=cancel).report)

    def _remove_parts(self, job: Job, request: Request) -> None:
        """Parts of a video that has its name; what stays here goes at the end of the run."""
        folder = Address.of(job.parts[0]).parent
        beside = [folder.join(path.name) for path in _beside(request)]
        with contextlib.suppress(TalkingHeadError, OSError):
            for address in (*map(Address.of, job.parts), *beside):
                self._store.delete(address)
            if folder.is_local:
                folder.path.rmdir()

    def _published(
        self, job: Job, attempt: int, request: Request, output: Path, intent: Intent, cancel: CancelToken
    ) -> Outcome:
        """Give a video that is there its name, as the only one."""
        self._say("intent", job, attempt, intent.facts, certain=True)
        address = Address.of(job.output)

        def check() -> None:  # right before each commit: uploads may take long
            if not still_holds(self._store, self.out, self.options.lease):
                raise Superseded("Another run has taken over; this video is left out.")
            there = self._store.stat(address)
            if (there.version if there is not None else None) != intent.before:
                found = self._published_before(job, there)
                if found is not None:
                    raise _Made(found)
            cancel.check()

        mark = f"{job.key[:16]}-{attempt}-{self.name}"
        try:
            for path in request.outputs:
                if path != output:  # motion and mouth shapes lie beside the video, and are there before it
                    beside = address.parent.join(path.name)
                    self._store.publish(path, beside, mark=f"{mark}{path.suffix}", check=check)
            self._store.publish(output, address, mark=mark, check=check)
        except _Made as made:
            return self._completed(job, attempt, "resumed", made.intent)
        outcome = self._completed(job, attempt, "done", intent)
        if job.parts:
            self._remove_parts(job, request)
        return outcome

    def _published_before(self, job: Job, there: Stat | None) -> Intent | None:
        """The intent that led to what has the name of the output, where another worker has made this job meanwhile.

        Raises:
            OutputExists: it is somebody's own.
        """
        if there is None or there.version == job.replaces:
            return None
        ours = False
        latest = None
        for entry in read_entries(self._store, self.out, self.options.runs):
            if entry.more.get("output") == job.output:
                ours = True
                if entry.event == "intent" and entry.key == job.key:
                    intent = Intent.of(entry)
                    latest = intent if was_published(self._store, intent) else latest
        if latest is None and not ours and not self.options.overwrite:
            raise OutputExists(
                f"{Address.of(job.output).shown!r} is there, and no entry of the ledger speaks of it.",
                remedy="move it away, or allow overwriting",
            )
        return latest

    def _completed(self, job: Job, attempt: int, event: EventName, intent: Intent) -> Outcome:
        self._say(event, job, attempt, intent.facts)
        self._journal.flush()
        return Outcome(job.key, "done", size=intent.size, sha256=intent.sha256, report=intent.report)

    def _failed(self, job: Job, attempt: int, error: BaseException, blames: Any) -> Outcome:
        text = self._told(str(error) or type(error).__name__)
        kind = type(error).__name__
        with contextlib.suppress(TalkingHeadError):  # the outcome says it as well
            self._say("failed", job, attempt, {"error": text, "kind": kind, "blames": blames})
            self._journal.flush()
        may_pass = isinstance(error, StorageError) and error.retryable
        # What the system itself said of a file may be true of this machine alone.
        is_told_here = isinstance(error.__cause__, OSError) and not isinstance(error, NothingThere)
        will_stay = blames == "row" and isinstance(error, InputError | NothingThere) and not is_told_here
        return Outcome(job.key, "failed", error=text, kind=kind, blames=blames, may_pass=may_pass, will_stay=will_stay)

    def _say(
        self, event: EventName, job: Job, attempt: int, facts: Mapping[str, Any], *, certain: bool = False
    ) -> None:
        self._journal.add(Entry(event, job.key, job.row, self.name, attempt, facts, now()), certain=certain)

    # Files ------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _room(self, job: Job) -> Iterator[tuple[Request, Path]]:
        """The request with all that it reads and writes on this machine, and where its video will be."""
        paths: dict[str, Path] = {}
        with ExitStack() as stack:
            for text, address in addresses(job.request).items():
                paths[text] = stack.enter_context(self._scratch.have(address))
            self._names = {str(path): Address.of(text).shown for text, path in paths.items()}
            with _place():
                expected = OUTPUT_BYTES + round(job.seconds * OUTPUT_BYTES_PER_S) + self._bytes_of(job.parts)
                folder = stack.enter_context(self._scratch.room(min(expected, self._scratch.max_bytes // 2)))
            yield self._request(job, paths, folder)

    def _request(self, job: Job, paths: Mapping[str, Path], folder: Path) -> tuple[Request, Path]:
        request = Request.from_dict(with_paths(job.request, paths))
        output = folder / request.output.name
        render = request.render
        beside = {
            name: folder / path.name for name in ("motion", "cues") if (path := getattr(render, name)) is not None
        }
        if len({output.name, *(path.name for path in beside.values())}) <= len(beside):
            raise OptionError("Two outputs of the row have one name.", remedy="another name for one")
        render = replace(render, overwrite=True, **beside)
        return replace(request, output=output, report=None, make_folder=False, render=render), output

    def _bytes_of(self, parts: Sequence[str]) -> int:
        stats = [self._store.stat(Address.of(part)) for part in parts]
        return sum(stat.size for stat in stats if stat is not None)

    def _told(self, text: str) -> str:
        """A message with the names that the table has, where copies of this machine are named."""
        for path, name in self._names.items():
            text = text.replace(path, name)
        return text


def _beside(request: Request) -> list[Path]:
    """Files that are written beside the video."""
    return [path for path in request.outputs if path != request.output]


@contextmanager
def _place() -> Iterator[None]:
    """For what fails for any row: errors in the block blame the place."""
    try:
        yield
    except (OutputExists, Cancelled):
        raise
    except (TalkingHeadError, OSError) as error:
        raise _Place from error


def scratch_folder(options: WorkerOptions) -> Path:
    """Where a worker keeps copies and unfinished outputs: the folder that was named, else the user's own among the
    system's temporary files.

    Raises:
        UnwritableOutput: it cannot be made, or belongs to somebody else.
    """
    if options.scratch is not None:
        return Path(options.scratch)
    folder = Path(gettempdir()) / f"talkinghead-{user_number()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not is_ours(folder):
            raise UnwritableOutput(f"The folder {str(folder)!r} belongs to somebody else.", remedy="--scratch FOLDER")
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder
