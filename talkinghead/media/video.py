"""Videos as frames: any position, either direction, bounded memory, always the same pixels.

A file is read twice: once for its packets' timestamps (nothing is decoded but the first frames), then as often as
frames are wanted. Decoding starts only at the key frames that begin a segment and the decoder is emptied between
segments, so that a frame depends on its own segment alone and comes out the same whatever was read before, in damaged
files too. A segment that turns out to be damaged is decoded again by a new decoder with one thread: FFmpeg's threads
patch damaged pictures with whatever is there at the moment.

    packets   K p p p p p K p p p p p K p p ...      K: key frame
    segments  |-----0-----|-----1-----|-----2-- ...

Files whose timestamps or key frames cannot be trusted are decoded once in full to count their frames and are then
one single segment.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import av
import numpy as np
from numpy.typing import NDArray

from talkinghead.contracts import Frame, MediaInfo
from talkinghead.cores import available_cores
from talkinghead.errors import UnreadableMedia
from talkinghead.media.colour import ToRgb
from talkinghead.media.container import (
    Check,
    decode_packet,
    limit_decoder,
    open_input,
    packets,
    seek,
    unreadable,
    video_stream,
)
from talkinghead.media.limits import DECODER_BYTES, MAX_FRAMES, MAX_HELD_FRAMES, MAX_PIXELS, MEGAPIXEL
from talkinghead.media.options import FrameOptions
from talkinghead.media.pictures import check_pixels
from talkinghead.media.playback import Playback, PlayedSource, slots_of
from talkinghead.media.srgb import HDR_TRANSFERS
from talkinghead.media.timing import (
    USUAL_RATE,
    Ticks,
    Timeline,
    believable,
    even_timeline,
    timeline,
    with_last,
)
from talkinghead.media.transform import Transform, Turn, display_turn, resized

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    VideoPacket = av.Packet[VideoStream]

MIN_SEGMENT_FRAMES = 24
"""Shorter groups of pictures are taken together: emptying the decoder costs a few frames each time."""
MAX_IDLE_DECODERS = 2
SAMPLE_FRAMES, SAMPLE_PIXELS, SAMPLE_PACKETS = 12, 100 * MEGAPIXEL, 10_000
"""Frames decoded when a file is opened, to see whether packets and frames agree; all their pixels; and the packets
among which they are looked for."""
MAX_DECODER_THREADS = 8
BLANK_BYTES = 64
GROWTH, FREE_PIXELS = 4, 3840 * 2400
"""Later frames may have so many times the pixels of the first, or so many; larger ones count as damaged."""
REMEMBERING_CODECS = {"mjpeg"}
"""Decoders that keep tables when they are emptied, and use them for pictures without any."""


@dataclass(frozen=True)
class _Packet:
    """What tells a key frame's packet from the others of its stream."""

    ordinal: int
    """Place in the file among the packets of the stream."""
    pts: int | None
    dts: int | None
    size: int


_NO_TIME = -(1 << 63)


class _PacketTable:
    """All packets of a stream, by their place in the file."""

    def __init__(self) -> None:
        self._pts, self._dts, self._sizes, self._durations = array("q"), array("q"), array("q"), array("q")
        self._keys, self._hidden = bytearray(), bytearray()
        self.ends_blank = False
        """The last packet is nothing but zeros: the part of a file that never arrived."""

    def add(self, packet: VideoPacket) -> None:
        self._pts.append(_NO_TIME if packet.pts is None else packet.pts)
        self._dts.append(_NO_TIME if packet.dts is None else packet.dts)
        self._sizes.append(packet.size)
        self._keys.append(packet.is_keyframe)
        self._hidden.append(packet.is_discard)
        self.ends_blank = not any(memoryview(packet)[:BLANK_BYTES])
        self._durations.append(_NO_TIME if packet.duration is None else packet.duration)

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def pts(self) -> Ticks:
        """[n] int64, _NO_TIME where a packet has none."""
        return np.frombuffer(self._pts, np.int64)

    @property
    def keys(self) -> NDArray[np.int64]:
        """Places of the key frames."""
        return np.flatnonzero(np.frombuffer(self._keys, np.bool_))

    @property
    def shown(self) -> NDArray[np.int64]:
        """Places of the packets that are not only decoded because others need them."""
        return np.flatnonzero(~np.frombuffer(self._hidden, np.bool_))

    def duration(self, ordinal: int) -> int | None:
        """Ticks for which a packet's frame is shown, if it says so."""
        ticks = self._durations[ordinal]
        return None if ticks == _NO_TIME else ticks

    def __getitem__(self, ordinal: int) -> _Packet:
        pts, dts = self._pts[ordinal], self._dts[ordinal]
        return _Packet(
            ordinal, None if pts == _NO_TIME else pts, None if dts == _NO_TIME else dts, self._sizes[ordinal]
        )


@dataclass(frozen=True)
class _Segment:
    """A stretch of frames that decodes on its own."""

    key: _Packet
    first: int
    """Decoded-frame indices [first, stop)."""
    stop: int
    end_pts: int | None
    """The next segment's key; None for the last."""


@dataclass(frozen=True, eq=False)
class _Index:
    """Where the frames of a video stream are."""

    timeline: Timeline
    pts: Ticks | None
    """[n] int64 timestamp of each frame as the decoder gives it; None: frames are counted, not recognised."""
    segments: tuple[_Segment, ...]
    damaged: frozenset[int] = frozenset()
    """First frames of the segments that are known to be damaged."""


@dataclass(frozen=True, eq=False)
class StreamFacts:
    """What opening a video finds out."""

    index: _Index
    first: av.VideoFrame
    turn: Turn
    pixel_aspect: Fraction | None
    """None if pixels are square."""
    codec: str
    has_audio: bool
    notes: tuple[str, ...]
    max_pixels: int
    """Of a frame; the decoder refuses larger ones."""

    @property
    def timeline(self) -> Timeline:
        return self.index.timeline


class _Damaged(Exception):
    """A frame of a segment is missing or wrong, and the decoder still remembers what came before the segment."""


class _Packets:
    """The packets of one stream, with their places in the file; some can be given back and come again."""

    def __init__(self, container: InputContainer, stream: VideoStream, ordinal: int = 0) -> None:
        self.ordinal = ordinal
        """Place of the next packet."""
        self._rest = packets(container, stream)
        self._again: deque[VideoPacket] = deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> VideoPacket:
        packet = self._again.popleft() if self._again else next(self._rest)
        self.ordinal += 1
        return packet

    def give_back(self, packets: list[VideoPacket]) -> None:
        """Take back the packets that were given last."""
        self._again.extendleft(reversed(packets))
        self.ordinal -= len(packets)


class _Decoder:
    """One open file, decoding one segment at a time. Not safe for several threads.

    Args:
        damaged: first frames of the segments that are known to be damaged; shared by the decoders of a source.
    """

    def __init__(
        self,
        path: Path,
        index: _Index,
        stream_index: int | None = None,
        damaged: set[int] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._path = path
        self._max_pixels = max_pixels
        self._index = index
        self._stream_index = stream_index
        self._damaged = damaged if damaged is not None else set()
        self._container, self._stream = _open(path, stream_index, max_pixels=max_pixels)
        self._packets = _Packets(self._container, self._stream)
        self._empty = True
        self._reopens = self._stream.codec_context.name in REMEMBERING_CODECS
        """The next segment needs a new decoder."""
        self._frames: Iterator[tuple[int, av.VideoFrame | None, bool]] = iter(())
        self._segment: _Segment | None = None
        self._next = 0

    def close(self) -> None:
        self._container.close()

    def ahead(self, segment: _Segment, index: int) -> bool:
        """Whether `index` can be reached by decoding on from where this decoder is."""
        return self._segment is segment and self._next <= index

    def frames(self, segment: _Segment, first: int) -> Iterator[tuple[int, av.VideoFrame | None, bool]]:
        """Frames of one segment, those on the way to `first` and then all: (index, frame, whether it stands in for a
        lost one).

        The frame is None where nothing of the segment can be decoded.
        """
        if not self.ahead(segment, first):
            self._frames = self._decode(segment)
            self._segment = segment
            self._next = segment.first
        for item in self._frames:
            self._next = item[0] + 1
            yield item
        self._segment = None

    def _decode(self, segment: _Segment) -> Iterator[tuple[int, av.VideoFrame | None, bool]]:
        """All frames of a segment. A damaged one is decoded by a decoder that has seen nothing else."""
        done = segment.first
        if segment.first not in self._damaged:
            try:
                for item in self._shown(segment, fresh=False):
                    yield item
                    done = item[0] + 1
            except _Damaged:
                self._damaged.add(segment.first)
            else:
                return
        for item in self._shown(segment, fresh=True):
            if item[0] >= done:
                yield item

    def _shown(self, segment: _Segment, fresh: bool) -> Iterator[tuple[int, av.VideoFrame | None, bool]]:
        pts = self._index.pts
        index = segment.first
        shown: av.VideoFrame | None = None
        for frame in self._decoded(segment, fresh):
            stand_in = shown if shown is not None else frame
            while pts is not None and index < segment.stop and pts[index] < cast(int, frame.pts):
                if not fresh:
                    raise _Damaged
                yield index, stand_in, True
                index += 1
            if index < segment.stop and (pts is None or pts[index] == frame.pts):
                yield index, frame, False
                index += 1
            shown = frame
        if index < segment.stop and not fresh:
            raise _Damaged
        while index < segment.stop:
            yield index, shown, True
            index += 1

    def _decoded(self, segment: _Segment, fresh: bool) -> Iterator[av.VideoFrame]:
        """Frames that belong to the segment, in the order of showing.

        Raises:
            _Damaged: something is wrong, and not `fresh`.
        """
        self._go_to(segment.key, fresh)
        self._empty = False
        start_pts = segment.key.pts
        of_next: list[VideoPacket] = []
        held: list[av.VideoFrame] = []  # B frames, which may depend on the next other frame: it may be damaged
        for packet in _with_end(self._packets):
            begins_next = packet is not None and packet.is_keyframe and packet.pts == segment.end_pts
            if packet is not None and (of_next or (begins_next and segment.end_pts is not None)):
                of_next.append(packet)
            frames, failed = decode_packet(self._stream, packet)
            if failed and not fresh:
                raise _Damaged
            for frame in frames:
                if self._index.pts is not None and (frame.pts is None or start_pts is None or frame.pts < start_pts):
                    continue
                if frame.is_corrupt and not fresh:
                    raise _Damaged
                if segment.end_pts is not None and cast(int, frame.pts) >= segment.end_pts:
                    break
                held.append(frame)
                if frame.pict_type != av.video.frame.PictureType.B or len(held) > MAX_HELD_FRAMES:
                    yield from held
                    held.clear()
            else:
                continue
            break
        yield from held
        self._stream.codec_context.flush_buffers()
        self._packets.give_back(of_next)
        self._empty = True

    def _go_to(self, key: _Packet, fresh: bool) -> None:
        if self._empty and not fresh and not self._reopens and self._packets.ordinal == key.ordinal:
            return
        time = key.pts if key.dts is None else key.dts if key.pts is None else min(key.pts, key.dts)
        counted = self._index.pts is None
        if fresh or self._reopens or counted:
            self._reopen(threads=1 if fresh else None)
        if not counted and time is not None and self._seek(key, time):
            return
        if not counted:
            self._reopen(threads=1 if fresh else None)
        for _ in range(key.ordinal):
            next(self._packets, None)

    def _seek(self, key: _Packet, time: int) -> bool:
        if not seek(self._container, self._stream, time):
            return False
        self._packets = _Packets(self._container, self._stream)
        for packet in self._packets:
            if packet.pts == key.pts and packet.size == key.size and packet.is_keyframe:
                self._packets.ordinal = key.ordinal + 1
                self._packets.give_back([packet])
                return True
            if packet.is_keyframe and packet.pts is not None and key.pts is not None and packet.pts > key.pts:
                return False
        return False

    def _reopen(self, threads: int | None) -> None:
        self._container.close()
        self._container, self._stream = _open(self._path, self._stream_index, threads, self._max_pixels)
        self._packets = _Packets(self._container, self._stream)
        self._reopens = threads is not None or self._stream.codec_context.name in REMEMBERING_CODECS


_Picture = av.VideoFrame | Frame
"""As the decoder gives it; the finished frame where that may be larger than the others."""


class VideoSource(PlayedSource):
    """A video file as a source of frames at a constant rate.

    Several threads may read at once; each `read` has a decoder of its own.

    Args:
        check: called often while the file is looked through; raises `Cancelled` when the job was stopped.
    """

    KIND = "video"

    def __init__(self, path: Path, options: FrameOptions, *, check: Check | None = None) -> None:
        self._path = path
        self._options = options
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []
        self._converters: list[ToRgb] = []
        self._lost: set[int] = set()
        self._damaged: set[int] = set()  # filled from the index below, and by the decoders
        self._notes: list[str] = []
        facts = describe_stream(path, options, check=check)
        self._max_pixels = facts.max_pixels
        self._index = facts.index
        self._damaged.update(facts.index.damaged)
        self._notes.extend(facts.notes)
        first, aspect = facts.first, facts.pixel_aspect
        self._stored_size, self._stored_format = (first.width, first.height), first.format.name
        if aspect is not None and options.square_pixels:
            self._notes.append(f"The pixels are {aspect} times as wide as high; the width is stretched to match.")
        if first.interlaced_frame:
            self._notes.append("The video is interlaced; moving edges may show combs.")
        if first.color_trc in HDR_TRANSFERS:
            name = HDR_TRANSFERS[first.color_trc]
            self._notes.append(
                f"The video has high dynamic range ({name}); its colours are mapped to the standard range."
            )
        self._transform = Transform.plan(first.width, first.height, options, facts.turn, aspect)
        check_pixels(path, self._transform.stretched, options.max_pixels)
        self._info = _media_info(path, facts)
        line = self._index.timeline
        self._fps = options.fps or (line.fine_rate if facts.codec == "gif" else line.rate)
        self._playback = Playback(
            slots_of(self._index.timeline, self._fps, options, path),
            frame_bytes=3 * self._transform.size[0] * self._transform.size[1],
            picture_bytes=sum(plane.buffer_size for plane in first.planes),
            cache_bytes=options.cache_bytes,
            decode=self._decode,
            finish=self._finish,
            starts=frozenset(segment.first for segment in self._index.segments),
        )

    @property
    def timeline(self) -> Timeline:
        """When each frame of the file is shown."""
        return self._index.timeline

    @property
    def warnings(self) -> tuple[str, ...]:
        with self._lock:
            lost = sorted(self._lost)
        if not lost:
            return tuple(self._notes)
        at = float(int(self._index.timeline.ticks[lost[0]]) * self._index.timeline.time_base)
        return (
            *self._notes,
            f"{len(lost)} of {len(self._index.timeline)} frames cannot be decoded (the first at {at:.2f} s); "
            "a frame beside each is shown instead.",
        )

    def close(self) -> None:
        """Close open files and forget kept frames; reading again opens them anew."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._converters.clear()
        super().close()
        for decoder in idle:
            decoder.close()

    def _decode(self, sources: NDArray[np.int64]) -> Generator[tuple[int, _Picture], None, None]:
        """Decode pictures of strictly increasing indices, and give those on the way that are worth keeping."""
        segments = self._index.segments
        at = place = 0
        decoder: _Decoder | None = None
        try:
            while at < len(sources):
                source = int(sources[at])
                place = bisect_right(segments, source, lo=place, key=_first_of) - 1
                segment = segments[place]
                if decoder is None:
                    decoder = self._take(segment, source)
                for index, decoded, stand_in in decoder.frames(segment, source):
                    asked = index == sources[at]
                    if not asked and (decoded is None or not self._playback.keeps(index)):
                        continue
                    if decoded is None:
                        decoded = self._substitute(segment)
                    if stand_in:
                        with self._lock:
                            self._lost.add(index)
                    yield index, decoded if self._is_usual(decoded) else self._finish(decoded)
                    if not asked:
                        continue
                    at += 1
                    if at == len(sources):
                        break
                    if sources[at] < segment.stop or index == segment.stop - 1:
                        continue  # at a segment's last frame go on: the decoder then stands at the next segment
                    if sources[at] >= segments[place + 1].stop or not self._playback.keeps(index + 1):
                        break
        finally:
            if decoder is not None:
                self._give_back(decoder)

    def _is_usual(self, picture: av.VideoFrame) -> bool:
        """Whether a picture takes as much memory as the first one."""
        return (picture.width, picture.height, picture.format.name) == (*self._stored_size, self._stored_format)

    def _finish(self, picture: _Picture) -> Frame:
        if isinstance(picture, np.ndarray):
            return picture
        with self._lock:
            to_rgb = self._converters.pop() if self._converters else ToRgb(self._options.untagged_matrix)
        rgb = to_rgb(picture)
        with self._lock:
            self._converters.append(to_rgb)
        if (picture.width, picture.height) != self._stored_size:
            with self._lock:
                note = "The picture size changes within the video; all frames are scaled to the first one's."
                if note not in self._notes:
                    self._notes.append(note)
            rgb = resized(rgb, self._stored_size)
        return self._transform.apply(rgb)

    def _substitute(self, segment: _Segment) -> av.VideoFrame:
        """A frame for a segment that does not decode at all: the last before it, else the first after it."""
        segments = self._index.segments
        place = segments.index(segment)
        decoder = self._new_decoder()
        try:
            for other in reversed(segments[:place]):
                last = None
                for _, frame, _ in decoder.frames(other, other.stop - 1):
                    last = last if frame is None else frame
                if last is not None:
                    return last
            for other in segments[place + 1 :]:
                for _, frame, _ in decoder.frames(other, other.first):
                    if frame is not None:
                        return frame
        finally:
            decoder.close()
        raise unreadable(self._path, what=f"No frame of {str(self._path)!r} can be decoded.")

    def _take(self, segment: _Segment, source: int) -> _Decoder:
        with self._lock:
            for decoder in self._idle:
                if decoder.ahead(segment, source):
                    self._idle.remove(decoder)
                    return decoder
            if self._idle:
                return self._idle.pop()
        return self._new_decoder()

    def _new_decoder(self) -> _Decoder:
        return _Decoder(
            self._path,
            self._index,
            damaged=self._damaged,
            max_pixels=self._max_pixels,
        )

    def _give_back(self, decoder: _Decoder) -> None:
        with self._lock:
            if len(self._idle) < MAX_IDLE_DECODERS:
                self._idle.append(decoder)
                return
        decoder.close()


def _first_of(segment: _Segment) -> int:
    return segment.first


def _open(
    path: Path, stream_index: int | None = None, threads: int | None = None, max_pixels: int = MAX_PIXELS
) -> tuple[InputContainer, VideoStream]:
    container = open_input(path, max_pixels=max_pixels)
    try:
        if stream_index is None:
            stream = video_stream(container, path)
        else:
            stream = next(stream for stream in container.streams.video if stream.index == stream_index)
        context = stream.codec_context
        limit_decoder(stream, max_pixels=max_pixels, threads=threads or _decoder_threads(context.width, context.height))
    except BaseException:
        container.close()
        raise
    return container, stream


def _decoder_threads(width: int, height: int) -> int:
    """Threads for a decoder: fewer for large pictures, since each holds some."""
    room = DECODER_BYTES // max(1, 4 * width * height)
    return max(1, min(MAX_DECODER_THREADS, available_cores(), room))


def _claimed_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """Length of the video stream by the file's header."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1 and "mpegts" not in container.format.name:
        return float(Fraction(container.duration, av.time_base))
    return None


def _with_end(packets: Iterator[VideoPacket]) -> Iterator[VideoPacket | None]:
    """The packets, then None, which makes a decoder give up what it holds."""
    yield from packets
    yield None


def describe_stream(
    path: Path, options: FrameOptions, stream_index: int | None = None, *, check: Check | None = None
) -> StreamFacts:
    """Find the frames of a video stream and what is wrong with them.

    Args:
        stream_index: which stream; None for the main one.
        check: called often; raises `Cancelled` when the job was stopped.
    Raises:
        MediaNotFound, UnreadableMedia, NoVideoStream
    """
    notes: list[str] = []
    container, stream = _open(path, stream_index, max_pixels=options.max_pixels)
    with container:
        check_pixels(path, _size_by_header(stream), options.max_pixels)
        # The average is what the header says; FFmpeg guesses the others from the first timestamps.
        hints = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        time_base = stream.time_base or Fraction(1, 1000)
        claimed_frames, claimed_s = stream.frames, _claimed_seconds(container, stream)
        codec = stream.codec_context.codec.canonical_name
        has_audio = bool(container.streams.audio)
        aspect = stream.sample_aspect_ratio
        table = _packet_table(path, packets(container, stream, check=check))
    if not table:
        raise unreadable(path, what=f"{str(path)!r} has a video stream without a single picture.")
    if codec == "rawvideo":  # where black is zeros
        table.ends_blank = False
    first, sample = _sample(path, stream_index, options.max_pixels)
    check_pixels(path, (first.width, first.height), options.max_pixels)
    reading = _Reading(path, stream_index, _largest_frame(first, options.max_pixels), check)
    index = _index_of_packets(table, sample, time_base, hints, notes)
    if index is None or not _segments_start_cleanly(reading, index):
        index = _index_of_frames(reading, table, time_base, hints, notes)
    if codec == "gif":
        index = replace(index, timeline=with_last(index.timeline, table.duration(-1), time_base))
    there_s = float(index.timeline.duration_s)
    if claimed_frames > len(table):
        notes.append(f"The file is cut short: {len(table)} of {claimed_frames} frames are there.")
    elif claimed_s is not None and claimed_s - there_s > max(0.1, 2.5 / index.timeline.rate, 0.01 * claimed_s):
        notes.append(f"The file is cut short: {there_s:.2f} of {claimed_s:.2f} s are there.")
    turn, turn_notes = display_turn(first)
    if aspect is not None and (aspect == 1 or not Fraction(1, 8) <= aspect <= 8):
        aspect = None
    return StreamFacts(
        index=index,
        first=first,
        turn=turn,
        pixel_aspect=Fraction(aspect) if aspect is not None else None,
        codec=codec,
        has_audio=has_audio,
        notes=tuple(dict.fromkeys([*notes, *turn_notes])),
        max_pixels=reading.max_pixels,
    )


@dataclass(frozen=True)
class _Reading:
    """How a stream is decoded while it is looked through."""

    path: Path
    stream_index: int | None
    max_pixels: int
    check: Check | None


def _size_by_header(stream: VideoStream) -> tuple[int, int] | None:
    """(width, height); None if only the decoder can tell."""
    width, height = stream.codec_context.width, stream.codec_context.height
    return (width, height) if width and height else None


def _largest_frame(first: av.VideoFrame, max_pixels: int) -> int:
    """Pixels that a frame of this video may have."""
    return min(max_pixels, max(GROWTH * first.width * first.height, FREE_PIXELS))


def _packet_table(path: Path, all_packets: Iterator[VideoPacket]) -> _PacketTable:
    table = _PacketTable()
    for packet in all_packets:
        if len(table) == MAX_FRAMES:
            raise UnreadableMedia(
                f"{str(path)!r} has more than {MAX_FRAMES} pictures.", remedy="cut it to the part that is needed"
            )
        table.add(packet)
    return table


def _media_info(path: Path, facts: StreamFacts) -> MediaInfo:
    line = facts.timeline
    width, height = facts.turn.size(facts.first.width, facts.first.height)
    return MediaInfo(
        path=path,
        kind="video",
        width=width,
        height=height,
        fps=line.rate,
        num_frames=line.num_slots(line.rate),
        duration_s=float(line.duration_s),
        has_audio=facts.has_audio,
        codec=facts.codec,
        rotation_degrees=facts.turn.degrees,
        variable_frame_rate=not line.constant,
    )


def _sample(path: Path, stream_index: int | None, max_pixels: int) -> tuple[av.VideoFrame, list[int | None]]:
    """The first frame of a video, and the timestamps of the first few.

    Raises:
        UnreadableMedia: nothing can be decoded.
    """
    first: av.VideoFrame | None = None
    times: list[int | None] = []
    container, stream = _open(path, stream_index, max_pixels=max_pixels)
    with container:
        for packet in _with_end(islice(packets(container, stream), SAMPLE_PACKETS)):
            for frame in decode_packet(stream, packet)[0]:
                first = first or frame
                times.append(frame.pts)
            if len(times) >= SAMPLE_FRAMES or (first and len(times) * first.width * first.height > SAMPLE_PIXELS):
                break
    if first is None:
        raise UnreadableMedia(
            f"No frame of {str(path)!r} can be decoded: they are damaged, or have more than "
            f"{max_pixels / MEGAPIXEL:g} megapixels.",
            remedy="play the file to see; a higher --max-pixels allows larger frames",
        )
    return first, times[:SAMPLE_FRAMES]


def _index_of_packets(
    table: _PacketTable,
    sample: list[int | None],
    time_base: Fraction,
    hints: tuple[Fraction | None, ...],
    notes: list[str],
) -> _Index | None:
    """The index as the packets tell it; None if they contradict themselves or the first decoded frames."""
    times, keys, shown = table.pts, table.keys, table.shown
    if not len(keys) or not len(shown) or table.ends_blank or np.any(times == _NO_TIME):
        return None
    shown = shown[np.argsort(times[shown], kind="stable")]
    earliest = int(times[shown[0]])
    start = int(times[keys[0]])
    if sample[0] == earliest:
        start = min(start, earliest)
    pts = times[shown]
    pts = pts[pts >= start]
    if len(pts) == 0 or not _increases(pts) or sample != pts[: len(sample)].tolist():
        return None
    if not _increases(times[keys]):
        return None
    skipped = len(shown) - len(pts)
    if skipped:
        notes.append(f"The file begins in the middle: {skipped} frames before the first key frame cannot be decoded.")
    found, repaired = timeline(pts, time_base, hints, table.duration(int(shown[-1])))
    notes.extend(repaired)
    return _Index(found, pts, _segments([table[int(key)] for key in keys], pts))


def _increases(ticks: Ticks) -> bool:
    """Whether each time is later than the one before, and their differences fit into 64 bits."""
    return bool(np.all(ticks[1:] > ticks[:-1])) and int(ticks[-1]) - int(ticks[0]) < 1 << 62


def _segments(keys: list[_Packet], pts: Ticks) -> tuple[_Segment, ...]:
    """Group frames into stretches that begin at a key frame and are not too short."""
    starts: list[tuple[_Packet, int]] = []
    for key in keys:
        assert key.pts is not None
        first = int(np.searchsorted(pts, key.pts))
        if not starts:
            starts.append((key, 0))
        elif first - starts[-1][1] >= MIN_SEGMENT_FRAMES and first < len(pts) and pts[first] == key.pts:
            starts.append((key, first))
    ends = [*starts[1:], None]
    return tuple(
        _Segment(key, first, end[1] if end else len(pts), end[0].pts if end else None)
        for (key, first), end in zip(starts, ends, strict=True)
    )


def _segments_start_cleanly(reading: _Reading, index: _Index) -> bool:
    """Whether decoding may begin at key frames: tried at the second and the last segment.

    Key frames that are none (gradual refresh), files that do not seek to where they say, and files whose end is blank
    fail here.
    """
    if len(index.segments) == 1:
        return True
    decoder = _Decoder(reading.path, index, reading.stream_index, max_pixels=reading.max_pixels)
    try:
        for segment in {1: index.segments[1], len(index.segments) - 1: index.segments[-1]}.values():
            _, frame, stand_in = next(decoder.frames(segment, segment.first))
            if frame is None or stand_in:
                return False
    finally:
        decoder.close()
    return True


def _index_of_frames(
    reading: _Reading,
    table: _PacketTable,
    time_base: Fraction,
    hints: tuple[Fraction | None, ...],
    notes: list[str],
) -> _Index:
    """The index by decoding everything once: one segment, frames recognised by counting them."""
    times, damaged = _times_of_frames(reading, threads=None)
    if damaged:
        times, _ = _times_of_frames(reading, threads=1)
    if not times:
        raise unreadable(reading.path, what=f"No frame of {str(reading.path)!r} can be decoded.")
    wanted = len(table.shown)
    if wanted > len(times):
        notes.append(f"{wanted - len(times)} of {wanted} frames cannot be decoded and are left out.")
    ticks = np.array([time for time in times if time is not None], dtype=np.int64)
    if len(ticks) == len(times) and _increases(ticks):
        found, repaired = timeline(ticks, time_base, hints, table.duration(-1))
        notes.extend(repaired)
    else:
        rate = next((hint for hint in hints if believable(hint)), USUAL_RATE)
        found = even_timeline(len(times), rate)
        notes.append(
            f"The timestamps are missing or broken; the frames are shown at an even {float(rate):g} per second."
        )
    segment = _Segment(table[0], 0, len(times), None)
    return _Index(found, None, (segment,), frozenset({0} if damaged else ()))


def _times_of_frames(reading: _Reading, threads: int | None) -> tuple[list[int | None], bool]:
    """The timestamp of every frame that can be decoded, and whether anything is damaged."""
    times: list[int | None] = []
    damaged = False
    container, stream = _open(reading.path, reading.stream_index, threads, reading.max_pixels)
    with container:
        for packet in _with_end(packets(container, stream, check=reading.check)):
            frames, failed = decode_packet(stream, packet)
            times.extend(frame.pts for frame in frames)
            damaged = damaged or failed or any(frame.is_corrupt for frame in frames)
    return times, damaged
