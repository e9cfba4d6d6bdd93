"""What is in a media file, counted rather than believed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np

from talkinghead.errors import MediaError, UnreadableMedia
from talkinghead.files import existing_file
from talkinghead.media.animation import timeline_of
from talkinghead.media.container import Check, open_input, packets
from talkinghead.media.headers import picture_format
from talkinghead.media.limits import MAX_PACKETS, check_sound_format
from talkinghead.media.options import FrameOptions
from talkinghead.media.pictures import load
from talkinghead.provenance.carriers import TAG, find_packet
from talkinghead.provenance.xmp import Said, read_packet

if TYPE_CHECKING:
    from av.container import InputContainer

_MATRICES = {
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020",
    10: "bt2020",
    0: "rgb",
}
_TRANSFERS = {1: "bt709", 6: "bt601", 13: "srgb", 14: "bt2020", 15: "bt2020", 16: "pq", 18: "hlg", 8: "linear"}
MAX_DESCRIBED_STREAMS = 16
"""Frames are looked at in the first streams of a file; of further ones packets are counted."""
_RANGES = {1: "limited", 2: "full"}


@dataclass(frozen=True)
class VideoTrack:
    """One video stream, or a still picture."""

    index: int
    codec: str
    width: int
    """As stored; see `rotation_degrees`."""
    height: int
    pixel_format: str | None
    num_frames: int
    """Pictures that are really in the file; a damaged one may decode to fewer."""
    declared_frames: int | None
    """Pictures by the header."""
    fps: Fraction | None
    """Nominal frames per second; None for a still picture."""
    variable_frame_rate: bool
    shortest_interval_s: float | None
    """Between neighbouring frames."""
    longest_interval_s: float | None
    start_s: float | None
    """Time of the first frame in the file's clock."""
    duration_s: float | None
    num_key_frames: int
    rotation_degrees: int
    """Clockwise, from the metadata."""
    mirrored: bool
    pixel_aspect: Fraction
    """Width of a pixel over its height."""
    matrix: str | None
    transfer: str | None
    colour_range: str | None
    interlaced: bool
    bit_rate: int | None
    is_cover: bool
    """A picture that goes with the sound."""


@dataclass(frozen=True)
class AudioTrack:
    """One sound stream."""

    index: int
    codec: str
    sample_rate_hz: int
    num_channels: int
    layout: str
    sample_format: str | None
    start_s: float | None
    duration_s: float | None
    """Counted from the packets."""
    bit_rate: int | None
    language: str | None


@dataclass(frozen=True)
class OtherTrack:
    """A stream that is neither picture nor sound."""

    index: int
    kind: str
    codec: str | None


@dataclass(frozen=True)
class MediaProbe:
    """All that can be told about a file without looking at the pictures."""

    path: Path
    kind: str
    """"image", "video" or "audio"."""
    container: str
    file_bytes: int
    declared_duration_s: float | None
    """Length by the header."""
    video: tuple[VideoTrack, ...]
    audio: tuple[AudioTrack, ...]
    other: tuple[OtherTrack, ...]
    warnings: tuple[str, ...]
    comment: str | None = None
    """What the file's metadata says about it; videos of this package say there that they are synthetic."""
    said: Said | None = None
    """What its XMP packet says of where it comes from; None without one that can be read."""

    @property
    def main_video(self) -> VideoTrack | None:
        """The first video stream that is no cover picture."""
        return next((track for track in self.video if not track.is_cover), None)

    @property
    def main_audio(self) -> AudioTrack | None:
        return self.audio[0] if self.audio else None

    @property
    def audio_minus_video_s(self) -> float | None:
        """How much later the sound ends than the pictures, in seconds; None without both."""
        video, audio = self.main_video, self.main_audio
        if video is None or audio is None or video.duration_s is None or audio.duration_s is None:
            return None
        return (audio.start_s or 0.0) + audio.duration_s - (video.start_s or 0.0) - video.duration_s

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; fractions as text."""
        data = asdict(self)
        data["audio_minus_video_s"] = self.audio_minus_video_s
        plain: dict[str, Any] = json.loads(json.dumps(data, default=str))
        return plain


def probe(path: str | os.PathLike[str], *, check: Check | None = None) -> MediaProbe:
    """Look into a picture, video or sound file: every stream, with frames and durations counted from its packets.

    Args:
        check: called often; raises `Cancelled` when the job was stopped.
    Raises:
        MediaNotFound, UnreadableMedia
    """
    file = existing_file(path)
    found = _probe_picture(file) if picture_format(file) is not None else _probe_streams(file, check)
    packet = find_packet(file)
    said = read_packet(packet) if packet is not None else found.said
    return replace(found, said=said if said is not None and said.says_something else None)


def _probe_picture(path: Path) -> MediaProbe:
    """By its header alone."""
    _, header = load(path)
    width, height = header.turn.size(header.width, header.height)
    line, notes = timeline_of(header) if header.is_animated else (None, ())
    intervals = np.diff(line.ticks) * float(line.time_base) if line is not None else None
    track = VideoTrack(
        index=0,
        codec=header.kind,
        width=width,
        height=height,
        pixel_format=None,
        num_frames=len(line) if line is not None else 1,
        declared_frames=None,
        fps=line.rate if line is not None else None,
        variable_frame_rate=line is not None and not line.constant,
        shortest_interval_s=float(intervals.min()) if intervals is not None else None,
        longest_interval_s=float(intervals.max()) if intervals is not None else None,
        start_s=None,
        duration_s=float(line.duration_s) if line is not None else None,
        num_key_frames=1,
        rotation_degrees=0,
        mirrored=False,
        pixel_aspect=Fraction(1),
        matrix=None,
        transfer=None,
        colour_range=None,
        interlaced=False,
        bit_rate=None,
        is_cover=False,
    )
    kind = "image" if line is None else "video"
    return MediaProbe(path, kind, header.kind, path.stat().st_size, None, (track,), (), (), notes)


@dataclass
class _Count:
    """Packets of one stream."""

    time_base: Fraction
    packets: int = 0
    keys: int = 0
    payload: int = 0
    first: int | None = None
    """Ticks of `time_base`."""
    end: int | None = None

    @property
    def start_s(self) -> float | None:
        return None if self.first is None else float(self.first * self.time_base)

    @property
    def duration_s(self) -> float | None:
        return None if self.first is None or self.end is None else float((self.end - self.first) * self.time_base)


def _probe_streams(path: Path, check: Check | None) -> MediaProbe:
    container = open_input(path)
    with container:
        for sound in container.streams.audio:
            if sound.codec_context is not None and sound.codec_context.sample_rate and sound.codec_context.channels:
                check_sound_format(path, sound.codec_context.sample_rate, sound.codec_context.channels)
        counts, broken = _count(container, check)
        audio = tuple(
            AudioTrack(
                index=stream.index,
                codec=stream.codec_context.name,
                sample_rate_hz=stream.codec_context.sample_rate,
                num_channels=stream.codec_context.channels,
                layout=stream.codec_context.layout.name,
                sample_format=stream.codec_context.format.name if stream.codec_context.format else None,
                start_s=counts[stream.index].start_s,
                duration_s=counts[stream.index].duration_s,
                bit_rate=stream.codec_context.bit_rate or None,
                language=stream.language,
            )
            for stream in cast(Iterable[Any], container.streams.audio)
            if stream.codec_context is not None
        )
        covers = {stream.index for stream in container.streams.video if _is_cover(stream)}
        video: list[VideoTrack] = []
        warnings = [broken] if broken else []
        for stream in cast(Iterable[Any], container.streams.video):
            if stream.codec_context is None:
                warnings.append(f"Stream {stream.index} has an unknown codec.")
                continue
            track, notes = _video_track(path, stream, counts[stream.index], stream.index in covers, check)
            video.append(track)
            warnings.extend(notes)
        known = {track.index for track in video} | {track.index for track in audio}
        other = tuple(
            OtherTrack(stream.index, stream.type, stream.codec_context.name if stream.codec_context else None)
            for stream in cast(Iterable[Any], container.streams)
            if stream.index not in known
        )
        if not video and not audio:
            raise UnreadableMedia(f"{str(path)!r} holds neither pictures nor sound.")
        return MediaProbe(
            path=path,
            kind="video" if any(not track.is_cover for track in video) else "audio",
            container=container.format.name,
            file_bytes=path.stat().st_size,
            declared_duration_s=container.duration / av.time_base if container.duration else None,
            video=tuple(video),
            audio=audio,
            other=other,
            warnings=tuple(dict.fromkeys(warnings)),
            comment=_metadata(container, "comment"),
            said=read_packet((_metadata(container, TAG) or "").encode()),
        )


def _metadata(container: InputContainer, name: str) -> str | None:
    """What a file says under a name, in whatever case."""
    return next((text for key, text in container.metadata.items() if key.lower() == name.lower()), None)


def _is_cover(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _count(container: InputContainer, check: Check | None) -> tuple[dict[int, _Count], str]:
    counts = {stream.index: _Count(stream.time_base or Fraction(1, av.time_base)) for stream in container.streams}
    broken: list[str] = []
    for packet in packets(container, check=check, broken=broken):
        count = counts[packet.stream_index]
        count.packets += 1
        count.keys += packet.is_keyframe
        count.payload += packet.size
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None and not packet.is_discard:
            end = time + (packet.duration or 0)
            count.first = time if count.first is None else min(count.first, time)
            count.end = end if count.end is None else max(count.end, end)
        if count.packets > MAX_PACKETS:
            broken.append(f"more than {MAX_PACKETS} packets in one stream")
            break
    return counts, f"The file is damaged: {broken[0]}." if broken else ""


def _video_track(
    path: Path, stream: Any, count: _Count, is_cover: bool, check: Check | None
) -> tuple[VideoTrack, list[str]]:
    from talkinghead.media.video import describe_stream

    context = stream.codec_context
    notes: list[str] = []
    facts = None
    if not is_cover and stream.index < MAX_DESCRIBED_STREAMS:
        try:
            facts = describe_stream(path, FrameOptions(), stream.index, check=check)
        except MediaError as error:
            notes.append(error.what)
    line = facts.timeline if facts else None
    intervals = np.diff(line.ticks) if line is not None and len(line) > 1 else None
    if facts:
        notes.extend(facts.notes)
    return (
        VideoTrack(
            index=stream.index,
            codec=context.name,
            width=context.width or (facts.first.width if facts else 0),
            height=context.height or (facts.first.height if facts else 0),
            pixel_format=context.pix_fmt or (facts.first.format.name if facts else None),
            num_frames=len(line) if line is not None else count.packets,
            declared_frames=stream.frames or None,
            fps=line.rate if line is not None else None,
            variable_frame_rate=line is not None and not line.constant,
            shortest_interval_s=float(int(intervals.min()) * line.time_base)
            if intervals is not None and line
            else None,
            longest_interval_s=float(int(intervals.max()) * line.time_base) if intervals is not None and line else None,
            start_s=count.start_s,
            duration_s=float(line.duration_s) if line is not None else count.duration_s,
            num_key_frames=count.keys,
            rotation_degrees=facts.turn.degrees if facts else 0,
            mirrored=facts.turn.mirror if facts else False,
            pixel_aspect=Fraction(stream.sample_aspect_ratio or 1),
            matrix=_MATRICES.get(context.colorspace),
            transfer=_TRANSFERS.get(context.color_trc),
            colour_range=_RANGES.get(context.color_range),
            interlaced=facts.first.interlaced_frame if facts else False,
            bit_rate=context.bit_rate or None,
            is_cover=is_cover,
        ),
        notes,
    )
