"""Who is served, from which page, and with which token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("aiortc")
testclient = pytest.importorskip("starlette.testclient")

from talkinghead.errors import OptionError  # noqa: E402
from talkinghead.hosting.hosts import Hosts  # noqa: E402
from talkinghead.live.app import build_app  # noqa: E402
from talkinghead.live.guard import Guard  # noqa: E402
from talkinghead.live.options import ServerOptions  # noqa: E402
from talkinghead.speech.options import SpeechOptions  # noqa: E402
from tests.live.stage import ClapperStage  # noqa: E402

TOKEN = "a-secret-of-many-letters"
SDP = {"content-type": "application/sdp"}


@pytest.fixture
def guarded() -> Iterator[Callable[..., Any]]:
    opened: list[Any] = []

    def open_one(**options: Any) -> Any:
        chosen = ServerOptions(**options)
        app = build_app(ClapperStage(), chosen, SpeechOptions())
        seconds = iter(range(10_000))

        async def served(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.accept"})
            else:
                await app(scope, receive, send)

        guard = Guard(served, chosen, Hosts(chosen.host), chosen.token, lambda: next(seconds) / 1000)
        client = testclient.TestClient(guard, base_url="http://localhost:8961")
        client.__enter__()
        opened.append(client)
        return client

    yield open_one
    for client in opened:
        client.__exit__(None, None, None)


def refused(client: Any, address: str, headers: dict[str, str] | None = None) -> bool:
    """Whether a WebSocket is closed before it is open."""
    from starlette.websockets import WebSocketDisconnect

    try:
        with client.websocket_connect(address, headers={"host": "localhost:8961", **(headers or {})}):
            return False
    except WebSocketDisconnect:
        return True


def test_only_its_own_names_and_pages_are_served(guarded: Callable[..., Any]) -> None:
    client = guarded()
    assert client.get("/").status_code == 200
    for headers in (
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ):
        assert client.post("/whep/test", content="v=0", headers={**SDP, **headers}).status_code == 403
        assert refused(client, "/agent/test", headers=headers)
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200  # a link led here
    assert not refused(client, "/agent/test", headers={"origin": "http://localhost:8961"})
    assert not refused(client, "/agent/test")


def test_the_page_may_ask_nobody_else(guarded: Callable[..., Any]) -> None:
    headers = guarded().get("/").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "ws://localhost:8961 wss://localhost:8961" in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_a_token_is_asked_for(guarded: Callable[..., Any]) -> None:
    client = guarded(token=TOKEN)
    assert client.get("/").status_code == 200
    assert client.post("/whep/test", content="v=0", headers=SDP).status_code == 401
    assert refused(client, "/agent/test")
    assert client.get(f"/models?token={TOKEN}").status_code == 200
    right = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/models", headers=right).status_code == 200
    assert not refused(client, f"/agent/test?token={TOKEN}")
    assert client.get(f"/models?{'a=1&' * 30}token={TOKEN}").status_code == 401
    for _ in range(5):
        assert client.get("/models?token=wrong").status_code == 401
    assert client.get("/models?token=wrong").status_code == 429
    assert client.get("/models").status_code == 429
    assert client.get("/models", headers=right).status_code == 200  # others of the same address keep nobody out


def test_players_elsewhere_are_served_where_that_was_said(guarded: Callable[..., Any]) -> None:
    named, other = "https://player.example", "https://evil.example"
    client = guarded(allow_origin=named)
    preflight = client.options("/whep/test", headers={"origin": named, "access-control-request-method": "POST"})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == named
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["accept-post"] == "application/sdp"
    reply = client.post("/whep/test", content="v=0", headers={**SDP, "origin": named})
    assert reply.status_code == 400
    assert "location" in reply.headers["access-control-expose-headers"]
    assert client.options("/whep/test", headers={"origin": other}).status_code == 403
    with_token = guarded(token=TOKEN)  # who has it may ask from anywhere
    right = {**SDP, "origin": other, "authorization": f"Bearer {TOKEN}"}
    assert with_token.post("/whep/test", content="v=0", headers=right).status_code == 400
    assert with_token.options("/whep/test", headers={"origin": other}).status_code == 204


def test_what_is_no_offer_is_refused(guarded: Callable[..., Any]) -> None:
    client = guarded()
    assert client.post("/whep/test", content="v=0").status_code == 415
    assert client.post("/whep/test", content="x" * 70_000, headers=SDP).status_code == 413
    for offer in ("", "nonsense", "v=0\r\n", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=recvonly\r\n", "\0" * 100):
        reply = client.post("/whep/test", content=offer, headers=SDP)
        assert reply.status_code == 400, reply.text
        assert reply.json()["accepted"]
    many = "v=0\r\n" + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=recvonly\r\n" * 9
    assert client.post("/whep/test", content=many, headers=SDP).json()["accepted"] == "at most 8"
    assert client.delete("/whep/test/nobody").status_code == 404
    trickle = {"content-type": "application/trickle-ice-sdpfrag"}
    assert client.patch("/whep/test/nobody", content="", headers=trickle).status_code == 404
    assert client.get("/whep/test").status_code == 405
    assert client.get("/nothing").status_code == 404


def test_what_nobody_foresaw_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """And told without any of it."""
    stage = ClapperStage()
    stage.models = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    with testclient.TestClient(build_app(stage, ServerOptions(), SpeechOptions())) as client:
        reply = client.get("/models")  # would raise what was handed on
    assert reply.status_code == 500
    assert [record.name for record in caplog.records if record.exc_info] == ["talkinghead.live"]
    number = caplog.records[-1].getMessage().split()[1]
    assert reply.json()["what"].endswith(f"under {number}.")


@pytest.mark.parametrize(
    "options",
    [{"host": " "}, {"token": "short"}, {"token": "with a space in it!"}, {"allow_origin": "player.example"},
     {"allow_host": "a:b:c/"}, {"stun": "not a host"}, {"idle_s": 0}, {"max_sessions": 0}],
)  # fmt: skip
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        ServerOptions(**options)
    assert ServerOptions(stun="stun.example").stun_server == "stun:stun.example:3478"
