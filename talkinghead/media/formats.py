"""What a file is, by its first bytes, and which of FFmpeg's demuxers may read it.

FFmpeg knows some 370 formats. Among them are play lists, which open other files, numbered pictures (`%d.png`), which
read their neighbours, and hundreds of formats of old games that nobody tests. Only those named here are read.
"""

from __future__ import annotations

ISO = "mov,mp4,m4a,3gp,3g2,mj2"
"""FFmpeg's demuxer of MP4, MOV, M4A and 3GP. It is given what begins like one, and nothing else, so that what such a
file claims is always looked at first (`claims.py`)."""

_MATROSKA = "matroska,webm"
_VIDEO = (ISO, _MATROSKA, "avi", "flv", "mpeg", "mpegts", "asf", "dv", "ogg", "ivf", "yuv4mpegpipe", "gif", "apng")
_BARE_VIDEO = ("h264", "hevc", "m4v", "mpegvideo", "obu")
_SOUND = ("aac", "ac3", "aiff", "amr", "au", "caf", "dts", "eac3", "flac", "loas", "mp3", "w64", "wav", "wv")
_RARE_PICTURES = ("pbm_pipe", "pgm_pipe", "ppm_pipe", "pam_pipe", "qoi_pipe", "j2k_pipe", "webp_pipe")

READABLE = frozenset((*_VIDEO, *_BARE_VIDEO, *_SOUND, *_RARE_PICTURES))
"""All demuxers that are used."""
LATE_STREAMS = frozenset(("flv", "mpeg", "mpegts"))
"""Demuxers that find their streams on the way. FFmpeg opens decoders for them before anybody can set a limit."""

HEAD_BYTES = 64
_ISO_BOXES = {
    b"ftyp",
    b"moov",
    b"mdat",
    b"free",
    b"skip",
    b"wide",
    b"pnot",
    b"moof",
    b"styp",
    b"sidx",
    b"udta",
    b"uuid",
}
_MAGIC = (
    (b"\x1aE\xdf\xa3", _MATROSKA),
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b"FLV", "flv"),
    (b"GIF8", "gif"),
    (b".snd", "au"),
    (b"caff", "caf"),
    (b"#!AMR", "amr"),
    (b"wvpk", "wv"),
    (b"DKIF", "ivf"),
    (b"YUV4MPEG2", "yuv4mpegpipe"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"riff\x2e\x91\xcf\x11", "w64"),
)
_RIFF = {b"WAVE": "wav", b"AVI ": "avi", b"AVIX": "avi", b"AMV ": "avi"}


def demuxer_of(head: bytes) -> str | None:
    """FFmpeg's demuxer for a file that begins like this, or None where the beginning does not tell.

    Args:
        head: the first HEAD_BYTES bytes.
    """
    if head[4:8] in _ISO_BOXES:
        return ISO
    if head[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX", b"ON2 "):
        return _RIFF.get(head[8:12])
    if head[:4] == b"FORM":
        return "aiff" if head[8:12] in (b"AIFF", b"AIFC") else None
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


def streamed_demuxer(head: bytes) -> str | None:
    """The same for what comes through a pipe and is else samples without any beginning: MP3 is told by its first frame,
    too, and what claims to be RIFF is taken for WAV.

    Args:
        head: the first HEAD_BYTES bytes.
    """
    if known := demuxer_of(head):
        return known
    if head[:4] in (b"RIFF", b"RF64"):
        return "wav"
    layer_3 = 1
    if head[:3] == b"ID3" or (is_mpeg_frame(head) and head[1] >> 1 & 3 == layer_3):
        return "mp3"
    return None


def is_mpeg_frame(head: bytes) -> bool:
    """Whether a frame of MPEG audio (layer 1 to 3, not AAC) begins here.

    Args:
        head: three bytes or more.
    """
    if len(head) < 3 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer, rate, bits = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 2 & 3, head[2] >> 4
    return version != 1 and layer != 0 and rate != 3 and bits != 15


def is_text(head: bytes) -> bool:
    """Whether a file begins as text does: play lists, subtitles, web pages."""
    try:
        text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not just a character that is cut off
            return False
        text = head[: error.start].decode("utf-8", "replace")
    return all(character.isprintable() or character.isspace() or character == "\ufeff" for character in text)


def names_others(head: bytes) -> bool:
    """Whether a text is a list of other files: a play list, a manifest, a session description."""
    text = head.decode("utf-8", "replace").removeprefix("\ufeff").lstrip().lower()
    beginnings = (
        "#extm3u",
        "ffconcat",
        "<?xml",
        "<mpd",
        "<smil",
        "<asx",
        "[reference]",
        "[playlist]",
        "v=0",
        "rtsptext",
    )
    return text.startswith(beginnings)
