"""A real loop for measuring: a server in a process of its own, and viewers and agents that talk to it from here."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import MethodType
from typing import Any

import av
import websockets
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, rtcrtpreceiver
from aiortc.codecs.base import Decoder
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import VIDEO_TIME_BASE, MediaStreamError

from talkinghead.errors import BackendError
from talkinghead.live.clapper import Clapper
from talkinghead.live.heads import Cast
from talkinghead.live.options import ServerOptions
from talkinghead.measure.memory import Usage, usage
from talkinghead.reading.text import parse_json

START_S = 120.0
Take = Callable[[str, Any, float], None]
"""Takes "audio" or "video", a frame, and when it came, seconds of `time.perf_counter`. "arrival" is sound too, but when
its packet came, before any buffer of the receiver."""


class Server:
    """A server in a process of its own."""

    def __init__(self, port: int, ask: Any) -> None:
        self.port, self._ask = port, ask

    def usage(self) -> Usage:
        """What it holds now (Linux)."""
        self._ask.send("usage")
        found: Usage = self._ask.recv()
        return found


@contextmanager
def serving(cast: Cast | None, options: ServerOptions) -> Iterator[Server]:
    """Serve while the block runs.

    Args:
        cast: None: the clapper.
    Raises:
        BackendError: it did not start; its own words stand on stderr.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, cast, options), name="live-bench", daemon=True)
    process.start()
    try:
        theirs.close()
        if not ours.poll(START_S):
            raise BackendError("The server that is to be measured did not start.")
        try:
            port = ours.recv()
        except EOFError as error:
            raise BackendError("The server that is to be measured did not start.") from error
        yield Server(port, ours)
        ours.send("end")
        process.join(30)
    finally:
        if process.is_alive():
            process.terminate()
        process.join()
        ours.close()


def _serve(ask: Any, cast: Cast | None, options: ServerOptions) -> None:
    from talkinghead.live.server import open_server, open_stage

    with open_stage(Clapper(), options) if cast is None else open_server(cast, options) as running:
        ask.send(running.port)
        while ask.recv() == "usage":
            ask.send(usage())


class _Counted(Decoder):
    """Gives a small picture for each that comes."""

    def decode(self, encoded_frame: Any) -> list[Any]:
        frame = av.VideoFrame(64, 64, "yuv420p")
        frame.pts, frame.time_base = encoded_frame.timestamp, VIDEO_TIME_BASE
        return [frame]


@contextmanager
def only_counted() -> Iterator[None]:
    """Count the pictures that come, and decode none: who watches is usually another machine."""
    before = vars(rtcrtpreceiver)["get_decoder"]

    def decoder(codec: Any) -> Any:
        return _Counted() if codec.mimeType.lower().startswith("video/") else before(codec)

    vars(rtcrtpreceiver)["get_decoder"] = decoder
    try:
        yield
    finally:
        vars(rtcrtpreceiver)["get_decoder"] = before


def _tap(receiver: Any, take: Take) -> None:
    """Hear packets of Opus when they come."""
    decoder, handle = OpusDecoder(), receiver._handle_rtp_packet

    async def heard(_: Any, packet: Any, arrival_time_ms: int) -> None:
        came_s = time.perf_counter()
        for frame in decoder.decode(JitterFrame(packet.payload, packet.timestamp)):
            take("arrival", frame, came_s)
        await handle(packet, arrival_time_ms)

    receiver._handle_rtp_packet = MethodType(heard, receiver)


@asynccontextmanager
async def watching(port: int, name: str, take: Take, *, arrivals: bool = False) -> AsyncIterator[None]:
    """Watch a session by WHEP; what comes is given to `take`.

    Args:
        arrivals: sound is also given as an "arrival".
    """
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tasks: list[asyncio.Task[None]] = []

    async def receive(track: Any) -> None:
        try:
            while True:
                frame = await track.recv()
                take(track.kind, frame, time.perf_counter())
        except MediaStreamError:
            pass

    connection.on("track", lambda track: tasks.append(asyncio.ensure_future(receive(track))))
    sound = connection.addTransceiver("audio", direction="recvonly")
    if arrivals:
        _tap(sound.receiver, take)
    connection.addTransceiver("video", direction="recvonly")
    try:
        await connection.setLocalDescription(await connection.createOffer())
        offer = connection.localDescription.sdp.encode()
        place, answer = await asyncio.to_thread(_ask, f"http://127.0.0.1:{port}/whep/{name}", "POST", offer)
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        yield
        await asyncio.to_thread(_ask, f"http://127.0.0.1:{port}{place}", "DELETE")
    finally:
        await connection.close()
        await asyncio.gather(*tasks)


def _ask(address: str, method: str, body: bytes | None = None) -> tuple[str, str]:
    """Location and body of an answer of our own server."""
    request = urllib.request.Request(address, body, {"Content-Type": "application/sdp"}, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
        return reply.headers.get("Location", ""), reply.read().decode()


class Speaker:
    """An agent."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.ready: dict[str, Any] = {}

    async def push(self, pcm: bytes) -> None:
        """Sound, int16."""
        await self._socket.send(pcm)

    async def tell(self, kind: str, **more: Any) -> None:
        """A message."""
        await self._socket.send(json.dumps({"type": kind, **more}))

    async def told(self, *kinds: str) -> dict[str, Any]:
        """The next event of these kinds.

        Raises:
            BackendError: an error came.
        """
        while True:
            event: dict[str, Any] = parse_json(await self._socket.recv(), "The event")
            if event["type"] == "error":
                raise BackendError(f"The session says: {event['what']}")
            if event["type"] in kinds:
                return event


@asynccontextmanager
async def speaking(port: int, name: str, sample_rate_hz: int) -> AsyncIterator[Speaker]:
    """Speak through a session."""
    async with websockets.connect(f"ws://127.0.0.1:{port}/agent/{name}", max_queue=None) as socket:
        speaker = Speaker(socket)
        await speaker.tell("hello", sample_rate=sample_rate_hz)
        speaker.ready = await speaker.told("ready")
        yield speaker
