"""The addresses of the service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from math import ceil
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse
from starlette.exceptions import HTTPException

from talkinghead.errors import TalkingHeadError
from talkinghead.hosting.asgi import by_name
from talkinghead.hosting.bodies import length_of, stream, whole
from talkinghead.hosting.faults import Unforeseen
from talkinghead.hosting.uploads import FRAME_BYTES, FormRules, Uploads, receive_form
from talkinghead.serve.desk import Desk, Video
from talkinghead.serve.faults import InvalidRequest, NotYet, Refused, Told, status_of, told
from talkinghead.serve.metrics import TYPE
from talkinghead.serve.orders import FILES, MAX_JSON, TEXTS, Asked, read_form, read_order
from talkinghead.serve.pages import EXAMPLES, description, page
from talkinghead.serve.schema import (
    FaultAnswer,
    Health,
    ModelList,
    Removed,
    VideoAnswer,
    VideoList,
    VoiceList,
    answer,
    voices,
)
from talkinghead.serve.watching import event_id, events, growing, opened
from talkinghead.service.jobs import QueueFull
from talkinghead.version import __version__

T = TypeVar("T")
WORKERS = 16
"""Threads that look at what was sent."""
BODY_S = 900.0
"""Seconds in which an upload must have come."""
MAX_KEY = 255
TYPES = {
    "video": "video/mp4",
    "thumbnail": "image/webp",
    "report": "application/json",
    "cues": "application/json",
    "motion": "application/octet-stream",
}
"""What a finished video has, by the name of the variant."""
Variant = Literal["video", "thumbnail", "report", "cues", "motion"]
_FAULTS: dict[int | str, dict[str, Any]] = {
    code: {"model": FaultAnswer, "description": text}
    for code, text in (
        (400, "Something given cannot be used."),
        (401, "A token is needed."),
        (404, "There is no such video."),
        (409, "Not now, or not here."),
        (413, "Too large."),
        (422, "Not as it was asked for."),
        (429, "Too many, too often; Retry-After says when."),
    )
}


def _faults(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: _FAULTS[code] for code in codes}


class _Addresses:
    """What the service has at its addresses."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.uploads = Uploads(desk.shelf.uploads, desk.options)
        self.workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="serve-work")

    async def _apart(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.workers, work)

    # Ordering

    async def create(
        self,
        request: Request,
        stream: Annotated[bool, Query(description="Answer with the video itself while it is made.")] = False,
        idempotency_key: Annotated[
            str | None, Header(max_length=MAX_KEY, description="The same key and order give the same video.")
        ] = None,
    ) -> Response:
        """Order a video.

        As a form with files, or as JSON with names and addresses. The answer comes at once; the video is made in turn.
        """
        owner: str = request.state.owner
        self.desk.admit(owner)
        video, again = await self._ordered(request, owner, idempotency_key or "", stream)
        headers = {"Location": f"/v1/videos/{video.record.id}", "X-Video-Id": video.record.id}
        if again:
            headers["Idempotent-Replayed"] = "true"
        if stream:
            return await self._streamed(video, headers)
        return JSONResponse(self._answer(video).model_dump(), 202, headers)

    async def _ordered(self, request: Request, owner: str, key: str, stream_it: bool) -> tuple[Video, bool]:
        headers = by_name(request.scope)
        kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
        if kind == "application/json":
            asked = read_order(await self._in_time(whole(request.receive, headers, MAX_JSON)))
            return await self._apart(lambda: self.desk.order(owner, _with(asked, stream_it), {}, key))
        if kind != "multipart/form-data":
            raise Refused(415, "The order has another form.", accepted="multipart/form-data or application/json")
        length = length_of(headers)
        if length is None:
            raise Refused(411, "The order does not say how long it is.", accepted="the header Content-Length")
        rules = FormRules(self.uploads.largest_bytes, dict.fromkeys(FILES, 1), TEXTS)
        most = len(FILES) * self.uploads.largest_bytes + sum(TEXTS.values()) + FRAME_BYTES
        with self.uploads.room(owner, length) as folder:
            body = stream(request.receive, min(length, most))
            form = await self._in_time(receive_form(headers["content-type"][0], body, folder, rules))
            return await self._apart(lambda: self._from_form(owner, form, key, stream_it))

    def _from_form(self, owner: str, form: Any, key: str, stream_it: bool) -> tuple[Video, bool]:
        asked, files = read_form(form)
        return self.desk.order(owner, _with(asked, stream_it), files, key)

    async def _in_time(self, coming: Any) -> Any:
        try:
            async with asyncio.timeout(BODY_S):
                return await coming
        except TimeoutError as error:
            raise Refused(408, "That took too long.", remedy="a faster connection, or a smaller file") from error

    # Looking

    def _answer(self, video: Video) -> VideoAnswer:
        return answer(video, self.desk.options.keep_h)

    async def all(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        after: Annotated[str | None, Query(description="The last one of the page before.", max_length=100)] = None,
        order: Literal["asc", "desc"] = "desc",
    ) -> VideoList:
        """One's own videos, newest first."""
        own = list(self.desk.own(request.state.owner))
        if order == "asc":
            own.reverse()
        names = [video.record.id for video in own]
        begin = names.index(after) + 1 if after in names else 0
        found = [self._answer(video) for video in own[begin : begin + limit]]
        return VideoList(
            data=found,
            first_id=found[0].id if found else None,
            last_id=found[-1].id if found else None,
            has_more=begin + limit < len(own),
        )

    async def one(self, name: str, request: Request) -> VideoAnswer:
        """A video, as it is now."""
        return self._answer(self.desk.find(request.state.owner, name))

    async def remove(self, name: str, request: Request) -> Removed:
        """Stop a video, if it is still being made, and remove it."""
        owner: str = request.state.owner
        await self._apart(lambda: self.desk.remove(owner, name))
        return Removed(id=name)

    async def content(
        self,
        name: str,
        request: Request,
        variant: Annotated[Variant, Query(description="The video, or what belongs to it.")] = "video",
    ) -> Response:
        """The finished video, or what belongs to it. Takes ranges."""
        video = self.desk.find(request.state.owner, name)
        if video.record.status == "failed":
            raise Told(video.record.error)
        if not video.record.has_ended:
            raise NotYet("The video is not made yet.", f"/v1/videos/{name}/events tells when it is")
        path = self.desk.file(video, variant)
        headers = {"Content-Disposition": f'inline; filename="{name}{path.suffix}"', "Cache-Control": "private"}
        return FileResponse(path, media_type=TYPES[variant], headers=headers)

    async def events(
        self,
        name: str,
        request: Request,
        last_event_id: Annotated[
            str | None, Header(max_length=40, description="Of somebody who lost the connection.")
        ] = None,
    ) -> Response:
        """How far a video is, as server-sent events, until it has ended."""
        video = self.desk.find(request.state.owner, name)
        after = int(last_event_id) if last_event_id and last_event_id.isdecimal() else -1
        if video.record.has_ended and after >= event_id(self._answer(video), video.record.attempts):
            return Response(status_code=204)  # tells a browser not to come again
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(events(self.desk, video, after), media_type="text/event-stream", headers=headers)

    async def stream(self, name: str, request: Request) -> Response:
        """The video as fragmented MP4, while it is made. It must have been ordered with stream=true."""
        return await self._streamed(self.desk.find(request.state.owner, name), {"X-Video-Id": name})

    async def _streamed(self, video: Video, headers: dict[str, str]) -> Response:
        if not video.record.asked.stream and not video.record.has_ended:
            raise NotYet("This video can only be had as a whole.", "order it with stream=true; or wait for /content")
        file = await opened(self.desk, video)
        headers |= {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(growing(self.desk, video, file), media_type=TYPES["video"], headers=headers)

    # The server

    async def models(self) -> ModelList:
        """What can be ordered: models with their sources and options."""
        return ModelList(data=await self._apart(self.desk.workshop.described))

    async def voices(self) -> VoiceList:
        """What texts can be spoken with."""
        return VoiceList(data=await self._apart(lambda: voices(self.desk.workshop)))

    async def healthy(self) -> Health:
        """The server runs."""
        return Health(status="ok")

    async def ready(self, response: Response) -> Health:
        """The server takes orders."""
        if self.desk.is_closing:
            response.status_code = 503
            return Health(status="stopping")
        return Health(status="ok")

    async def metrics(self) -> Response:
        """Figures for Prometheus."""
        return Response(self.desk.metrics.text(), headers={"Content-Type": TYPE})


def _with(asked: Asked, stream_it: bool) -> Asked:
    return replace(asked, stream=True) if stream_it else asked


class Service(FastAPI):
    """The application, without its guard."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(
            title="talkinghead", version=__version__, description=description(), docs_url=None, redoc_url=None
        )
        self.desk = desk

    @cached_property
    def page(self) -> str:
        """The description for people, without a script and without anything from elsewhere."""
        return page(self.openapi())


def build_app(desk: Desk) -> Service:
    """The service as an ASGI application, without its guard: `scope["state"]["owner"]` says who asks."""
    at = _Addresses(desk)
    app = Service(desk)
    teller = _Teller(desk)
    for kind in (TalkingHeadError, HTTPException, RequestValidationError, ConnectionResetError):
        app.add_exception_handler(kind, teller.tell)
    app.add_middleware(Unforeseen, answer=teller.answer)
    tags: dict[str, Any] = {"tags": ["videos"]}
    app.add_api_route(
        "/v1/videos",
        at.create,
        methods=["POST"],
        status_code=202,
        response_model=VideoAnswer,
        responses=_faults(400, 401, 409, 413, 422, 429),
        openapi_extra={"requestBody": EXAMPLES},
        **tags,
    )
    app.add_api_route("/v1/videos", at.all, methods=["GET"], responses=_faults(401), **tags)
    one = "/v1/videos/{name}"
    app.add_api_route(one, at.one, methods=["GET"], responses=_faults(401, 404), **tags)
    app.add_api_route(one, at.remove, methods=["DELETE"], responses=_faults(401, 404), **tags)
    files: dict[str, Any] = {"response_class": Response, "response_model": None}
    video = {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}}
    app.add_api_route(
        f"{one}/content",
        at.content,
        methods=["GET"],
        responses={200: video, 206: video, **_faults(401, 404, 409, 422)},
        **files,
        **tags,
    )
    app.add_api_route(f"{one}/content", at.content, methods=["HEAD"], include_in_schema=False, **files)
    told_as = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
    app.add_api_route(
        f"{one}/events", at.events, methods=["GET"], responses={200: told_as, **_faults(401, 404)}, **files, **tags
    )
    app.add_api_route(
        f"{one}/stream",
        at.stream,
        methods=["GET"],
        responses={200: video, **_faults(401, 404, 409, 422)},
        **files,
        **tags,
    )
    app.add_api_route("/v1/models", at.models, methods=["GET"], tags=["choices"], responses=_faults(401))
    app.add_api_route("/v1/voices", at.voices, methods=["GET"], tags=["choices"], responses=_faults(401))
    for path, state in (("/healthz", at.healthy), ("/readyz", at.ready)):
        app.add_api_route(path, state, methods=["GET"], tags=["server"])
        app.add_api_route(path, state, methods=["HEAD"], include_in_schema=False)
    app.add_api_route("/metrics", at.metrics, methods=["GET"], tags=["server"], **files)
    app.add_api_route("/docs", lambda: HTMLResponse(app.page), methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/", lambda: RedirectResponse("/docs"), methods=["GET", "HEAD"], include_in_schema=False)
    robots = "User-agent: *\nDisallow: /\n"
    app.add_api_route(
        "/robots.txt", lambda: Response(robots, media_type="text/plain"), methods=["GET"], include_in_schema=False
    )
    return app


class _Teller:
    """Every error as the one form."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def tell(self, _: Request, error: Exception) -> Response:
        return self.answer(error)

    def answer(self, error: Exception) -> Response:
        if isinstance(error, RequestValidationError):
            first = error.errors()[0]
            where = ".".join(str(part) for part in first.get("loc", ())[1:])
            error = InvalidRequest(f"{where[:100]}: {first.get('msg', 'cannot be used')}.")
        elif isinstance(error, HTTPException):
            sentences = {404: "There is nothing at that address.", 405: "That is not done at that address."}
            error = Refused(error.status_code, sentences.get(error.status_code, str(error.detail)))
        elif isinstance(error, ConnectionResetError):
            error = Refused(400, "The order ended early.")  # nobody reads this: who sent it has gone
        row = told(error, self._desk.workshop)
        status = status_of(error)
        self._desk.metrics.refused.labels(row["type"]).inc()
        headers = {}
        wait = error.wait_s if isinstance(error, Refused) else 5.0 if isinstance(error, QueueFull) else 0.0
        if wait > 0:
            headers["Retry-After"] = str(ceil(wait))
        return JSONResponse({"error": row}, status, headers)
