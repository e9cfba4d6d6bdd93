"""Sound is heard when its timestamps say: packets that are lost, clocks that run slow or fast, timestamps that lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from talkinghead.media import read_audio, read_audio_native
from talkinghead.media.clock import BLOCK_SAMPLES, Block, OneShape, SoundClock
from talkinghead.media.resampling import Resampler
from tests.sound_files import clicks, found_clicks, write_stream

RATE = 48_000
SECONDS = 20.0
AT = (0.5, 4.4, 9.25, 13.1, 19.5)
SOUND = clicks(SECONDS, RATE, AT)
WITHIN_S = 0.05


def lost(count: int, every: int) -> Callable[[int, float, float], float | None]:
    """Loses `count` packets of `every`, but none with a click."""

    def restamp(number: int, time: float, length: float) -> float | None:
        near = any(time - 0.03 < at < time + length + 0.03 for at in AT)
        return None if number > 20 and number % every < count and not near else time

    return restamp


def heard(path: Path) -> tuple[list[float], float, list[str]]:
    """Clicks in what is listened to, its length, and what was said."""
    warnings: list[str] = []
    clip = read_audio(path, RATE, warnings=warnings)
    return found_clicks(clip.samples, RATE), float(clip.duration_s), warnings


def assert_on_time(found: list[float], wanted: list[float]) -> None:
    assert len(found) == len(wanted)
    assert np.abs(np.array(found) - wanted).max() < WITHIN_S


@pytest.mark.parametrize(
    ("name", "frame_ms", "count", "every"),
    [
        ("a.ogg", 20, 1, 10),
        ("a.ogg", 20, 1, 23),
        ("a.ogg", 20, 3, 60),
        ("a.ogg", 40, 1, 17),
        ("a.ogg", 60, 1, 19),
        ("a.webm", 20, 1, 13),
        ("a.mkv", 20, 3, 40),
        ("a.mp4", 60, 1, 11),
    ],
)
def test_packets_of_opus_that_are_lost_are_silent(
    name: str, frame_ms: int, count: int, every: int, tmp_path: Path
) -> None:
    options = {"frame_duration": str(frame_ms)}
    path = write_stream(tmp_path / name, SOUND, RATE, "libopus", restamp=lost(count, every), codec_options=options)
    found, duration_s, warnings = heard(path)
    assert_on_time(found, list(AT))
    assert duration_s == pytest.approx(SECONDS, abs=0.05)
    assert "are missing" in warnings[0]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "pace"),
    [
        ("a.m4a", 1.01),
        ("a.m4a", 0.99),
        ("a.mkv", 1.01),
        ("a.mkv", 0.96),
        ("a.ts", 1.002),
        ("a.flv", 1.04),
        ("a.mov", 0.9),
    ],
)
def test_a_track_that_is_stamped_slow_or_fast_keeps_its_time(name: str, pace: float, tmp_path: Path) -> None:
    path = write_stream(tmp_path / name, SOUND, RATE, "aac", restamp=lambda _, time, __: time * pace)
    found, duration_s, warnings = heard(path)
    assert_on_time(found, [at * pace for at in AT])
    assert duration_s == pytest.approx(SECONDS * pace, abs=0.06)
    assert "stretched" in warnings[0]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "step_s"), [("a.m4a", 0.03), ("a.m4a", -0.03), ("a.mkv", 0.045), ("a.mkv", -0.045), ("a.ts", 0.03)]
)
def test_gaps_and_overlaps_add_up(name: str, step_s: float, tmp_path: Path) -> None:
    """A step each second, none of which would be noticed alone."""
    path = write_stream(tmp_path / name, SOUND, RATE, "aac", restamp=lambda _, time, __: time + step_s * int(time))
    found, duration_s, warnings = heard(path)
    assert_on_time(found, [at + step_s * int(at) for at in AT])
    assert duration_s == pytest.approx(SECONDS + 19 * step_s, abs=0.08)
    assert ("are missing" if step_s > 0 else "other sound") in warnings[0]


def test_one_wrong_timestamp_moves_nothing(tmp_path: Path) -> None:
    plain, _ = read_audio_native(write_stream(tmp_path / "a.mkv", SOUND, RATE, "aac"))
    path = write_stream(
        tmp_path / "b.mkv", SOUND, RATE, "aac", restamp=lambda n, time, _: time + (0.015 if n == 300 else 0.0)
    )
    assert np.array_equal(read_audio_native(path)[0], plain)


def test_timestamps_that_scatter_move_nothing(tmp_path: Path) -> None:
    """As browsers and screen recorders write them, in bursts."""
    plain, _ = read_audio_native(write_stream(tmp_path / "a.mkv", SOUND, RATE, "libopus"))
    path = write_stream(tmp_path / "b.mkv", SOUND, RATE, "libopus", restamp=lambda n, time, _: time + 0.004 * (n % 4))
    assert np.array_equal(read_audio_native(path)[0], plain)


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "flac"), ("a.mkv", "libmp3lame"), ("a.mov", "pcm_s16le")])
def test_exact_sound_is_given_bit_by_bit(name: str, codec: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (88_200, 2)).astype(np.float32)
    clock = SoundClock()
    path = write_stream(tmp_path / name, noise, 44_100, codec)
    native, _ = read_audio_native(path)
    if codec != "libmp3lame":
        assert np.abs(native - noise).max() <= 1 / 32768
    blocks = [Block(native[at : at + 1152], 44_100, "stereo", round(at / 44.1) / 1000) for at in range(0, 88_200, 1152)]
    kept = np.concatenate([block.samples for block in clock.keep(blocks)])
    assert np.array_equal(kept, native)
    assert (clock.filled_s, clock.dropped_s, clock.stretched_s) == (0, 0, 0)


@pytest.mark.parametrize("back_s", [0.0, 0.7])
def test_timestamps_that_begin_again_are_another_recording(back_s: float) -> None:
    """Two recordings in one file: nothing of the second is taken for an overlap."""
    half = [Block(np.full((480, 1), 0.5, np.float32), RATE, "mono", k / 100) for k in range(200)]
    again = [Block(block.samples, RATE, "mono", (block.time_s or 0) + back_s) for block in half]
    clock = SoundClock()
    assert sum(len(block.samples) for block in clock.keep([*half, *again])) == 2 * 200 * 480
    assert clock.dropped_s == 0


def test_holes_longer_than_ten_minutes_are_no_holes() -> None:
    jump = [0.0 if k < 50 else 700.0 for k in range(100)]
    blocks = [Block(np.ones((480, 1), np.float32), RATE, "mono", k / 100 + jump[k]) for k in range(100)]
    assert sum(len(block.samples) for block in SoundClock().keep(blocks)) == 100 * 480


def test_another_rate_comes_in_blocks_of_bounded_size() -> None:
    """The whole of it equals the resampling of the whole."""
    noise = np.random.default_rng(0).uniform(-1, 1, (30_000, 1)).astype(np.float32)
    shape = OneShape(384_000, "mono", 1)
    out = [*shape.push(Block(np.zeros((10, 1), np.float32), 384_000, "mono"))]
    out += [*shape.push(Block(noise, 8_000, "mono")), *shape.finish()]
    assert max(map(len, out)) <= 2 * BLOCK_SAMPLES
    whole = Resampler(8_000, 384_000, 1)
    wanted = np.concatenate([whole.push(noise), whole.finish()])
    assert np.abs(np.concatenate(out)[10:] - wanted).max() < 1e-5
    assert shape.changes == 1
