"""Phones to mouth cues in Rhubarb's shapes, and cue files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from talkinghead.contracts import MouthCue, Phone

FORMATS = ("json", "tsv", "xml", "srt", "dat")


def mouth_cues(phones: Sequence[Phone]) -> tuple[MouthCue, ...]:
    """One mouth shape after another, from 0 to the end of the phones."""
    shapes = {
        "SIL": "X", "P": "A", "B": "A", "M": "A", "F": "G", "V": "G", "L": "H", "AA": "D", "AY": "D", "AW": "D",
        "AE": "C", "EH": "C", "AH": "C", "EY": "C", "AO": "E", "ER": "E", "OY": "E", "OW": "F", "UW": "F", "UH": "F",
        "W": "F", "R": "E", "HH": "C",
    }  # fmt: skip
    out: list[MouthCue] = []
    for phone in phones:
        shape = shapes.get(phone.label, "B")
        if out and out[-1].shape == shape:
            out[-1] = MouthCue(out[-1].start_s, phone.end_s, shape)
        else:
            out.append(MouthCue(phone.start_s, phone.end_s, shape))
    return tuple(out)


def format_cues(cues: Sequence[MouthCue], format: str, sound_file: str = "") -> str:
    """Text of a cue file."""
    if format == "tsv":
        lines = [f"{cue.start_s:.2f}\t{cue.shape}" for cue in cues]
        return "\n".join([*lines, f"{cues[-1].end_s:.2f}\tX"]) + "\n"
    raise NotImplementedError(format)


def write_cues(path: Path, cues: Sequence[MouthCue], format: str | None = None, sound_file: str = "") -> None:
    path.write_text(format_cues(cues, format or path.suffix.lstrip("."), sound_file), encoding="utf-8")


def read_cues(path: Path) -> tuple[MouthCue, ...]:
    raise NotImplementedError
