"""Frames in any order from what can only be decoded forward: kept in memory, or decoded again in stretches that fit."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame, MediaInfo
from talkinghead.errors import OptionError, UnreadableMedia
from talkinghead.files import file_sha256
from talkinghead.media.limits import MAX_SLOTS
from talkinghead.media.options import FrameOptions
from talkinghead.media.timing import Timeline
from talkinghead.media.transform import Transform, content_digest, frame_indices

Indices = NDArray[np.int64]


PictureT = TypeVar("PictureT")


class Playback(Generic[PictureT]):
    """The frames of a source; several threads may read at once.

    If all of them fit into the limit, they are decoded once and kept: as frames, or, where that is less, as the
    decoder gives them (YUV with shared chroma is half of RGB), and then a frame is made again each time it is read.

    Args:
        slots: [n] int64 decoded picture of each frame that comes out, not decreasing.
        frame_bytes: of one frame that comes out.
        picture_bytes: of one decoded picture.
        cache_bytes: limit of what is kept; also bounds reading backwards.
        decode: yields (index, picture) for strictly increasing indices; between them, in order, it may give others
            for which `keeps` is true and which it had to decode on the way.
        finish: makes the frame of a picture, which stays as it is; called by several threads.
        starts: pictures at which decoding can begin.
    """

    def __init__(
        self,
        slots: Indices,
        *,
        frame_bytes: int,
        picture_bytes: int,
        cache_bytes: int,
        decode: Callable[[Indices], Generator[tuple[int, PictureT], None, None]],
        finish: Callable[[PictureT], Frame],
        starts: frozenset[int] = frozenset({0}),
    ) -> None:
        self._slots = slots
        self._room = max(1, cache_bytes // frame_bytes)
        self._starts = starts
        self._lock = threading.Lock()
        self._decode, self._finish = decode, finish
        self._values: Callable[[Indices], Generator[tuple[int, Any], None, None]] = self._finished
        """Decodes what may be kept: frames, or pictures."""
        self._shown: Callable[[Any], Frame] = _as_it_is
        """The frame of such a value."""
        distinct = 1 + int(np.count_nonzero(np.diff(slots)))
        self._kept: dict[int, Any] | None = {} if distinct * min(frame_bytes, picture_bytes) <= cache_bytes else None
        self._wanted: frozenset[int] = frozenset()
        if self._kept is not None and picture_bytes < frame_bytes:
            self._values, self._shown = decode, finish
            self._wanted = frozenset(slots.tolist())

    def __len__(self) -> int:
        return len(self._slots)

    def keeps(self, index: int) -> bool:
        """Whether a decoded picture that nobody asked for is wanted all the same."""
        return index in self._wanted

    def forget(self) -> None:
        """Let go of what is kept; it is decoded again when it is wanted."""
        with self._lock:
            if self._kept is not None:
                self._kept.clear()

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        """See `FrameSource.read`."""
        wanted = frame_indices(start, stop, step, len(self))
        sources = (
            self._slots[wanted.start : wanted.stop : step] if step > 0 else self._slots[np.array(wanted, np.int64)]
        )
        return self._forward(sources) if step > 0 else self._backward(sources)

    def _forward(self, sources: Indices) -> Iterator[Frame]:
        """Frames of not decreasing picture indices."""
        last, frame = -1, None
        distinct = np.unique(sources)
        with closing(self._values(distinct) if self._kept is None else self._through_kept(distinct)) as values:
            for source in sources.tolist():
                if source != last:
                    frame = None  # large ones are not to be there twice
                    last, frame = source, self._shown(next(values)[1])
                assert frame is not None
                yield frame

    def _finished(self, sources: Indices) -> Generator[tuple[int, Frame], None, None]:
        """Decode frames of strictly increasing indices."""
        with closing(self._decode(sources)) as pictures:
            for source, picture in pictures:
                yield source, self._finish(picture)

    def _through_kept(self, sources: Indices) -> Generator[tuple[int, Any], None, None]:
        """Values of strictly increasing indices; what was decoded is kept."""
        assert self._kept is not None
        at = 0
        while at < len(sources):
            with self._lock:
                value = self._kept.get(int(sources[at]))
            if value is not None:
                yield int(sources[at]), value
                at += 1
                continue
            with closing(self._newly_kept(sources[at:])) as fresh:
                for source, value in fresh:
                    if source != sources[at]:
                        continue
                    yield source, value
                    at += 1
                    with self._lock:
                        known = at < len(sources) and int(sources[at]) in self._kept
                    if known:
                        break

    def _newly_kept(self, sources: Indices) -> Generator[tuple[int, Any], None, None]:
        """Decode and keep values of strictly increasing indices, and those on the way."""
        assert self._kept is not None
        with closing(self._values(sources)) as fresh:
            for source, value in fresh:
                with self._lock:
                    kept = self._kept.setdefault(source, value)
                yield source, kept

    def _backward(self, sources: Indices) -> Iterator[Frame]:
        """Frames of not increasing picture indices, decoded forward in stretches that fit the byte limit."""
        if self._kept is not None:
            ascending = np.unique(sources)
            with self._lock:
                missing = [int(source) for source in ascending if int(source) not in self._kept]
            for _ in self._newly_kept(np.array(missing, np.int64)):
                pass
            last, frame = -1, None
            for source in sources.tolist():
                if source != last:
                    with self._lock:
                        value = self._kept.get(source)
                    if value is None:  # `forget` was called meanwhile
                        value = dict(self._newly_kept(np.array([source], np.int64)))[source]
                    last, frame = source, self._shown(value)
                assert frame is not None
                yield frame
            return
        distinct = np.unique(sources)
        at = 0
        high = len(distinct)
        while high > 0:
            low = max(0, high - self._room)
            for cut in range(low, high):  # better to end a stretch where decoding can begin: nothing is done twice
                if int(distinct[cut]) in self._starts:
                    low = cut
                    break
            frames = dict(self._finished(distinct[low:high]))
            while at < len(sources) and int(sources[at]) in frames:
                yield frames[int(sources[at])]
                at += 1
            high = low


def _as_it_is(frame: Frame) -> Frame:
    return frame


class PlayedSource:
    """What sources of frames have in common that are decoded forward and come out of a `Playback`.

    A subclass names its kind and sets the attributes.
    """

    KIND: ClassVar[str]
    """Stands in the hash of what is shown, so that one file read in two ways has two."""
    _path: Path
    _options: FrameOptions
    _info: MediaInfo
    _fps: Fraction
    _transform: Transform
    _playback: Playback[Any]

    @property
    def info(self) -> MediaInfo:
        return self._info

    @property
    def fps(self) -> Fraction | None:
        return self._fps

    @property
    def size(self) -> tuple[int, int]:
        return self._transform.size

    @property
    def content_hash(self) -> str:
        return content_digest(file_sha256(self._path), self._options, self.KIND)

    def __len__(self) -> int:
        return len(self._playback)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget kept frames; reading again decodes them anew."""
        self._playback.forget()

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        return self._playback.read(start, stop, step)


def slots_of(line: Timeline, fps: Fraction, options: FrameOptions, path: Path) -> Indices:
    """[n] int64 decoded frame of each frame that comes out at a constant rate, between `start_s` and `duration_s`."""
    wanted = _time_window(line.num_slots(fps), fps, options, path)
    slots = line.source_of_slots(fps, wanted.start, wanted.stop)
    return np.arange(wanted.start, wanted.stop, dtype=np.int64) if slots is None else slots


def _time_window(count: int, fps: Fraction, options: FrameOptions, path: Path) -> range:
    """The frames between `start_s` and the end of `duration_s`: from the one that is shown at the start.

    Args:
        count: frames that there are, at `fps`.
    Raises:
        OptionError: nothing is there, or too much.
    """
    first = math.floor(_seconds(options.start_s) * fps)
    if first >= count:
        raise OptionError(
            f"start_s {options.start_s:g} is past the end of {path.name}.",
            accepted=f"0 to {float(count / fps):.2f} seconds",
        )
    stop = count
    if options.duration_s is not None:
        stop = min(count, first + max(1, math.ceil(_seconds(options.duration_s) * fps)))
    if stop - first > MAX_SLOTS:
        raise UnreadableMedia(
            f"{str(path)!r} lasts {float(count / fps) / 3600:.1f} hours by its timestamps: "
            f"{stop - first} frames at {float(fps):g} per second.",
            accepted=f"at most {MAX_SLOTS} frames",
            remedy="a lower --fps, or a part of it (--face-start and --face-duration)",
        )
    return range(first, stop)


def _seconds(value: float) -> Fraction:
    """The decimal fraction that was meant by a float: 0.04 is 1/25."""
    return Fraction(value).limit_denominator(1_000_000)
