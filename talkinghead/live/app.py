"""The addresses of the live server."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import JSONResponse

from talkinghead.errors import OptionError, TalkingHeadError
from talkinghead.hosting.faults import Unforeseen
from talkinghead.hosting.folders import server_folder
from talkinghead.live.agent import FAILED, Agent
from talkinghead.live.faults import told
from talkinghead.live.options import ServerOptions
from talkinghead.live.rooms import NAME, Full, Room, Rooms, Stage
from talkinghead.live.voices import Voices
from talkinghead.live.whep import MOST_SDP, Watchers
from talkinghead.speech.options import SpeechOptions

WORKERS = 8
"""Threads that load, prepare, open and close."""
MOST_FACES = 20
"""That may be sent to one session."""
BODY_S = 60.0
"""Seconds in which a body must have come."""
PAGE = {"/": ("live.html", "text/html; charset=utf-8"), "/live.css": ("live.css", "text/css; charset=utf-8"),
        "/live.js": ("live.js", "text/javascript; charset=utf-8"),
        "/microphone.js": ("microphone.js", "text/javascript; charset=utf-8")}  # fmt: skip
SDP, SDP_FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
TRY_LATER = 1013
"""Code of closing: there is no room."""


class _Addresses:
    """What the server has at its addresses."""

    def __init__(self, stage: Stage, options: ServerOptions, speech: SpeechOptions) -> None:
        self._stage, self._options = stage, options
        self._voices = Voices(speech)
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="live-work")
        self._folder: Path
        """Where faces lie while they come."""
        self._rooms: Rooms
        self._watchers: Watchers

    @asynccontextmanager
    async def life(self, _: FastAPI) -> AsyncIterator[None]:
        """From the server's start to its end."""
        self._rooms = Rooms(self._stage, self._options, self._workers)
        self._watchers = Watchers(self._options)
        house = asyncio.create_task(self._rooms.keep_house())
        with server_folder() as self._folder:
            try:
                yield
            finally:
                house.cancel()
                await asyncio.gather(house, return_exceptions=True)
                await self._rooms.close()
                await self._watchers.close()
                self._workers.shutdown()

    async def _entered(self, name: str) -> Room:
        if NAME.fullmatch(name) is None:
            raise OptionError(f"{name[:70]!r} is no name of a session.", accepted="1 to 64 letters, digits, - and _")
        return await self._rooms.enter(name)

    # Watching

    async def watch(self, name: str, request: Request) -> Response:
        """WHEP: an offer, to be answered."""
        _check_kind(request, SDP)
        offer = (await _body(request, MOST_SDP)).decode("utf-8", "replace")
        number, answer = await self._watchers.watch(await self._entered(name), offer)
        return Response(answer, 201, {"Location": f"/whep/{name}/{number}"}, SDP)

    async def trickle(self, name: str, number: str, request: Request) -> Response:  # noqa: ARG002
        """WHEP: candidates that come later."""
        _check_kind(request, SDP_FRAGMENT)
        fragment = (await _body(request, MOST_SDP)).decode("utf-8", "replace")
        return Response(status_code=204 if await self._watchers.add_candidates(number, fragment) else 404)

    async def leave(self, name: str, number: str) -> Response:  # noqa: ARG002
        """WHEP: no more."""
        return Response(status_code=200 if await self._watchers.stop(number) else 404)

    # Speaking

    async def agent(self, socket: WebSocket, name: str) -> None:
        """The WebSocket of those who speak."""
        await socket.accept()
        try:
            room = await self._entered(name)
            if len(room.ears) >= self._options.max_agents:
                raise Full(f"{self._options.max_agents} speak through this session already.")
        except Exception as error:  # noqa: BLE001 (told to who asked)
            with contextlib.suppress(Exception):
                await socket.send_json({**told(error), "fatal": True})
                await socket.close(TRY_LATER if isinstance(error, Full) else FAILED)
            return
        await Agent(socket, room, self._options, self._voices).serve()

    async def models(self) -> JSONResponse:
        """Models that can be shown."""
        return JSONResponse(await asyncio.to_thread(self._stage.models))

    async def face(self, name: str, request: Request) -> JSONResponse:
        """A face that is sent to a session."""
        room = self._rooms.find(name)
        if room is None:
            raise OptionError("There is no such session.", accepted="one that somebody watches or speaks through")
        if len(room.faces) + room.faces_coming >= MOST_FACES:
            raise Full(f"{MOST_FACES} faces were sent to this session already.")
        room.faces_coming += 1
        coming = self._folder / secrets.token_hex(8)
        try:
            with await asyncio.to_thread(coming.open, "xb") as file:
                most = self._options.max_upload_mb * 1_000_000
                async with contextlib.aclosing(_parts(request, most)) as parts:
                    async for part in parts:
                        await asyncio.to_thread(file.write, part)
                there = file.tell()
            if not there:
                raise OptionError("The face is empty.", accepted="a picture or a video as the body")
            face = await asyncio.to_thread(self._stage.keep, coming)
        finally:
            room.faces_coming -= 1
            coming.unlink(missing_ok=True)
        if room.ended.is_set():
            await asyncio.to_thread(self._stage.forget, {face})
            raise OptionError("The session has ended.")
        room.faces.add(face)
        return JSONResponse({"face": face}, 201)

    async def end(self, name: str) -> Response:
        """End a session."""
        there = self._rooms.find(name) is not None
        await self._rooms.leave(name)
        return Response(status_code=200 if there else 404)


def build_app(stage: Stage, options: ServerOptions, speech: SpeechOptions) -> FastAPI:
    """The server as an ASGI application, without its guard."""
    found = _Addresses(stage, options, speech)
    app = FastAPI(lifespan=found.life, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(TalkingHeadError, _unusable)
    app.add_middleware(Unforeseen, answer=lambda error: JSONResponse(told(error), 500))
    for address, (file, kind) in PAGE.items():
        app.add_api_route(address, _page(file, kind), methods=["GET", "HEAD"])
    app.add_api_route("/robots.txt", _robots, methods=["GET", "HEAD"])
    app.add_api_route("/whep/{name}", found.watch, methods=["POST"])
    app.add_api_route("/whep/{name}/{number}", found.trickle, methods=["PATCH"])
    app.add_api_route("/whep/{name}/{number}", found.leave, methods=["DELETE"])
    app.add_api_websocket_route("/agent/{name}", found.agent)
    app.add_api_route("/models", found.models, methods=["GET"])
    app.add_api_route("/faces/{name}", found.face, methods=["POST"])
    app.add_api_route("/sessions/{name}", found.end, methods=["DELETE"])
    return app


async def _unusable(_: Request, error: Exception) -> Response:
    status = 503 if isinstance(error, Full) else 400
    return JSONResponse(told(error), status, {"Retry-After": "5"} if status == 503 else None)


def _page(file: str, kind: str) -> Callable[[], Response]:
    content = (files("talkinghead.assets") / file).read_bytes()
    return lambda: Response(content, media_type=kind)


def _robots() -> Response:
    return Response("User-agent: *\nDisallow: /\n", media_type="text/plain")


def _check_kind(request: Request, wanted: str) -> None:
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != wanted:
        raise HTTPException(415, f"Send {wanted}.")


async def _parts(request: Request, most: int) -> AsyncGenerator[bytes]:
    """The body of a request as it comes.

    Raises:
        HTTPException: longer than `most`, or too slow.
    """
    there, until = 0, asyncio.get_running_loop().time() + BODY_S
    stream = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout_at(until):
                part = await anext(stream, None)
        except TimeoutError as error:
            raise HTTPException(408, "That took too long.") from error
        if part is None:
            return
        there += len(part)
        if there > most:
            raise HTTPException(413, f"That is too long: at most {most:,} bytes.")
        yield part


async def _body(request: Request, most: int) -> bytes:
    """The whole of it."""
    return b"".join([part async for part in _parts(request, most)])
