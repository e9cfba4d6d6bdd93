"""What a viewer is sent: pictures as its codec wants them, at the bit rate that its receiver asks for, and Opus.

aiortc's own encoders begin every picture size with the same few bits, and smooth pictures that need no smoothing; they
make packets of sound of 20 ms, with Opus' delay for speech. So tracks give packets, and what the receiver asks for is
heard here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from types import MethodType
from typing import Any

import av
import cv2
import numpy as np
from aiortc import RTCRtpSender
from aiortc.rtp import RTCP_PSFB_APP, RTCP_PSFB_FIR, RTCP_PSFB_PLI, RtcpPsfbPacket, unpack_remb_fci
from av.video.frame import PictureType
from numpy.typing import NDArray

from talkinghead.contracts import Frame
from talkinghead.errors import InputError, choices

TIME_BASE = Fraction(1, 90_000)
"""Of RTP, for pictures."""
CODECS: Mapping[str, str] = {"VP8": "libvpx", "H264": "libx264"}
LEAST_BITS, MOST_BITS = 150_000, 6_000_000
"""Bits per second."""
RATE_HZ = 48_000
"""Of Opus, and the time base of sound."""
SOUND_TIME_BASE = Fraction(1, RATE_HZ)
PIECE = 480
"""Samples of one packet of sound. Receivers hold a number of packets (aiortc four of them), and an interruption stops
between two: 10 ms instead of the usual 20 are worth the headers."""
SOUND_BITS = 64_000
"""Per second, mono."""
BITS_PER_PIXEL, MOST_PER_PIXEL = 2.5, 4.0
"""Bits per second and pixel before the receiver has said what it can take, and at most: more would not be seen."""
CHANGE = 0.2
"""By which part the receiver's wish must differ for the encoder to be made anew, with a whole picture."""
RATE = 30
"""Pictures per second that encoders plan for."""
_VIDEO = re.compile(r"^m=video \d+ \S+ (\d+)", re.MULTILINE)


def codec_of(answer: str) -> str:
    """The codec of pictures that an answer has chosen; empty where there are none."""
    media = _VIDEO.search(answer)
    named = re.search(rf"^a=rtpmap:{media[1]} (\w+)/", answer, re.MULTILINE) if media else None
    return named[1].upper() if named else ""


class PictureEncoder:
    """One viewer's encoder. `encode` is called by one thread at a time; all else on the event loop.

    Args:
        codec: VP8 or H264.
    Raises:
        InputError: it is neither.
    """

    def __init__(self, codec: str) -> None:
        if codec not in CODECS:
            raise InputError(f"No pictures can be sent as {codec or 'nothing'}.", accepted=choices(list(CODECS)))
        self._codec = codec
        self._context: av.VideoCodecContext | None = None
        self._asked: int | None = None
        """Bits per second that the receiver asks for; None: it has said nothing."""
        self._key_wanted = False

    def follow(self, sender: RTCRtpSender) -> None:
        """Hear what a sender's receiver asks for."""
        handle = sender._handle_rtcp_packet

        async def heard(_: RTCRtpSender, packet: Any) -> None:
            self._heard(packet)
            await handle(packet)

        sender._handle_rtcp_packet = MethodType(heard, sender)  # type: ignore[method-assign]

    def _heard(self, packet: Any) -> None:
        if not isinstance(packet, RtcpPsfbPacket):
            return
        if packet.fmt in (RTCP_PSFB_FIR, RTCP_PSFB_PLI):
            self._key_wanted = True
        elif packet.fmt == RTCP_PSFB_APP:
            try:
                self._asked = unpack_remb_fci(packet.fci)[0]
            except ValueError:
                return

    def encode(self, picture: Frame, time: int) -> list[av.Packet[av.VideoStream]]:
        """The packets of one picture.

        Args:
            picture: RGB uint8 [H, W, 3], both sides even.
            time: in `TIME_BASE`, rising.
        """
        height, width = picture.shape[:2]
        bits = self._bits(width * height)
        context = self._context
        if context is None or (context.width, context.height) != (width, height) or self._is_other(context, bits):
            context = self._context = self._opened(width, height, bits)
        # BT.601, limited range: what receivers of WebRTC take pictures for that say nothing of their colours.
        planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = time, TIME_BASE
        wanted, self._key_wanted = self._key_wanted, False
        frame.pict_type = PictureType.I if wanted else PictureType.NONE
        packets = context.encode(frame)
        for packet in packets:
            packet.pts, packet.time_base = time, TIME_BASE
        return packets

    def _bits(self, pixels: int) -> int:
        most = max(LEAST_BITS, min(MOST_BITS, round(MOST_PER_PIXEL * pixels)))
        wish = round(BITS_PER_PIXEL * pixels) if self._asked is None else self._asked
        return max(LEAST_BITS, min(most, wish))

    @staticmethod
    def _is_other(context: av.VideoCodecContext, bits: int) -> bool:
        before = context.bit_rate or bits
        return abs(bits - before) > CHANGE * before

    def _opened(self, width: int, height: int, bits: int) -> av.VideoCodecContext:
        context = av.CodecContext.create(CODECS[self._codec], "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.bit_rate, context.framerate, context.time_base = bits, Fraction(RATE), TIME_BASE
        context.gop_size = 3000  # whole pictures where one is asked for
        if self._codec == "VP8":
            context.qmin, context.qmax, context.thread_count = 2, 56, 1
            context.options = {
                "deadline": "realtime", "cpu-used": "-8", "lag-in-frames": "0", "error-resilient": "default",
                "minrate": str(bits), "maxrate": str(bits), "bufsize": str(bits), "undershoot-pct": "100",
                "overshoot-pct": "15", "static-thresh": "1",
            }  # fmt: skip
        else:
            context.thread_count = 1
            context.profile = "Baseline"
            context.options = {
                "preset": "veryfast", "tune": "zerolatency", "forced-idr": "1",
                "maxrate": str(bits), "bufsize": str(bits // 2),
            }  # fmt: skip
        return context


class SoundEncoder:
    """One viewer's encoder of sound. Half a millisecond of work per packet at most: it needs no thread."""

    def __init__(self) -> None:
        context = av.CodecContext.create("libopus", "w")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate, context.format, context.layout = RATE_HZ, "s16", "mono"
        context.bit_rate, context.time_base = SOUND_BITS, SOUND_TIME_BASE
        context.options = {"application": "lowdelay", "frame_duration": str(1000 * PIECE // RATE_HZ)}
        self._context = context

    def encode(self, samples: NDArray[np.int16], time: int) -> av.Packet[av.AudioStream]:
        """The packet of one piece.

        Args:
            samples: [PIECE] int16, what follows.
            time: of the first, in samples.
        """
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, time, SOUND_TIME_BASE
        (packet,) = self._context.encode(frame)
        packet.pts, packet.time_base = time, SOUND_TIME_BASE  # libopus counts from before the first sample
        return packet
