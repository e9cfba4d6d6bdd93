"""Watching a session by WHEP: an SDP offer comes, an answer goes, sound and picture follow."""

from __future__ import annotations

import asyncio
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiortc import RTCConfiguration, RTCIceCandidate, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription, candidate_from_sdp

from talkinghead.errors import InputError
from talkinghead.live.encoding import PictureEncoder, codec_of
from talkinghead.live.options import ServerOptions
from talkinghead.live.rooms import Full, Room
from talkinghead.live.tracks import Viewer

MOST_SDP = 64 * 1024
"""Bytes of an offer."""
MOST_CANDIDATES = 64
"""Addresses that one viewer may name, in its offer and later: each is asked from each of ours."""
MOST_MEDIA = 8
"""Parts of an offer: each may open ports of its own."""
CONNECT_S = 20.0
"""Seconds within which a viewer must be connected."""
_END_OF_CANDIDATES = re.compile(r"^a=end-of-candidates\s*$\n?", re.MULTILINE)
_WANTED = ("recvonly", "sendrecv")


@dataclass(eq=False)
class Watching:
    """One connection."""

    room: Room
    viewer: Viewer
    connection: RTCPeerConnection
    candidates: int
    """That were named so far."""
    patience: asyncio.TimerHandle | None = None
    ending: asyncio.Task[None] | None = None
    """Waits for the end of the session."""


class Watchers:
    """All connections of a server. Used on its event loop."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        servers = [RTCIceServer(options.stun_server)] if options.stun_server else []
        self._configuration = RTCConfiguration(iceServers=servers)
        self._watching: dict[str, Watching] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def watch(self, room: Room, offer: str) -> tuple[str, str]:
        """Connect a viewer.

        Returns:
            The number of the connection, and the answer.
        Raises:
            InputError: it is no offer of somebody who watches. Full: too many watch already.
        """
        wanted = _kinds(offer)
        _check_candidates(_count_candidates(offer))
        if len(room.viewers) >= self._options.max_viewers:
            raise Full(f"{self._options.max_viewers} watch this session already.", remedy="wait for one to leave")
        viewer = Viewer(sound="audio" in wanted, picture="video" in wanted)
        connection = RTCPeerConnection(self._configuration)
        number = secrets.token_urlsafe(12)
        watching = self._watching[number] = Watching(room, viewer, connection, _count_candidates(offer))
        room.viewers.add(viewer)

        def changed() -> None:
            if connection.connectionState == "connected" and watching.patience is not None:
                watching.patience.cancel()
            if connection.connectionState in ("failed", "closed"):
                self._later_stop(number)

        connection.on("connectionstatechange", changed)
        try:
            patient = _END_OF_CANDIDATES.sub("", offer)
            await connection.setRemoteDescription(RTCSessionDescription(patient, "offer"))
            await _wait_for_checks(connection)
            if self._options.is_local:
                _gather_loopback(connection)
            senders = {track.kind: connection.addTrack(track) for track in viewer.tracks}
            answer = await connection.createAnswer()
            if viewer.picture is not None:
                viewer.picture.encoder = PictureEncoder(codec_of(answer.sdp))
                viewer.picture.encoder.follow(senders["video"])
            await connection.setLocalDescription(answer)
        except Exception as error:
            await self.stop(number)
            raise InputError(
                f"That offer cannot be answered: {str(error) or type(error).__name__}",
                accepted="SDP of somebody who receives Opus, and H.264 or VP8",
            ) from error
        loop = asyncio.get_running_loop()
        if connection.connectionState != "connected":
            watching.patience = loop.call_later(CONNECT_S, self._later_stop, number)
        if number in self._watching:
            ending = watching.ending = loop.create_task(self._stop_with(number))
            self._tasks.add(ending)
            ending.add_done_callback(self._tasks.discard)
        return number, str(connection.localDescription.sdp)

    async def add_candidates(self, number: str, fragment: str) -> bool:
        """Take candidates that come after the offer (trickle); whether there is such a connection.

        Raises:
            InputError: they cannot be read, or are too many.
        """
        watching = self._watching.get(number)
        if watching is None:
            return False
        watching.candidates += _count_candidates(fragment)
        _check_candidates(watching.candidates)
        mid: str | None = None
        try:
            for line in fragment.splitlines():
                if line.startswith("a=mid:"):
                    mid = line.removeprefix("a=mid:").strip()
                elif line.startswith("a=candidate:"):
                    candidate = candidate_from_sdp(line.removeprefix("a=candidate:").strip())
                    candidate.sdpMid, candidate.sdpMLineIndex = mid, None if mid is not None else 0
                    await watching.connection.addIceCandidate(candidate)
        except Exception as error:
            raise InputError("Those candidates cannot be read.", accepted="a fragment of SDP (RFC 8840)") from error
        return True

    async def stop(self, number: str) -> bool:
        """End a connection; whether there was one."""
        watching = self._watching.pop(number, None)
        if watching is None:
            return False
        if watching.patience is not None:
            watching.patience.cancel()
        if watching.ending is not None and watching.ending is not asyncio.current_task():
            watching.ending.cancel()  # it would hold all of this until the session ends
        watching.room.viewers.discard(watching.viewer)
        watching.viewer.stop()
        with suppress(Exception):  # it may be in any state
            await watching.connection.close()
        return True

    def _later_stop(self, number: str) -> None:
        task = asyncio.get_running_loop().create_task(self.stop(number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop_with(self, number: str) -> None:
        """End a connection when its session ends."""
        watching = self._watching.get(number)
        if watching is not None:
            await watching.room.ended.wait()
            await self.stop(number)

    async def close(self) -> None:
        """End all connections."""
        for number in tuple(self._watching):
            await self.stop(number)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _count_candidates(sdp: str) -> int:
    return sum(line.startswith("a=candidate:") for line in sdp.splitlines())


def _check_candidates(count: int) -> None:
    if count > MOST_CANDIDATES:
        raise InputError(f"{count} addresses were named by one viewer.", accepted=f"at most {MOST_CANDIDATES}")


async def _wait_for_checks(connection: RTCPeerConnection) -> None:
    """Wait for a viewer who names no address that can be reached from here, and reaches this one by itself.

    aioice gives up at once where it has nothing to check, such as candidates that come later, names of mDNS of another
    network, or a browser without a network. So there is one more address to check: that of nobody.
    """
    nobody = RTCIceCandidate(1, "nobody", "127.0.0.1", 9, 1, "udp", "host")
    for transceiver in connection.getTransceivers():
        await transceiver.sender.transport.transport.addRemoteCandidate(nobody)


def _gather_loopback(connection: RTCPeerConnection) -> None:
    """Also offer the loopback address, which aioice leaves out: a machine without a network has no other."""
    for transceiver in connection.getTransceivers():
        ice = transceiver.sender.transport.transport.iceGatherer._connection
        gather = partial(_with_loopback, ice.get_component_candidates)
        ice.get_component_candidates = gather  # type: ignore[method-assign]


async def _with_loopback(gather: Any, component: int, addresses: list[str], **more: Any) -> Any:
    return await gather(component, [*dict.fromkeys((*addresses, "127.0.0.1"))], **more)


def _kinds(offer: str) -> set[str]:
    """The kinds of media that an offer wants to receive.

    Raises:
        InputError: it is no offer, or wants none.
    """
    accepted = "SDP of somebody who receives sound or pictures (a=recvonly)"
    try:
        description = SessionDescription.parse(offer)
    except Exception as error:
        raise InputError("That is no SDP offer.", accepted=accepted) from error
    if len(description.media) > MOST_MEDIA:
        raise InputError(f"That offer has {len(description.media)} parts.", accepted=f"at most {MOST_MEDIA}")
    found = {media.kind for media in description.media if (media.direction or "sendrecv") in _WANTED}
    if not found & {"audio", "video"}:
        raise InputError("That offer wants neither sound nor pictures.", accepted=accepted)
    return found
