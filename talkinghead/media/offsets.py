"""How far apart the pictures and the sound of one file begin."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkinghead.errors import MediaError, NoVideoStream
from talkinghead.media.clock import CLOCKED, FROM_ZERO, begins_later, has_clock
from talkinghead.media.container import (
    audio_stream,
    decode_packet,
    limit_decoder,
    open_input,
    packets,
    sound_frames,
    video_stream,
)
from talkinghead.media.limits import MAX_GAP_S

if TYPE_CHECKING:
    from av.container import InputContainer

NOTICEABLE_S = Fraction(1, 10)
"""A smaller offset is not worth a sentence where it is dropped."""
MAX_FIRST_PACKETS = 10_000
"""Among so many packets the first picture is looked for."""
KEPT_FROM_S = Fraction(1, 50)
"""A smaller offset is not kept: half a frame, and what containers leave of a codec's delay."""


@dataclass(frozen=True)
class SoundOffset:
    """Where the sound of a file begins."""

    seconds: Fraction
    """How much later than the first picture, or without pictures than the file's own beginning; may be negative."""
    pictures: bool
    """Whether the file has pictures."""

    @property
    def kept(self) -> Fraction:
        """The seconds that count where pictures and sound of the file are shown together; none if they cannot be."""
        return self.seconds if self.pictures and KEPT_FROM_S <= abs(self.seconds) <= MAX_GAP_S else Fraction(0)

    def dropped(self, name: str) -> str:
        """A sentence about the offset where the sound is used alone; empty if nobody would notice."""
        if abs(self.seconds) < NOTICEABLE_S:
            return ""
        side = "after" if self.seconds > 0 else "before"
        beside = "its pictures" if self.pictures else "the file does"
        return (
            f"The sound of {name} begins {abs(float(self.seconds)):.2f} s {side} {beside}; it is used alone, "
            "and from its first sample on."
        )


def sound_offset(path: Path) -> SoundOffset:
    """How much later than the pictures of a file its sound begins; zero where nothing can tell.

    Raises:
        MediaNotFound, UnreadableMedia, NoAudioStream
    """
    sound_s, from_zero = _first_sound(path)
    if sound_s is None:
        return SoundOffset(Fraction(0), pictures=False)
    try:
        picture_s = _first_picture(path)
    except NoVideoStream:
        return SoundOffset(sound_s if from_zero else Fraction(0), pictures=False)
    except MediaError:
        picture_s = None
    if picture_s is None:
        return SoundOffset(Fraction(0), pictures=False)
    return SoundOffset(sound_s - picture_s, pictures=True)


def _first_sound(path: Path) -> tuple[Fraction | None, bool]:
    """Time of the first sample, and whether the file's clock begins at zero."""
    with open_input(path, sound_only=True) as container:
        if not has_clock(container, CLOCKED):
            return None, False
        from_zero = has_clock(container, FROM_ZERO)
        frames = sound_frames(container, audio_stream(container, path), path)
        first, second = (next((frame for frame in frames if frame is not None and frame.samples), None) for _ in "12")
        if first is None:
            return None, False
        time_s, next_s = _time(first), _time(second) if second is not None else None
        if time_s is not None and next_s is not None:
            hole_s = next_s - time_s - Fraction(first.samples, first.sample_rate)
            time_s += hole_s if begins_later(float(hole_s)) else 0
        return time_s, from_zero


def _first_picture(path: Path) -> Fraction | None:
    with open_input(path) as container:
        return next((_time(frame) for frame in _pictures(container, path)), None)


def _pictures(container: InputContainer, path: Path) -> Iterator[Any]:
    stream = video_stream(container, path)
    limit_decoder(stream, threads=1)
    for packet in itertools.chain(itertools.islice(packets(container, stream), MAX_FIRST_PACKETS), (None,)):
        yield from decode_packet(stream, packet)[0]


def _time(frame: Any) -> Fraction | None:
    if frame.pts is None or frame.time_base is None:
        return None
    return Fraction(frame.pts * frame.time_base)
