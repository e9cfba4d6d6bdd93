"""Animated WebP, PNG (APNG) and AVIF as frames: put together as they appear, at their own times.

Partial frames, what happens to a frame before the next (disposal) and transparency over the frame before (blending)
are the decoder's work; what is still transparent at the end shows white. How often a file wants to be repeated does
not matter: the face is shown as long as the speech lasts.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from fractions import Fraction
from math import lcm
from pathlib import Path

import numpy as np

from talkinghead.contracts import Frame, MediaInfo
from talkinghead.media.headers import MAX_FRAMES, Header
from talkinghead.media.options import FrameOptions
from talkinghead.media.pictures import animation_frames, damaged, load, meaning_of, stored_numbers
from talkinghead.media.playback import Indices, Playback, PlayedSource, slots_of
from talkinghead.media.srgb import to_srgb
from talkinghead.media.timing import MAX_RATE, Timeline, timeline, with_last
from talkinghead.media.transform import Transform, resized

CHUNK_BYTES = 128 * 1024 * 1024
"""Frames that are decoded at once: the decoder begins anew each time, and skips those before."""
TOO_SHORT = 1 / MAX_RATE
"""Seconds below which a frame's duration is not meant, most often none: it is shown as long as one of a GIF."""
USUAL = Fraction(1, 10)
_FINEST, _FINE = 10_000_000, 100_000
"""Ticks per second: the most for an exact clock, and those where the durations have no common one."""


class AnimationSource(PlayedSource):
    """An animated picture as a source of frames at a constant rate; several threads may read at once."""

    KIND = "animation"

    def __init__(self, path: Path, options: FrameOptions, opened: tuple[bytes, Header] | None = None) -> None:
        self._path = path
        self._options = options
        self._lock = threading.Lock()
        self._lost: set[int] = set()
        self._data, self._header = opened or load(path, options)
        header = self._header
        self._notes: list[str] = []
        first = self._decoded(0, 1)
        if not first:
            raise damaged(path, header.kind)
        self._first = first[0]
        height, width = self._first.shape[:2]
        self._transform = Transform.plan(width, height, options, header.turn)
        self._timeline, notes = timeline_of(header)
        self._notes += notes
        if len(header.durations) >= MAX_FRAMES:
            self._notes.append(f"{path.name} is very long; its first {MAX_FRAMES} frames are used.")
        self._fps = options.fps or self._timeline.fine_rate
        slots = slots_of(self._timeline, self._fps, options, path)
        frame_bytes = 3 * self._transform.size[0] * self._transform.size[1]
        self._playback = Playback(
            slots,
            frame_bytes=frame_bytes,
            picture_bytes=3 * width * height,
            cache_bytes=options.cache_bytes,
            decode=self._frames,
            finish=self._transform.apply,
        )
        shown = header.turn.size(width, height)
        own = self._timeline.source_of_slots(self._timeline.rate)
        self._info = MediaInfo(
            path=path,
            kind="video",
            width=shown[0],
            height=shown[1],
            fps=self._timeline.rate,
            num_frames=len(self._timeline) if own is None else len(own),
            duration_s=float(self._timeline.duration_s),
            has_audio=False,
            codec=header.kind,
            rotation_degrees=header.turn.degrees,
            variable_frame_rate=not self._timeline.constant,
        )

    @property
    def timeline(self) -> Timeline:
        """When each picture of the file is shown."""
        return self._timeline

    @property
    def warnings(self) -> tuple[str, ...]:
        with self._lock:
            lost = len(self._lost)
        if not lost:
            return tuple(self._notes)
        return (
            *self._notes,
            f"{lost} of {len(self._timeline)} frames cannot be decoded; the frame before each is shown instead.",
        )

    def _frames(self, sources: Indices) -> Generator[tuple[int, Frame], None, None]:
        """Decode pictures of strictly increasing indices, not yet transformed."""
        pixels = self._header.width * self._header.height
        count = max(1, int(CHUNK_BYTES // (pixels * self._header.pixel_bytes)))
        at = 0
        before = self._first
        while at < len(sources):
            start = int(sources[at])
            decoded = self._decoded(start, count)
            while at < len(sources) and sources[at] < start + count:
                place = int(sources[at]) - start
                if place < len(decoded):
                    before = decoded[place]
                else:
                    before = decoded[-1] if decoded else before
                    with self._lock:
                        self._lost.add(int(sources[at]))
                yield int(sources[at]), before
                at += 1

    def _decoded(self, start: int, count: int) -> list[Frame]:
        """Frames [start, start + count) before any turn; fewer if the file is damaged."""
        header = self._header
        frames: list[Frame] = []
        for numbers in animation_frames(self._data, start, min(count, len(header.durations) - start)):
            stored = stored_numbers(numbers, header)
            frame, notes = to_srgb(stored.numbers, stored.full, meaning_of(header), premultiplied=stored.premultiplied)
            with self._lock:
                self._notes += [note for note in (*stored.notes, *notes) if note not in self._notes]
            if header.crop is not None:
                top, bottom, left, right = header.crop
                frame = np.ascontiguousarray(frame[top:bottom, left:right])
            if frames and frame.shape != frames[0].shape:
                frame = resized(frame, (frames[0].shape[1], frames[0].shape[0]))
            frames.append(frame)
        return frames


def timeline_of(header: Header) -> tuple[Timeline, tuple[str, ...]]:
    """When each frame of an animation is shown, and sentences about what was repaired."""
    shown_s = [USUAL if duration < TOO_SHORT else duration for duration in header.durations]
    clock = lcm(1000, *(duration.denominator for duration in set(shown_s)))
    clock = clock if clock <= _FINEST else _FINE
    times = np.cumsum([0, *(max(1, round(duration * clock)) for duration in shown_s)]).astype(np.int64)
    hints = (1 / shown_s[0], 1 / min(shown_s))
    last, time_base = int(times[-1] - times[-2]), Fraction(1, clock)
    line, notes = timeline(times[:-1], time_base, hints, last)
    return with_last(line, last, time_base), notes
