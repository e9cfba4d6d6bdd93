"""A timeline of what ran when, in the format that chrome://tracing and ui.perfetto.dev open."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MAX_EVENTS = 500_000
"""Events beyond this are counted, not kept, so that a long job stays within memory."""


class Tracer:
    """Collects spans from any thread."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._started = time.perf_counter()
        self._lock = threading.Lock()
        self._threads: dict[int, str] = {}
        self.dropped = 0

    @contextmanager
    def span(self, name: str, **facts: Any) -> Iterator[None]:
        """Record how long the block takes."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, begin, time.perf_counter(), **facts)

    def add(self, name: str, begin: float, end: float, *, track: str | None = None, **facts: Any) -> None:
        """Record a span measured with `time.perf_counter`.

        Args:
            track: row of the timeline; default: the current thread.
        """
        thread = threading.current_thread()
        row = hash(track) % (1 << 30) if track is not None else thread.native_id or 0
        event = {
            "name": name,
            "ph": "X",
            "ts": (begin - self._started) * 1e6,
            "dur": (end - begin) * 1e6,
            "pid": os.getpid(),
            "tid": row,
        }
        if facts:
            event["args"] = facts
        with self._lock:
            if len(self._events) >= MAX_EVENTS:
                self.dropped += 1
                return
            self._threads[row] = track or thread.name
            self._events.append(event)

    def totals(self) -> Mapping[str, tuple[int, float]]:
        """Name to (number of spans, seconds in all)."""
        found: dict[str, tuple[int, float]] = {}
        with self._lock:
            for event in self._events:
                count, seconds = found.get(event["name"], (0, 0.0))
                found[event["name"]] = count + 1, seconds + event["dur"] / 1e6
        return found

    def write(self, path: Path) -> None:
        """Write the timeline; it appears whole or not at all."""
        from talkinghead.files import write_bytes

        with self._lock:
            names = [
                {"name": "thread_name", "ph": "M", "pid": os.getpid(), "tid": row, "args": {"name": name}}
                for row, name in self._threads.items()
            ]
            data = {"traceEvents": names + self._events, "displayTimeUnit": "ms"}
            if self.dropped:
                data["otherData"] = {"dropped_events": self.dropped}  # type: ignore[assignment]
        write_bytes(path, json.dumps(data).encode())


class NoTracer(Tracer):
    """Records nothing."""

    @contextmanager
    def span(self, name: str, **facts: Any) -> Iterator[None]:  # noqa: ARG002 - the interface
        yield

    def add(self, name: str, begin: float, end: float, *, track: str | None = None, **facts: Any) -> None:
        """Nothing."""
