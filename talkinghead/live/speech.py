"""Speech that somebody pipes or reads into a live session."""

from __future__ import annotations

import io
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np

from talkinghead.bounds import Between, check_fields
from talkinghead.engine.live import LiveSession
from talkinghead.errors import InputError, UnreadableMedia
from talkinghead.files import existing_file, is_pipe
from talkinghead.live.feed import interleaved
from talkinghead.media.formats import HEAD_BYTES, ISO, streamed_demuxer

STDIN = "-"
AHEAD_S = 30.0
"""Speech that is read before it is said; a pipe that is faster waits."""
_BLOCK = 16_384
_PAUSE_S = 0.05


@dataclass(frozen=True)
class SpeechSource:
    """Where speech comes from."""

    name: str
    """A sound file, a named pipe, or "-" for standard input. A file is read by FFmpeg; what comes through a pipe is too
    where it begins as WAV, FLAC, Ogg, MP3, WebM or another such format does, and else is 16-bit little-endian
    samples."""
    sample_rate_hz: Annotated[int, Between(1_000, 768_000)] = 24_000
    """Of such samples."""
    num_channels: Annotated[int, Between(1, 64)] = 1
    """Of such samples, interleaved."""

    def __post_init__(self) -> None:
        check_fields(self)

    def read_into(self, session: LiveSession[Any]) -> Reading:
        """What pushes it into a session, once it is started.

        Raises:
            MediaNotFound: no such file.
        """
        if self.name != STDIN and not is_pipe(self.name):
            existing_file(self.name)
        return Reading(self, session)


class Reading:
    """Pushes speech in a thread of its own."""

    def __init__(self, source: SpeechSource, session: LiveSession[Any]) -> None:
        self._source, self._session = source, session
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="live-input", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether all was pushed."""
        return not self._thread.is_alive()

    def check(self) -> None:
        """Raise what stopped the reading."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Read no more; a thread that waits for a silent pipe ends with the program."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(2 * _PAUSE_S)

    def _run(self) -> None:
        try:
            if self._source.name == STDIN:
                self._pipe(sys.stdin.buffer)
            elif is_pipe(self._source.name):
                with Path(self._source.name).open("rb", buffering=0) as pipe:
                    self._pipe(pipe)
            else:
                self._file(self._source.name)
            if not self._stopped.is_set():
                self._session.end_turn()
        except BaseException as error:  # noqa: BLE001 (raised again where the session is sent)
            if not self._stopped.is_set():
                self._error = error

    def _pipe(self, pipe: BinaryIO) -> None:
        """As it comes: a read gives what is there."""
        descriptor = pipe.fileno()
        head = b""
        while len(head) < HEAD_BYTES and (more := os.read(descriptor, HEAD_BYTES - len(head))):
            head += more
        if demuxer := streamed_demuxer(head):
            if demuxer == ISO:  # what such a file claims cannot be looked at before it is read
                raise InputError(
                    "MP4 came through a pipe.", accepted="WAV, FLAC, Ogg, MP3, WebM or samples", remedy="name the file"
                )
            self._decode(_After(head, descriptor), demuxer)
            return
        size = 2 * self._source.num_channels
        rest = head
        while not self._stopped.is_set() and (more := os.read(descriptor, _BLOCK)):
            rest += more
            whole = len(rest) - len(rest) % size
            self._push(interleaved(rest[:whole], self._source.num_channels), self._source.sample_rate_hz)
            rest = rest[whole:]
        if rest and not self._stopped.is_set():
            raise InputError(
                f"The speech ended within a sample ({len(rest)} bytes of {size}).",
                accepted=f"16-bit little-endian samples in {self._source.num_channels} channels",
            )

    def _file(self, name: str) -> None:
        from talkinghead.media.sound import open_sound

        sound = open_sound(name)
        for block in sound.blocks():
            if self._stopped.is_set():
                return
            self._push(block, sound.sample_rate_hz)

    def _decode(self, data: _After, demuxer: str) -> None:
        """Sound in a container, through a pipe."""
        from talkinghead.media.container import open_stream, sound_frames
        from talkinghead.media.sound import float_samples

        try:
            with open_stream(data, demuxer) as container:
                if not container.streams.audio:
                    raise UnreadableMedia("There is no sound in it.")
                for frame in sound_frames(container, container.streams.audio[0], Path(self._source.name)):
                    if self._stopped.is_set():
                        return
                    if frame is not None:
                        self._push(float_samples(frame), frame.sample_rate)
        except UnreadableMedia as error:
            raise InputError(f"The sound that came through the pipe cannot be read: {error}") from error

    def _push(self, samples: Any, sample_rate_hz: int) -> None:
        for start in range(0, len(samples), sample_rate_hz):
            while self._session.stats().waiting_s > AHEAD_S:
                if self._stopped.wait(_PAUSE_S):
                    return
            self._session.push(np.ascontiguousarray(samples[start : start + sample_rate_hz]), sample_rate_hz)


class _After(io.RawIOBase):
    """A pipe of which the beginning was read."""

    def __init__(self, head: bytes, descriptor: int) -> None:
        self._head, self._descriptor = head, descriptor

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """What is there, at most `size` bytes."""
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
            return part
        return os.read(self._descriptor, size)
