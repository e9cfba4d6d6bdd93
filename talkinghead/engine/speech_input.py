"""From a sound file, samples or a text to the speech that a head listens to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, Phone, Speech

if TYPE_CHECKING:
    from talkinghead.speech import SpeechOptions


def listen(
    sound: str | Path | AudioClip,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    phones: tuple[Phone, ...] | None = None,
) -> Speech:
    """Read speech: 16 kHz mono for the networks, and the original sound for the finished file.

    Args:
        sound: any audio or video file that FFmpeg reads, or samples.
        start_s, duration_s: the part to use, in seconds.
        phones: exact phone times, if known (text to speech knows them).
    Raises:
        MediaError: the file cannot be read, has no sound or no samples.
    """
    from talkinghead.media import read_audio, resample_clip

    if isinstance(sound, AudioClip):
        first = round(start_s * sound.sample_rate_hz)
        stop = None if duration_s is None else first + round(duration_s * sound.sample_rate_hz)
        part = replace(sound, samples=sound.samples[first:stop])
        return Speech(clip=resample_clip(part, SPEECH_RATE_HZ), soundtrack=part, phones=phones)
    path = Path(sound)
    clip = read_audio(path, SPEECH_RATE_HZ, start_s=start_s, duration_s=duration_s)
    return Speech(clip=clip, soundtrack=path, start_s=start_s, phones=phones)


def say(
    text: str, options: SpeechOptions | None = None, *, progress: Callable[[int, int], None] | None = None
) -> Speech:
    """Speak a text, sentence by sentence.

    Args:
        progress: called with sentences done and sentences in all.
    Returns:
        The sound, and with espeak-ng the exact time of every phone.
    Raises:
        OptionError: no such language, voice or engine. InputError: nothing to say, or too long.
        MissingDependency: the engine is not installed. BackendError: it failed, or is forbidden offline.
    """
    from talkinghead.media import resample_clip
    from talkinghead.speech import say as speak_whole

    spoken = speak_whole(text, options, progress=progress)
    return Speech(clip=resample_clip(spoken.clip, SPEECH_RATE_HZ), soundtrack=spoken.clip, phones=spoken.phones)
