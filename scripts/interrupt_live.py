"""Interrupt a live session again and again, at random moments, on the real clock.

    python scripts/interrupt_live.py --face me.jpg --count 1000
    python scripts/interrupt_live.py --face me.jpg --model wav2lip --count 100 --json figures.json

Speech is pushed ahead of time, as agents do, and interrupted up to half a second later: before it is heard, in its
first moments, or in the middle. Shown are how long old sound went on after `interrupt` was called (to the end of the
moment that was on its way), how late any moment was given, pictures that were left out, and what the process holds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import talkinghead as th
from talkinghead.engine.live import LiveSession, Moment
from talkinghead.measure.memory import usage

LONGEST_S = 0.5
"""Of a turn, until it is interrupted."""
PUSHED_S = 3.0
SETTLED = 4
"""What the process holds is compared from this share of the interruptions on, once all caches are full."""


@dataclass(frozen=True)
class Held:
    """What the process holds."""

    megabytes: float
    threads: int
    handles: int


@dataclass(frozen=True)
class Figures:
    """What was found; times in milliseconds."""

    interruptions: int
    in_speech: int
    """Those that ended speech which was heard already."""
    moments: int
    old_sound_ms: tuple[float, float, float]
    """How long it went on: median, 99 % and longest."""
    after_return: int
    """Interruptions after whose return more old sound was given than the moment that was on its way."""
    lost_s: float
    """Speech that was pushed and counts neither as played nor as thrown away, seconds."""
    late_ms: tuple[float, float]
    """How late moments were given: 99 % and latest."""
    late_pictures: int
    held_before: Held
    """After a quarter of them."""
    held_after: Held


def held() -> Held:
    now = usage()
    return Held(now.memory_bytes / 2**20, now.threads, now.handles)


def interrupt_often(session: LiveSession[Any], count: int, seed: int, longest_s: float = LONGEST_S) -> Figures:
    """Interrupt a session so often while another thread takes its moments."""
    chance = random.Random(seed)
    rate = session.options.sample_rate_hz
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, round(PUSHED_S * rate)).astype(np.float32)
    taken: list[tuple[float, float, int, int | None]] = []
    """When it was taken, its time and samples, and what was said."""
    done = threading.Event()
    errors: list[BaseException] = []

    def take() -> None:
        try:
            moment: Moment
            for moment in session:
                said = moment.utterance if moment.sound.any() else None
                at = float(moment.time * moment.time_base)
                taken.append((time.perf_counter(), at, len(moment.sound), said))
                if done.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 (raised again below)
            errors.append(error)

    taker = threading.Thread(target=take, name="taker")
    taker.start()
    calls: list[tuple[float, float, int]] = []
    told_s, in_speech = 0.0, 0
    before = held()
    try:
        for number in range(count):
            utterance = session.push(noise, rate)
            if chance.random() < 0.5:
                session.end_turn()
            time.sleep(chance.uniform(0, longest_s))
            called = time.perf_counter()
            told = session.interrupt()
            calls.append((called, time.perf_counter(), utterance))
            told_s += told.played_s + told.thrown_away_s
            in_speech += told.utterance is not None
            if number == count // SETTLED:
                before = held()
            if errors:
                raise errors[0]
        after = held()
    finally:
        done.set()
        taker.join()
    ends = {said: at + samples / rate for at, _, samples, said in taken if said is not None}
    old = [max(0.0, ends.get(utterance, 0.0) - called) * 1000 for called, _, utterance in calls]
    zero = min(at - clock for at, clock, _, _ in taken)
    late = [(at - clock - zero) * 1000 for at, clock, _, _ in taken]
    stats = session.stats()
    return Figures(
        interruptions=count,
        in_speech=in_speech,
        moments=len(taken),
        old_sound_ms=(float(np.median(old)), float(np.percentile(old, 99)), max(old)),
        after_return=sum(
            sum(said == utterance and at > returned for at, _, _, said in taken) > 1 for _, returned, utterance in calls
        ),
        lost_s=abs(count * PUSHED_S - told_s),
        late_ms=(float(np.percentile(late, 99)), max(late)),
        late_pictures=stats.late_pictures,
        held_before=before,
        held_after=after,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--face", required=True, help="picture or video")
    parser.add_argument("--model", default="viseme")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    head = th.load(options.model)
    avatar = head.prepare(options.face)
    with head.live(avatar) as session:
        figures = interrupt_often(session, options.count, options.seed)
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("live-")]
    for name, value in asdict(figures).items():
        print(f"{name:14} {value}")
    print(f"{'threads left':14} {left}")
    if options.json:
        options.json.write_text(json.dumps(asdict(figures), indent=2), encoding="utf-8")
    return 1 if left or figures.after_return else 0


if __name__ == "__main__":
    sys.exit(main())
