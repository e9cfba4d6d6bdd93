"""Figures for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

FACTORS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32)
"""Bounds of the histogram of real-time factors."""
WAITS_S = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)
TYPE = CONTENT_TYPE_LATEST

Loads = Callable[[], Mapping[str, tuple[int, int]]]
"""How many videos of each model wait and are made now."""


class Metrics:
    """What happened since the server began.

    Args:
        loads: asked whenever the figures are read.
    """

    def __init__(self, loads: Loads) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Loads(loads))

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"talkinghead_{name}", text, labels, registry=self.registry)

        self.ordered = counter("videos_ordered", "Videos that were accepted.", "model")
        self.ended = counter("videos_ended", "Videos that ended.", "model", "status")
        self.failures = counter("failures", "Videos that failed, by kind of error.", "kind")
        self.refused = counter("refused", "Requests that were refused, by kind.", "kind")
        self.answers = counter("answers", "Answers by status.", "method", "status")
        self.stage_s = counter("stage_seconds", "Seconds of work in each stage of videos.", "model", "stage")
        self.video_s = counter("video_seconds", "Seconds of video that were made.", "model")
        self.factor = Histogram(
            "talkinghead_realtime_factor",
            "Seconds of video made per second of work.",
            ("model",),
            buckets=FACTORS,
            registry=self.registry,
        )
        self.waited_s = Histogram(
            "talkinghead_wait_seconds",
            "From the order to the beginning of the work.",
            ("model",),
            buckets=WAITS_S,
            registry=self.registry,
        )

    def made(self, model: str, result: Mapping[str, Any]) -> None:
        """A video is done."""
        self.ended.labels(model, "completed").inc()
        self.video_s.labels(model).inc(result["audio_s"])
        self.factor.labels(model).observe(result["realtime_factor"])
        for stage, seconds in result["stages"].items():
            self.stage_s.labels(model, stage).inc(seconds)

    def failed(self, model: str, kind: str) -> None:
        """A video failed."""
        self.ended.labels(model, "failed").inc()
        self.failures.labels(kind).inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


class _Loads(Collector):
    def __init__(self, loads: Loads) -> None:
        self._loads = loads

    def collect(self) -> Iterator[GaugeMetricFamily]:
        waiting = GaugeMetricFamily("talkinghead_videos_waiting", "Videos in line.", labels=["model"])
        working = GaugeMetricFamily("talkinghead_videos_working", "Videos that are made now.", labels=["model"])
        for model, (waits, works) in self._loads().items():
            waiting.add_metric([model], waits)
            working.add_metric([model], works)
        yield waiting
        yield working
