"""Files that anybody may have made: text, JSON, arrays, archives and ONNX, read within bounds; every fault is told."""

from talkinghead.reading.archive import is_archive
from talkinghead.reading.arrays import read_npy, read_npz
from talkinghead.reading.bounds import Budget, Failure, reading, reason, shown, unpacked_limit
from talkinghead.reading.text import bounded_lines, parse_json, read_json, read_text

__all__ = [
    "Budget",
    "Failure",
    "bounded_lines",
    "is_archive",
    "parse_json",
    "read_json",
    "read_npy",
    "read_npz",
    "read_text",
    "reading",
    "reason",
    "shown",
    "unpacked_limit",
]
