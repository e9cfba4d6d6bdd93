"""Through a real loop (ICE, DTLS, SRTP) to a real receiver."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("aiortc")
httpx = pytest.importorskip("httpx")
websockets = pytest.importorskip("websockets")

from tests.conftest import ROOT  # noqa: E402
from tests.live.stage import ClapperStage, beep, pcm, played, quiet, until, watching  # noqa: E402

MOST_SKEW_S = 0.04


@pytest.mark.parametrize("codec", ["VP8", pytest.param("H264", marks=pytest.mark.thorough)])
def test_flash_and_beep_arrive_together(codec: str) -> None:
    """The picture is white exactly while the tone sounds, at the beginning and after it; both tracks begin together."""

    async def run(port: int) -> None:
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
            websockets.connect(f"ws://127.0.0.1:{port}/agent/test") as agent,
        ):
            await agent.send(json.dumps({"type": "hello", "sample_rate": 48_000}))
            assert json.loads(await agent.recv())["type"] == "ready"
            async with watching(client, codec=codec) as received:
                await until(lambda: received.pictures and received.sounds)
                assert received.pictures[0][0] == received.sounds[0][0] == 0
                for _ in range(3):
                    await agent.send(pcm(np.concatenate([beep(0.12), quiet(0.16)])))
                await agent.send('{"type": "end_turn"}')
                events = []
                while not events or events[-1]["type"] != "finished":
                    events.append(json.loads(await agent.recv()))
                await until(lambda: len(received.flashes()) == len(received.beeps()) == 3)
        skews = np.subtract(received.flashes(), received.beeps())
        assert np.abs(skews).max() <= MOST_SKEW_S
        assert [event["type"] for event in events] == ["started", "finished"]
        assert events[-1]["played_s"] == pytest.approx(0.84, abs=0.001)

    stage = ClapperStage()
    with played(stage) as running:
        asyncio.run(run(running.port))
    assert all(not host.sessions for host in stage.hosts.values())


@pytest.mark.thorough
def test_a_player_whose_addresses_are_not_known_is_waited_for() -> None:
    async def run(port: int) -> None:
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
            watching(client, hides_addresses=True) as received,
        ):
            await until(lambda: received.pictures and received.sounds)

    with played(ClapperStage()) as running:
        asyncio.run(run(running.port))


@pytest.mark.thorough
def test_several_watch_one_session() -> None:
    """Whoever joins later begins with a moment of their own; who leaves is not noticed by the others."""

    async def run(port: int) -> None:
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
            websockets.connect(f"ws://127.0.0.1:{port}/agent/test") as agent,
        ):
            await agent.send(json.dumps({"type": "hello", "sample_rate": 48_000}))
            async with watching(client) as first:
                await until(lambda: len(first.pictures) > 5)
                async with watching(client) as second:
                    await until(lambda: second.pictures and second.sounds)
                    await agent.send(pcm(np.concatenate([beep(0.12), quiet(0.2)])))
                    await agent.send('{"type": "end_turn"}')
                    await until(lambda: len(second.flashes()) == len(second.beeps()) == 1)
                await agent.send(pcm(np.concatenate([beep(0.12), quiet(0.2)])))
                await agent.send('{"type": "end_turn"}')
                await until(lambda: len(first.flashes()) == len(first.beeps()) == 2)
        for received in (first, second):
            assert np.abs(np.subtract(received.flashes(), received.beeps())).max() <= MOST_SKEW_S
            times = np.array([time for time, _ in received.sounds])
            assert np.allclose(np.diff(times), 0.01)  # no hole in the sound

    with played(ClapperStage()) as running:
        asyncio.run(run(running.port))


WATCHER = """
import asyncio, sys
import httpx
from tests.live.stage import until, watching

async def run(port):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client, watching(client) as received:
        await until(lambda: received.pictures)
        print("watching", flush=True)
        await asyncio.sleep(600)

asyncio.run(run(int(sys.argv[1])))
"""


@pytest.mark.thorough
def test_a_viewer_that_disappears_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word: its process is killed. Who speaks goes on, and the connection is gone soon (here sooner)."""
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.1)

    async def run(port: int, watcher: subprocess.Popen[str]) -> None:
        assert watcher.stdout is not None
        async with websockets.connect(f"ws://127.0.0.1:{port}/agent/test") as agent:
            await agent.send(json.dumps({"type": "hello"}))
            await asyncio.to_thread(watcher.stdout.readline)
            os.kill(watcher.pid, signal.SIGKILL)
            viewers = 1
            async with asyncio.timeout(30):
                while viewers:
                    await agent.send('{"type": "stats"}')
                    event = json.loads(await agent.recv())
                    viewers = event.get("viewers", viewers)
            await agent.send(pcm(beep(0.1)))
            await agent.send('{"type": "end_turn"}')
            async with asyncio.timeout(30):
                while event["type"] != "finished":
                    event = json.loads(await agent.recv())

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with played(ClapperStage()) as running:
        command = [sys.executable, "-c", WATCHER, str(running.port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as watcher:
            asyncio.run(run(running.port, watcher))


@pytest.mark.thorough
def test_the_benchmark_measures_the_loop(capfd: pytest.CaptureFixture[str]) -> None:
    """Every figure of `talkinghead bench live`, with as little as it takes."""
    from talkinghead.cli.main import main

    less = ["--minutes", "0.05", "--interruptions", "2", "--utterances", "1", "--sessions", "1", "--session-s", "1"]
    assert main(["bench", "live", "--size", "256x256", "--json", *less]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["claps"] == 3
    assert found["skew_median_s"] <= MOST_SKEW_S
    assert max(found["skew_median_s"], abs(found["skew_first_s"])) <= found["skew_most_s"]
    assert found["interruptions"] == 2
    assert 0 <= found["arrived_s"][2] <= found["silence_s"][2]
    assert found["utterances"] == 1
    assert found["mouth_s"][0] > 0.2  # it hears 0.2 s ahead
    (row,) = found["sessions"]
    assert row["moments"] > 25
    assert (found["model"], found["size"]) == ("viseme", [256, 256])
