"""Video out: frames and a sound track to one file, in one pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import av
import numpy as np

from talkinghead.contracts import AudioClip, Frame
from talkinghead.errors import EncoderUnavailable, MediaError, OptionError, OutputError, TalkingHeadError, choices
from talkinghead.files import (
    SEQUENCE_PICTURE,
    SEQUENCE_SOUND,
    PendingOutput,
    check_folder_for,
    check_target,
    unwritable,
)
from talkinghead.media.colour import FromRgb
from talkinghead.media.container import encode, open_input, packets, video_stream
from talkinghead.media.encoders import (
    MAX_LEVEL_MACROBLOCKS,
    EncoderFacts,
    candidates,
    encoder_status,
    macroblocks,
    open_encoder,
    set_up,
    transparent_encoder,
)
from talkinghead.media.mark import mark_of
from talkinghead.media.options import GOOD_QUALITY, EncodeOptions
from talkinghead.media.output import FRAGMENTED, OutputFile
from talkinghead.media.soundtrack import AUDIO_CODECS, SoundEncoder, Soundtrack
from talkinghead.places import check_apart
from talkinghead.provenance.carriers import labelled_png
from talkinghead.provenance.origin import Origin
from talkinghead.provenance.signing import Signer
from talkinghead.provenance.xmp import packet_of

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".gif": "gif"}
MAX_SIDE = 16384
MAX_GIF_FPS = 50
"""Viewers show GIF frames of less than 2/100 s much slower."""


@dataclass(frozen=True)
class EncodeInfo:
    """What was written."""

    path: Path
    container: str
    video_codec: str
    encoder: str
    """The FFmpeg encoder that made the pictures."""
    pixel_format: str
    width: int
    height: int
    fps: Fraction
    num_frames: int
    audio_codec: str | None
    sample_rate_hz: int | None
    num_channels: int
    num_samples: int
    """Samples per channel; the sound is as long as the pictures, to the sample."""
    file_bytes: int
    notes: tuple[str, ...] = ()
    """Each way in which the file differs from what was asked, and what was lost in the sound, as sentences."""

    @property
    def duration_s(self) -> Fraction:
        return self.num_frames / self.fps


def check_output(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = True,
    options: EncodeOptions = GOOD_QUALITY,
    new_folder: bool = False,
) -> None:
    """Find out before the work whether a video can be written: name, folder, codec and its options.

    Args:
        new_folder: the folder of the video will be made where it is missing.
    Raises:
        OutputExists, UnwritableOutput, EncoderUnavailable
    """
    encoders = candidates(options.codec, Path(path).suffix)
    if new_folder and not Path(path).parent.exists():
        check_folder_for(Path(path))
    else:
        check_target(path, overwrite=overwrite, folder=encoders[0].codec == "png")
    _pick_encoder(encoders, options, 256, 144, Fraction(25))
    _check_fragmented(Path(path).suffix.lower(), options)
    audio_codec_for(Path(path).suffix.lower(), options)


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[Frame],
    *,
    fps: Fraction,
    soundtrack: Path | AudioClip | None = None,
    start_s: float = 0.0,
    lead_s: Fraction = Fraction(0),
    duration: float | Fraction | None = None,
    num_frames: int | None = None,
    options: EncodeOptions = GOOD_QUALITY,
    overwrite: bool = True,
    on_frame: Callable[[int], None] | None = None,
    origin: Origin | None = None,
    signer: Signer | None = None,
) -> EncodeInfo:
    """Write frames and sound as a video. The final name appears only when the file is complete.

    The sound is cut, or filled with silence, to end with the pictures, to the sample.

    Args:
        frames: RGB uint8 [H, W, 3], all of one size, at least one; read one at a time. RGBA [H, W, 4] makes a video
            with transparency, where the container holds it.
        fps: frames per second, exact.
        soundtrack: a media file whose sound is used (its rate and channels are kept where the codec can), or samples.
        start_s: where in the soundtrack the video begins, seconds.
        lead_s: silence before the soundtrack, of a file; `start_s` counts from its beginning.
        duration: seconds of the soundtrack to use; silence follows. None: as much as there are pictures.
        num_frames: how many frames are expected; fewer or more are noted.
        on_frame: called with the number of frames written so far.
        origin: what the file says of itself, where it says something (`options.label`), and in its signature.
        signer: signs the finished file before it gets its name; None: nobody does.
    Raises:
        OutputError: it cannot be written; MediaError: the soundtrack cannot be read. Nothing is left behind.
    """
    iterator = iter(frames)
    writer: VideoWriter | None = None
    try:
        for frame in iterator:
            if writer is None:
                height, width = frame.shape[:2]
                writer = VideoWriter(
                    path,
                    width=width,
                    height=height,
                    fps=fps,
                    soundtrack=soundtrack,
                    start_s=start_s,
                    lead_s=lead_s,
                    duration=duration,
                    options=options,
                    overwrite=overwrite,
                    transparent=frame.shape[2] == 4,
                    origin=origin,
                    signer=signer,
                )
            writer.write(frame)
            if on_frame is not None:
                on_frame(writer.num_frames)
        if writer is None:
            raise OutputError(f"There are no frames to write to {str(path)!r}.")
        if num_frames is not None and writer.num_frames != num_frames:
            writer.note(f"{num_frames} frames were expected and {writer.num_frames} were written.")
        return writer.close()
    finally:
        if writer is not None:
            writer.abort()
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


class VideoWriter:
    """Writes one video, frame by frame. Leaving the `with` block by an exception removes what was written.

    Args:
        path: its suffix chooses the container.
        width, height: of the frames that will come.
        transparent: they are RGBA.
        The others: as for `write_video`.
    Raises:
        OutputExists, UnwritableOutput, EncoderUnavailable, OptionError: before anything is written.
        MediaError: the soundtrack cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        width: int,
        height: int,
        fps: Fraction,
        soundtrack: Path | AudioClip | None = None,
        start_s: float = 0.0,
        lead_s: Fraction = Fraction(0),
        duration: float | Fraction | None = None,
        options: EncodeOptions = GOOD_QUALITY,
        overwrite: bool = True,
        transparent: bool = False,
        origin: Origin | None = None,
        signer: Signer | None = None,
    ) -> None:
        fps = Fraction(fps)
        if not (0 < fps <= 1000 and fps.numerator < 2**31 and fps.denominator < 2**31):
            raise OptionError(f"A frame rate of {fps} cannot be written.", accepted="more than 0, at most 1000")
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
            raise OptionError(f"Frames of {width}x{height} cannot be written.", accepted=f"1 to {MAX_SIDE} pixels")
        self.num_frames = 0
        self._path = Path(path)
        self._size = (width, height)
        self._fps = fps
        self._origin, self._signer = origin or Origin(), signer
        if signer is not None:
            signer.check(self._path)
        self._notes: list[str] = []
        self._info: EncodeInfo | None = None
        suffix = self._path.suffix.lower()
        encoders = (transparent_encoder(options.codec, suffix),) if transparent else candidates(options.codec, suffix)
        folder = encoders[0].codec == "png"
        self._channels = 4 if transparent else 3
        if isinstance(soundtrack, str | os.PathLike):
            soundtrack = Path(soundtrack)
            check_apart([path], [soundtrack])
        check_target(path, overwrite=overwrite, folder=folder)
        self._mark = mark_of(options.mark, self._size, options.mark_place, options.mark_opacity)
        audio_codec = audio_codec_for(suffix, options)
        sound: Soundtrack | None = None
        if soundtrack is not None and audio_codec is not None:
            sound = Soundtrack(soundtrack, start_s=start_s, lead_s=lead_s, duration=duration)
        elif soundtrack is not None and options.audio_codec != "none":
            self._notes.append(f"A {suffix.removeprefix('.').upper()} file holds no sound; it is left out.")
        self._sound = sound
        self._pending = PendingOutput(path, overwrite=overwrite, folder=folder)
        self._sink: _Sink
        try:
            with writing(self._path):
                if folder:
                    packet = packet_of(origin or Origin()) if options.label else None
                    self._sink = _PngSink(
                        self._pending.temporary, self._size, fps, sound, encoders[0].pixel_format, packet
                    )
                else:
                    facts = _pick_encoder(encoders, options, *self._size, fps, self._notes)
                    self._notes.extend(_too_large_for_players(facts, width, height))
                    self._sink = _FileSink(
                        self._pending.temporary,
                        suffix,
                        facts,
                        options,
                        self._size,
                        fps,
                        sound,
                        audio_codec,
                        self._notes,
                        origin,
                    )
        except BaseException:
            self._pending.discard()
            raise

    def note(self, sentence: str) -> None:
        """Add a sentence to the notes of the result."""
        self._notes.append(sentence)

    def write(self, frame: Frame) -> None:
        """Write the next frame; the array is not kept.

        Args:
            frame: RGB uint8 [H, W, 3] (RGBA [H, W, 4] if transparent) of the size announced.
        Raises:
            ValueError: another shape or dtype. OutputError: it cannot be written.
        """
        width, height = self._size
        channels = self._channels
        if frame.shape != (height, width, channels) or frame.dtype != np.uint8:
            raise ValueError(
                f"frame {self.num_frames} must be [{height}, {width}, {channels}] uint8, not {list(frame.shape)} "
                f"{frame.dtype}"
            )
        if frame.strides[1:] != (channels, 1):
            frame = np.ascontiguousarray(frame)
        if self._mark is not None:
            frame = self._mark.on(frame)
        with writing(self._path):
            self._sink.write(frame, self.num_frames)
        self.num_frames += 1

    def close(self) -> EncodeInfo:
        """Finish the file and give it its name."""
        if self._info is not None:
            return self._info
        if self.num_frames == 0:
            self.abort()
            raise OutputError(f"There are no frames to write to {str(self._path)!r}.")
        try:
            with writing(self._path):
                facts = self._sink.finish(self.num_frames)
                if self._signer is not None:
                    self._signer.sign(self._pending.temporary, self._path.name, self._origin)
                size = total_bytes(self._pending.temporary)
            self._pending.commit()
        except BaseException:
            self.abort()
            raise
        if self._sound is not None:
            self._notes.extend(self._sound.warnings)
        self._info = EncodeInfo(
            path=self._path,
            fps=self._fps,
            num_frames=self.num_frames,
            file_bytes=size,
            notes=tuple(dict.fromkeys(self._notes)),
            **facts,
        )
        return self._info

    def abort(self) -> None:
        """Stop, and remove what was written. Does nothing after `close`."""
        if self._info is not None or self._pending.committed:
            return
        self._sink.abort()
        self._pending.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class _Sink(Protocol):
    def write(self, frame: Frame, index: int) -> None: ...

    def finish(self, num_frames: int) -> dict[str, Any]: ...

    def abort(self) -> None: ...


class _FileSink:
    """Frames and sound into one container, interleaved as they come."""

    def __init__(
        self,
        temporary: Path,
        suffix: str,
        facts: EncoderFacts,
        options: EncodeOptions,
        size: tuple[int, int],
        fps: Fraction,
        sound: Soundtrack | None,
        audio_codec: str | None,
        notes: list[str],
        origin: Origin | None,
    ) -> None:
        self._temporary = temporary
        self._facts = facts
        self._fps = fps
        self._format = CONTAINERS[suffix]
        _check_fragmented(suffix, options)
        self._pixel_format = options.pixel_format or facts.pixel_format
        self._fit = _Fit.plan(size, self._pixel_format if facts.even else None, options.even, notes)
        self._is_fragmented = options.fragment_s is not None
        self._file = OutputFile(temporary, self._format, fps, options, origin)
        self._container = self._file.container
        try:
            stream = self._container.add_stream(facts.name, rate=fps)
            assert isinstance(stream, av.VideoStream)
            self._stream = stream
            self._stream.time_base = 1 / fps
            set_up(self._stream.codec_context, facts, options, *self._fit.size, fps)
            self._sound = None
            if sound is not None and audio_codec is not None:
                self._sound = SoundEncoder(self._container, sound, audio_codec, options.audio_bitrate, notes)
            self._convert: Callable[[Frame], av.VideoFrame] = (
                _GifPalette(*self._fit.size) if facts.codec == "gif" else FromRgb(self._pixel_format)
            )
            self._container.start_encoding()
        except BaseException:
            self.abort()
            raise

    def write(self, frame: Frame, index: int) -> None:
        picture = self._convert(self._fit.apply(frame))
        picture.pts = index
        picture.time_base = 1 / self._fps
        encode(self._container, self._stream, picture)
        if self._sound is not None:
            self._sound.advance((index + 1) / self._fps)

    def finish(self, num_frames: int) -> dict[str, Any]:
        encode(self._container, self._stream, None)
        if self._sound is not None:
            self._sound.finish()
        self._file.close()
        check_complete(self._temporary, self._format, num_frames, fragmented=self._is_fragmented)
        width, height = self._fit.size
        return {
            "container": self._format,
            "video_codec": self._facts.codec,
            "encoder": self._facts.name,
            "pixel_format": self._pixel_format,
            "width": width,
            "height": height,
            **sound_facts(self._sound),
        }

    def abort(self) -> None:
        self._file.abort()


class _PngSink:
    """A folder of numbered PNG files, and the sound beside them."""

    def __init__(
        self,
        folder: Path,
        size: tuple[int, int],
        fps: Fraction,
        sound: Soundtrack | None,
        pixel_format: str,
        packet: bytes | None,
    ) -> None:
        self._pixel_format = pixel_format
        self._folder = folder
        self._size = size
        self._fps = fps
        self._sound = sound
        self._packet = packet

    def write(self, frame: Frame, index: int) -> None:
        from talkinghead.media.pictures import encode_png

        picture = encode_png(frame)
        if self._packet is not None:
            picture = labelled_png(picture, self._packet)
        (self._folder / SEQUENCE_PICTURE.format(index)).write_bytes(picture)

    def finish(self, num_frames: int) -> dict[str, Any]:
        return finished_sequence(self._folder, self._size, self._pixel_format, self._sound, num_frames / self._fps)

    def abort(self) -> None:
        """Nothing is open."""


def sound_facts(track: SoundEncoder | None) -> dict[str, Any]:
    """What `EncodeInfo` says of the sound of a file."""
    return {
        "audio_codec": track.codec if track else None,
        "sample_rate_hz": track.sample_rate_hz if track else None,
        "num_channels": track.num_channels if track else 0,
        "num_samples": track.num_samples if track else 0,
    }


def finished_sequence(
    folder: Path, size: tuple[int, int], pixel_format: str, sound: Soundtrack | None, seconds: Fraction
) -> dict[str, Any]:
    """Write the sound of a folder of pictures; returns what `EncodeInfo` says of the folder.

    Args:
        size: width and height of the pictures.
        seconds: that they last.
    """
    from talkinghead.media.sound import wav_bytes

    count = 0
    if sound is not None:
        count = round(seconds * sound.sample_rate_hz)
        (folder / SEQUENCE_SOUND).write_bytes(wav_bytes(sound.take(count), sound.sample_rate_hz))
    return {
        "container": "folder",
        "video_codec": "png",
        "encoder": "png",
        "pixel_format": pixel_format,
        "width": size[0],
        "height": size[1],
        "audio_codec": "pcm_s16le" if sound else None,
        "sample_rate_hz": sound.sample_rate_hz if sound else None,
        "num_channels": sound.num_channels if sound else 0,
        "num_samples": count,
    }


@dataclass(frozen=True)
class _Fit:
    """How frames are made to fit a pixel format that shares chroma between pixels."""

    size: tuple[int, int]
    """(width, height) of the file."""
    pad: tuple[int, int]
    """Columns and rows that are repeated."""

    @classmethod
    def plan(cls, size: tuple[int, int], pixel_format: str | None, even: str, notes: list[str]) -> _Fit:
        if pixel_format is None:
            return cls(size, (0, 0))
        kind = av.VideoFormat(pixel_format, 16, 16)
        odd = (size[0] % 2 if kind.chroma_width(16) == 8 else 0, size[1] % 2 if kind.chroma_height(16) == 8 else 0)
        if odd == (0, 0):
            return cls(size, (0, 0))
        lines = " and ".join(name for name, is_odd in zip(("column", "row"), odd, strict=True) if is_odd)
        if even == "pad" or any(side == 1 and is_odd for side, is_odd in zip(size, odd, strict=True)):
            fitted = (size[0] + odd[0], size[1] + odd[1])
            how = f"the last {lines} is repeated"
            pad = odd
        else:
            fitted = (size[0] - odd[0], size[1] - odd[1])
            how = f"the last {lines} is left out"
            pad = (0, 0)
        notes.append(f"{pixel_format} needs even sizes: {size[0]}x{size[1]} became {fitted[0]}x{fitted[1]} ({how}).")
        return cls(fitted, pad)

    def apply(self, frame: Frame) -> Frame:
        if self.pad != (0, 0):
            return np.pad(frame, ((0, self.pad[1]), (0, self.pad[0]), (0, 0)), mode="edge")
        width, height = self.size
        return frame[:height, :width]


class _GifPalette:
    """RGB to 256 colours, a new palette for each frame."""

    def __init__(self, width: int, height: int) -> None:
        self._graph = graph = av.filter.Graph()
        source = graph.add_buffer(
            width=width, height=height, format=av.VideoFormat("rgb24"), time_base=Fraction(1, 100)
        )
        split = graph.add("split")
        palette = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
        use = graph.add("paletteuse", "new=1:dither=sierra2_4a")
        sink = graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(palette, 1, 0)
        palette.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        self._count = 0

    def __call__(self, frame: Frame) -> av.VideoFrame:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts = self._count
        picture.time_base = Fraction(1, 100)
        self._count += 1
        self._graph.vpush(picture)
        return self._graph.vpull()


def _pick_encoder(
    encoders: tuple[EncoderFacts, ...],
    options: EncodeOptions,
    width: int,
    height: int,
    fps: Fraction,
    notes: list[str] | None = None,
) -> EncoderFacts:
    """The first encoder that works here, at this size and with these options."""
    if encoders[0].codec == "gif" and fps > MAX_GIF_FPS:
        raise OptionError(
            f"GIF shows at most {MAX_GIF_FPS} frames per second, not {float(fps):g}.", remedy="a lower --fps"
        )
    width, height = max(2, width - width % 2), max(2, height - height % 2)
    failures: list[str] = []
    for facts in encoders:
        _check_pixel_format(facts, options)
        if options.preset is not None and len(encoders) > 1 and not _knows_preset(facts, options.preset):
            failures.append(f"{facts.name}: it has no preset {options.preset!r}")
            continue
        status = encoder_status(facts.name)
        if not status.works:
            failures.append(f"{facts.name}: {status.detail}")
            continue
        if facts.codec in ("gif", "png"):
            return facts
        try:
            open_encoder(facts, options, width, height, fps)
        except (av.FFmpegError, ValueError) as error:
            failures.append(f"{facts.name}: {getattr(error, 'strerror', None) or error}")
            if notes is not None:
                notes.append(f"{facts.name} refuses {width}x{height} at {float(fps):g} frames per second.")
            continue
        return facts
    raise EncoderUnavailable(
        f"No encoder for {options.codec!r} works here ({'; '.join(failures)}).",
        remedy="check --preset, --crf and the size, or choose another codec; `talkinghead doctor` lists what works",
    )


def _too_large_for_players(facts: EncoderFacts, width: int, height: int) -> list[str]:
    blocks = macroblocks(width, height)
    if facts.codec != "h264" or blocks <= MAX_LEVEL_MACROBLOCKS:
        return []
    factor = next(k for k in range(2, 100) if macroblocks(width // k, height // k) <= MAX_LEVEL_MACROBLOCKS)
    return [
        f"Frames of {width}x{height} pixels are beyond H.264 level 5.2 ({blocks} macroblocks; it ends at "
        f"{MAX_LEVEL_MACROBLOCKS}): most players cannot show this video, and it takes long to make. "
        f"--resize-factor {factor} (times the one in use, if any) makes one of {width // factor}x{height // factor}."
    ]


def _knows_preset(facts: EncoderFacts, preset: str) -> bool:
    """Whether a preset can be meant for this encoder: p1 to p7 are NVENC's."""
    nvenc = preset in {f"p{i}" for i in range(1, 8)}
    return nvenc == facts.name.endswith("_nvenc")


def _check_pixel_format(facts: EncoderFacts, options: EncodeOptions) -> None:
    if options.pixel_format is None:
        return
    formats = [kind for kind in av.Codec(facts.name, "w").video_formats or () if _is_plain_yuv(kind.name)]
    if options.pixel_format not in [kind.name for kind in formats]:
        raise EncoderUnavailable(
            f"{facts.name} does not write the pixel format {options.pixel_format!r}.",
            accepted=choices([kind.name for kind in formats]) if formats else f"{facts.pixel_format} only",
        )


def _is_plain_yuv(name: str) -> bool:
    return name.startswith("yuv4") and not name.endswith("be")


def audio_codec_for(suffix: str, options: EncodeOptions) -> str | None:
    """Codec of the sound in a container; None for no sound."""
    if options.audio_codec == "none":
        return None
    accepted = AUDIO_CODECS[suffix]
    if options.audio_codec == "auto":
        if suffix == ".mov" and options.codec in ("prores", "prores_ks"):
            return "pcm_s16le"
        return accepted[0] if accepted else None
    if options.audio_codec not in accepted:
        raise EncoderUnavailable(
            f"A {suffix or 'folder'} output does not hold {options.audio_codec!r} sound.",
            accepted=choices([*accepted, "none"]),
        )
    return options.audio_codec


def check_complete(path: Path, container: str, num_frames: int, *, fragmented: bool = False) -> None:
    """Read the finished file again: every frame must be in it.

    Raises:
        OutputError
    """
    try:
        with open_input(path) as file:
            stream = video_stream(file, path)
            # the header of a file in fragments does not say how many frames it has
            there = sum(packet.pts is not None for packet in packets(file, stream)) if fragmented else stream.frames
    except MediaError as error:
        raise OutputError(f"The file cannot be read again: {error.what}", remedy="free some disk space") from error
    if container in ("mp4", "mov") and there != num_frames:
        raise OutputError(f"The file holds {there} of {num_frames} frames.", remedy="free some disk space")


def _check_fragmented(suffix: str, options: EncodeOptions) -> None:
    if options.fragment_s is not None and CONTAINERS.get(suffix) not in FRAGMENTED:
        raise OptionError(
            f"A {suffix or 'folder'} output is not written in fragments.",
            accepted=choices([suffix for suffix, kind in CONTAINERS.items() if kind in FRAGMENTED]),
        )


def total_bytes(path: Path) -> int:
    if path.is_dir():
        return sum(item.stat().st_size for item in path.iterdir())
    return path.stat().st_size


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what FFmpeg and the operating system raise into errors about the output."""
    try:
        yield
    except TalkingHeadError:
        raise
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise OutputError(f"{str(path)!r} cannot be written: {error.strerror or error}.") from error
    except OSError as error:
        raise unwritable(path, error) from error
    except MemoryError as error:
        raise OutputError(f"{str(path)!r} cannot be written: there is not enough memory.") from error
