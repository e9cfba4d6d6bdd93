"""What stands before the service: under which name it is reached, and whose token a request has.

ASGI middleware, the outermost. Whoever has a token may ask under any name, as behind a proxy; who needs none is a
program on this machine, and no page of a browser that was led here (see `hosting.hosts`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from math import ceil

from talkinghead.hosting.asgi import App, Message, Receive, Scope, Send, address_of, bearer, by_name
from talkinghead.hosting.bodies import Incoming
from talkinghead.hosting.hosts import Hosts
from talkinghead.hosting.logins import TRIES, TRY_S, Buckets, place_of
from talkinghead.serve.faults import NotEntered, Refused, TooOften, told
from talkinghead.serve.metrics import Metrics
from talkinghead.serve.tokens import EVERYBODY, Tokens

PROBES = ("/healthz", "/readyz")
"""What those who watch over machines ask, by whatever name."""
OPEN = ("/", "/docs", "/openapi.json", "/robots.txt")
"""What holds no secret."""
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


class Guard:
    """The middleware; what it lets through finds its owner in `scope["state"]["owner"]`.

    Args:
        tokens: empty where nobody needs one.
        clock: seconds, for tests.
    """

    def __init__(
        self, app: App, hosts: Hosts, tokens: Tokens, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._hosts, self._tokens, self._metrics, self._clock = app, hosts, tokens, metrics, clock
        self._wrong = Buckets(TRIES, TRY_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        incoming = Incoming(receive)

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] >= 400 and scope["method"] not in ("GET", "HEAD"):
                    await incoming.drain()
                self._metrics.answers.labels(_method(scope), str(message["status"])).inc()
                there = {name.lower() for name, _ in message.get("headers", [])}
                more = [(b"cache-control", b"no-store")] if b"cache-control" not in there else []
                message["headers"] = [*message.get("headers", []), *_HEADERS, *more]
            await send(message)

        try:
            scope.setdefault("state", {})["owner"] = self._owner(scope, by_name(scope))
        except Refused as error:
            self._metrics.refused.labels(type(error).__name__).inc()
            await _refuse(answered, error)
        else:
            await self._app(scope, incoming, answered)

    def _owner(self, scope: Scope, headers: Mapping[str, list[str]]) -> str:
        path = str(scope["path"])
        if path in PROBES:
            return EVERYBODY
        if self._tokens and path not in OPEN:
            return self._token_owner(scope, headers)
        looks = scope["method"] in ("GET", "HEAD") and path in OPEN
        if why := self._hosts.refusal(headers, looks=looks):
            raise Refused(403, why.replace("This page", "This service"), remedy="talkinghead serve --allow-host NAME")
        return EVERYBODY

    def _token_owner(self, scope: Scope, headers: Mapping[str, list[str]]) -> str:
        given = bearer(headers)
        owner = self._tokens.owner(given) if given is not None else None
        if owner is not None:
            return owner
        now, place = self._clock(), place_of(address_of(scope))
        if (wait := self._wrong.wait_s(place, now)) > 0:
            raise TooOften("Too many wrong tokens.", wait)
        if given is not None:
            self._wrong.of(place, now).take(now)
        raise NotEntered()


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in ("GET", "HEAD", "POST", "DELETE") else "other"


async def _refuse(send: Send, error: Refused) -> None:
    headers = [(b"content-type", b"application/json")]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.wait_s > 0:
        headers.append((b"retry-after", str(ceil(error.wait_s)).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": told(error)}).encode()})
