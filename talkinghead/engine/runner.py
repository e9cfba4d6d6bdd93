"""The runner: stages as iterators, bounded queues between them, timing at the seams.

    indices ──► [stage 1] ──queue──► [stage 2] ──queue──► ... ──queue──► consumer (caller's thread)

A stage is a callable from one iterator to the next and knows nothing of threads, clocks or progress. Each stage runs
in a thread of its own, so decoding, inference, compositing and encoding overlap; the queues are bounded, so memory
does not grow with the length of the job. Order is kept. The values are the same with any number of threads.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from talkinghead.contracts import StageTime
from talkinghead.engine.context import CancelToken

T = TypeVar("T")

QUEUE_BYTES = 256 * 1024 * 1024
"""Frames that may wait between two stages, where that is fewer than the stage's `queue_size`; one always may."""
_POLL_S = 0.1
"""How often a blocked stage looks whether the run was stopped."""


@dataclass(frozen=True)
class Stage:
    """One step of a run."""

    name: str
    """For reports; a head's stages have names of `talkinghead.contracts.STAGES`."""
    run: Callable[[Iterator[Any]], Iterator[Any]]
    queue_size: int = 8
    """Values that may wait for the next stage; frames are large, so keep it small."""


@dataclass
class _Clock:
    """Times of one stage while it runs."""

    name: str
    total_s: float = 0.0
    wait_input_s: float = 0.0
    wait_output_s: float = 0.0
    items: int = 0

    def freeze(self) -> StageTime:
        busy_s = max(0.0, self.total_s - self.wait_input_s)
        return StageTime(self.name, busy_s, self.wait_input_s, self.wait_output_s, self.items)


class _Stopped(Exception):
    """Internal: another stage failed or the caller left."""


@dataclass
class _Failure:
    error: BaseException


_END = object()


@dataclass
class Run:
    """A run in progress: iterate over it once for the results of the last stage; then read `times`.

    Leaving the iteration early (break, exception, `close()`) stops all stages and waits for their threads.
    """

    source: Iterable[Any]
    stages: Sequence[Stage]
    cancel: CancelToken = field(default_factory=CancelToken)
    overlap: bool = True

    def __post_init__(self) -> None:
        self._clocks = [_Clock(stage.name) for stage in self.stages]
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._started = False

    @property
    def times(self) -> tuple[StageTime, ...]:
        """Seconds per stage so far, in order."""
        return tuple(clock.freeze() for clock in self._clocks)

    def __iter__(self) -> Iterator[Any]:
        if self._started:
            raise RuntimeError("a run can be iterated once")
        self._started = True
        return self._overlapped() if self.overlap else self._sequential()

    def _sequential(self) -> Iterator[Any]:
        values: Iterator[Any] = self._cancellable(iter(self.source))
        chain: list[Iterator[Any]] = [values]
        for stage, clock in zip(self.stages, self._clocks, strict=True):
            values = _timed_output(stage.run(_timed_input(values, clock)), clock)
            chain.append(values)
        try:
            yield from values
        finally:
            for link in reversed(chain):
                _close(link)

    def _cancellable(self, values: Iterator[Any]) -> Iterator[Any]:
        try:
            for value in values:
                self.cancel.check()
                yield value
        finally:
            _close(values)

    def _overlapped(self) -> Iterator[Any]:
        values: Iterator[Any] = self._cancellable(iter(self.source))
        for stage, clock in zip(self.stages, self._clocks, strict=True):
            channel: queue.Queue[Any] = queue.Queue(maxsize=stage.queue_size)
            thread = threading.Thread(
                target=self._work, args=(stage, values, channel, clock), name=f"stage-{stage.name}", daemon=True
            )
            self._threads.append(thread)
            values = self._drain(channel)
        try:
            for thread in self._threads:
                thread.start()
            for value in values:
                self.cancel.check()
                yield value
        finally:
            self._stop.set()
            for thread in self._threads:
                if thread.ident is not None:
                    thread.join()

    def _work(self, stage: Stage, values: Iterator[Any], channel: queue.Queue[Any], clock: _Clock) -> None:
        end: Any = _END
        output: Iterator[Any] | None = None
        try:
            try:
                output = _timed_output(stage.run(_timed_input(values, clock)), clock)
                for value in output:
                    started = time.perf_counter()
                    self._put(channel, value)
                    clock.wait_output_s += time.perf_counter() - started
            finally:
                _close(output)
                _close(values)
        except _Stopped:
            return
        except BaseException as error:  # noqa: BLE001 (raised again in the thread that waits for the values)
            end = _Failure(error)
        try:
            self._put(channel, end)
        except _Stopped:
            return

    def _put(self, channel: queue.Queue[Any], value: Any) -> None:
        room = max(1, QUEUE_BYTES // max(1, _bytes_of(value)))
        while not self._stop.is_set():
            if channel.qsize() >= room:  # nobody else puts: it cannot fill meanwhile
                time.sleep(_POLL_S / 10)
                continue
            try:
                channel.put(value, timeout=_POLL_S)
                return
            except queue.Full:
                continue
        raise _Stopped

    def _drain(self, channel: queue.Queue[Any]) -> Iterator[Any]:
        while True:
            if self._stop.is_set():
                raise _Stopped
            self.cancel.check()
            try:
                value = channel.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if value is _END:
                return
            if isinstance(value, _Failure):
                raise value.error
            yield value


def _bytes_of(value: Any) -> int:
    """Bytes of an array, or of the arrays of a frame's record."""
    own = getattr(value, "nbytes", None)
    if isinstance(own, int):
        return own
    return sum(int(getattr(part, "nbytes", 0)) for part in vars(value).values()) if hasattr(value, "__dict__") else 0


def _timed_input(values: Iterator[T], clock: _Clock) -> Iterator[T]:
    while True:
        started = time.perf_counter()
        try:
            value = next(values)
        except StopIteration:
            return
        finally:
            clock.wait_input_s += time.perf_counter() - started
        yield value


def _timed_output(values: Iterator[T], clock: _Clock) -> Iterator[T]:
    try:
        while True:
            started = time.perf_counter()
            try:
                value = next(values)
            except StopIteration:
                return
            finally:
                clock.total_s += time.perf_counter() - started
            clock.items += 1
            yield value
    finally:
        _close(values)


def _close(values: object) -> None:
    """Let a generator clean up now rather than when it is collected."""
    close = getattr(values, "close", None)
    if close is not None:
        close()


def together(times: Sequence[StageTime]) -> tuple[StageTime, ...]:
    """Times of stages that worked on the same values, those of one name added up where the first of them stands."""
    sums: dict[str, StageTime] = {}
    for each in times:
        known = sums.get(each.name, StageTime(each.name, 0.0, 0.0, 0.0, 0))
        sums[each.name] = StageTime(
            each.name,
            known.busy_s + each.busy_s,
            known.wait_input_s + each.wait_input_s,
            known.wait_output_s + each.wait_output_s,
            max(known.items, each.items),
        )
    return tuple(sums.values())


def run_stages(
    source: Iterable[Any], stages: Sequence[Stage], *, cancel: CancelToken | None = None, overlap: bool = True
) -> Run:
    """Connect stages; iterate the returned run.

    Args:
        source: values for the first stage, pulled in its thread.
        stages: at least one.
        cancel: stops the run from outside; `Cancelled` is raised to whoever iterates.
        overlap: a thread per stage; False runs the same stages one value at a time in the caller's thread.
    """
    return Run(source=source, stages=stages, cancel=cancel or CancelToken(), overlap=overlap)
