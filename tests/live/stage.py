"""A stage without a model: a clapper, whose picture is white exactly while something sounds; and who watches it."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.contracts import FloatArray, Frame
from talkinghead.engine.cache import NullCache
from talkinghead.engine.context import RunContext
from talkinghead.engine.live import LiveOptions, LiveSession
from talkinghead.engine.live.clock import WallClock
from talkinghead.engine.live.face import Order
from talkinghead.engine.live.host import Host
from talkinghead.errors import OptionError
from talkinghead.live.rooms import Role
from tests.engine.live.stage import plain_avatar, plain_session

RATE = 48_000
FPS = Fraction(25)
SHOT = 0.2
"""A window that is louder makes the picture white."""
RAISES = "raises"
"""A model whose pictures cannot be drawn once something is said."""


def clap(orders: Sequence[Order]) -> list[Frame]:
    pictures = []
    for order in orders:
        _, loudness = order.pose
        pictures.append(np.full_like(order.picture, 255 if loudness > SHOT else 0))
    return pictures


def fail_when_loud(orders: Sequence[Order]) -> list[Frame]:
    if any(order.pose[1] > SHOT for order in orders):
        raise ValueError("a secret of this machine: /home/anna")
    return clap(orders)


@dataclass
class ClapperStage:
    """A `Stage`; one host for all sessions of a model, as a head has."""

    role: Role = field(default_factory=lambda: Role("clapper"))
    size: int = 64
    opened: list[LiveSession[Any]] = field(default_factory=list)
    faces: dict[str, bytes] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, role: Role) -> LiveSession[Any]:
        if role.model not in ("clapper", "other", RAISES):
            raise OptionError(f"There is no model {role.model!r}.")
        with self.lock:
            if role.model not in self.hosts:
                drawing = fail_when_loud if role.model == RAISES else clap
                self.hosts[role.model] = Host(drawing, 4, WallClock(), RunContext(cache=NullCache()))
        size = self.size * 2 if role.model == "other" else self.size
        host = self.hosts[role.model]
        session = plain_session(None, plain_avatar(size=size), LiveOptions(), host=host, fps=FPS)
        self.opened.append(session)
        return session

    def change(self, session: LiveSession[Any], before: Role, role: Role) -> bool:
        if before.model != role.model:
            return False
        session.show(plain_avatar(size=self.size))
        return True

    def keep(self, sent: Path) -> str:
        name = f"face-{len(self.faces)}"
        self.faces[name] = sent.read_bytes()
        sent.unlink()
        return name

    def forget(self, faces: set[str]) -> None:
        for name in faces:
            del self.faces[name]

    def models(self) -> list[dict[str, str]]:
        return [{"name": name, "title": name} for name in ("clapper", "other", "broken")]


def beep(seconds: float, rate: int = RATE) -> FloatArray:
    """A tone as loud at its first sample as at its last."""
    return (0.8 * np.cos(np.arange(round(seconds * rate)) * 2 * np.pi * 1000 / rate)).astype(np.float32)


def quiet(seconds: float, rate: int = RATE) -> FloatArray:
    return np.zeros(round(seconds * rate), np.float32)


def pcm(sound: FloatArray) -> bytes:
    return (sound * 32767).astype("<i2").tobytes()


@dataclass
class Received:
    """What a viewer got: times are those of the tracks, from the first frame of each."""

    pictures: list[tuple[float, Any]] = field(default_factory=list)
    sounds: list[tuple[float, FloatArray]] = field(default_factory=list)

    def flashes(self) -> list[float]:
        """When pictures turned white, seconds."""
        bright = [(time, picture.mean() > 128) for time, picture in self.pictures]
        return [now for (_, was), (now, is_now) in itertools.pairwise(bright) if is_now and not was]

    def beeps(self) -> list[float]:
        """When sound began, seconds."""
        if not self.sounds:
            return []
        first = self.sounds[0][0]
        whole = np.concatenate([sound for _, sound in self.sounds])
        loud = np.abs(whole) > 0.2
        starts, silent = [], RATE
        for index in np.flatnonzero(loud):
            if not starts or index - silent > RATE // 20:
                starts.append(first + index / RATE)
            silent = int(index)
        return starts


@asynccontextmanager
async def watching(
    client: Any,
    name: str = "test",
    *,
    headers: dict[str, str] | None = None,
    codec: str | None = None,
    hides_addresses: bool = False,
) -> AsyncIterator[Received]:
    """Watch by WHEP, with aiortc as the player.

    Args:
        hides_addresses: the offer names no address, as of a player that would send them later, or does not know them.
    """
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
    from aiortc.mediastreams import MediaStreamError

    received, tasks = Received(), []
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    async def take(track: Any) -> None:
        try:
            while True:
                frame = await track.recv()
                time = float(frame.pts * frame.time_base)
                if track.kind == "video":
                    received.pictures.append((time, frame.to_ndarray(format="gray")))
                else:
                    samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]
                    received.sounds.append((time, samples.astype(np.float32) / 32768))
        except MediaStreamError:
            pass

    connection.on("track", lambda track: tasks.append(asyncio.ensure_future(take(track))))
    connection.addTransceiver("audio", direction="recvonly")
    video = connection.addTransceiver("video", direction="recvonly")
    if codec is not None:
        found = [each for each in RTCRtpReceiver.getCapabilities("video").codecs if each.name == codec]
        video.setCodecPreferences(found)
    try:
        await connection.setLocalDescription(await connection.createOffer())
        offer = connection.localDescription.sdp
        if hides_addresses:
            offer = "".join(line for line in offer.splitlines(keepends=True) if not line.startswith("a=candidate"))
        reply = await client.post(
            f"/whep/{name}",
            content=offer,
            headers={"content-type": "application/sdp", **(headers or {})},
        )
        assert reply.status_code == 201, reply.text
        await connection.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
        yield received
        await client.delete(reply.headers["location"], headers=headers)
    finally:
        await connection.close()
        await asyncio.gather(*tasks)


async def until(condition: Any, limit_s: float = 20.0) -> None:
    """Wait for something that takes a moment on a quiet machine."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)


@contextmanager
def played(stage: ClapperStage, **options: Any) -> Iterator[Any]:
    """A server on a free port."""
    from talkinghead.live.options import ServerOptions
    from talkinghead.live.server import open_stage

    with open_stage(stage, ServerOptions(port=0, **options)) as running:
        yield running
