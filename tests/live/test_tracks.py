"""What a track gives its sender."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiortc")

from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterFrame

from talkinghead.live.encoding import PIECE, RATE_HZ
from talkinghead.live.tracks import PictureTrack, SoundTrack


class Times:
    """An encoder whose packets are the times of the pictures."""

    def encode(self, picture: Any, time: int) -> list[int]:
        return [time]


def test_the_first_picture_is_never_left_out() -> None:
    """Receivers count from it, as they do from the first sound; later on the latest one is sent."""

    async def run() -> list[Any]:
        track = PictureTrack()
        track.encoder = Times()  # type: ignore[assignment]
        sent = []
        for times in ((0, 1920), (3840, 5760)):
            for time in times:
                track.give(np.zeros((2, 2, 3), np.uint8), time)
            sent.append(await track.recv())
        assert track.left_out == 2
        return sent

    assert asyncio.run(run()) == [0, 5760 * 90 // 48]


def test_an_interruption_ends_sound_in_the_packet_that_is_sent_next() -> None:
    """Packets of 10 ms without a hole; the one after `hush` is the last in which anything is heard."""

    async def run() -> list[Any]:
        track, sent = SoundTrack(), []
        track.give(np.cos(np.arange(4 * PIECE + 100) * 0.2).astype(np.float32), 0.0)
        for number in range(8):
            if number == 2:
                track.hush()
            if number == 4:
                track.give(np.zeros(4 * PIECE - 100, np.float32), 0.0)
            sent.append(await track.recv())
        return sent

    packets = asyncio.run(run())
    assert [packet.pts for packet in packets] == [PIECE * number for number in range(8)]
    assert {packet.time_base for packet in packets} == {Fraction(1, RATE_HZ)}
    decoder, loudest = OpusDecoder(), []
    for packet in packets:
        (frame,) = decoder.decode(JitterFrame(bytes(packet), packet.pts))
        assert frame.samples == PIECE
        loudest.append(int(np.abs(frame.to_ndarray()).max()))
    assert min(loudest[:3]) > 0.8 * 32767
    assert max(loudest[3:]) < 0.05 * 32767
