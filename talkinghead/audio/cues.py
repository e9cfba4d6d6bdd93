"""Phones to mouth cues, and cue files that Rhubarb, and what reads Rhubarb, understand.

The shapes (Hanna-Barbera's, as Rhubarb Lip Sync extends them):

    A  lips pressed together     p b m            E  half open, rounded     ao er
    B  teeth together            s t k, ee        F  puckered               uw ow w
    C  open                      eh ae ah         G  teeth on lower lip     f v
    D  wide open                 aa               H  tongue raised          l
    X  closed, at rest           pauses
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

from talkinghead.audio.visemes import SILENCE, is_vowel
from talkinghead.contracts import MouthCue, Phone, Speech
from talkinghead.errors import MediaNotFound, OptionError, UnreadableMedia, choices
from talkinghead.places import check_apart
from talkinghead.reading import parse_json, read_text, reading, reason, shown

FORMATS = ("json", "tsv", "xml", "srt", "dat")
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Names of the cue formats; each is also the suffix of its files. All but srt are Rhubarb's."""

SHAPES = "ABCDEFGHX"

PRESTON_BLAIR = {
    "A": "MBP", "B": "etc", "C": "E", "D": "AI", "E": "O", "F": "U", "G": "FV", "H": "L", "X": "rest"
}  # fmt: skip
"""Names that OpenToonz and some Moho rigs use in DAT files."""

VOWEL_SHAPES: dict[str, tuple[str, ...]] = {
    "AA": ("D",), "AE": ("C",), "AH": ("C",), "AO": ("E",), "AW": ("D", "F"), "AY": ("D", "B"), "EH": ("C",),
    "ER": ("E",), "EY": ("C", "B"), "IH": ("B",), "IY": ("B",), "OW": ("E", "F"), "OY": ("E", "B"), "UH": ("F",),
    "UW": ("F",),
}  # fmt: skip
"""Vowels; diphthongs have two shapes."""
CONSONANT_SHAPES = {
    "P": "A", "B": "A", "M": "A", "F": "G", "V": "G", "L": "H", "W": "F", "TH": "H", "DH": "B", "R": "E", "CH": "F",
    "JH": "F", "SH": "F", "ZH": "F", "S": "B", "Z": "B", "T": "B", "D": "B", "N": "B", "Y": "B",
}  # fmt: skip
"""Consonants with a shape of their own; the others (k, g, ng, h) take that of the vowel beside them."""
OPEN_SHAPES = "CDE"

TWEENS = {
    ("A", "D"): "C", ("B", "D"): "C", ("G", "D"): "C", ("X", "D"): "C", ("F", "D"): "E", ("C", "F"): "E",
    ("H", "F"): "E",
}  # fmt: skip
"""Shapes that lie between two others; both ways."""

RANK = {"A": 5, "G": 4, "F": 3, "D": 3, "E": 2, "C": 2, "H": 1, "B": 1, "X": 0}
"""What is dropped last when time is short: contacts that everyone sees."""


@dataclass(frozen=True)
class CueTiming:
    """Rules of thumb for the timing of drawn mouths. Seconds."""

    shortest_s: float = 0.06
    """Shapes shorter than this are dropped or lengthened; one and a half frames at 25 fps."""
    contact_s: float = 0.08
    """Shortest A and G: two frames, or the eye misses them."""
    anticipation_s: float = 0.05
    """How far a mouth opens ahead of the sound after a pause."""
    pause_s: float = 0.12
    """Shorter pauses keep the shape before them."""
    tween_s: float = 0.05
    """Length of a shape put between two others."""


def mouth_cues(phones: Sequence[Phone], timing: CueTiming | None = None) -> tuple[MouthCue, ...]:
    """One mouth shape after another, without holes, over the whole time of the phones.

    Every p, b, m that is at all audible gets its A; a shape never lasts less than the timing's shortest unless it is
    a tween; two neighbours always differ.

    Args:
        phones: in order of time.
    Returns:
        Cues whose times are whole hundredths of a second; empty for no phones.
    """
    timing = timing or CueTiming()
    cues = _merge(_shapes(phones, timing))
    cues = _anticipate(cues, timing)
    cues = _make_room_for_contacts(cues, timing)
    cues = _drop_short(cues, timing)
    cues = _merge(_add_tweens(cues, timing))
    return _round(cues)


def _shapes(phones: Sequence[Phone], timing: CueTiming) -> list[MouthCue]:
    """Shape by shape as the phones have them, not yet timed for the eye."""
    out: list[MouthCue] = []
    for index, phone in enumerate(phones):
        if phone.end_s <= phone.start_s:
            continue
        if phone.label == SILENCE:
            short = phone.end_s - phone.start_s < timing.pause_s and 0 < index < len(phones) - 1 and out
            shapes: tuple[str, ...] = (out[-1].shape if short else "X",)
        elif phone.label in VOWEL_SHAPES:
            shapes = VOWEL_SHAPES[phone.label]
        else:
            shapes = (CONSONANT_SHAPES.get(phone.label) or _borrowed_shape(phones, index),)
        length = (phone.end_s - phone.start_s) / len(shapes)
        for k, shape in enumerate(shapes):
            out.append(MouthCue(phone.start_s + k * length, phone.start_s + (k + 1) * length, shape))
    return out


def _borrowed_shape(phones: Sequence[Phone], index: int) -> str:
    """Shape of a consonant that leaves the lips free: that of the next vowel, or the one before, never wider than C."""
    for neighbour in (index + 1, index - 1):
        if 0 <= neighbour < len(phones) and is_vowel(phones[neighbour].label):
            shape = VOWEL_SHAPES[phones[neighbour].label][0 if neighbour > index else -1]
            return "C" if shape == "D" else shape
    return "B"


def _merge(cues: Sequence[MouthCue]) -> list[MouthCue]:
    """Join neighbours of the same shape."""
    out: list[MouthCue] = []
    for cue in cues:
        if cue.end_s <= cue.start_s:
            continue
        if out and out[-1].shape == cue.shape:
            out[-1] = replace(out[-1], end_s=cue.end_s)
        else:
            out.append(cue)
    return out


def _anticipate(cues: list[MouthCue], timing: CueTiming) -> list[MouthCue]:
    """Let the first shape after a pause begin before its sound."""
    for i in range(1, len(cues)):
        if cues[i - 1].shape == "X":
            early = min(timing.anticipation_s, 0.4 * (cues[i - 1].end_s - cues[i - 1].start_s))
            boundary = cues[i].start_s - early
            cues[i - 1] = replace(cues[i - 1], end_s=boundary)
            cues[i] = replace(cues[i], start_s=boundary)
    return cues


def _make_room_for_contacts(cues: list[MouthCue], timing: CueTiming) -> list[MouthCue]:
    """Lengthen short A and G at the cost of their neighbours, the one before first."""
    for i, cue in enumerate(cues):
        missing = timing.contact_s - (cue.end_s - cue.start_s)
        if cue.shape not in "AG" or missing <= 0:
            continue
        for j in (i - 1, i + 1):
            if not 0 <= j < len(cues) or cues[j].shape in "AG":
                continue
            spare = max(0.0, (cues[j].end_s - cues[j].start_s) - 0.5 * timing.shortest_s)
            taken = min(missing, spare)
            if j < i:
                cues[j] = replace(cues[j], end_s=cues[j].end_s - taken)
                cues[i] = replace(cues[i], start_s=cues[i].start_s - taken)
            else:
                cues[j] = replace(cues[j], start_s=cues[j].start_s + taken)
                cues[i] = replace(cues[i], end_s=cues[i].end_s + taken)
            missing -= taken
            if missing <= 1e-9:
                break
    return cues


def _drop_short(cues: list[MouthCue], timing: CueTiming) -> list[MouthCue]:
    """Take out shapes too short to be seen, the least important and shortest first; neighbours share their time."""
    while len(cues) > 1:
        short = [
            (RANK[cue.shape], cue.end_s - cue.start_s, i)
            for i, cue in enumerate(cues)
            if cue.end_s - cue.start_s < timing.shortest_s - 1e-9 and cue.shape not in "AG"
        ]
        if not short:
            break
        _, _, i = min(short)
        gone = cues.pop(i)
        if i == 0:
            cues[0] = replace(cues[0], start_s=gone.start_s)
        elif i == len(cues):
            cues[-1] = replace(cues[-1], end_s=gone.end_s)
        else:
            before, after = cues[i - 1], cues[i]
            share = 0.5 if (before.shape in "X") == (after.shape in "X") else (0.0 if before.shape == "X" else 1.0)
            boundary = gone.start_s + share * (gone.end_s - gone.start_s)
            cues[i - 1] = replace(before, end_s=boundary)
            cues[i] = replace(after, start_s=boundary)
        cues = _merge(cues)
    return cues


def _add_tweens(cues: list[MouthCue], timing: CueTiming) -> list[MouthCue]:
    """Put a shape between two that are far apart, where the wider one has time to spare."""
    out: list[MouthCue] = []
    for cue in cues:
        if out:
            before = out[-1]
            between = TWEENS.get((before.shape, cue.shape)) or TWEENS.get((cue.shape, before.shape))
            # Time comes from the more open of the two: contacts and rest keep theirs.
            opens = cue.shape in OPEN_SHAPES
            donor = cue if opens else before
            if between and donor.end_s - donor.start_s >= timing.tween_s + timing.shortest_s:
                if opens:
                    out.append(MouthCue(cue.start_s, cue.start_s + timing.tween_s, between))
                    cue = replace(cue, start_s=cue.start_s + timing.tween_s)
                else:
                    out[-1] = replace(before, end_s=before.end_s - timing.tween_s)
                    out.append(MouthCue(before.end_s - timing.tween_s, before.end_s, between))
        out.append(cue)
    return out


def _round(cues: Sequence[MouthCue]) -> tuple[MouthCue, ...]:
    """Times to hundredths of a second; what becomes empty goes."""
    edges = [round(cue.start_s * 100) for cue in cues] + ([math.floor(cues[-1].end_s * 100 + 1e-6)] if cues else [])
    kept = [
        MouthCue(start / 100, stop / 100, cue.shape)
        for cue, start, stop in zip(cues, edges, edges[1:], strict=False)
        if stop > start
    ]
    return tuple(_merge(kept))


def write_speech_cues(path: Path, speech: Speech, phones: Sequence[Phone] | None = None) -> tuple[MouthCue, ...]:
    """Write the mouth shapes of speech; the suffix chooses the format.

    Args:
        phones: those of the speech, if they are known already; else its own, else they are recognised.
    Returns:
        The cues.
    Raises:
        OptionError: another suffix. OutputError: it cannot be written.
    """
    from talkinghead.files import write_bytes

    format = path.suffix.lstrip(".").lower()
    if format not in FORMATS:
        raise OptionError(f"The cue file is {path.name!r}.", accepted=f"a name that ends in .{choices(FORMATS)}")
    sound = speech.soundtrack if isinstance(speech.soundtrack, Path) else None
    check_apart([path], [sound])
    if phones is None:
        phones = speech.phones
    if phones is None:
        from talkinghead.audio.phones import recognise_phones

        phones = recognise_phones(speech.clip).phones
    cues = mouth_cues(phones)
    name = sound.name if sound is not None else ""
    write_bytes(path, format_cues(cues, format, sound_file=name).encode("utf-8"))
    return cues


def format_cues(
    cues: Sequence[MouthCue],
    format: str,
    sound_file: str = "",
    *,
    dat_fps: float = 24.0,
    preston_blair: bool = False,
) -> str:
    """Text of a cue file.

    Args:
        format: one of FORMATS. Times have two decimals.
        sound_file: named in json and xml.
        dat_fps: frame rate of a DAT file (Moho, OpenToonz), which counts frames from 1.
        preston_blair: DAT only: MBP, etc, E, AI, O, U, FV, L, rest instead of letters, as OpenToonz wants.
    Raises:
        OptionError: another format, or a frame rate outside [1, 1000].
    """
    end_s = cues[-1].end_s if cues else 0.0
    if format == "tsv":
        return "".join(f"{cue.start_s:.2f}\t{cue.shape}\n" for cue in cues) + f"{end_s:.2f}\tX\n"
    if format == "json":
        rows = ",\n".join(
            f'    {{ "start": {cue.start_s:.2f}, "end": {cue.end_s:.2f}, "value": "{cue.shape}" }}' for cue in cues
        )
        # a byte of a name that is no UTF-8 becomes an escape, which readers of JSON turn into the same name
        name = json.dumps(sound_file, ensure_ascii=False).encode("utf-8", "backslashreplace").decode("utf-8")
        return (
            f'{{\n  "metadata": {{\n    "soundFile": {name},\n    "duration": {end_s:.2f}\n  }},\n'
            f'  "mouthCues": [\n{rows}\n  ]\n}}\n'
        )
    if format == "xml":
        rows = "".join(
            f'    <mouthCue start="{cue.start_s:.2f}" end="{cue.end_s:.2f}">{cue.shape}</mouthCue>\n' for cue in cues
        )
        return (
            '<?xml version="1.0" encoding="utf-8"?>\n<rhubarbResult>\n  <metadata>\n'
            f"    <soundFile>{_xml_text(sound_file)}</soundFile>\n    <duration>{end_s:.2f}</duration>\n  </metadata>\n"
            f"  <mouthCues>\n{rows}  </mouthCues>\n</rhubarbResult>\n"
        )
    if format == "srt":
        return "\n".join(
            f"{number}\n{_srt_time(cue.start_s)} --> {_srt_time(cue.end_s)}\n{cue.shape}\n"
            for number, cue in enumerate(cues, start=1)
        )
    if format == "dat":
        return _format_dat(cues, end_s, dat_fps, preston_blair)
    raise OptionError(f"There is no cue format {format!r}.", accepted=choices(FORMATS))


def _xml_text(text: str) -> str:
    """Text inside an element; characters that XML does not have are written as Python writes them."""
    shown = _NOT_XML.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
    return escape(shown, {"\r": "&#13;"})


def _format_dat(cues: Sequence[MouthCue], end_s: float, fps: float, preston_blair: bool) -> str:
    """Moho's switch data: frame number and shape; of shapes that fall into one frame the first is kept."""
    if not 1.0 <= fps <= 1000.0:
        raise OptionError(f"A DAT file cannot have {fps:g} frames per second.", accepted="1 to 1000")
    names = PRESTON_BLAIR if preston_blair else {shape: shape for shape in SHAPES}
    lines, last = ["MohoSwitch1"], 0
    for cue in cues:
        frame = 1 + int(fps * cue.start_s + 1e-9)
        if frame != last:
            lines.append(f"{frame} {names[cue.shape]}")
            last = frame
    frame = 1 + int(fps * end_s + 1e-9)
    lines.append(f"{frame + (frame == last)} {names['X']}")
    return "\n".join(lines) + "\n"


def _srt_time(seconds: float) -> str:
    total = round(seconds * 1000)
    return f"{total // 3_600_000:02d}:{total // 60_000 % 60:02d}:{total // 1000 % 60:02d},{total % 1000:03d}"


def cue_format(path: Path, format: str | None = None) -> str:
    """The format asked for, or that of a file's suffix.

    Raises:
        OptionError: neither tells.
    """
    wanted = (format or path.suffix.lstrip(".")).lower()
    if wanted not in FORMATS:
        raise OptionError(f"There is no cue format {wanted!r} ({path.name}).", accepted=choices(FORMATS))
    return wanted


def write_cues(path: Path, cues: Sequence[MouthCue], format: str | None = None, sound_file: str = "") -> None:
    """Write a cue file; it appears under its name only when complete.

    Args:
        format: one of FORMATS; that of the suffix when None.
    Raises:
        OptionError: unknown format.
        OutputError: the file cannot be written.
    """
    from talkinghead.files import write_bytes

    write_bytes(path, format_cues(cues, cue_format(path, format), sound_file).encode("utf-8"))


def read_cues(path: Path, format: str | None = None, *, dat_fps: float = 24.0) -> tuple[MouthCue, ...]:
    """Read a cue file, for example one that was edited by hand.

    Args:
        format: one of FORMATS; that of the suffix when None.
        dat_fps: frame rate of a DAT file.
    Returns:
        Cues in order, without holes from 0 on: a gap shows X.
    Raises:
        MediaNotFound: no such file.
        OptionError: unknown format.
        UnreadableMedia: not such a file, an unknown shape, or times that do not ascend.
    """
    wanted = cue_format(path, format)
    if not path.is_file():
        raise MediaNotFound(f"There is no file {path}.", accepted="a cue file")
    try:
        text = read_text(path, error=UnreadableMedia, max_bytes=MAX_CUE_BYTES)
        return parse_cues(text, wanted, dat_fps=dat_fps)
    except UnreadableMedia as error:
        raise UnreadableMedia(
            f"{path.name} is not a {wanted} cue file: {error.what}",
            remedy="compare with one made by `talkinghead cues`",
        ) from error


def parse_cues(text: str, format: str, *, dat_fps: float = 24.0) -> tuple[MouthCue, ...]:
    """Cues of a cue file's text; see `read_cues`."""
    readers = {"json": _parse_json, "tsv": _parse_tsv, "xml": _parse_xml, "srt": _parse_srt}
    if format not in FORMATS:
        raise OptionError(f"There is no cue format {format!r}.", accepted=choices(FORMATS))
    with reading("the text", UnreadableMedia, what="holds no mouth cues"):
        return _checked(_parse_dat(text, dat_fps) if format == "dat" else readers[format](text))


MAX_CUE_BYTES = 16 * 1024 * 1024
MAX_S = 360_000
"""Longest time of a cue: a hundred hours."""


def _checked(spans: Sequence[tuple[float, float, str]]) -> tuple[MouthCue, ...]:
    """Spans as cues without holes, or UnreadableMedia."""
    out: list[MouthCue] = []
    time = 0.0
    for start, end, shape in spans:
        if shape not in SHAPES or len(shape) != 1:
            raise UnreadableMedia(f"unknown shape {shown(shape)}", accepted=choices(tuple(SHAPES)))
        if not (math.isfinite(start) and math.isfinite(end)) or start < time - 0.011 or end < start:
            raise UnreadableMedia(f"times do not ascend at {start:g} to {end:g} s")
        if end > MAX_S:
            raise UnreadableMedia(f"a cue that ends at {end:g} s", accepted=f"at most {MAX_S} s")
        start = max(start, time)
        if start > time + 1e-9:
            out.append(MouthCue(time, start, "X"))
        if end > start:
            out.append(MouthCue(start, end, shape))
            time = end
    return tuple(_merge(out))


def _parse_json(text: str) -> list[tuple[float, float, str]]:
    data = parse_json(text, "the text", error=UnreadableMedia)
    with reading("the text", UnreadableMedia, what="has no list of mouthCues with start, end and value"):
        return [(float(row["start"]), float(row["end"]), str(row["value"])) for row in data["mouthCues"]]


def _until_next(starts: Sequence[tuple[float, str]]) -> list[tuple[float, float, str]]:
    """Spans that last until the next begins; the last entry only ends the one before."""
    return [(start, stop, shape) for (start, shape), (stop, _) in pairwise(starts)]


def _parse_tsv(text: str) -> list[tuple[float, float, str]]:
    starts = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        parts = line.split()
        try:
            time, shape = float(parts[0]), parts[1]
        except (ValueError, IndexError) as error:
            raise UnreadableMedia(f"line {number} is not a time and a shape") from error
        starts.append((time, shape))
    return _until_next(starts)


CUE_ELEMENT = re.compile(r'<mouthCue\s+start="([^"]*)"\s+end="([^"]*)"\s*>([^<]*)</mouthCue>')


def _parse_xml(text: str) -> list[tuple[float, float, str]]:
    # A pattern instead of an XML parser: entity tricks of untrusted files find nothing to work on.
    if "<rhubarbResult" not in text:
        raise UnreadableMedia("no element rhubarbResult")
    try:
        return [(float(start), float(end), shape.strip()) for start, end, shape in CUE_ELEMENT.findall(text)]
    except ValueError as error:
        raise UnreadableMedia(reason(error)) from error


SRT_BLOCK = re.compile(
    r"(?<!\d)(\d{1,4}):(\d\d):(\d\d)[,.](\d{1,3})\s*-->\s*(\d{1,4}):(\d\d):(\d\d)[,.](\d{1,3})[^\n]*\n\s*(\S+)",
    re.MULTILINE,
)


def _parse_srt(text: str) -> list[tuple[float, float, str]]:
    def seconds(hours: str, minutes: str, whole: str, fraction: str) -> float:
        return (((int(hours) * 60 + int(minutes)) * 60 + int(whole)) * 1000 + int(fraction.ljust(3, "0"))) / 1000

    found = SRT_BLOCK.findall(text.replace("\r\n", "\n"))
    if text.strip() and not found:
        raise UnreadableMedia("no subtitle block")
    return [(seconds(*block[:4]), seconds(*block[4:8]), block[8]) for block in found]


def _parse_dat(text: str, fps: float) -> list[tuple[float, float, str]]:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != ["MohoSwitch1"]:
        raise UnreadableMedia("the first line is not MohoSwitch1")
    letters = {name: shape for shape, name in PRESTON_BLAIR.items()}
    starts = []
    for number, parts in enumerate(lines[1:], start=2):
        try:
            frame, shape = int(parts[0]), parts[1]
        except (ValueError, IndexError) as error:
            raise UnreadableMedia(f"line {number} is not a frame and a shape") from error
        starts.append(((frame - 1) / fps, letters.get(shape, shape)))
    # "E" is also the Preston Blair name of C: letters win where every name is one.
    if all(len(parts[1]) == 1 for parts in lines[1:]):
        starts = [((int(parts[0]) - 1) / fps, parts[1]) for parts in lines[1:]]
    return _until_next(starts)
