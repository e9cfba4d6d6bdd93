"""Media files that ask for far more than they are, made byte by byte, and a process that reads each with limits.

    python -m tests.media.hostile FOLDER GROUP      # one line of JSON for each case of a group

The process is started once for a group; every file is then read in a fork of it (`tests.fuzz.limits`), which imports
nothing again.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.conftest import ROOT
from tests.fuzz.limits import Watch, read_limited, watching
from tests.synthetic_media import make_sound, make_video, wav_file

SECONDS = 30.0
"""Longest time for one case: the machine may be busy."""


@dataclass(frozen=True)
class Case:
    """A file, how it is read, and what is right."""

    make: Callable[[Path], Path]
    """Makes the file in a folder."""
    read: Callable[[Path], object]
    says: str = ""
    """Part of the error; empty where the file is read."""
    seconds: float = SECONDS


@dataclass(frozen=True)
class Found:
    """What became of a case."""

    name: str
    kind: str
    seconds: float
    grown_mb: float
    file_bytes: int
    detail: str


# Readers ----------------------------------------------------------------------------------------------------------


def sound(path: Path) -> None:
    """Read a sound in every way."""
    from talkinghead.media import open_sound, read_audio

    looked_at(path)
    try:
        for block in open_sound(path).blocks():
            block.sum()
    finally:
        read_audio(path)


def heard(path: Path) -> None:
    from talkinghead.media import read_audio

    read_audio(path)


def frames(path: Path, most: int = 40, **options: Any) -> None:
    """Open a face and look at its frames."""
    from talkinghead.media import FrameOptions, open_frames

    looked_at(path)
    source = open_frames(path, options=FrameOptions(**options))
    for frame in islice(source.read(), most):
        frame.sum()
        del frame
    next(iter(source.read(len(source) - 1))).sum()


def looked_at(path: Path) -> None:
    from talkinghead.errors import MediaError
    from talkinghead.media import probe

    with suppress(MediaError):
        probe(path).to_dict()


def anything(path: Path) -> None:
    """Try every reader of the package; raises what the one of frames says."""
    from talkinghead.errors import MediaError

    with suppress(MediaError):
        sound(path)
    frames(path)


# Bytes ------------------------------------------------------------------------------------------------------------


def blank_png(width: int, height: int) -> bytes:
    """A PNG of one bit per pixel, all zero: a thousandth of what it decodes to."""
    total = height * (1 + (width + 7) // 8)
    block = 1 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)  # needs nothing before it
    rest = packer.compress(bytes(total % block)) + packer.flush(zlib.Z_FINISH)
    checksum = struct.pack(">I", total % 65521 << 16 | 1)
    data = b"\x78\xda" + piece * (total // block) + rest + checksum
    header = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", bytes(3) + b"\xff" * 3), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def muxed(
    path: Path,
    codec: str,
    packets: Iterable[tuple[int, bytes]],
    time_base: Fraction,
    *,
    size: tuple[int, int] = (64, 48),
    rate: int = 16_000,
    container: str | None = None,
) -> Path:
    """A file of packets that are given, with their times; nothing is encoded."""
    with av.open(f"file:{path}", "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate if codec.startswith("pcm") else 25)
        if codec.startswith("pcm"):
            stream.codec_context.layout = "mono"
        else:
            stream.width, stream.height, stream.pix_fmt = *size, "pal8" if codec == "png" else "yuv420p"
        stream.time_base = time_base
        for time, data in packets:
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, time_base
            packet.pts = packet.dts = time
            packet.is_keyframe = True
            out.mux(packet)
    return path


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full_box(kind: bytes, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", flags), *parts)


def table(kind: bytes, *rows: bytes) -> bytes:
    return full_box(kind, 0, struct.pack(">I", len(rows)), *rows)


def counted_mp4(
    samples: int = 0, *, in_fragment: int = 0, edits: int = 0, sound_chunks: int = 0, per_chunk: int = 0
) -> bytes:
    """An MP4 that counts samples without having them.

    Args:
        samples: in `stsz`, all of one byte.
        in_fragment: samples of a `trun` that says nothing of each.
        edits: entries of the edit list, each over the whole film.
        sound_chunks, per_chunk: makes it uncompressed sound, with so many chunks of so many samples.
    """
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    seconds = min(max(1, samples // 25), 4_000_000)
    if sound_chunks:
        entry = box(b"sowt", bytes(6), struct.pack(">H", 1), bytes(8), struct.pack(">HHHHI", 1, 16, 0, 0, 16_000 << 16))
    else:
        entry = box(b"jpeg", bytes(6), struct.pack(">H", 1), bytes(16), struct.pack(">HH", 64, 48),
                    struct.pack(">II", 72 << 16, 72 << 16), bytes(4), struct.pack(">H", 1), bytes(32),
                    struct.pack(">Hh", 24, -1))  # fmt: skip
    handler = b"soun" if sound_chunks else b"vide"
    count = min(sound_chunks * per_chunk or samples, 0xFFFFFFFF)
    tables = box(
        b"stbl",
        table(b"stsd", entry),
        table(b"stts", struct.pack(">II", count, 1)),
        table(b"stsc", struct.pack(">III", 1, per_chunk or samples, 1)),
        full_box(b"stsz", 0, struct.pack(">II", 1, count)),
        table(b"stco", *[struct.pack(">I", 40)] * max(1, sound_chunks)),
    )
    edit_list = table(b"elst", *[struct.pack(">IIHH", 1000 * seconds, 0, 1, 0)] * edits) if edits else b""
    track = box(
        b"trak",
        full_box(b"tkhd", 7, struct.pack(">IIIII", 0, 0, 1, 0, 1000 * seconds), bytes(16), matrix,
                 struct.pack(">II", 64 << 16, 48 << 16)),
        box(b"edts", edit_list) if edits else b"",
        box(b"mdia",
            full_box(b"mdhd", 0, struct.pack(">IIII", 0, 0, 16_000 if sound_chunks else 25, count),
                     struct.pack(">HH", 0x55C4, 0)),
            full_box(b"hdlr", 0, bytes(4), handler, bytes(13)),
            box(b"minf", full_box(b"vmhd", 1, bytes(8)),
                box(b"dinf", table(b"dref", full_box(b"url ", 1))), tables)),
    )  # fmt: skip
    extends = box(b"mvex", full_box(b"trex", 0, struct.pack(">IIIII", 1, 1, 1, 1, 0))) if in_fragment else b""
    header = full_box(b"mvhd", 0, struct.pack(">IIII", 0, 0, 1000, 1000 * seconds), struct.pack(">IH", 0x10000, 0x100),
                      bytes(10), matrix, bytes(24), struct.pack(">I", 2))  # fmt: skip
    fragment = b""
    if in_fragment:
        fragment = box(
            b"moof",
            full_box(b"mfhd", 0, struct.pack(">I", 1)),
            box(b"traf", full_box(b"tfhd", 0x20000, struct.pack(">I", 1)), full_box(b"tfdt", 0, bytes(4)),
                full_box(b"trun", 0, struct.pack(">I", in_fragment))),
        )  # fmt: skip
    start = box(b"ftyp", b"isom", bytes(4), b"isomiso2") + box(b"moov", header, track, extends)
    return start + fragment + box(b"mdat", b"\xff\xd8\xff\xd9" * 50)


class Bits:
    """Numbers as H.264 writes them."""

    def __init__(self) -> None:
        self.text = ""

    def u(self, bits: int, value: int) -> Bits:
        self.text += f"{value:0{bits}b}"
        return self

    def ue(self, *values: int) -> Bits:
        for value in values:
            code = f"{value + 1:b}"
            self.text += "0" * (len(code) - 1) + code
        return self

    def unit(self, head: int) -> bytes:
        """A NAL unit with its start code."""
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        body = int(text, 2).to_bytes(len(text) // 8, "big")
        for escaped in (b"\0\0\0", b"\0\0\1", b"\0\0\2", b"\0\0\3"):
            body = body.replace(escaped, b"\0\0\3" + escaped[2:])
        return b"\0\0\0\1" + bytes([head]) + body


def h264_of(macroblocks: int) -> bytes:
    """An H.264 picture, square, of which each macroblock is skipped or missing: a few bytes for any size."""
    sps = Bits().u(8, 66).u(8, 0).u(8, 62).ue(0, 0, 2, 1).u(1, 0).ue(macroblocks - 1, macroblocks - 1)
    sps.u(1, 1).u(1, 1).u(1, 0).u(1, 0)
    pps = Bits().ue(0, 0).u(1, 0).u(1, 0).ue(0, 0, 0).u(1, 0).u(2, 0).ue(0, 0, 0).u(3, 0)
    intra = Bits().ue(0, 7, 0).u(4, 0).ue(0).u(2, 0).ue(0, 3, 0)
    return sps.unit(0x67) + pps.unit(0x68) + intra.unit(0x65)


# Groups -----------------------------------------------------------------------------------------------------------


def _bytes(name: str, data: Callable[[], bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data())
        return folder / name

    return make


def _stills(folder: Path, count: int, gap_s: int) -> Path:
    picture = blank_png(64, 48)
    return muxed(folder / "a.mov", "png", [(i * gap_s * 1000, picture) for i in range(count)], Fraction(1, 1000))


def _grows(folder: Path, first: tuple[int, int], later: tuple[int, int], container: str = "mov") -> Path:
    pictures = [blank_png(*first)] * 3 + [blank_png(*later)] * 3
    return muxed(folder / f"a.{container}", "png", list(enumerate(pictures)), Fraction(1, 25), size=first)


def _gaps_in_sound(folder: Path, count: int, gap_s: int, codec: str = "pcm_s16le") -> Path:
    each = 10 if codec == "pcm_s16le" else 20  # milliseconds of a block
    times = [i * gap_s * 1000 + part * each for i in range(count) for part in range(2)]
    return muxed(folder / "a.mkv", codec, [(time, bytes(320)) for time in times], Fraction(1, 1000))


def _silent_flac(folder: Path, hours: int) -> Path:
    path = folder / "a.flac"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("flac", rate=1000)
        stream.codec_context.layout = "mono"
        part = np.zeros((1, 1_000_000), np.int16)
        for i in range(3600 * hours // 1000):
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 1000, i * part.shape[1], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def _with_cover(folder: Path) -> Path:
    """An MP3 whose cover is a blank PNG of a thousand megapixels."""
    plain = make_sound(folder / "plain.mp3", 1.0, 44_100).read_bytes()
    picture = b"\0image/png\0\3\0" + blank_png(32_000, 32_000)
    frame = b"APIC" + struct.pack(">IH", len(picture), 0) + picture
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    (folder / "a.mp3").write_bytes(b"ID3\3\0\0" + size + frame + plain)
    return folder / "a.mp3"


def _picture_as_sound(folder: Path, suffix: str) -> Path:
    import cv2

    done, data = cv2.imencode(suffix, np.zeros((400, 400, 3), np.uint8))
    assert done
    (folder / "speech.wav").write_bytes(data.tobytes())
    return folder / "speech.wav"


def _y4m(rate: str, size: str = "W64 H48", count: int = 3) -> bytes:
    return f"YUV4MPEG2 {size} F{rate} Ip A1:1 C420jpeg\n".encode() + (b"FRAME\n" + bytes(64 * 48 * 3 // 2)) * count


def _slow_gif(count: int) -> bytes:
    """A GIF of `count` small frames, each shown for 655 seconds."""
    one = b"\x21\xf9\x04\0\xff\xff\0\0" + b"\x2c\0\0\0\0\1\0\1\0\0" + b"\2\2\x44\1\0"
    return b"GIF89a" + struct.pack("<HH", 1, 1) + b"\x80\0\0" + bytes(3) + b"\xff" * 3 + one * count + b";"


def _wide_pixels(folder: Path) -> Path:
    """A video that is to be shown eight times as wide as it is stored: 480 megapixels of 60."""
    path = folder / "a.mov"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 7800, 7700, "pal8"
        stream.codec_context.sample_aspect_ratio = Fraction(8)
        packet = av.Packet(blank_png(7800, 7700))
        packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 25), 0, 0
        out.mux(packet)
    return path


def _flv(folder: Path, video: bytes) -> Path:
    """An FLV of H.264 in one tag, without a header that tells the size."""
    units = [unit for unit in video.split(b"\0\0\0\1") if unit]
    sps, pps, picture = units
    config = b"\1" + sps[1:4] + b"\xff\xe1" + struct.pack(">H", len(sps)) + sps
    config += b"\1" + struct.pack(">H", len(pps)) + pps
    out = b"FLV\1\1" + struct.pack(">II", 9, 0)
    for body in (b"\x17\0\0\0\0" + config, *[b"\x17\1\0\0\0" + struct.pack(">I", len(picture)) + picture] * 3):
        tag = b"\x09" + struct.pack(">I", len(body))[1:] + bytes(7) + body
        out += tag + struct.pack(">I", len(tag))
    (folder / "a.flv").write_bytes(out)
    return folder / "a.flv"


def _sparse_frames(folder: Path, count: int) -> Path:
    """A video of `count` packets of one byte each."""
    return muxed(folder / "a.mkv", "mpeg4", ((i, b"\0") for i in range(count)), Fraction(1, 1000))


def _h264(folder: Path, container: str, macroblocks: int) -> Path:
    data = h264_of(macroblocks)
    if container == "h264":
        (folder / "a.h264").write_bytes(data * 3)
        return folder / "a.h264"
    return muxed(folder / f"a.{container}", "libx264", [(i * 3600, data) for i in range(3)], Fraction(1, 90_000),
                 size=(64, 48), container={"ts": "mpegts"}.get(container))  # fmt: skip


def _late_sound(folder: Path, later_s: int) -> Path:
    """Pictures at zero, and sound that is stamped far later."""
    path = folder / "a.mkv"
    with av.open(str(path), "w") as out:
        pictures, voice = out.add_stream("mpeg4", rate=25), out.add_stream("pcm_s16le", rate=16_000)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        voice.codec_context.layout = "mono"
        for index in range(5):
            picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            out.mux(pictures.encode(picture))
        out.mux(pictures.encode(None))
        for index in range(50):
            packet = av.Packet(bytes(640))
            packet.stream, packet.time_base = voice, Fraction(1, 1000)
            packet.pts = packet.dts = 1000 * later_s + 20 * index
            out.mux(packet)
    return path


def face_and_sound(path: Path) -> None:
    """The same file as both."""
    import talkinghead

    speech = talkinghead.listen(path, face=path)
    assert speech.clip.duration_s < 3600
    frames(path)


NO_SOUND, CLAIMS, LONG, PIXELS = "has no sound", "that are not in it", "does not end after", "megapixels"

SOUND: Mapping[str, Case] = {
    "a PNG of a gigapixel": Case(_bytes("a.wav", lambda: blank_png(32_000, 32_000)), sound, NO_SOUND),
    **{
        f"a picture in {suffix}": Case(partial(_picture_as_sound, suffix=suffix), sound, NO_SOUND)
        for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff")
    },
    "a GIF": Case(_bytes("a.mp3", lambda: _slow_gif(3)), sound, NO_SOUND),
    "a cover of a gigapixel": Case(_with_cover, sound),
    "a video of a gigapixel as sound": Case(
        lambda folder: muxed(folder / "a.mov", "png", [(0, blank_png(32_000, 32_000))], Fraction(1, 25)),
        sound,
        NO_SOUND,
    ),
    "jumps of ten minutes": Case(partial(_gaps_in_sound, count=100, gap_s=599), sound, LONG),
    "jumps of an hour": Case(partial(_gaps_in_sound, count=100, gap_s=3600), sound),
    "jumps of ten minutes in eight bits": Case(
        partial(_gaps_in_sound, count=100, gap_s=599, codec="pcm_u8"), sound, LONG
    ),
    "one hertz": Case(_bytes("a.wav", lambda: wav_file(np.zeros((1_000_000, 1), np.float32), 1, 8)), sound, "1 Hz"),
    "ten hertz": Case(_bytes("a.wav", lambda: wav_file(np.zeros((100_000, 1), np.float32), 10)), sound, "10 Hz"),
    "four gigahertz": Case(
        _bytes("a.wav", lambda: wav_file(np.zeros((1000, 1), np.float32), 2_000_000_000)), sound, "2000000000 Hz"
    ),
    "a thousand channels": Case(
        _bytes("a.wav", lambda: wav_file(np.zeros((100, 1000), np.float32), 16_000)), sound, "cannot be decoded"
    ),
    "two silent hours in half a megabyte": Case(partial(_silent_flac, hours=2), heard, LONG),
    **{
        f"sound that begins after {later_s} s": Case(partial(_late_sound, later_s=later_s), face_and_sound)
        for later_s in (500, 700, 1_000_000)
    },
    "sound that is only counted": Case(
        _bytes("a.m4a", lambda: counted_mp4(sound_chunks=500, per_chunk=2_000_000_000)), sound, CLAIMS
    ),
    "samples that are only counted": Case(_bytes("a.m4a", lambda: counted_mp4(150_000_000)), sound, CLAIMS),
}

VIDEO: Mapping[str, Case] = {
    "thirteen pictures below the limit": Case(
        lambda folder: muxed(
            folder / "a.mov", "png", [(i, blank_png(7990, 7990)) for i in range(13)], Fraction(1, 25), size=(7990, 7990)
        ),
        partial(frames, most=2),
    ),
    "a picture above the limit": Case(
        lambda folder: muxed(folder / "a.mov", "png", [(0, blank_png(32_000, 32_000))], Fraction(1, 25)),
        frames,
        PIXELS,
    ),
    "a header above the limit": Case(
        _bytes("a.y4m", lambda: _y4m("25:1", "W32000 H32000")),
        frames,
        "cannot be read",
    ),
    "later pictures far larger": Case(partial(_grows, first=(64, 48), later=(7990, 7990)), frames),
    "later pictures above the limit": Case(partial(_grows, first=(64, 48), later=(32_000, 32_000)), frames),
    "pixels eight times as wide": Case(_wide_pixels, frames, PIXELS),
    "stills ten minutes apart": Case(partial(_stills, count=13, gap_s=599), partial(frames, fps=Fraction(25))),
    "many stills ten minutes apart": Case(
        partial(_stills, count=2000, gap_s=599), partial(frames, fps=Fraction(25)), "hours by its timestamps"
    ),
    "many stills at the highest rate": Case(
        partial(_stills, count=100, gap_s=599), partial(frames, fps=Fraction(240)), "hours by its timestamps"
    ),
    "a part of many stills": Case(
        partial(_stills, count=2000, gap_s=599), partial(frames, fps=Fraction(25), start_s=60_000.0, duration_s=10.0)
    ),
    "a picture in twelve days": Case(_bytes("a.y4m", lambda: _y4m("1:1000000")), frames),
    "a million pictures a second": Case(_bytes("a.y4m", lambda: _y4m("1000000:1")), frames),
    "a slow GIF": Case(_bytes("a.gif", lambda: _slow_gif(20_000)), frames),
    "samples that are only counted": Case(_bytes("a.mp4", lambda: counted_mp4(150_000_000)), frames, CLAIMS),
    "a fragment that is only counted": Case(
        _bytes("a.mp4", lambda: counted_mp4(in_fragment=150_000_000)), frames, CLAIMS
    ),
    "edits that repeat the film": Case(_bytes("a.mp4", lambda: counted_mp4(100_000, edits=20_000)), frames, CLAIMS),
    **{
        f"H.264 of 268 megapixels in {container}": Case(
            partial(_h264, container=container, macroblocks=1000),
            frames,
            PIXELS if container != "ts" else "cannot be read",
        )
        for container in ("ts", "h264", "mkv")
    },
    "H.264 of 268 megapixels in flv": Case(lambda folder: _flv(folder, h264_of(1000)), frames, PIXELS),
    "packets of one byte": Case(partial(_sparse_frames, count=20_000), frames, "can be decoded"),
}


def _lists(name: str, text: str) -> Callable[[Path], Path]:
    """A text that names files beside it and elsewhere, one of which is a pipe that never gives anything."""

    def make(folder: Path) -> Path:
        os.mkfifo(folder / "pipe.ts")
        make_video(folder / "beside.mp4", 3)
        words = {"folder": folder, "secret": os.environ[SECRET], "address": os.environ[ADDRESS]}
        (folder / name).write_text(text.format(**words))
        return folder / name

    return make


def _numbered(folder: Path, name: str, suffix: str) -> Path:
    """A file whose name is a pattern that its neighbours fit."""
    for number in range(3):
        make_video(folder / f"{number}{suffix}", 2, codec="gif", pixel_format="bgr8")
    return make_video(folder / name, 5, codec="gif", pixel_format="bgr8")


def _pattern_of_pgm(folder: Path) -> Path:
    header = b"P5\n64 48\n255\n"
    for number in range(3):
        (folder / f"{number}.pgm").write_bytes(header + bytes(64 * 48))
    (folder / "%d.pgm").write_bytes(b"no picture")
    return folder / "%d.pgm"


def one_file(path: Path) -> None:
    """Only the file itself may be read: it has five frames, its neighbours two."""
    from talkinghead.media import open_frames

    assert len(open_frames(path)) == 5


def _special(folder: Path, kind: str) -> Path:
    path = folder / "input"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.symlink_to(kind)
    return path


_HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{name}\n#EXT-X-ENDLIST\n"
_MPD = (
    '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT9S">'
    '<Period><AdaptationSet><Representation id="0" bandwidth="9" mimeType="video/mp4"><BaseURL>{name}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>"
)
_TEXTS = {
    "list.m3u8": _HLS,
    "list.mp4": _HLS,
    "list.wav": _HLS,
    "list.ffconcat": "ffconcat version 1.0\nfile '{name}'\n",
    "list.mkv": "ffconcat version 1.0\nfile '{name}'\n",
    "list.mpd": _MPD,
    "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 {address}\nt=0 0\nm=video 9 RTP/AVP 96\n",
    "list.asx": "<asx version='3.0'><entry><ref href='{name}'/></entry></asx>",
    "list.pls": "[playlist]\nFile1={name}\nNumberOfEntries=1\n",
    "list.asf": "[Reference]\nRef1=http://{address}/a\nRef2={name}\n",
    "list.smil": "<smil><body><video src='{name}'/></body></smil>",
    "list.svg": "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><image href='{name}'/></svg>",
    "list.idx": "# VobSub index file, v7 (do not modify this line!)\n# {name}\n",
    "list.txt": "movie={name}\n",
    "list.jxl": "{name}\n",
}
_NAMES = ("{folder}/pipe.ts", "pipe.ts", "beside.mp4", "{secret}/secret.wav", "file:{secret}/secret.png",
          "http://{address}/a.ts", "subfile,,start,0,end,9,,:{secret}/secret.wav", "crypto:{secret}/secret.wav",
          "concat:{secret}/secret.wav", "data:video/mp4;base64,AAAA", "tcp://{address}", "/dev/zero")  # fmt: skip

FILES: Mapping[str, Case] = {
    **{
        f"{file} names {name}": Case(_lists(file, text.replace("{name}", name)), anything, "no media")
        for number, (file, text) in enumerate(_TEXTS.items())
        for name in (_NAMES if number == 0 else _NAMES[number % len(_NAMES) : number % len(_NAMES) + 2])
    },
    **{
        f"{kind} as input": Case(partial(_special, kind=kind), anything, says, seconds=10)
        for kind, says in (
            ("pipe", "is a pipe or device"),
            ("socket", "is a pipe or device"),
            ("folder", "is a folder"),
            ("loop", "cannot be opened"),
            ("/dev/zero", "is a pipe or device"),
            ("/dev/null", "is a pipe or device"),
        )
    },
    "a pattern of pictures": Case(_pattern_of_pgm, anything, "no media"),
    **{
        f"a GIF with the name {name}": Case(partial(_numbered, name=name, suffix=".gif"), one_file)
        for name in ("%d.gif", "%01d.gif", "[0-9].gif", "?.gif", "*.gif", "x{1,2}.gif", "concat:0.gif", "a|b.gif")
    },
}

GROUPS = {"sound": SOUND, "video": VIDEO, "files": FILES}
SECRET, ADDRESS = "TALKINGHEAD_TEST_SECRET", "TALKINGHEAD_TEST_ADDRESS"


def outcomes(group: str, folder: Path) -> dict[str, Found]:
    """Run all cases of a group in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.media.hostile", str(folder), group],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [Found(**json.loads(line)) for line in done.stdout.splitlines()]
    return {each.name: each for each in found}


def right(case: Case, found: Found) -> bool:
    """Whether a file was read, or refused with the right words."""
    if not case.says:
        return found.kind == "read"
    return found.kind == "refused" and case.says in found.detail


def _run(name: str, case: Case, folder: Path, watch: Watch) -> Found:
    folder.mkdir()
    path = case.make(folder)
    size = path.lstat().st_size
    outcome = read_limited(case.read, path, watch, seconds=case.seconds, size=size)
    return Found(name, outcome.kind, outcome.seconds, outcome.grown_bytes / 1e6, size, outcome.detail)


def main(folder: Path, group: str) -> None:
    from talkinghead.media import open_frames, open_sound, probe  # noqa: F401 (imported before the forks)

    with watching() as watch:
        os.environ[SECRET], os.environ[ADDRESS] = str(watch.folder), watch.address
        for number, (name, case) in enumerate(GROUPS[group].items()):
            print(json.dumps(asdict(_run(name, case, folder / str(number), watch))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
