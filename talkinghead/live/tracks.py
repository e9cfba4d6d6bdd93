"""Sound and picture of a session as WebRTC sends them.

A sender of aiortc takes the first frame of each track as that track's beginning, and so do receivers until the first
report of the sender tells them better. So both tracks of a viewer wait until both are asked for, and begin with the
same moment. From then on sound goes out in pieces of 10 ms when they are due, and pictures with the time of theirs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from fractions import Fraction

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioStream, Packet, VideoStream
from numpy.typing import NDArray

from talkinghead.contracts import FloatArray, Frame, Picture
from talkinghead.engine.live import Moment
from talkinghead.live.encoding import PIECE, RATE_HZ, TIME_BASE, PictureEncoder, SoundEncoder
from talkinghead.live.feed import opaque
from talkinghead.media.sound import pcm16_from_float

SETTLE = 5
"""Moments between the connection and the first that is sent: what comes before a receiver listens is lost to it."""
MOST_PIECES = 200
"""Pieces of sound that wait for a sender; older ones are left out."""


class _Track(MediaStreamTrack):
    """Gives what it is given, when a sender asks for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = False
        """A sender has asked for the first frame: it is connected."""
        self._news = asyncio.Event()

    def stop(self) -> None:
        super().stop()
        self._news.set()

    async def _something(self) -> None:
        """Wait for news.

        Raises:
            MediaStreamError: the track has ended.
        """
        self.is_asked = True
        if self.readyState != "live":
            raise MediaStreamError
        self._news.clear()
        await self._news.wait()
        if self.readyState != "live":
            raise MediaStreamError


class SoundTrack(_Track):
    """Sound without a hole."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._pieces: deque[tuple[int, NDArray[np.int16], float]] = deque(maxlen=MOST_PIECES)
        self._rest: NDArray[np.int16] = np.zeros(0, np.int16)
        self._encoder = SoundEncoder()
        self._cut = 0
        """Samples that became pieces."""

    def give(self, sound: FloatArray, begun: float) -> None:
        """Take what follows.

        Args:
            sound: [n] float32 in [-1, 1], 48 kHz.
            begun: when the track's first sample is due, seconds of the event loop.
        """
        samples = np.concatenate([self._rest, pcm16_from_float(sound)])
        whole = len(samples) // PIECE * PIECE
        for first in range(0, whole, PIECE):
            self._pieces.append((self._cut, samples[first : first + PIECE], begun + self._cut / RATE_HZ))
            self._cut += PIECE
        self._rest = samples[whole:]
        self._news.set()

    def hush(self) -> None:
        """Fade out what was given and not sent, within half a piece: Opus carries its end into the next one."""
        fade = np.maximum(np.linspace(1, -1, PIECE, dtype=np.float32), 0)
        for number, (time, samples, due) in enumerate(self._pieces):
            faded = np.rint(samples * fade).astype(np.int16) if number == 0 else np.zeros_like(samples)
            self._pieces[number] = (time, faded, due)
        self._rest = np.zeros_like(self._rest)

    async def recv(self) -> Packet[AudioStream]:
        """The next piece, encoded when it is due."""
        loop = asyncio.get_running_loop()
        while not self._pieces or self._pieces[0][2] > loop.time():
            if self._pieces:
                await asyncio.sleep(self._pieces[0][2] - loop.time())
            else:
                await self._something()
        time, samples, _ = self._pieces.popleft()
        return self._encoder.encode(samples, time)


class PictureTrack(_Track):
    """Pictures; where a sender is slow, the latest. The first is never left out: receivers count from it."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.encoder: PictureEncoder | None = None
        """Made when the codec is known, before the sender asks."""
        self._latest: tuple[int, Frame | Picture] | None = None
        self._has_begun = False
        self.left_out = 0
        """Pictures that came before the sender had taken the one before."""

    def give(self, picture: Frame | Picture, time: int) -> None:
        """Take the picture of a time, in samples since the first."""
        self.left_out += self._latest is not None
        if self._latest is None or self._has_begun:
            self._latest = (time, picture)
        self._news.set()

    async def recv(self) -> Packet[VideoStream]:
        """The latest picture that was not given yet, encoded."""
        assert self.encoder is not None
        while True:
            while self._latest is None:
                await self._something()
            (time, picture), self._latest = self._latest, None
            self._has_begun = True
            rtp_time = round(Fraction(time, RATE_HZ) / TIME_BASE)
            packets = await asyncio.get_running_loop().run_in_executor(None, self._encoded, picture, rtp_time)
            if packets:  # an encoder may leave a picture out to keep its bit rate
                return packets[0]

    def _encoded(self, picture: Frame | Picture, time: int) -> list[Packet[VideoStream]]:
        assert self.encoder is not None
        return self.encoder.encode(_even(opaque(picture)), time)


class Viewer:
    """One who watches a session. Used on the event loop.

    Args:
        sound, picture: what is wanted.
    """

    def __init__(self, *, sound: bool, picture: bool) -> None:
        self.sound = SoundTrack() if sound else None
        self.picture = PictureTrack() if picture else None
        self._settled = 0
        self._first: int | None = None

    @property
    def tracks(self) -> tuple[_Track, ...]:
        return tuple(track for track in (self.sound, self.picture) if track is not None)

    def take(self, moment: Moment, time: int, begun: float) -> None:
        """Show a moment.

        Args:
            time: of the moment in 48 kHz samples, without jumps from one moment to the next.
            begun: when time 0 was due, seconds of the event loop.
        """
        if self._first is None:
            if not all(track.is_asked for track in self.tracks):
                return
            self._settled += 1
            if self._settled <= SETTLE or (self.picture is not None and moment.picture is None):
                return
            self._first = time
        if self.sound is not None:
            self.sound.give(moment.sound, begun + self._first / RATE_HZ)
        if self.picture is not None and moment.picture is not None:
            self.picture.give(moment.picture, time - self._first)

    def hush(self) -> None:
        """What is said was interrupted."""
        if self.sound is not None:
            self.sound.hush()

    def stop(self) -> None:
        """End both tracks."""
        for track in self.tracks:
            track.stop()


def _even(frame: Frame) -> Frame:
    """Without the last row and column where their number is odd: colours are sent for two by two pixels."""
    height, width = frame.shape[:2]
    return np.ascontiguousarray(frame[: height & ~1, : width & ~1])
