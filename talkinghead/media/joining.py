"""Stretches of one video, each a file of its own, become one file: packet by packet, without encoding again.

Every part begins with a picture that needs no other and refers to nothing after its end, so that what is joined decodes
to the pictures of the parts. All parts must come from one encoder with one setting. Timestamps are made anew from the
numbers of the frames, in the exact time base of the rate; the sound is encoded once, over the whole length.

    frames      0 1 2 3 4 | 5 6 7 8
    part 0      I B P B P |                  packets in order of decoding: 0 2 1 4 3
    part 1                | I B P P          numbers count on: 5 7 6 8
    decoded at  -1 0 1 2 3 4 5 6 7           one tick apart, across the joint too
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from talkinghead.contracts import AudioClip
from talkinghead.errors import OptionError, OutputError, UnreadableMedia
from talkinghead.files import SEQUENCE_PICTURE, PendingOutput, check_target
from talkinghead.media.container import Check, open_input, packets, video_stream
from talkinghead.media.encoders import ENCODERS
from talkinghead.media.headers import read_header
from talkinghead.media.options import GOOD_QUALITY, EncodeOptions
from talkinghead.media.output import OutputFile
from talkinghead.media.soundtrack import SoundEncoder, Soundtrack
from talkinghead.media.writer import (
    CONTAINERS,
    EncodeInfo,
    audio_codec_for,
    check_complete,
    finished_sequence,
    sound_facts,
    total_bytes,
    writing,
)
from talkinghead.places import check_apart
from talkinghead.provenance.origin import Origin
from talkinghead.provenance.signing import Signer

if TYPE_CHECKING:
    from av.container import InputContainer

WEBM_ALPHA = "yuva420p"
PNG_COLOUR_TYPE = 25
"""Byte of a PNG file."""
WITH_ALPHA = (4, 6)
"""Colour types."""
CUT = (".mp4", ".m4v", ".mov", ".mkv", ".webm", "")
"""Suffixes of videos that can be made in parts. A GIF cannot: its pictures share colours and leave out what stays."""


def check_cut(path: Path) -> None:
    """Refuse a video that cannot be joined from parts.

    Raises:
        OptionError: its container.
    """
    if path.suffix.lower() not in CUT:
        raise OptionError(
            f"A {path.suffix} file cannot be made in parts.",
            accepted="a name that ends in .mp4, .m4v, .mov, .mkv or .webm, or a folder of pictures",
        )


def rate_of(part: Path, asked: Fraction | None = None) -> Fraction:
    """Frames per second of a part.

    Args:
        asked: the rate that was asked for; taken where the part says so about. Containers of milliseconds round theirs.
    Raises:
        OptionError: a folder of pictures, which says none. MediaError: it cannot be read.
    """
    if part.suffix == "":
        if asked is None:
            raise OptionError("A folder of pictures does not tell their rate.", accepted="the rate")
        return asked
    with open_input(part) as opened:
        said = video_stream(opened, part).average_rate
    if said is None or (asked is not None and abs(said / asked - 1) < Fraction(1, 1000)):
        return asked or Fraction(25)
    return Fraction(said)


@dataclass(frozen=True)
class _Kind:
    """What all parts must have in common."""

    codec: str
    size: tuple[int, int]
    pixel_format: str | None
    parameters: bytes | None
    """Parameter sets, as the container holds them once for all pictures."""


def join_videos(
    path: str | os.PathLike[str],
    parts: Sequence[Path],
    *,
    fps: Fraction,
    soundtrack: Path | AudioClip | None = None,
    start_s: float = 0.0,
    lead_s: Fraction = Fraction(0),
    options: EncodeOptions = GOOD_QUALITY,
    overwrite: bool = True,
    check: Check | None = None,
    origin: Origin | None = None,
    signer: Signer | None = None,
) -> EncodeInfo:
    """Join videos without encoding their pictures again. The final name appears only when the file is complete.

    Args:
        parts: in order; written by `write_video` with the same options, size and rate, in the same container. Their
            sound is not used. Folders of pictures are joined into one.
        fps: their rate, exact.
        soundtrack, start_s, lead_s: of the whole, as for `write_video`.
        options: how the parts were written; says how the sound is.
        check: called often; what it raises ends the work.
        origin, signer: as for `write_video`; pictures of folders keep what they say.
    Raises:
        OptionError: no parts, or a container whose parts cannot be joined.
        OutputError: they do not belong together, or the result cannot be written.
        MediaError: a part, or the sound, cannot be read.
    """
    final = Path(path)
    check_cut(final)
    if signer is not None:
        signer.check(final)
    if not parts:
        raise OptionError("There are no parts to join.", accepted="at least one video")
    sound_files = [soundtrack] if isinstance(soundtrack, Path) else []
    check_apart([final], [*parts, *sound_files])
    folder = final.suffix == ""
    check_target(final, overwrite=overwrite, folder=folder)
    codec = audio_codec_for(final.suffix.lower(), options)
    sound = None
    if soundtrack is not None and codec is not None:
        sound = Soundtrack(soundtrack, start_s=start_s, lead_s=lead_s)
    pending = PendingOutput(final, overwrite=overwrite, folder=folder)
    try:
        with writing(final):
            if folder:
                facts = _join_folders(pending.temporary, parts, fps, sound, check)
            else:
                facts = _join_files(pending.temporary, final, parts, fps, sound, codec, options, check, origin)
            if signer is not None:
                signer.sign(pending.temporary, final.name, origin or Origin())
            size = total_bytes(pending.temporary)
        pending.commit()
    except BaseException:
        pending.discard()
        raise
    notes = (*facts.pop("notes"), *(sound.warnings if sound is not None else ()))
    return EncodeInfo(path=final, fps=fps, file_bytes=size, notes=tuple(dict.fromkeys(notes)), **facts)


def _join_files(
    temporary: Path,
    final: Path,
    parts: Sequence[Path],
    fps: Fraction,
    sound: Soundtrack | None,
    codec: str | None,
    options: EncodeOptions,
    check: Check | None,
    origin: Origin | None,
) -> dict[str, Any]:
    container = CONTAINERS[final.suffix.lower()]
    tables = [_order(part, fps, check) for part in parts]
    delay = max(table.delay for table in tables)
    notes: list[str] = []
    file = OutputFile(temporary, container, fps, options, origin)
    joined = file.container
    try:
        with open_input(parts[0]) as first:
            template = video_stream(first, parts[0])
            kind = _kind_of(template)
            stream = joined.add_stream_from_template(template, opaque=True)
            stream.time_base = 1 / fps
            if container in ("mp4", "mov"):
                stream.codec_context.codec_tag = template.codec_context.codec_tag  # else FFmpeg chooses: hev1 for hvc1
            if kind.pixel_format == WEBM_ALPHA:  # transparency stands beside each packet, and the header says so
                stream.codec_context.pix_fmt = WEBM_ALPHA
        track = None
        if sound is not None and codec is not None:
            track = SoundEncoder(joined, sound, codec, options.audio_bitrate, notes)
        done = 0
        for part, table in zip(parts, tables, strict=True):
            with open_input(part) as opened:
                source = video_stream(opened, part)
                _check_kind(part, _kind_of(source), kind)
                for place, packet in enumerate(_pictures(opened, source, part, check)):
                    packet.stream = stream
                    packet.time_base = 1 / fps
                    packet.pts = done + table.numbers[place]
                    packet.dts = done + place - delay
                    packet.duration = 1
                    joined.mux(packet)
                    if track is not None:
                        track.advance((done + place + 1) / fps)
            done += len(table.numbers)
        if track is not None:
            track.finish()
        file.close()
    except BaseException:
        file.abort()
        raise
    check_complete(temporary, container, done, fragmented=options.fragment_s is not None)
    return {
        "container": container,
        "video_codec": kind.codec,
        "encoder": "",
        "pixel_format": kind.pixel_format or "",
        "width": kind.size[0],
        "height": kind.size[1],
        "num_frames": done,
        "notes": notes,
        **sound_facts(track),
    }


@dataclass(frozen=True)
class _Order:
    """The packets of a part, in order of decoding."""

    numbers: list[int]
    """Frame of each packet, from 0."""
    delay: int
    """Frames by which decoding has to begin before showing."""


def _order(part: Path, fps: Fraction, check: Check | None) -> _Order:
    """Which frame each packet of a part is.

    Raises:
        OutputError: the part does not begin by itself, or its frames are not 1 / fps apart.
    """
    with open_input(part) as opened:
        stream = video_stream(opened, part)
        tick = stream.time_base or Fraction(1, 1000)
        shown: list[int] = []
        decoded: list[int | None] = []
        for packet in _pictures(opened, stream, part, check):
            if not shown and not packet.is_keyframe:
                raise OutputError(f"{part.name} does not begin with a picture that needs no other.")
            if packet.pts is None:
                raise OutputError(f"{part.name} has pictures without a time.")
            shown.append(packet.pts)
            decoded.append(packet.dts)
    if not shown:
        raise UnreadableMedia(f"{part.name} holds no pictures.", accepted="a finished part")
    ranks = np.empty(len(shown), np.int64)
    ranks[np.argsort(np.array(shown, np.int64), kind="stable")] = np.arange(len(shown))
    first = min(shown)
    for ticks, number in zip(shown, ranks.tolist(), strict=True):
        if abs((ticks - first) * tick - number / fps) > tick:
            there, wanted = float((ticks - first) * tick), float(number / fps)
            raise OutputError(
                f"{part.name} has a frame at {there:.4f} s, where one of {float(fps):.4g} frames a second begins at "
                f"{wanted:.4f} s.",
                accepted="parts of one rate",
            )
    late = int(max(np.arange(len(shown)) - ranks))
    if decoded[0] is not None:
        late = max(late, round((first - decoded[0]) * tick * fps))
    return _Order(ranks.tolist(), late)


def _pictures(opened: InputContainer, stream: Any, part: Path, check: Check | None) -> Iterator[Any]:
    """Packets of a part.

    Raises:
        UnreadableMedia: it is damaged.
    """
    broken: list[str] = []
    yield from packets(opened, stream, check=check, broken=broken)
    if broken:
        raise UnreadableMedia(f"{part.name} is damaged: {broken[0]}.", accepted="a finished part")


def _kind_of(stream: Any) -> _Kind:
    context = stream.codec_context
    parameters = bytes(context.extradata) if context.extradata else None
    pixel_format = WEBM_ALPHA if stream.metadata.get("alpha_mode") == "1" else context.pix_fmt
    return _Kind(context.codec.canonical_name, (context.width, context.height), pixel_format, parameters)


def _check_kind(part: Path, found: _Kind, wanted: _Kind) -> None:
    if found == wanted:
        return
    described = [f"{kind.codec} {kind.size[0]}x{kind.size[1]} {kind.pixel_format}" for kind in (found, wanted)]
    if described[0] == described[1]:
        described = ["other settings of its encoder", "those of the first part"]
    names = ", ".join(facts.name for facts in ENCODERS if facts.codec == wanted.codec)
    raise OutputError(
        f"{part.name} has {described[0]}, not {described[1]}.",
        accepted="parts that one encoder made with one setting",
        remedy=f"name the encoder, so that every machine takes the same one (--codec: {names})",
    )


def _join_folders(
    folder: Path, parts: Sequence[Path], fps: Fraction, sound: Soundtrack | None, check: Check | None
) -> dict[str, Any]:
    """Pictures of several folders, numbered on; they share the room on the disk where the file system can."""
    kinds: set[tuple[int, int, bool]] = set()
    done = 0
    for part in parts:
        number = 0
        while (picture := part / SEQUENCE_PICTURE.format(number)).is_file():
            if check is not None:
                check()
            _link(picture, folder / SEQUENCE_PICTURE.format(done))
            number, done = number + 1, done + 1
        if not number:
            raise UnreadableMedia(f"{str(part)!r} holds no pictures.", accepted="a finished part")
        first = (part / SEQUENCE_PICTURE.format(0)).read_bytes()
        header = read_header(first)
        kinds.add((header.width, header.height, first[PNG_COLOUR_TYPE] in WITH_ALPHA))
    if len(kinds) > 1:
        raise OutputError("The parts have pictures of different sizes.", accepted="parts of one video")
    ((width, height, has_alpha),) = kinds
    facts = finished_sequence(folder, (width, height), "rgba" if has_alpha else "rgb24", sound, done / fps)
    return {**facts, "num_frames": done, "notes": []}


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
