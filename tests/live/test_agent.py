"""What is said through the WebSocket of agents, and what happens when it makes no sense."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiortc")
httpx = pytest.importorskip("httpx")
sync = pytest.importorskip("websockets.sync.client")

from talkinghead.live.rooms import Role  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from tests.live.stage import RAISES, ClapperStage, beep, pcm, played  # noqa: E402

LIMIT_S = 20.0
"""Longest wait for what takes a moment on a quiet machine."""


class Client:
    """What talks to a server that runs."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}")

    def connect(self, name: str = "test") -> Any:
        return Socket(sync.connect(f"ws://127.0.0.1:{self.port}/agent/{name}", max_queue=None))

    def speak(self, name: str = "test", **hello: Any) -> Any:
        """A connection that has said hello."""
        socket = self.connect(name)
        socket.tell({"type": "hello", "sample_rate": 48_000, **hello})
        socket.ready = socket.told("ready")
        return socket


class Socket:
    """One connection."""

    ready: dict[str, Any]

    def __init__(self, connecting: Any) -> None:
        self._connecting = connecting
        self.connection = connecting.__enter__()
        self.send = self.connection.send

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *what: Any) -> None:
        self._connecting.__exit__(*what)

    def tell(self, message: dict[str, Any]) -> None:
        self.connection.send(json.dumps(message))

    def told(self, kind: str) -> dict[str, Any]:
        """The next event, which must be of a kind."""
        event: dict[str, Any] = json.loads(self.connection.recv(LIMIT_S))
        assert event["type"] == kind, event
        return event

    def closed(self) -> int:
        """The code with which the server closes the connection; nothing else may come before."""
        from websockets.exceptions import ConnectionClosed

        with pytest.raises(ConnectionClosed) as raised:
            self.connection.recv(LIMIT_S)
        return int(raised.value.rcvd.code)


@pytest.fixture
def stage() -> ClapperStage:
    return ClapperStage()


@pytest.fixture
def client(stage: ClapperStage) -> Iterator[Any]:
    with played(stage, max_sessions=2, max_agents=2, idle_s=600) as running:
        opened = Client(running.port)
        yield opened
        opened.http.close()
    assert all(not host.sessions for host in stage.hosts.values())


def test_ready_says_what_is_shown(client: Any) -> None:
    with client.speak() as socket:
        assert socket.ready["session"] == "test"
        assert (socket.ready["model"], socket.ready["size"], socket.ready["fps"]) == ("clapper", [64, 64], 25.0)
        assert socket.ready["lookahead_s"] == pytest.approx(0.14)


@pytest.mark.parametrize(
    ("hello", "sound"),
    [
        ({}, pcm(beep(0.2))),
        ({"sample_rate": 8_000}, pcm(beep(0.2, 8_000))),
        ({"format": "float32", "channels": 2, "sample_rate": 16_000}, np.repeat(beep(0.2, 16_000), 2).tobytes()),
    ],
    ids=["int16", "8 kHz", "float32 stereo"],
)
def test_sound_is_played_whole(client: Any, hello: dict[str, Any], sound: bytes) -> None:
    """In two pieces of any size; who listens is told when it begins and how far it came."""
    with client.speak(**hello) as socket, client.speak() as other:
        half = len(sound) // 16 * 8
        socket.send(sound[:half])
        socket.send(sound[half:])
        socket.tell({"type": "end_turn"})
        for each in (socket, other):
            assert each.told("started")["utterance"] == 1
            assert each.told("finished") == {"type": "finished", "utterance": 1, "played_s": 0.2}
        socket.tell({"type": "stats"})
        stats = socket.told("stats")
        assert (stats["played_s"], stats["agents"], stats["viewers"]) == (pytest.approx(0.2), 2, 0)


def test_an_interruption_says_what_was_played(client: Any) -> None:
    with client.speak() as socket:
        socket.send(pcm(beep(5)))
        socket.told("started")
        socket.tell({"type": "interrupt"})
        event = socket.told("interrupted")
        assert event["utterance"] == 1
        assert event["played_s"] + event["thrown_away_s"] == pytest.approx(5, abs=0.002)
        assert 0 < event["played_s"] < 4
        socket.send(pcm(beep(0.1)))
        socket.tell({"type": "end_turn"})
        assert socket.told("started")["utterance"] == 2
        assert socket.told("finished")["played_s"] == pytest.approx(0.1, abs=0.001)


def test_a_text_is_said(client: Any) -> None:
    pytest.importorskip("espeakng_loader")
    with client.speak() as socket:
        socket.tell({"type": "say", "text": "No.", "lang": "en", "speed": 3})
        assert socket.told("queued")["utterance"] == 1
        socket.told("started")
        assert 0.1 < socket.told("finished")["played_s"] < 2


GARBAGE = [
    ("{", "not JSON"),
    ("[]", "object"),
    ('{"type": "dance"}', "say, end_turn"),
    ('{"type": "say"}', "no text"),
    ('{"type": "say", "text": "x", "voice": "/etc/passwd"}', "no voice"),
    ('{"type": "say", "text": "x", "speed": 900}', "0.3 to 3"),
    ('{"type": "say", "text": "' + "x" * 30_000 + '"}', "at most 20,000"),
    ('{"type": "show", "face": "../../etc/passwd"}', "not sent"),
    ('{"type": "show", "model": "nobody"}', "no model"),
    ('{"type": "hello", "sample_rate": 1}', "1000 to 768000"),
    ('{"type": "hello", "format": "mp3"}', "int16 or float32"),
    (b"\0\0\0", "multiple of 2 bytes"),
]


def test_garbage_is_answered_and_changes_nothing(client: Any) -> None:
    with client.speak() as socket:
        for message, words in GARBAGE:
            socket.send(message)
            error = socket.told("error")
            assert words in " ".join(str(text) for text in error.values())
            assert "fatal" not in error
        socket.send(pcm(beep(0.04)))
        socket.tell({"type": "end_turn"})
        socket.told("started")


def test_what_is_no_number_is_silence(client: Any) -> None:
    sound = beep(0.1)
    sound[::3] = np.nan
    with client.speak(format="float32") as socket:
        socket.send(sound.tobytes())
        socket.tell({"type": "end_turn"})
        socket.told("started")
        socket.told("finished")
        socket.tell({"type": "stats"})
        assert socket.told("stats")["cleaned_samples"] == 1600


def test_who_sends_only_garbage_is_sent_away(client: Any) -> None:
    with client.speak() as socket, client.speak() as other:
        for _ in range(100):
            socket.send("nonsense")
        for _ in range(100):
            socket.told("error")
        assert socket.closed() == 1008
        other.tell({"type": "stats"})
        assert other.told("stats")["agents"] == 1


def test_a_connection_begins_with_hello(client: Any) -> None:
    for first in ("{}", "nonsense", '{"type": "say", "text": "x"}', b"\0\0"):
        with client.connect() as socket:
            socket.send(first)
            if isinstance(first, str):
                socket.told("error")
            assert socket.closed() == 1008


def test_there_is_no_room_for_more(client: Any) -> None:
    with client.speak("a"), client.speak("a"), client.speak("b"):
        for name in ("a", "c"):
            with client.connect(name) as socket:
                assert socket.told("error")["fatal"]
                assert socket.closed() == 1013
    with client.connect("no%20name") as socket:
        assert "1 to 64 letters" in socket.told("error")["accepted"]


def test_a_face_is_sent_and_shown(client: Any, stage: ClapperStage) -> None:
    assert client.http.post("/faces/test", content=b"png").status_code == 400  # nobody is there
    with client.speak() as socket:
        assert client.http.post("/faces/test", content=b"").status_code == 400
        face = client.http.post("/faces/test", content=b"png").json()["face"]
        socket.tell({"type": "show", "face": face})
        assert socket.told("shown")["face"] == face
        socket.tell({"type": "show", "model": "other", "face": None})
        event = socket.told("shown")
        assert (event["model"], event["size"]) == ("other", [128, 128])
        socket.send(pcm(beep(0.1)))
        socket.tell({"type": "end_turn"})
        assert socket.told("started")["utterance"] == 1
        socket.told("finished")
        assert stage.faces == {face: b"png"}
        assert client.http.delete("/sessions/test").status_code == 200
        assert socket.closed() == 1001
    assert stage.faces == {}


def test_a_face_that_is_too_large_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written down as it comes, and gone when it is refused."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def sizes() -> list[int]:
        return [file.stat().st_size for file in tmp_path.glob("*/*") if file.is_file()]

    def parts() -> Iterator[bytes]:
        yield bytes(400_000)
        until = time.monotonic() + LIMIT_S
        while sizes() != [400_000] and time.monotonic() < until:
            time.sleep(0.01)
        assert sizes() == [400_000]
        yield bytes(800_000)

    with played(ClapperStage(), max_upload_mb=1) as running, Client(running.port).speak():
        reply = httpx.post(f"http://127.0.0.1:{running.port}/faces/test", content=parts())
        assert reply.status_code == 413
        assert sizes() == []


def test_a_face_whose_session_ended_meanwhile_is_not_kept(client: Any, stage: ClapperStage) -> None:
    def parts() -> Iterator[bytes]:
        yield b"p"
        assert httpx.delete(f"http://127.0.0.1:{client.port}/sessions/test").status_code == 200
        yield b"ng"

    with client.speak():
        reply = client.http.post("/faces/test", content=parts())
        assert (reply.status_code, reply.json()["what"]) == (400, "The session has ended.")
    assert stage.faces == {}


def test_changing_the_model_ends_what_is_said(client: Any) -> None:
    with client.speak() as socket:
        socket.send(pcm(beep(5)))
        socket.told("started")
        socket.tell({"type": "show", "model": "other"})
        assert socket.told("interrupted")["thrown_away_s"] > 3
        socket.told("shown")
        socket.send(pcm(beep(0.1)))
        socket.tell({"type": "end_turn"})
        assert socket.told("started")["utterance"] == 2


def test_a_head_that_raises_ends_its_session_alone(client: Any, stage: ClapperStage, caplog: Any) -> None:
    with client.speak("good") as good:
        stage.role = Role(RAISES)
        with client.speak("bad") as bad:
            bad.send(pcm(beep(0.3)))
            event = bad.told("error")
            while "fatal" not in event:
                event = bad.told("error")
            assert "secret" not in json.dumps(event)
            assert "secret" in caplog.text
            assert bad.closed() == 1011
        good.send(pcm(beep(0.1)))
        good.tell({"type": "end_turn"})
        good.told("started")
        good.told("finished")
        stage.role = Role("clapper")
        with client.speak("bad") as again:  # a new session under the same name
            again.tell({"type": "stats"})
            again.told("stats")


def test_who_is_gone_leaves_nothing(client: Any) -> None:
    with client.speak() as socket:
        socket.send(pcm(beep(2)))
        socket.told("started")
    with client.speak() as other:
        other.tell({"type": "stats"})
        assert other.told("stats")["agents"] == 1


def test_a_session_that_nobody_uses_ends(stage: ClapperStage) -> None:
    with played(stage, idle_s=0.1) as running:
        client = Client(running.port)
        with client.speak() as socket:
            socket.tell({"type": "stats"})
            socket.told("stats")
            (host,) = stage.hosts.values()
            assert len(host.sessions) == 1
        waited = threading.Event()
        for _ in range(200):
            if not host.sessions:
                break
            waited.wait(0.05)
        assert not host.sessions
        client.http.close()


def test_one_that_everybody_left_makes_room(client: Any, stage: ClapperStage) -> None:
    with client.speak("first"):
        pass
    with client.speak("second"):
        waited = threading.Event()
        for _ in range(100):  # the server hears a moment later that the first has left
            with client.connect("third") as socket:
                socket.tell({"type": "hello"})
                event = json.loads(socket.connection.recv(LIMIT_S))
            if event["type"] == "ready":
                break
            waited.wait(0.02)
        assert event["type"] == "ready"


def test_the_client_of_the_page_works(tmp_path: Any) -> None:
    """`docs/live.md` has one of at most 40 lines."""
    from talkinghead.contracts import AudioClip
    from talkinghead.media import write_wav

    text = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
    program = next(block for block in re.findall(r"```py\n(.*?)```", text, re.DOTALL) if "websockets" in block)
    assert len(program.splitlines()) <= 40
    (tmp_path / "client.py").write_text(program)
    write_wav(tmp_path / "hello.wav", AudioClip(beep(0.3, 16_000), 16_000))
    with played(ClapperStage()) as running:
        done = subprocess.run(
            [sys.executable, "client.py", f"ws://127.0.0.1:{running.port}/agent/test", "hello.wav"],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"started.*\n.*finished.*0\.3", done.stdout), done.stdout
