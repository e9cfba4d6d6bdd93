"""What a visitor drops on the page: looked at by its content, and shown again as what it was taken for.

Gradio decodes nothing. A step takes anything that has what it needs, whatever the file is called: under Face a picture,
an animation or a video, under Voice a sound or a video that has one. What belongs under the other step is said so.

    taken = face_of(studio, key, path)       # raises with the sentence that the command line has
    taken.shown                              # a file that every browser shows, in the visitor's own folder
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from talkinghead.errors import InputError, NoAudioStream, NoVideoStream, UnreadableMedia
from talkinghead.hosting.thumbnails import write_thumbnail

if TYPE_CHECKING:
    from talkinghead.contracts import FrameSource
    from talkinghead.media import MediaProbe
    from talkinghead.webui.studio import Studio

FACE, VOICE = "Face", "Voice"
"""The steps of the page, as a visitor reads them."""
SHOWN_SIDE = 640
"""Longer side of what is shown of a face, in pixels."""
SHOWN_KEPT = 6
"""Of each step; older ones are removed."""
SHOWN_RATE_HZ = 24_000
"""Of the copy of a sound that browsers do not play."""
_PLAYED = {
    "wav": (".wav",),
    "mp3": (".mp3",),
    "flac": (".flac",),
    "ogg": (".ogg", ".oga", ".opus"),
    "matroska,webm": (".webm",),
    "mov,mp4,m4a,3gp,3g2,mj2": (".mp4", ".m4a"),
}
"""Containers that every browser plays under these suffixes,"""
_PLAYED_CODECS = {"pcm_s16le", "mp3", "flac", "opus", "vorbis", "aac"}
"""with these codecs."""


@dataclass(frozen=True)
class Taken:
    """A file that a step of the page took."""

    kind: str
    """"picture", "animation", "video" or "sound"."""
    path: Path
    """The visitor's own file."""
    shown: Path
    """What a browser shows of it: a WebP of the face, or a sound that it plays."""
    detail: str
    """Such as "3024 x 4032 pixels" or "5.8 s"."""
    notes: tuple[str, ...] = ()
    """What is to be known of it, such as that a part of the picture is damaged."""


def face_of(studio: Studio, key: str | None, path: Path) -> Taken:
    """Take a file as a face.

    Args:
        key: of the visitor's session.
        path: a file that the visitor sent, under whatever name.
    Raises:
        InputError: it is a sound, or a text. MediaError: damaged, too large, or nothing that is known.
        OptionError: not a file of this visitor.
    """
    file = studio.own_file(key, path)
    try:
        source = studio.workshop.open_face(file)
    except NoVideoStream as error:
        raise InputError(
            f"{file.name!r} is a sound.", accepted="a picture or a video of a face", remedy=f"drop it under {VOICE}"
        ) from error
    shown = _new_file(studio, key, FACE, ".webp")
    write_thumbnail(source, shown, SHOWN_SIDE)
    return Taken(_kind_of(source), file, shown, _size_of(source), source.warnings)


def voice_of(studio: Studio, key: str | None, path: Path) -> Taken:
    """Take a file as a voice.

    Args:
        key: of the visitor's session.
        path: a file that the visitor sent, under whatever name.
    Raises:
        InputError: it is a picture, has no sound, lasts too long, or is a text. MediaError: damaged or too large.
        OptionError: not a file of this visitor.
    """
    from talkinghead.media.headers import picture_format

    file = studio.own_file(key, path)
    accepted, place = "a sound, or a video with a sound", f"drop it under {FACE}"
    if file.is_file() and picture_format(file) is not None:
        raise InputError(f"{file.name!r} is a picture.", accepted=accepted, remedy=place)
    try:
        found = studio.workshop.probe_sound(file)
    except NoAudioStream as error:
        raise InputError(
            f"{file.name!r} is a video without a sound.",
            accepted=accepted,
            remedy=f"a video that was made with its sound; as a face, {place}",
        ) from error
    track = found.main_audio
    assert track is not None
    shown = file if _plays(found) else _copy(studio, key, file)
    kind = "sound" if found.main_video is None else "video"
    seconds = f"{track.duration_s:.1f} s" if track.duration_s else ""
    return Taken(kind, file, shown, seconds if kind == "sound" else f"the sound of a video, {seconds}", found.warnings)


def _plays(found: MediaProbe) -> bool:
    """Whether every browser plays a file as it is, under the name that it has."""
    track = found.main_audio
    assert track is not None
    suffixes = _PLAYED.get(found.container, ())
    return found.path.suffix.lower() in suffixes and track.codec in _PLAYED_CODECS and len(found.audio) == 1


def _copy(studio: Studio, key: str | None, file: Path) -> Path:
    """A copy of a sound that browsers play."""
    from talkinghead.media import read_audio, write_wav

    try:
        clip = read_audio(file, sample_rate_hz=SHOWN_RATE_HZ)
    except NoAudioStream as error:
        raise UnreadableMedia(f"{file.name!r} has no sound that can be decoded.", remedy="export it again") from error
    shown = _new_file(studio, key, VOICE, ".wav")
    write_wav(shown, clip)
    return shown


def _new_file(studio: Studio, key: str | None, step: str, suffix: str) -> Path:
    """A new file of the session for what is shown of a step; the oldest ones go."""
    folder = studio.session(key).folder / "shown"
    folder.mkdir(mode=0o700, exist_ok=True)
    files = sorted(folder.glob(f"{step.lower()}-*"), key=lambda file: file.stat().st_mtime_ns)
    for old in files[: -SHOWN_KEPT + 1]:
        old.unlink(missing_ok=True)
    return folder / f"{step.lower()}-{secrets.token_hex(8)}{suffix}"


def _kind_of(source: FrameSource) -> str:
    if source.fps is None:
        return "picture"
    return "animation" if source.info.codec in ("gif", "webp", "png", "apng", "avif") else "video"


def _size_of(source: FrameSource) -> str:
    width, height = source.size
    size = f"{width} x {height} pixels"
    return size if source.fps is None else f"{size}, {float(len(source) / source.fps):.1f} s"


def taken_html(taken: Taken) -> str:
    """What was taken, to be seen or heard, with what is to be known of it."""
    address = "gradio_api/file=" + quote(str(taken.shown))
    name = escape(taken.path.name, quote=True)
    if taken.shown.suffix == ".webp":
        seen = f'<img src="{address}" alt="{name}">'
    else:
        seen = f'<audio controls preload="metadata" src="{address}" aria-label="{name}"></audio>'
    notes = "".join(f'<div class="th-detail th-warn">{escape(note)}</div>' for note in taken.notes)
    return (
        f'<div class="th-taken th-taken-{taken.kind}" role="status">{seen}<div class="th-title">{name}</div>'
        f'<div class="th-detail">{escape(taken.detail)}</div>{notes}</div>'
    )
