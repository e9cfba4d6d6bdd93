"""How a picture wants to be turned, from what the camera wrote beside it (EXIF and XMP)."""

from __future__ import annotations

import re
import struct

from talkinghead.media.transform import Turn

EXIF_TURNS = {
    1: Turn(False, 0),
    2: Turn(True, 0),
    3: Turn(False, 180),
    4: Turn(True, 180),
    5: Turn(True, 270),
    6: Turn(False, 90),
    7: Turn(True, 90),
    8: Turn(False, 270),
}
"""What undoes each EXIF orientation."""

_ORIENTATION = 0x0112
_NUMBERS = {3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q"}
"""Types of TIFF that hold a number. Bytes (1) and undefined (7) are text to Pillow, and so here."""
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_RAW_PROFILE = re.compile(rb"[0-9a-fA-F\s]*")


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Orientation 1 to 8, of XMP where EXIF says nothing; 1 when there is none or it is damaged."""
    found = exif_orientation(exif)
    if found is None:
        said = _XMP.search(xmp)
        found = int(said[1]) if said else 1
    return found if found in EXIF_TURNS else 1


def exif_orientation(exif: bytes) -> int | None:
    """The number under "orientation" in an EXIF block (TIFF structure) of any numeric type; None if there is none."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        (offset,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, offset)
        for entry in range(entries):
            at = offset + 2 + 12 * entry
            tag, kind, count = struct.unpack_from(order + "HHI", exif, at)
            if tag == _ORIENTATION:
                return _number(exif, order, kind, count, at + 8)
    except struct.error:
        pass
    return None


def _number(exif: bytes, order: str, kind: int, count: int, at: int) -> int | None:
    if kind not in _NUMBERS or count < 1:
        return None
    layout = order + _NUMBERS[kind]
    if struct.calcsize(layout) * count > 4:
        (at,) = struct.unpack_from(order + "I", exif, at)
    value, *below = struct.unpack_from(layout, exif, at)
    if below:
        value = value / below[0] if below[0] else 0
    return int(value) if value in EXIF_TURNS else 0


def raw_profile(text: bytes) -> bytes:
    """The block in ImageMagick's text of a PNG file ("Raw profile type exif"): a name, a length, then hexadecimals."""
    digits = b"".join(text.split(b"\n")[3:])
    return bytes.fromhex(digits.decode("ascii")) if _RAW_PROFILE.fullmatch(digits) else b""
