"""From a sound file, samples or a text to the speech that a head listens to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from talkinghead.contracts import SPEECH_RATE_HZ, AudioClip, Phone, Speech
from talkinghead.files import same_content

if TYPE_CHECKING:
    from talkinghead.speech import SpeechOptions


def listen(
    sound: str | Path | AudioClip,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    phones: tuple[Phone, ...] | None = None,
    face: object = None,
    check: Callable[[], object] | None = None,
) -> Speech:
    """Read speech: 16 kHz mono for the networks, and the original sound for the finished file.

    Args:
        sound: any audio or video file that FFmpeg reads, or samples.
        start_s, duration_s: the part to use, in seconds.
        phones: exact phone times, if known (text to speech knows them).
        face: the file whose pictures will be shown. Where it is the sound's own file, or a copy, pictures and sound
            stay as far apart as they begin in it; elsewhere the sound begins with its first sample.
        check: called between blocks of the file; raises `Cancelled` when the job was stopped.
    Raises:
        MediaError: the file cannot be read, has no sound or no samples.
    """
    from talkinghead.media import read_audio, resample_clip
    from talkinghead.media.offsets import sound_offset

    if isinstance(sound, AudioClip):
        first = round(start_s * sound.sample_rate_hz)
        stop = None if duration_s is None else first + round(duration_s * sound.sample_rate_hz)
        part = replace(sound, samples=sound.samples[first:stop])
        return Speech(clip=resample_clip(part, SPEECH_RATE_HZ), soundtrack=part, phones=phones)
    path = Path(sound)
    offset = sound_offset(path)
    together = isinstance(face, str | Path) and same_content(face, path)
    kept = offset.kept if together else Fraction(0)
    lead_s, hold_s = max(kept, Fraction(0)), max(-kept, Fraction(0))
    warnings = [] if together or not (dropped := offset.dropped(path.name)) else [dropped]
    clip = read_audio(
        path, SPEECH_RATE_HZ, start_s=start_s, duration_s=duration_s, lead_s=lead_s, warnings=warnings, check=check
    )
    later_s = float(lead_s) - start_s
    if phones is not None and later_s > 0:
        phones = tuple(replace(phone, start_s=phone.start_s + later_s, end_s=phone.end_s + later_s) for phone in phones)
    return Speech(
        clip=clip,
        soundtrack=path,
        start_s=start_s,
        phones=phones,
        duration_s=duration_s,
        lead_s=lead_s,
        hold_s=hold_s,
        offset_dropped=kept != offset.kept,
        warnings=tuple(warnings),
    )


def with_its_pictures(speech: Speech, face: object) -> Speech:
    """Speech that was read without its face, where that turns out to be the same file: as `listen` with `face`."""
    sound = speech.soundtrack
    if not (speech.offset_dropped and isinstance(sound, Path) and isinstance(face, str | Path)):
        return speech
    if not same_content(face, sound):
        return speech
    return listen(sound, start_s=speech.start_s, duration_s=speech.duration_s, phones=speech.phones, face=face)


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
    return Speech(
        clip=resample_clip(spoken.clip, SPEECH_RATE_HZ),
        soundtrack=spoken.clip,
        phones=spoken.phones,
        warnings=spoken.notes,
    )
