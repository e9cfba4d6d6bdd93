"""A LiveKit agent with a face: it greets whoever comes, and stops when it is interrupted.

    pip install "talkinghead[livekit,tts]"
    export LIVEKIT_URL=... LIVEKIT_API_KEY=... LIVEKIT_API_SECRET=...
    python examples/livekit_agent.py dev

The face is made by this process, and so is the voice (espeak-ng). For a conversation, give `AgentSession` what hears,
thinks and speaks: `AgentSession(stt=..., llm=..., tts=..., vad=...)`; everything else stays as it is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from functools import cache

from livekit import rtc
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli
from livekit.agents.voice.avatar import AvatarRunner, QueueAudioOutput

import talkinghead as th
from talkinghead.engine.head import Avatar, Head
from talkinghead.engine.live import LiveOptions
from talkinghead.live.livekit import HeadVideo
from talkinghead.media.sound import pcm16_from_float

RATE = 24_000
"""Of all sound, Hz."""

server = AgentServer()


@cache
def face() -> tuple[Head, Avatar]:
    """Loaded once for all rooms of this process."""
    head = th.load(os.environ.get("HEAD_MODEL", "viseme"))
    return head, head.prepare(os.environ.get("HEAD_FACE", "me.jpg"))


async def spoken(text: str) -> AsyncIterator[rtc.AudioFrame]:
    """A text in the voice of this machine."""
    clip = (await asyncio.to_thread(th.say, text)).clip
    samples = pcm16_from_float(clip.samples)
    step = clip.sample_rate_hz // 10
    resampler = rtc.AudioResampler(clip.sample_rate_hz, RATE)
    for start in range(0, len(samples), step):
        part = samples[start : start + step]
        for frame in resampler.push(rtc.AudioFrame(part.tobytes(), clip.sample_rate_hz, 1, len(part))):
            yield frame
    for frame in resampler.flush():
        yield frame


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    """One room."""
    head, avatar = await asyncio.to_thread(face)
    live = head.live(avatar, LiveOptions(sample_rate_hz=RATE))
    video = HeadVideo(live)
    audio = QueueAudioOutput(sample_rate=RATE, wait_playback_start=True)
    runner = AvatarRunner(ctx.room, audio_recv=audio, video_gen=video, options=video.options)

    async def ended() -> None:
        await runner.aclose()
        await video.aclose()
        await asyncio.to_thread(live.close)

    ctx.add_shutdown_callback(ended)
    session: AgentSession = AgentSession()
    session.output.audio = audio
    await session.start(agent=Agent(instructions="Be brief."), room=ctx.room)
    await ctx.connect()
    await runner.start()
    hello = "Good morning. Say something, and I will stop."
    await session.say(hello, audio=spoken(hello))


if __name__ == "__main__":
    cli.run_app(server)
