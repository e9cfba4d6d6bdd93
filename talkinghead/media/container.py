"""Opening media files with FFmpeg, safely: local files only, and errors in the package's own words."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import av

from talkinghead.errors import NoAudioStream, NoVideoStream, UnreadableMedia
from talkinghead.files import existing_file

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

av.logging.set_level(None)  # FFmpeg's own messages never reach the terminal; what matters is raised or noted

_NOT_MEDIA = {"tty", "concat", "hls", "dash", "sdp", "rtsp", "rtp", "lavfi", "imf", "srt", "ass", "webvtt", "subviewer"}
"""Demuxers of text: art for terminals, and play lists that name other files."""

_TEXT_ART = {"ansi", "bintext", "xbin", "idf"}

ACCEPTED = "a picture, video or sound that FFmpeg reads, such as JPEG, PNG, MP4, MOV, WebM, WAV, FLAC or MP3"


def open_input(path: Path) -> InputContainer:
    """Open a media file.

    Raises:
        MediaNotFound, UnreadableMedia
    """
    path = existing_file(path)
    try:
        return av.open(
            f"file:{path}",
            "r",
            container_options={"protocol_whitelist": "file", "format_whitelist": _media_formats()},
            metadata_errors="replace",
        )
    except av.error.ArgumentError as error:  # what FFmpeg says of a format that is not on the list, too
        what = f"{str(path)!r} is a text file or a play list, or damaged beyond use."
        raise unreadable(path, error, what) from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise unreadable(path, error) from error


@cache
def _media_formats() -> str:
    """FFmpeg's demuxers but those of text: a play list is refused before a file that it names is opened."""
    return ",".join(sorted(name for name in av.formats_available if not _NOT_MEDIA & set(name.split(","))))


def unreadable(path: Path, error: BaseException | None = None, what: str = "") -> UnreadableMedia:
    """The error to raise for a file that FFmpeg cannot use."""
    if not what:
        reason = getattr(error, "strerror", None) or str(error)
        what = f"{str(path)!r} cannot be read as media: {reason}."
    return UnreadableMedia(what, accepted=ACCEPTED, remedy="play the file to see whether it is damaged, or convert it")


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The main video stream: not a cover picture, the largest first."""
    from av.stream import Disposition

    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    streams = [stream for stream in streams if stream.codec_context.name not in _TEXT_ART]
    moving = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    if not moving:
        cover = " (only a cover picture)" if streams else ""
        raise NoVideoStream(f"{str(path)!r} has no video{cover}.", accepted="a picture, or a file with a video stream")
    default = container.streams.best("video")
    if default is not None and any(stream.index == default.index for stream in moving):
        return next(stream for stream in moving if stream.index == default.index)
    return max(moving, key=lambda stream: stream.width * stream.height)


def audio_stream(container: InputContainer, path: Path) -> AudioStream:
    """The main sound stream."""
    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if not streams:
        raise NoAudioStream(
            f"{str(path)!r} has no sound.",
            accepted="a sound file, or a video with a sound track",
            remedy="give the speech as a file of its own",
        )
    default = container.streams.best("audio")
    return next((stream for stream in streams if default is not None and stream.index == default.index), streams[0])
