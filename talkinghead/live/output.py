"""A live session as a stream: to RTMP, SRT or another address, through a pipe, or into a file.

    with head.live(avatar) as session:
        stream(session, "rtmp://localhost/live/head", speech="hello.wav")

Pictures and sound carry the session's own times, so that a receiver has them in step whatever the way there does. What
is sent is H.264 and AAC: a camera and a microphone for OBS, FFmpeg or a streaming service.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import av
import numpy as np

from talkinghead.engine.live import LiveSession, Moment
from talkinghead.errors import OptionError, UnwritableOutput, choices
from talkinghead.files import check_target, is_pipe
from talkinghead.live.feed import Pace, opaque
from talkinghead.live.options import StreamOptions
from talkinghead.live.speech import SpeechSource
from talkinghead.media.colour import FromRgb
from talkinghead.media.encoders import EncoderFacts, candidates, encoder_status, set_up
from talkinghead.media.options import EncodeOptions
from talkinghead.media.output import Label
from talkinghead.provenance.origin import Origin

PIPE = "-"
ADDRESSES = {"rtmp": "flv", "rtmps": "flv", "srt": "mpegts", "tcp": "mpegts", "udp": "mpegts"}
"""FFmpeg's format by the scheme of an address."""
FILES = {".ts": "mpegts", ".mkv": "matroska", ".flv": "flv", ".mp4": "mp4", ".mov": "mov"}
"""FFmpeg's format by the suffix of a file."""
_FORMAT_OPTIONS = {
    "mp4": {"movflags": "+frag_keyframe+empty_moov+default_base_moof"},  # so that it can be read at any time
    "mov": {"movflags": "+frag_keyframe+empty_moov+default_base_moof"},
    "flv": {"flvflags": "no_duration_filesize"},
}
BEHIND_S = 0.5
"""So late, pictures are left out until the stream has caught up; sound never is."""
TAIL_S = 0.4
"""How long the face is shown after the last speech."""


@dataclass
class StreamReport:
    """What was sent."""

    moments: int = 0
    pictures: int = 0
    left_out: int = 0
    """Pictures that were not drawn in time, or not sent because the stream was late."""
    samples: int = 0
    encoder: str = ""
    seconds: float = 0.0
    """Of the session."""
    details: Mapping[str, Any] = field(default_factory=dict)


def stream(
    session: LiveSession[Any],
    url: str,
    *,
    speech: str | SpeechSource | None = None,
    options: StreamOptions | None = None,
    seconds: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> StreamReport:
    """Send a session until its speech has ended, or for some time, or until somebody stops it.

    Args:
        session: of any head; it stays open.
        url: rtmp://, rtmps://, srt://, tcp:// or udp:// with an address; a file ending in .ts, .mkv, .flv, .mp4 or
            .mov, or a named pipe; "-" for standard output, as MPEG-TS.
        speech: what is said: a sound file, a named pipe, or "-" for standard input (WAV and the like, or 16-bit samples
            as a `SpeechSource` says). None: what others push; then it goes on until it is stopped.
        seconds: of the session, at most.
        stopped: asked at every moment.
    Returns:
        What was sent.
    Raises:
        OptionError: another kind of address. OutputExists: such a file. UnwritableOutput: nobody is there, or has gone.
        InputError, MediaError: the speech cannot be read. What the session raises.
    """
    source = SpeechSource(speech) if isinstance(speech, str) else speech
    options = options or StreamOptions()
    reading = None if source is None else source.read_into(session)
    begun = time.perf_counter()
    rate = session.options.sample_rate_hz
    with LiveWriter(url, session.size, session.fps, rate, options, origin=session.origin) as writer:
        try:
            if reading is not None:
                reading.start()
            silent_from: int | None = None
            for moment in session:
                writer.write(moment)
                if stopped() or (seconds is not None and float((moment.index + 1) / session.fps) >= seconds):
                    break
                if reading is None:
                    continue
                reading.check()
                if moment.utterance is not None or not reading.is_done or session.stats().waiting_s > 0:
                    silent_from = None
                elif silent_from is None:
                    silent_from = moment.index
                elif moment.index - silent_from >= TAIL_S * session.fps:
                    break
        finally:
            if reading is not None:
                reading.stop()
    writer.report.details = {"wall_s": time.perf_counter() - begun, **vars(session.stats())}
    return writer.report


class LiveWriter:
    """Moments into a stream; a context manager.

    Args:
        url: as `stream`.
        size: (width, height) of the pictures.
        fps: of the session.
        sample_rate_hz: of its sound.
    """

    def __init__(
        self,
        url: str,
        size: tuple[int, int],
        fps: Fraction,
        sample_rate_hz: int,
        options: StreamOptions,
        *,
        origin: Origin | None = None,
    ) -> None:
        self.report = StreamReport()
        self._name, format_name, target = _target(url, options.overwrite)
        self._fps, self._rate_hz = fps, sample_rate_hz
        self._size = (size[0] - size[0] % 2, size[1] - size[1] % 2)
        self._sound = np.zeros(0, np.float32)
        self._pace = Pace()
        facts = _encoder(options)
        self.report.encoder = facts.name
        encode = EncodeOptions(codec="h264", gop_s=options.keyframe_s)
        self._container: Any = None
        self._label: Label | None = None
        try:
            self._label = Label(format_name, origin or Origin()) if options.label else None
            if self._label is not None and isinstance(target, str) and target.startswith("file:"):
                target = self._label.inserting(Path(target.removeprefix("file:"))) or target
            self._container = av.open(
                target, "w", format=format_name, options=_FORMAT_OPTIONS.get(format_name, {}), timeout=10
            )
            if self._label is not None:
                self._label.say(self._container)
            video = self._container.add_stream(facts.name, rate=fps)
            assert isinstance(video, av.VideoStream)
            self._video = video
            video.time_base = 1 / fps
            video.codec_context.bit_rate = options.video_bitrate_k * 1000
            set_up(video.codec_context, facts, encode, *self._size, fps)
            audio = self._container.add_stream("aac", rate=sample_rate_hz, layout="mono")
            assert isinstance(audio, av.AudioStream)
            audio.codec_context.bit_rate = options.audio_bitrate_k * 1000
            audio.codec_context.time_base = Fraction(1, sample_rate_hz)
            self._audio = audio
            self._convert = FromRgb(facts.pixel_format)
            self._container.start_encoding()
        except BaseException as error:
            self._abandon()
            if isinstance(error, (av.FFmpegError, OSError, ValueError)):
                raise self._refused(error, "cannot be opened") from error
            raise

    def _abandon(self) -> None:
        """Let go of the stream, whatever state it is in."""
        if self._container is not None:
            with suppress(av.FFmpegError, OSError, ValueError):  # what is said is the first error
                self._container.close()
        if self._label is not None:
            with suppress(OSError):
                self._label.close()

    def write(self, moment: Moment) -> None:
        """Send a moment: its picture where there is one, and all of its sound.

        Raises:
            UnwritableOutput: the receiver has gone.
        """
        self.report.moments += 1
        self.report.seconds = float((moment.index + 1) / self._fps)
        try:
            if moment.picture is None or self._pace.is_late(float(moment.time * moment.time_base), BEHIND_S):
                self.report.left_out += 1
            else:
                picture = opaque(moment.picture)[: self._size[1], : self._size[0]]
                frame = self._convert(np.ascontiguousarray(picture))
                frame.pts, frame.time_base = moment.index, 1 / self._fps
                self._container.mux(self._video.encode(frame))
                self.report.pictures += 1
            sound = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(moment.sound[np.newaxis]), format="fltp", layout="mono"
            )
            sound.sample_rate, sound.pts, sound.time_base = self._rate_hz, moment.time, moment.time_base
            self._container.mux(self._audio.encode(sound))
            self.report.samples += len(moment.sound)
        except (av.FFmpegError, OSError) as error:
            raise self._refused(error, "takes nothing more") from error

    def _refused(self, error: Exception, what: str) -> UnwritableOutput:
        if isinstance(error, av.error.ProtocolNotFoundError):
            return UnwritableOutput(
                f"{self._name} cannot be opened: the FFmpeg within PyAV has no {self._name.partition(':')[0]}.",
                remedy="hand it to an FFmpeg that has it: "
                "--output - | ffmpeg -analyzeduration 500000 -i - -c copy -f mpegts ADDRESS",
            )
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return UnwritableOutput(f"{self._name} {what}: {reason}", remedy="check the address, and that somebody listens")

    def close(self) -> None:
        """Send what the encoders hold, and end the stream.

        Raises:
            UnwritableOutput: the receiver has gone.
        """
        try:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
            self._container.close()
            if self._label is not None:
                self._label.close()
        except (av.FFmpegError, OSError) as error:
            raise self._refused(error, "takes nothing more") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.close()
        else:
            self._abandon()


def shown_address(url: str) -> str:
    """An address without what in it may be secret: names, passwords and keys of streams."""
    parts = urlsplit(url)
    return f"{parts.scheme.lower()}://{parts.netloc.rpartition('@')[2]}" if "://" in url else url


def _target(url: str, overwrite: bool) -> tuple[str, str, Any]:
    """How an output is called in messages (addresses may hold keys), its format, and what to open."""
    if url == PIPE:
        return "Standard output", "mpegts", sys.stdout.buffer
    scheme = urlsplit(url).scheme.lower() if "://" in url else ""
    if scheme in ADDRESSES:
        return shown_address(url), ADDRESSES[scheme], url
    path = Path(url)
    suffix = path.suffix.lower()
    if scheme or (suffix not in FILES and not is_pipe(path)):
        raise OptionError(
            f"A live session is not written to {url.partition('?')[0]!r}.",
            accepted=f"{choices([f'{name}://' for name in ADDRESSES])}, a file ending in {choices(list(FILES))}, "
            "a named pipe, or - for standard output",
        )
    if not is_pipe(path):
        path = check_target(path, overwrite=overwrite)
    return str(path), FILES.get(suffix, "mpegts"), f"file:{path}"


def _encoder(options: StreamOptions) -> EncoderFacts:
    """The first H.264 encoder that works here, made to hold nothing back."""
    for facts in candidates("h264", ".mkv"):
        if encoder_status(facts.name).works:
            break
    kbit = options.video_bitrate_k
    rate = {"maxrate": f"{kbit}k", "bufsize": f"{kbit}k"}
    if facts.name == "libx264":
        return replace(facts, options={**rate, "tune": "zerolatency"}, preset_options={})
    return replace(facts, options={**facts.options, **rate, "b:v": f"{kbit}k", "tune": "ull", "bf": "0"})
