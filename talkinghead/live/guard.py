"""What stands before the live server: under which name it is reached, from which page, and with which token.

ASGI middleware, the outermost. Other origins than the server's own are served where they were named, or where a token
is asked for: a page that knows it could as well ask from anywhere.
"""

from __future__ import annotations

import hmac
import json
import time
import urllib.parse
from collections.abc import Callable, Mapping

from talkinghead.hosting.asgi import App, Message, Receive, Scope, Send, address_of, bearer, by_name
from talkinghead.hosting.hosts import Hosts
from talkinghead.hosting.logins import TRIES, TRY_S, Buckets, place_of
from talkinghead.live.options import ServerOptions

OPEN = ("/", "/live.css", "/live.js", "/microphone.js", "/favicon.ico", "/robots.txt")
"""The page itself holds no secret and asks for the token."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self' ws://{host} wss://{host}; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"microphone=(self), camera=(), geolocation=()"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST, PATCH, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"authorization, content-type, if-match"),
    (b"access-control-max-age", b"600"),
)
WEBSOCKET_REFUSED = 1008


class Guard:
    """The middleware.

    Args:
        token: what everybody must give; None: nothing.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        app: App,
        options: ServerOptions,
        hosts: Hosts,
        token: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._hosts, self._token, self._clock = app, hosts, token, clock
        self._origins = frozenset(options.origins)
        self._wrong = Buckets(TRIES, TRY_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = by_name(scope)
        elsewhere = self._origin_elsewhere(headers)
        method, path = str(scope.get("method", "GET")), str(scope["path"])

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = POLICY.format(host=headers["host"][0] if self._is_known(headers) else "localhost")
                more = [*_HEADERS, (b"content-security-policy", policy.encode())]
                message["headers"] = [*message.get("headers", []), *more, *_cors(elsewhere)]
            await send(message)

        if refused := self._refusal(scope, headers, elsewhere is not None, method, path):
            await _refuse(scope, with_headers, *refused)
        elif scope["type"] == "http" and method == "OPTIONS":
            accepts = [(b"accept-post", b"application/sdp")] if path.startswith("/whep/") else []
            start = {"type": "http.response.start", "status": 204, "headers": [*_PREFLIGHT, *accepts]}
            await with_headers(start)
            await with_headers({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, with_headers)

    def _is_known(self, headers: Mapping[str, list[str]]) -> bool:
        hosts = headers.get("host", [])
        return len(hosts) == 1 and self._hosts.knows(hosts[0])

    def _origin_elsewhere(self, headers: Mapping[str, list[str]]) -> str | None:
        """Another origin that may ask; None where it is the server's own, or may not."""
        origins = headers.get("origin", [])
        if len(origins) != 1 or not self._is_known(headers):
            return None
        own = not self._hosts.refusal(headers, looks=False)
        return origins[0] if not own and (origins[0].lower() in self._origins or self._token is not None) else None

    def _refusal(
        self, scope: Scope, headers: Mapping[str, list[str]], from_elsewhere: bool, method: str, path: str
    ) -> tuple[int, str] | None:
        """Why a request is not served: status and sentence."""
        if not self._is_known(headers):
            return 403, "This server is not reached under that name."
        looks = method in ("GET", "HEAD") and path == "/" and scope["type"] == "http"
        if not from_elsewhere and (why := self._hosts.refusal(headers, looks=looks)):
            return 403, why
        asks = scope["type"] == "websocket" or (path not in OPEN and method != "OPTIONS")
        return self._token_refusal(scope, headers) if asks and self._token is not None else None

    def _token_refusal(self, scope: Scope, headers: Mapping[str, list[str]]) -> tuple[int, str] | None:
        assert self._token is not None
        given = _token(scope, headers)
        if given is not None and hmac.compare_digest(given.encode(), self._token.encode()):
            return None  # whatever others of the same address have tried
        now, place = self._clock(), place_of(address_of(scope))
        if (wait := self._wrong.wait_s(place, now)) > 0:
            return 429, f"Too many wrong tokens. Try again in {int(wait) + 1} seconds."
        if given is not None:
            self._wrong.of(place, now).take(now)
        return 401, "Give the token that the server showed: Authorization: Bearer TOKEN, or ?token=TOKEN."


def _token(scope: Scope, headers: Mapping[str, list[str]]) -> str | None:
    if (given := bearer(headers)) is not None:
        return given
    try:
        query = urllib.parse.parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=20)
    except ValueError:  # more fields than that
        return None
    found = query.get("token", [])
    return found[0] if found else None


def _cors(origin: str | None) -> list[tuple[bytes, bytes]]:
    if origin is None:
        return []
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"location"),
        (b"vary", b"origin"),
    ]


async def _refuse(scope: Scope, send: Send, status: int, sentence: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": WEBSOCKET_REFUSED, "reason": sentence})
        return
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"type": "error", "what": sentence}).encode()})
