"""Pictures of one viewer: whole ones where they are asked for, and the bit rate that the receiver can take."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("aiortc")

import av
from aiortc.rtp import RTCP_PSFB_APP, RTCP_PSFB_PLI, RtcpPsfbPacket, pack_remb_fci

from talkinghead.errors import InputError
from talkinghead.live.encoding import PictureEncoder, codec_of

DECODERS = {"VP8": "vp8", "H264": "h264"}


def pictures(count: int) -> list[Any]:
    """Soft clouds that change a little: they take what bits there are."""
    random = np.random.default_rng(0)

    def clouds(values: Any) -> Any:
        return cv2.resize(values.astype(np.float32), (512, 384), interpolation=cv2.INTER_CUBIC)

    still = clouds(random.integers(60, 190, (24, 32, 3)))
    return [
        np.clip(still + 8 * clouds(random.standard_normal((96, 128, 3))), 0, 255).astype(np.uint8) for _ in range(count)
    ]


def heard(encoder: PictureEncoder, fmt: int, fci: bytes = b"") -> None:
    """As if the receiver had sent a report."""
    before: list[Any] = []

    async def handle(packet: Any) -> None:
        before.append(packet)

    sender: Any = SimpleNamespace(_handle_rtcp_packet=handle)
    encoder.follow(sender)
    packet = RtcpPsfbPacket(fmt=fmt, ssrc=1, media_ssrc=2, fci=fci)
    asyncio.run(sender._handle_rtcp_packet(packet))
    assert before == [packet]


@pytest.mark.parametrize("codec", DECODERS)
def test_every_picture_comes_at_once_with_its_time(codec: str) -> None:
    encoder, decoder = PictureEncoder(codec), av.CodecContext.create(DECODERS[codec], "r")
    flat = [np.full((64, 64, 3), 20 * number, np.uint8) for number in range(10)]
    for number, picture in enumerate(flat):
        (packet,) = encoder.encode(picture, 3600 * number)
        assert packet.pts == 3600 * number
        assert packet.is_keyframe == (number == 0)
        (frame,) = decoder.decode(packet)
        assert abs(frame.to_ndarray(format="rgb24").mean() - picture.mean()) < 4
    heard(encoder, RTCP_PSFB_PLI)
    assert [encoder.encode(flat[0], 3600 * number)[0].is_keyframe for number in (10, 11)] == [True, False]
    larger = np.zeros((80, 96, 3), np.uint8)  # another face
    assert encoder.encode(larger, 3600 * 12)[0].is_keyframe


@pytest.mark.parametrize("codec", DECODERS)
def test_the_bit_rate_follows_the_receiver(codec: str) -> None:
    sizes = []
    for bits in (150_000, 4_000_000):
        encoder = PictureEncoder(codec)
        heard(encoder, RTCP_PSFB_APP, pack_remb_fci(bits, [2]))
        clouds = pictures(20)
        packets = [packet for number, picture in enumerate(clouds) for packet in encoder.encode(picture, 3600 * number)]
        sizes.append(sum(packet.size for packet in packets[5:]))
    assert sizes[1] > 2 * sizes[0]
    heard(encoder, RTCP_PSFB_APP, b"nonsense")  # changes nothing
    assert encoder.encode(clouds[0], 3600 * 30)


def test_the_codec_is_that_of_the_answer() -> None:
    lines = ["m=audio 9 X 96", "a=rtpmap:96 opus/48000/2", "m=video 9 X 102 97", "a=rtpmap:97 VP8/90000",
             "a=rtpmap:102 H264/90000"]  # fmt: skip
    assert codec_of("\r\n".join(lines)) == "H264"
    assert codec_of("\r\n".join(lines[:2])) == ""
    with pytest.raises(InputError, match="AV1"):
        PictureEncoder("AV1")
