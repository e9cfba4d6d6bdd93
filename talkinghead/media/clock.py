"""Decoded sound on the clock of its file, and in one rate and layout from the first block to the last.

Every timestamp is compared with all samples given so far, not with the block before, so that small differences add up:

    stamped    |A   |B   |    |C   |         a packet is lost: C is stamped later than A and B are long,
    given      |A   |B   |~~~~|C   |         and silence stands where it was
    stamped    |A    |B    |C    |           every block is stamped a little late: the clocks differ,
    given      |A~   |B~   |C~   |           and the blocks are stretched to follow

A difference counts as far as this and the next blocks agree on it: one wrong timestamp, or timestamps that scatter,
move nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import av
import numpy as np

from talkinghead.contracts import FloatArray
from talkinghead.media.limits import MAX_GAP_S
from talkinghead.media.resampling import Resampler

if TYPE_CHECKING:
    from av.container import InputContainer

BLOCK_SAMPLES = 1 << 15
"""Samples that are made at a time, where silence is filled in or another rate resampled."""
AGREEMENT_S = 0.25
"""Blocks that begin so soon after a block are asked whether they agree with its timestamp."""
AGREEMENT_BLOCKS = 24
STEP_S = 0.008
"""Shorter holes and overlaps are rounding; the timestamps of FLV and Matroska are whole milliseconds."""
DRIFT_S = 0.010
"""A difference that came slowly is made good from here on."""
SETTLED_S = 0.001
GENTLE, GENTLE_AFTER_S = 0.01, 0.5
"""Part of a block by which it is stretched at most while the difference is small, and the time to make it good."""
FIRM_FROM_S, FIRM_AFTER_S, FIRMEST = 0.012, 0.15, 0.15
"""Beyond this difference it is made good faster, by at most this part of a block."""
LIMIT_S = 0.04
"""No difference grows larger: silence is put in, or sound left out, wherever it is."""
MAX_LOST_START_S = 1.0
"""What begins later was cut out of a longer recording."""
PAGE_S, PAGE_BLOCKS = 1.0, 400
FIRST_HOLE_S = 0.1
MAX_OVERLAP_S = 0.5
"""A longer step back is no overlap: the timestamps begin again."""
STANDS_OUT = 0.2
"""Part of a block that is a step; less is a clock that runs at another pace."""

CLOCKED = {"mov", "mp4", "matroska", "webm", "ogg", "mpegts", "mpeg", "flv", "asf", "flac"}
"""Containers whose timestamps say when sound is heard. In others FFmpeg counts the samples itself; frames of FLAC carry
their number."""
FROM_ZERO = {"mov", "mp4", "matroska", "webm"}
"""Containers whose clock begins at zero: a sound that begins later begins late."""


def has_clock(container: InputContainer, names: Iterable[str] = frozenset(CLOCKED)) -> bool:
    """Whether a container is one of `names`."""
    return not set(names).isdisjoint(container.format.name.split(","))


@dataclass(frozen=True, eq=False)
class Block:
    """Decoded sound."""

    samples: FloatArray
    """[n, channels] float32."""
    sample_rate_hz: int
    layout: str
    time_s: float | None = None
    """When it is heard, by the file's clock."""

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate_hz


class _Waiting(NamedTuple):
    block: Block
    ahead_s: float | None
    """Its timestamp less the sound of this pass before it."""


class SoundClock:
    """Puts blocks where their timestamps say, and remembers what that took."""

    def __init__(self) -> None:
        self.filled_s = 0.0
        """Silence that was put in."""
        self.dropped_s = 0.0
        """Sound that was left out, because other sound is stamped with its time."""
        self.stretched_s = 0.0
        """By how much blocks were made longer and shorter, added up."""

    def keep(
        self, blocks: Iterable[Block], *, from_zero: bool = False, paged: bool = False, end_s: float | None = None
    ) -> Iterator[Block]:
        """The blocks, with silence between them, cut and stretched where need be. For one piece of a file.

        Args:
            from_zero: what begins less than MAX_LOST_START_S after zero has lost its beginning; else the first
                timestamp, whatever it is, is where the sound begins.
            paged: only the end of each page of PAGE_S is stamped, as in Ogg. What is lost of a page may be anywhere in
                it, and is made good little by little.
            end_s: when the last page ends, by the file.
        """
        return _Pass(self, from_zero, paged, end_s).run(blocks)


class _Pass:
    """One piece of a file on the clock."""

    def __init__(self, clock: SoundClock, from_zero: bool, paged: bool, end_s: float | None) -> None:
        self._clock = clock
        self._from_zero = from_zero
        self._end_s = end_s
        self._ask_s, self._ask_blocks = (PAGE_S, PAGE_BLOCKS) if paged else (AGREEMENT_S, AGREEMENT_BLOCKS)
        self._page: deque[tuple[float, float]] | None = deque(maxlen=PAGE_BLOCKS) if paged else None
        """(`_read_s`, `ahead_s`) of the last blocks that have timestamps, one page of them."""
        self._waiting: deque[_Waiting] = deque()
        self._read_s = 0.0
        """Sound that was read."""
        self._lead_in_s = 0.0
        """Length of the first block."""
        self._waiting_s = 0.0
        self._first_s: float | None = None
        self._moved_s = 0.0
        """What was put in less what was left out, and the time of the first block: `ahead_s` of a block in place."""
        self._before_s: float | None = None
        """`ahead_s` of the block before."""
        self._drifts = False

    def run(self, blocks: Iterable[Block]) -> Iterator[Block]:
        for block in blocks:
            self._take(block)
            while self._waiting_s > self._ask_s + self._waiting[0].block.duration_s and len(self._waiting) > 1:
                yield from self._give()
            if len(self._waiting) > self._ask_blocks:
                yield from self._give()
        self._reach_the_end()
        while self._waiting:
            yield from self._give()

    def _take(self, block: Block) -> None:
        ahead_s = None if block.time_s is None else self._spread(block.time_s - self._read_s)
        if ahead_s is not None and self._first_s is None:
            self._first_s, self._moved_s = block.time_s, ahead_s
            if self._from_zero and 0 < ahead_s < MAX_LOST_START_S:
                self._moved_s = self._before_s = 0.0
        elif ahead_s is not None and self._read_s == self._lead_in_s and begins_later(ahead_s - self._moved_s):
            self._moved_s = ahead_s
            self._waiting[0] = self._waiting[0]._replace(ahead_s=ahead_s)
        if not self._read_s:
            self._lead_in_s = block.duration_s
        self._waiting.append(_Waiting(block, ahead_s))
        self._read_s += block.duration_s
        self._waiting_s += block.duration_s

    def _reach_the_end(self) -> None:
        """Spread what the last page lost over the blocks that are left: only the file's end tells of it."""
        if self._end_s is None or not self._waiting or self._waiting[0].ahead_s is None:
            return
        first_s = self._waiting[0].ahead_s
        lost_s = self._end_s - self._read_s - first_s
        if STEP_S < lost_s < MAX_OVERLAP_S:
            count = len(self._waiting)
            for place, waiting in enumerate(self._waiting):
                self._waiting[place] = waiting._replace(ahead_s=first_s + lost_s * (place + 1) / count)

    def _spread(self, ahead_s: float) -> float:
        """What a timestamp says of a block, as it is; in pages spread over what is one page."""
        if self._page is None:
            return ahead_s
        if not self._page and self._from_zero and ahead_s < MAX_LOST_START_S:
            self._page.append((0.0, 0.0))
        self._page.append((self._read_s, ahead_s))
        while len(self._page) > 1 and self._page[1][0] <= self._read_s - PAGE_S:
            self._page.popleft()
        if abs(ahead_s - self._page[0][1]) > MAX_OVERLAP_S:
            return ahead_s
        return sum(ahead for _, ahead in self._page) / len(self._page)

    def _agreed(self) -> float:
        """How much later than it would be given the next block is stamped, as far as those after it say so too."""
        own_s = self._waiting[0].ahead_s
        if own_s is None or abs(own_s - self._moved_s) < SETTLED_S:
            return 0.0
        late = [ahead_s - self._moved_s for _, ahead_s in self._waiting if ahead_s is not None]
        if len(late) < 2:
            return 0.0
        low, high = min(late), max(late)
        return low if low > 0 else min(high, 0.0)

    def _give(self) -> Iterator[Block]:
        late_s = self._agreed()
        block, ahead_s = self._waiting.popleft()
        self._waiting_s -= block.duration_s
        step_s = 0.0 if ahead_s is None or self._before_s is None else ahead_s - self._before_s
        if ahead_s is not None:
            self._before_s = ahead_s
        if abs(late_s) < SETTLED_S:
            self._drifts = False
            yield block
        elif late_s > MAX_GAP_S or (late_s < 0 and self._begins_again(late_s, block.time_s)):
            self._moved_s += late_s
            yield block
        elif self._is_step(late_s, step_s, block.duration_s):
            yield from self._filled(block, late_s) if late_s > 0 else self._cut(block, -late_s)
        elif self._drifts or abs(late_s) > DRIFT_S:
            self._drifts = True
            yield self._stretched(block, late_s)
        else:
            yield block

    def _begins_again(self, late_s: float, time_s: float | None) -> bool:
        """Whether timestamps that go back do so because another recording begins."""
        near_first = time_s is not None and self._first_s is not None and time_s <= self._first_s + LIMIT_S
        return late_s < -MAX_OVERLAP_S or near_first

    def _is_step(self, late_s: float, step_s: float, duration_s: float) -> bool:
        if abs(late_s) > (LIMIT_S if self._page is None else STEP_S):
            return True
        stands_out = abs(step_s) > max(STEP_S, STANDS_OUT * duration_s) and step_s * late_s > 0
        return stands_out and abs(late_s) > STEP_S

    def _filled(self, block: Block, late_s: float) -> Iterator[Block]:
        missing = round(late_s * block.sample_rate_hz)
        self._clock.filled_s += missing / block.sample_rate_hz
        self._moved_s += missing / block.sample_rate_hz
        yield from silence(block, missing)
        yield block

    def _cut(self, block: Block, early_s: float) -> Iterator[Block]:
        over = min(len(block.samples), round(early_s * block.sample_rate_hz))
        self._clock.dropped_s += over / block.sample_rate_hz
        self._moved_s -= over / block.sample_rate_hz
        if over < len(block.samples):
            yield replace(block, samples=block.samples[over:])

    def _stretched(self, block: Block, late_s: float) -> Block:
        far_s = max(0.0, abs(late_s) - FIRM_FROM_S)
        part = min(abs(late_s) / GENTLE_AFTER_S, GENTLE) + far_s / FIRM_AFTER_S
        most = min(abs(late_s), min(part, FIRMEST) * block.duration_s)
        count = len(block.samples)
        more = round(np.copysign(most, late_s) * block.sample_rate_hz)
        if more == 0 or not 2 <= count <= block.sample_rate_hz:
            return block
        self._clock.stretched_s += abs(more) / block.sample_rate_hz
        self._moved_s += more / block.sample_rate_hz
        at = np.linspace(0, count - 1, count + more)
        old = np.arange(count)
        channels = [np.interp(at, old, channel) for channel in block.samples.T]
        return replace(block, samples=np.stack(channels, axis=1).astype(np.float32))


def begins_later(hole_s: float) -> bool:
    """Whether a hole after the very first block means that the sound begins after it.

    Writers of fragmented MP4 cannot say that a track begins late: they stamp its first block with zero and give it a
    length that reaches to the second.
    """
    return FIRST_HOLE_S < hole_s <= MAX_GAP_S


def silence(like: Block, samples: int) -> Iterator[Block]:
    """So many samples of silence, in pieces."""
    while samples > 0:
        part = min(samples, BLOCK_SAMPLES)
        yield replace(like, samples=np.zeros((part, like.samples.shape[1]), np.float32), time_s=None)
        samples -= part


class OneShape:
    """Blocks of any rate and layout as samples of one: what differs from the first block is resampled and remixed.

    Args:
        sample_rate_hz, layout: of what comes out; blocks that have these pass unchanged.
    """

    def __init__(self, sample_rate_hz: int, layout: str, num_channels: int) -> None:
        self._rate, self._layout, self._channels = sample_rate_hz, layout, num_channels
        self._resampler: Resampler | None = None
        self._from: tuple[int, str, int] | None = None
        self._mix: av.AudioResampler | None = None
        self.changes = 0
        """How often the rate or the number of channels changed."""

    def push(self, block: Block) -> Iterator[FloatArray]:
        shape = (block.sample_rate_hz, block.layout, block.samples.shape[1])
        if shape != self._from:
            yield from self.finish()
            self._change(shape)
        if self._resampler is None:
            yield block.samples
            return
        step = max(1, BLOCK_SAMPLES * block.sample_rate_hz // self._rate)  # so that what comes out is no larger
        for at in range(0, len(block.samples), step):
            out = self._resampler.push(self._mixed(replace(block, samples=block.samples[at : at + step])))
            if len(out):
                yield out

    def finish(self) -> Iterator[FloatArray]:
        """What the resampler still holds."""
        if self._resampler is not None:
            rest = self._resampler.finish()
            self._resampler = None
            if len(rest):
                yield rest

    def _change(self, shape: tuple[int, str, int]) -> None:
        rate, layout, channels = shape
        before, self._from = self._from, shape
        same = (rate, channels) == (self._rate, self._channels)
        self.changes += before is not None and (before[0], before[2]) != (rate, channels)
        self._mix = None
        self._resampler = None if same else Resampler(rate, self._rate, self._channels)
        named = not any(name.endswith("channels") for name in (layout, self._layout))
        if channels != self._channels and 1 not in (channels, self._channels) and named:
            self._mix = av.AudioResampler(format="fltp", layout=self._layout, rate=rate)

    def _mixed(self, block: Block) -> FloatArray:
        """The block's samples in the channels that come out: a single one goes to all, all go to a single one."""
        samples = block.samples
        if samples.shape[1] == self._channels:
            return samples
        if self._mix is None:
            mean = samples.mean(axis=1, keepdims=True)
            return np.repeat(mean, self._channels, axis=1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=block.layout)
        frame.sample_rate = block.sample_rate_hz
        parts = [part.to_ndarray().T for part in self._mix.resample(frame)]
        return np.ascontiguousarray(np.concatenate(parts), np.float32) if parts else samples[:0, : self._channels]
