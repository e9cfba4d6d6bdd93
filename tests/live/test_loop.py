"""Through a real loop (ICE, DTLS, SRTP) to a real receiver."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

pytest.importorskip("aiortc")
httpx = pytest.importorskip("httpx")
websockets = pytest.importorskip("websockets")

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
