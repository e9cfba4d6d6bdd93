"""What stands before the page's own server: who is served, what may be asked, how much may be sent.

ASGI middleware, the outermost. Only the addresses in `ROUTES` exist; everything else that the framework has is closed.
"""

from __future__ import annotations

import asyncio
import http.cookies
import json
import logging
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from talkinghead.errors import TalkingHeadError
from talkinghead.hosting.asgi import App, Message, Receive, Scope, Send, address_of, by_name
from talkinghead.hosting.bodies import Incoming, length_of, stream, whole
from talkinghead.hosting.hosts import Hosts
from talkinghead.hosting.logins import Logins, place_of
from talkinghead.hosting.uploads import TooMuch, receive_files
from talkinghead.webui.calls import MAX_BYTES, SESSION, read_call, read_json

if TYPE_CHECKING:
    from talkinghead.webui.studio import Studio

LOG = logging.getLogger("talkinghead.webui")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""Content-Security-Policy: the browser itself refuses every request to another place."""
ROBOTS = b"User-agent: *\nDisallow: /\n"
API = "/gradio_api"
OPEN, CLOSED = True, False
"""Whether a route is there for those who have not entered yet."""
_SHOWN = ("GET", "HEAD")
_NAME = r"[A-Za-z0-9_]{1,64}"
ROUTES: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    (r"/", _SHOWN, OPEN),
    (r"/(?:config|theme\.css|favicon\.ico|robots\.txt|manifest\.json)/?", _SHOWN, OPEN),
    (r"/(?:static|assets|svelte)/.+", _SHOWN, OPEN),
    (r"/login/?", ("POST",), OPEN),
    (r"/logout/?", _SHOWN, OPEN),
    (rf"{API}/(?:user|login_check|app_id|startup-events|theme\.css|info|openapi\.json)/?", _SHOWN, OPEN),
    (rf"{API}/(?:queue/data|queue/status|upload_progress)/?", _SHOWN, CLOSED),
    (rf"{API}/heartbeat/[^/]+", _SHOWN, CLOSED),
    (rf"{API}/file=.+", _SHOWN, CLOSED),
    (rf"{API}/call/(?:v2/)?{_NAME}/{_NAME}", _SHOWN, CLOSED),
    (rf"{API}/upload/?", ("POST",), CLOSED),
    (rf"{API}/(?:queue/join|cancel|reset)/?", ("POST",), CLOSED),
    (rf"{API}/(?:call|call/v2|run|api)/{_NAME}/?", ("POST",), CLOSED),
)
"""Pattern, methods, and whether it is open. What is open asks for a login itself where it shows something."""
_ROUTES = tuple((re.compile(pattern), methods, is_open) for pattern, methods, is_open in ROUTES)
_CALL = re.compile(rf"{API}/(?:queue/join|cancel|reset|call/.+|run/.+|api/.+)")
LOGIN_BYTES = 10_000
DEVICE = "talkinghead-entered"
"""Cookie of a browser that entered before."""


class Refused(Exception):
    """A request that is not served.

    Args:
        status: of HTTP.
        sentence: what to tell.
        wait_s: after which it may be tried again; 0 says nothing of that.
    """

    def __init__(self, status: int, sentence: str, wait_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.wait_s = status, sentence, wait_s


class Guard:
    """The middleware.

    Args:
        app: what is guarded.
        framework: the application object of gradio, which knows who has entered.
    """

    def __init__(self, app: App, framework: Any, studio: Studio, hosts: Hosts, logins: Logins | None) -> None:
        self._app, self._framework, self._studio = app, framework, studio
        self._hosts, self._logins = hosts, logins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, incoming = False, Incoming(receive)

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        try:
            await self._serve(scope, incoming, with_headers)
        except (Refused, TooMuch) as error:
            if isinstance(error, TooMuch):
                error = Refused(413, self._studio.sentence(error))
            await incoming.drain()
            await _say(with_headers, error)
        except ConnectionResetError:
            return  # the visitor went away
        except Exception as error:
            if started:
                raise
            await _say(with_headers, Refused(500, self._studio.sentence(error)))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = by_name(scope)
        path, method = str(scope.get("path", "")), str(scope["method"])
        looks = method in _SHOWN and headers.get("sec-fetch-mode") == ["navigate"] and path in ("/", "/logout")
        if why := self._hosts.refusal(headers, looks=looks):
            raise Refused(403, why)
        self._check_route(path, method, headers)
        if b"deep_link" in scope.get("query_string", b""):
            raise Refused(404, "Settings are not kept under links.")
        if path == "/robots.txt":
            await _text(send, ROBOTS)
        elif path.rstrip("/") == "/login":
            await self._login(scope, receive, send, headers)
        elif path.rstrip("/") == f"{API}/upload":
            await self._upload(scope, receive, send, headers)
        elif path.startswith(f"{API}/heartbeat/"):
            await self._open_page(scope, receive, send, path.rpartition("/")[2])
        elif path.startswith(f"{API}/file="):
            if not self._studio.may_be_named(path.partition("=")[2]):
                raise Refused(403, "That file is not here.")
            await self._app(scope, receive, send)
        elif method == "POST" and _CALL.fullmatch(path):
            await self._call(scope, receive, send, headers, named=path.startswith(f"{API}/call/v2/"))
        else:
            await self._app(scope, receive, send)

    def _check_route(self, path: str, method: str, headers: Mapping[str, list[str]]) -> None:
        there = [(methods, is_open) for pattern, methods, is_open in _ROUTES if pattern.fullmatch(path)]
        if not there:
            raise Refused(404, "There is nothing at that address.")
        if all(method not in methods for methods, _ in there):
            raise Refused(405, f"{method} is not for that address.")
        if not all(is_open for _, is_open in there) and not self._has_entered(headers):
            raise Refused(401, "Enter with your name and password first.")

    # Entering

    def _has_entered(self, headers: Mapping[str, list[str]]) -> bool:
        if self._logins is None:
            return True
        cookies, number = _cookies(headers), self._framework.cookie_id
        names = (f"access-token-{number}", f"access-token-unsecure-{number}")
        return any(cookies.get(name) in self._framework.tokens for name in names if name in cookies)

    async def _login(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, list[str]]) -> None:
        body = await whole(receive, headers, LOGIN_BYTES)
        if self._logins is None:
            await self._app(scope, _again(body), send)
            return
        logins, address, device = self._logins, address_of(scope), _cookies(headers).get(DEVICE)
        wait = logins.attempt(address, device)
        if wait > 0:
            raise Refused(429, f"Too many attempts. Try again in {int(wait) + 1} seconds.", wait)

        async def remember(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                token = logins.entered(address, device)
                cookie = f"{DEVICE}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000"
                message["headers"] = [*message.get("headers", []), (b"set-cookie", cookie.encode())]
            await send(message)

        await self._app(scope, _again(body), remember)

    # Sending

    async def _upload(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, list[str]]) -> None:
        size = length_of(headers)
        if size is None:
            raise Refused(411, "Say how long the upload is (Content-Length).")
        uploads, place = self._studio.uploads, place_of(address_of(scope))
        query = urllib.parse.parse_qs(scope.get("query_string", b"").decode("latin-1"))
        tell, done = _progress(query.get("upload_id", [""])[0])
        try:
            with uploads.room(place, size) as folder:
                body = stream(receive, size)
                kind = headers.get("content-type", [""])[0]
                paths = await receive_files(kind, body, folder, uploads.largest_bytes, tell)
                names = [str(uploads.keep(place, path)) for path in paths]
        except TooMuch as error:
            raise Refused(413, self._studio.sentence(error)) from error
        except TalkingHeadError as error:
            raise Refused(400, self._studio.sentence(error)) from error
        finally:
            done()
        await _text(send, json.dumps(names).encode(), b"application/json")

    async def _call(
        self, scope: Scope, receive: Receive, send: Send, headers: Mapping[str, list[str]], *, named: bool
    ) -> None:
        body = await whole(receive, headers, MAX_BYTES)
        try:
            if scope["path"].rstrip("/").endswith(("/cancel", "/reset")):
                call = read_json(body)
            else:
                call = read_call(body, self._studio.may_be_named, named=named)
        except TalkingHeadError as error:
            raise Refused(400, self._studio.sentence(error)) from error
        checked = json.dumps(call).encode()
        kept = [(name, value) for name, value in scope["headers"] if name.lower() not in _REWRITTEN]
        scope["headers"] = [
            *kept, (b"content-type", b"application/json"), (b"content-length", str(len(checked)).encode())
        ]  # fmt: skip
        await self._app(scope, _again(checked, receive), send)

    async def _open_page(self, scope: Scope, receive: Receive, send: Send, session: str) -> None:
        """The connection that a page keeps open; when it ends, the page was closed."""
        if SESSION.fullmatch(session) is None:
            raise Refused(404, "There is nothing at that address.")
        self._studio.page_opened(session)
        try:
            await self._app(scope, receive, send)
        finally:
            asyncio.get_running_loop().run_in_executor(None, self._studio.page_closed, session)


_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_REWRITTEN = (b"content-type", b"content-length", b"transfer-encoding")


def _cookies(headers: Mapping[str, list[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in headers.get("cookie", []):
        try:
            found |= {name: morsel.value for name, morsel in http.cookies.SimpleCookie(line[:8192]).items()}
        except http.cookies.CookieError:
            continue
    return found


def _again(body: bytes, after: Receive | None = None) -> Receive:
    """Gives a body that was read already; then what comes after it."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        if after is not None:
            return await after()
        return {"type": "http.disconnect"}

    return receive


def _progress(upload_id: str) -> tuple[Callable[[str, bytes], None] | None, Callable[[], None]]:
    """How the page's bar of an upload is told, and that it is done."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", upload_id):
        return None, lambda: None
    from gradio.routes import file_upload_statuses

    file_upload_statuses.track(upload_id)
    return (
        lambda name, data: file_upload_statuses.append(upload_id, name, data),
        lambda: file_upload_statuses.set_done(upload_id),
    )


async def _say(send: Send, refused: Refused) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if refused.wait_s > 0:
        headers.append((b"retry-after", str(int(refused.wait_s) + 1).encode()))
    body = json.dumps({"detail": refused.sentence}).encode()
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _text(send: Send, text: bytes, kind: bytes = b"text/plain") -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": text})
