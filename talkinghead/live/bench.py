"""`talkinghead bench live`: what arrives at the other end of a real loop (ICE, DTLS, SRTP), and when."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.contracts import FloatArray, Frame
from talkinghead.engine.head import LoadOptions, PrepareOptions
from talkinghead.engine.options import config_class, option_fields
from talkinghead.errors import BackendError
from talkinghead.live.heads import Cast
from talkinghead.live.loop import Speaker, only_counted, serving, speaking, watching
from talkinghead.live.options import ServerOptions
from talkinghead.live.settings import LiveBenchSettings
from talkinghead.measure.memory import Usage
from talkinghead.registry import family
from talkinghead.service.planning import missing_source

RATE_HZ = 48_000
BEEP_S, PAUSE_S = 0.2, 0.8
PIECE_S = 0.02
"""Of sound that is pushed as it would be spoken."""
QUIET = 0.1
MOVED = 1.5
"""Mean difference of a picture from the one at rest, of 255, from which on the mouth has moved."""
WARM_S = 1.0
STILL = ("idle_motion",)
"""Options of models that make a picture move by itself."""


@dataclass(frozen=True)
class LiveBench:
    """What was measured; seconds."""

    model: str
    size: tuple[int, int]
    skew_first_s: float
    """Flash after beep by the times of the tracks, the first one."""
    skew_median_s: float
    """Of their lengths: of most flashes, none was left out because the machine was busy."""
    skew_most_s: float
    skew_drift_s: float
    """The mean of the last tenth less that of the first."""
    arrival_skew_s: tuple[float, float]
    """Flash after beep as they arrive: median, 99th percentile of the size."""
    claps: int
    minutes: float
    arrived_s: tuple[float, float, float]
    """From an interruption until the last packet with old sound came: median, 99th percentile, most."""
    silence_s: tuple[float, float, float]
    """Until the last of the old sound has left the receiver's buffer."""
    interruptions: int
    before: Usage | None
    after: Usage | None
    """What the server held before and after the interruptions."""
    mouth_s: tuple[float, float]
    """From the first sample that was pushed until the first picture that moves: median, 99th percentile."""
    utterances: int
    sessions: tuple[dict[str, float], ...]
    """For each number of sessions: pictures, late ones, gaps between pictures, and how many cores the server used; the
    receivers count what comes and decode no pictures."""
    cores: int
    processor: str | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def pcm(sound: FloatArray) -> bytes:
    """Sound as agents send it."""
    return np.rint(sound * 32767).astype("<i2").tobytes()


def tone(seconds: float) -> FloatArray:
    """1 kHz, as loud at the first sample as at the last."""
    return (0.8 * np.cos(np.arange(round(seconds * RATE_HZ)) * 2 * np.pi * 1000 / RATE_HZ)).astype(np.float32)


class Claps:
    """When flashes and beeps begin: (time of the track, arrival)."""

    def __init__(self) -> None:
        self.flashes: list[tuple[float, float]] = []
        self.beeps: list[tuple[float, float]] = []
        self.loud_s = self.arrived_s = 0.0
        """When loud sound left the receiver, and when its packet came, last."""
        self._was_bright, self._silent = False, RATE_HZ

    def take(self, kind: str, frame: Any, came_s: float) -> None:
        """As `loop.Take`."""
        begun = float(frame.pts * frame.time_base)
        if kind == "video":
            bright = bool(np.frombuffer(frame.planes[0], np.uint8)[:64].mean() > 128)
            if bright and not self._was_bright:
                self.flashes.append((begun, came_s))
            self._was_bright = bright
            return
        samples = np.abs(frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0] / 32768)
        loud = np.flatnonzero(samples > QUIET)
        if kind == "arrival":
            self.arrived_s = came_s if len(loud) else self.arrived_s
            return
        if len(loud):
            if self._silent + loud[0] > RATE_HZ // 20:
                self.beeps.append((begun + float(loud[0]) / RATE_HZ, came_s))
            self.loud_s = came_s
            self._silent = len(samples) - int(loud[-1])
        else:
            self._silent += len(samples)

    def pairs(self) -> list[tuple[tuple[float, float], tuple[float, float]]]:
        """Each beep with the flash that belongs to it; those whose packets were lost have none.

        Raises:
            BackendError: nothing came.
        """
        found = []
        for beep in self.beeps:
            near = [flash for flash in self.flashes if abs(flash[0] - beep[0]) < PAUSE_S / 2]
            if near:
                found.append((near[0], beep))
        if not found:
            raise BackendError("No flash and no beep arrived.")
        return found


class Motion:
    """When pictures came, and when one first differed from the picture at rest."""

    def __init__(self) -> None:
        self.came: list[float] = []
        self.moved_s: float | None = None
        self._rest: Frame | None = None

    def rest(self) -> None:
        """The next picture is at rest."""
        self._rest, self.moved_s = None, None

    def take(self, kind: str, frame: Any, came_s: float) -> None:
        """As `loop.Take`."""
        if kind != "video":
            return
        self.came.append(came_s)
        if self.moved_s is None:
            picture = frame.to_ndarray(format="gray")[::2, ::2].astype(np.int16)
            if self._rest is None:
                self._rest = picture
            elif np.abs(_blocks(picture - self._rest)).max() > MOVED:
                self.moved_s = came_s


def _blocks(picture: Any) -> Any:
    """Means over 16 by 16."""
    height, width = (side // 16 * 16 for side in picture.shape)
    return picture[:height, :width].reshape(height // 16, 16, width // 16, 16).mean((1, 3))


def still_cast(model: str, size: tuple[int, int], source: Path | None, loading: Mapping[str, Any]) -> Cast:
    """A portrait that stands still until it speaks, where the model can.

    Args:
        size: width and height of the made portrait.
        source: what is shown instead.
        loading: options of the model, by name.
    """
    from talkinghead.measure.cases import portrait

    facts = family(model)
    own = {field.name for field in option_fields(config_class(facts.config))}  # type: ignore[arg-type]
    still = {name: False for name in STILL if name in own}
    load = LoadOptions.of({**still, **loading})
    if source is not None or facts.source_option != "--face":
        shown = source if source is not None else facts.default_source
        if shown is None:
            raise missing_source(facts)
        return Cast(model, shown, load)
    picture, _, faces = portrait(*size)
    return Cast(model, picture, load, PrepareOptions(faces=faces))


def measure_live(settings: LiveBenchSettings, cast: Cast, progress: Callable[[str], None] | None = None) -> LiveBench:
    """Measure everything.

    Args:
        cast: the model and the face for the mouth and for several sessions.
    Raises:
        BackendError: the server did not start, or a session failed.
    """
    from talkinghead.service.doctor import examine_machine

    say = progress or (lambda _: None)
    options = ServerOptions(port=0, max_sessions=max(4, settings.sessions))
    with serving(None, options) as server:
        say(f"flash and beep for {settings.minutes:g} min")
        claps = asyncio.run(_clap(server.port, settings.minutes))
        say(f"{settings.interruptions} interruptions")
        before = server.usage()
        silences = asyncio.run(_interrupt(server.port, settings.interruptions))
        after = server.usage()
    with serving(cast, options) as server:
        say(f"first moving mouth, {settings.utterances} times")
        mouths = asyncio.run(_move(server.port, settings.utterances))
        rows = []
        for count in range(1, settings.sessions + 1):
            say(f"{count} session(s) for {settings.session_s:g} s")
            begun, worked = time.perf_counter(), server.usage().processor_s
            with only_counted():
                row = asyncio.run(_several(server.port, count, settings.session_s))
            worked = server.usage().processor_s - worked
            rows.append({**row, "cores": worked / (time.perf_counter() - begun)})
        size = asyncio.run(_size(server.port))
    pairs = claps.pairs()
    skews = np.array([flash[0] - beep[0] for flash, beep in pairs])
    arrivals = np.abs([flash[1] - beep[1] for flash, beep in pairs])
    tenth = max(1, len(skews) // 10)
    machine = examine_machine()
    return LiveBench(
        model=cast.model,
        size=size,
        skew_first_s=float(skews[0]),
        skew_median_s=float(np.median(np.abs(skews))),
        skew_most_s=float(np.abs(skews).max()),
        skew_drift_s=float(skews[-tenth:].mean() - skews[:tenth].mean()),
        arrival_skew_s=_middle_and(arrivals, 99),
        claps=len(skews),
        minutes=settings.minutes,
        arrived_s=(*_middle_and(silences[0], 99), max(silences[0])),
        silence_s=(*_middle_and(silences[1], 99), max(silences[1])),
        interruptions=len(silences[0]),
        before=before,
        after=after,
        mouth_s=_middle_and(mouths, 99),
        utterances=len(mouths),
        sessions=tuple(rows),
        cores=machine.cores,
        processor=machine.processor,
    )


def _middle_and(values: Any, percentile: float) -> tuple[float, float]:
    return float(np.median(values)), float(np.percentile(values, percentile))


async def _size(port: int) -> tuple[int, int]:
    async with speaking(port, "size", RATE_HZ) as speaker:
        width, height = speaker.ready["size"]
        return width, height


async def _clap(port: int, minutes: float) -> Claps:
    claps, clap = Claps(), pcm(np.concatenate([tone(BEEP_S), np.zeros(round(PAUSE_S * RATE_HZ), np.float32)]))
    async with watching(port, "claps", claps.take), speaking(port, "claps", RATE_HZ) as speaker:
        await asyncio.sleep(WARM_S)
        for _ in range(max(1, round(minutes * 60 / (BEEP_S + PAUSE_S)))):
            await speaker.push(clap)
            await speaker.tell("end_turn")
            await speaker.told("finished")
        await asyncio.sleep(WARM_S)
    return claps


async def _interrupt(port: int, count: int, seed: int = 0) -> tuple[list[float], list[float]]:
    """How long old sound arrived after each, and how long it was heard."""
    claps, chance = Claps(), random.Random(seed)
    arrived: list[float] = []
    heard: list[float] = []
    long = pcm(tone(3.0))
    async with watching(port, "stops", claps.take, arrivals=True), speaking(port, "stops", RATE_HZ) as speaker:
        await asyncio.sleep(WARM_S)
        for _ in range(count):
            await speaker.push(long)
            await speaker.told("started")
            await asyncio.sleep(0.1 + 0.4 * chance.random())
            stopped = time.perf_counter()
            await speaker.tell("interrupt")
            await speaker.told("interrupted")
            await asyncio.sleep(0.4)
            arrived.append(max(0.0, claps.arrived_s - stopped))
            heard.append(max(0.0, claps.loud_s - stopped))
    return arrived, heard


async def _move(port: int, count: int) -> list[float]:
    motion, found = Motion(), []
    speech = _speech()
    async with watching(port, "mouth", motion.take), speaking(port, "mouth", RATE_HZ) as speaker:
        await asyncio.sleep(2 * WARM_S)  # until the picture at rest is sharp
        for _ in range(count):
            motion.rest()
            await asyncio.sleep(0.2)
            started = time.perf_counter()
            await _speak(speaker, speech)
            while motion.moved_s is None:
                await asyncio.sleep(0.01)
            found.append(motion.moved_s - started)
            await speaker.told("finished")
            await asyncio.sleep(WARM_S)
    return found


def _speech() -> FloatArray:
    """A second of speech that begins with an open mouth."""
    from talkinghead.assets import demo_speech_path
    from talkinghead.media.sound import read_audio

    samples = read_audio(demo_speech_path(), RATE_HZ).samples
    first = int(np.flatnonzero(np.abs(samples) > QUIET)[0])
    return samples[first : first + RATE_HZ]


async def _speak(speaker: Speaker, sound: FloatArray) -> None:
    """Push sound as fast as it is spoken."""
    begun, piece = time.perf_counter(), round(PIECE_S * RATE_HZ)
    for number, first in enumerate(range(0, len(sound), piece), 1):
        await asyncio.sleep(max(0.0, begun + number * PIECE_S - time.perf_counter()))
        await speaker.push(pcm(sound[first : first + piece]))
    await speaker.tell("end_turn")


async def _several(port: int, count: int, seconds: float) -> dict[str, float]:
    """All speak at the same time, each with a viewer."""
    speech = np.concatenate([_speech(), np.zeros(RATE_HZ // 2, np.float32)])

    async def one(name: str) -> tuple[Sequence[float], dict[str, Any]]:
        motion = Motion()
        async with watching(port, name, motion.take), speaking(port, name, RATE_HZ) as speaker:
            await asyncio.sleep(WARM_S)
            await speaker.tell("stats")
            before = await speaker.told("stats")
            motion.came.clear()
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                await _speak(speaker, speech)
                await speaker.told("finished")
            await speaker.tell("stats")
            after = await speaker.told("stats")
            counted = {key: after[key] - before[key] for key in ("moments", "late_pictures", "left_out")}
            return np.diff(motion.came).tolist(), {**counted, "latency_s": after["latency_s"]}

    found = await asyncio.gather(*(one(f"several-{number}") for number in range(count)))
    gaps = [gap for each, _ in found for gap in each]
    return {
        "sessions": count,
        "moments": sum(stats["moments"] for _, stats in found),
        "late_pictures": sum(stats["late_pictures"] for _, stats in found),
        "left_out": sum(stats["left_out"] for _, stats in found),
        "gap_s": float(np.median(gaps)),
        "gap_p99_s": float(np.percentile(gaps, 99)),
        "latency_s": max(stats["latency_s"] for _, stats in found),
    }
