"""The one door to FFmpeg: what it may open, how much it may take, and its errors in the package's words.

Everything that reads media goes through here. FFmpeg gets the names of the formats that it may use before it opens a
file, may use no protocol but that of files, and every decoder has limits. Whatever PyAV raises, in opening, demuxing,
decoding, seeking or encoding, ends here: damaged files make it raise errors of any kind, such as IndexError out of a
demuxer.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from talkinghead.errors import NoAudioStream, NoVideoStream, OutputError, TalkingHeadError, UnreadableMedia
from talkinghead.files import existing_file
from talkinghead.media.claims import check_claims
from talkinghead.media.formats import (
    HEAD_BYTES,
    ISO,
    LATE_STREAMS,
    READABLE,
    demuxer_of,
    is_text,
    names_others,
)
from talkinghead.media.limits import MAX_BLOCK_VALUES, MAX_PIXELS, MAX_STREAMS, check_sound_format

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

av.logging.set_level(None)  # FFmpeg's own messages never reach the terminal; what matters is raised or noted

_TEXT_ART = {"ansi", "bintext", "xbin", "idf"}

ACCEPTED = "a picture, video or sound that FFmpeg reads, such as JPEG, PNG, MP4, MOV, WebM, WAV, FLAC or MP3"

Check = Callable[[], object]
"""Called often in long loops; raises `Cancelled` when the job was stopped."""


def open_input(path: Path, *, sound_only: bool = False, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """Open a media file.

    Args:
        sound_only: only its sound is wanted: pictures are not looked at, and files that hold nothing else refused.
        max_pixels: larger pictures are not decoded.
    Raises:
        MediaNotFound, UnreadableMedia
        NoAudioStream: a picture, where only sound is wanted.
    """
    path = existing_file(path)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    known = demuxer_of(head)
    if known == ISO:
        check_claims(path)
    try:
        if sound_only:
            return _open_blind(path, known)
        if known is not None and known not in LATE_STREAMS:
            return _open(f"file:{path}", known, _options([known], max_pixels))
        return _open_late(path, known, max_pixels)
    except Exception as error:
        raise _refused(path, head, error, sound_only=sound_only) from error


def open_bytes(data: bytes, demuxer: str, *, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """Open a file in memory whose format is known.

    Args:
        demuxer: FFmpeg's name of the format.
    Raises:
        UnreadableMedia: it is no such file.
    """
    return open_stream(io.BytesIO(data), demuxer, max_pixels=max_pixels)


def open_stream(data: io.RawIOBase | io.BytesIO, demuxer: str, *, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """Open what is read from a file object whose format is known.

    Raises:
        UnreadableMedia: it is no such file.
    """
    try:
        return _open(data, demuxer, _options([demuxer], max_pixels))
    except Exception as error:
        raise UnreadableMedia(f"The data cannot be read as {demuxer}: {reason(error)}.") from error


def first_picture(data: bytes, demuxer: str, *, max_pixels: int = MAX_PIXELS) -> VideoFrame | None:
    """The first picture of a file in memory; None if nothing can be decoded.

    Args:
        demuxer: FFmpeg's name of the format.
    """
    try:
        container = open_bytes(data, demuxer, max_pixels=max_pixels)
    except UnreadableMedia:
        return None
    with container:
        stream = next(iter(container.streams.video), None)
        if stream is None or stream.codec_context is None:
            return None
        limit_decoder(stream, max_pixels=max_pixels, threads=1)
        for packet in chain(packets(container, stream), (None,)):
            frames, _ = decode_packet(stream, packet)
            if frames:
                first: VideoFrame = frames[0]
                return first
    return None


def _open_blind(path: Path, known: str | None) -> InputContainer:
    """Open a file without decoding a picture.

    Args:
        known: FFmpeg's demuxer, or None where only FFmpeg can tell.
    """
    formats = [known] if known is not None else READABLE - {ISO}
    return _open(f"file:{path}", known, _options(formats, MAX_PIXELS, decode=False))


def _open_late(path: Path, known: str | None, max_pixels: int) -> InputContainer:
    """Open a file whose streams may come late, once to see their sizes and once to look at the pictures."""
    container = _open_blind(path, known)
    name = container.format.name
    if name in LATE_STREAMS and not all(
        0 < stream.codec_context.width * stream.codec_context.height <= max_pixels
        for stream in container.streams.video
        if stream.codec_context is not None
    ):
        return container
    container.close()
    return _open(f"file:{path}", name, _options([name], max_pixels))


def _open(source: str | io.RawIOBase | io.BytesIO, demuxer: str | None, options: dict[str, str]) -> InputContainer:
    container: InputContainer = av.open(source, "r", format=demuxer, options=options, metadata_errors="replace")
    for stream in container.streams:
        if stream.codec_context is not None:
            limit_decoder(stream, max_pixels=int(options["max_pixels"]))
    return container


def _options(formats: Iterable[str], max_pixels: int, *, decode: bool = True) -> dict[str, str]:
    """Options of FFmpeg for a file and its streams.

    Args:
        decode: whether it may decode the first pictures, to see what they are.
    """
    return {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(sorted(formats)),
        "max_streams": str(MAX_STREAMS),
        "max_pixels": str(max_pixels),
        "max_samples": str(MAX_BLOCK_VALUES),
        **({} if decode else {"codec_whitelist": _sound_decoders()}),
    }


@cache
def _sound_decoders() -> str:
    return ",".join(sorted(name for name in av.codecs_available if _is_sound_decoder(name)))


def _is_sound_decoder(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except ValueError:  # an encoder only
        return False


def reason(error: BaseException | None) -> str:
    """What an error of PyAV says, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _refused(path: Path, head: bytes, error: BaseException | None, *, sound_only: bool) -> TalkingHeadError:
    """The error to raise for a file that is not opened."""
    from talkinghead.media.headers import picture_format

    if is_text(head):
        kind = "a play list, which names other files" if names_others(head) else "a text file or a play list"
        return unreadable(path, error, f"{str(path)!r} is {kind}, and no media.")
    if sound_only and picture_format(path) is not None:
        return NoAudioStream(
            f"{str(path)!r} is a picture and has no sound.",
            accepted="a sound file, or a video with a sound track",
            remedy="give the speech as a file of its own",
        )
    if error is None or isinstance(error, av.error.ArgumentError):  # what FFmpeg says of a format that is not allowed
        return unreadable(path, error, f"{str(path)!r} is of a kind that is not read, or damaged beyond use.")
    return unreadable(path, error)


def unreadable(path: Path, error: BaseException | None = None, what: str = "") -> UnreadableMedia:
    """The error to raise for a file that FFmpeg cannot use."""
    if not what:
        what = f"{str(path)!r} cannot be read as media: {reason(error)}."
    return UnreadableMedia(what, accepted=ACCEPTED, remedy="play the file to see whether it is damaged, or convert it")


def packets(
    container: InputContainer, *streams: Any, check: Check | None = None, broken: list[str] | None = None
) -> Iterator[Any]:
    """Packets of some streams (of all, if none is named) until the end, or until the file stops making sense.

    Args:
        check: called before each packet; what it raises is passed on.
        broken: receives what stopped the reading, if it was not the end.
    """
    rest = container.demux(*streams)
    while True:
        if check is not None:
            check()
        try:
            packet = next(rest, None)
        except Exception as error:  # noqa: BLE001 (as above; IndexError at a stream that appeared on the way)
            if broken is not None:
                broken.append(reason(error))
            return
        if packet is None:
            return
        if packet.size:
            yield packet


def decode_packet(stream: Any, packet: Any | None) -> tuple[list[Any], bool]:
    """The frames that a packet brings, and whether it is damaged; None as packet makes a decoder give up the rest."""
    try:
        return stream.codec_context.decode(packet), False
    except Exception:  # noqa: BLE001 (as above)
        return [], True


def seek(container: InputContainer, stream: Any, ticks: int) -> bool:
    """Go to the key frame at or before a time; whether that worked."""
    try:
        container.seek(ticks, stream=stream, backward=True)
        stream.codec_context.flush_buffers()
    except Exception:  # noqa: BLE001 (as above)
        return False
    return True


def encode(container: OutputContainer, stream: Any, frame: Any | None) -> None:
    """Encode a frame and write what the encoder gives; None makes it give up the rest.

    Raises:
        OutputError: the encoder failed in a way of its own. OSError and FFmpegError: the file cannot be written.
    """
    try:
        container.mux(stream.encode(frame))
    except (av.FFmpegError, OSError, MemoryError):
        raise
    except Exception as error:
        raise OutputError(f"The {stream.codec_context.name} encoder failed: {reason(error)}.") from error


def limit_decoder(stream: Any, *, max_pixels: int = MAX_PIXELS, threads: int | None = None) -> None:
    """Give the decoder of a stream its limits, before it is used; whatever is opened here has the usual ones."""
    context = stream.codec_context
    context.options = {**context.options, "max_pixels": str(max_pixels), "max_samples": str(MAX_BLOCK_VALUES)}
    if threads is not None:
        stream.thread_type = "AUTO"
        context.thread_count = threads


def sound_frames(
    container: InputContainer, stream: AudioStream, path: Path, *, check: Check | None = None
) -> Iterator[AudioFrame | None]:
    """Decoded sound in order; None for each packet that fails.

    Raises:
        UnreadableMedia: a rate or a number of channels that no recording has.
    """
    end = av.Packet()  # empty: makes the decoder give up the rest
    if stream.time_base is not None:
        end.time_base = stream.time_base
    for packet in chain(packets(container, stream, check=check), (end,)):
        frames, failed = decode_packet(stream, packet)
        if failed and packet is not end:
            yield None
        for frame in frames:
            check_sound_format(path, frame.sample_rate, frame.layout.nb_channels)
            yield frame


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
