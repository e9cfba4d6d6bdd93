"""What the mouth does for each phone: targets, strengths and the Rhubarb mouth shapes."""

from __future__ import annotations

from dataclasses import dataclass

SILENCE = "SIL"


@dataclass(frozen=True)
class Target:
    """Where the mouth wants to be for a phone, and how much it insists."""

    jaw: float
    """0 teeth together .. 1 widest vowel."""
    lips: float
    """Gap between the lips, 0 sealed .. 1."""
    width: float
    """-1 rounded .. +1 spread."""
    tuck: float = 0.0
    """Lower lip against upper teeth."""
    tongue: float = 0.0
    """Tongue tip visible."""
    jaw_force: float = 0.5
    """Dominance of the jaw and lip targets over those of neighbouring phones."""
    width_force: float = 0.3
    """Dominance of the width target."""


VOWELS: dict[str, Target] = {
    "AA": Target(0.95, 0.88, 0.05, jaw_force=1.0, width_force=0.5),
    "AE": Target(0.85, 0.78, 0.40, jaw_force=1.0, width_force=0.7),
    "AH": Target(0.60, 0.54, 0.05, jaw_force=0.8, width_force=0.3),
    "AO": Target(0.78, 0.70, -0.45, jaw_force=1.0, width_force=0.8),
    "EH": Target(0.64, 0.60, 0.35, jaw_force=0.9, width_force=0.6),
    "ER": Target(0.42, 0.40, -0.35, jaw_force=0.8, width_force=0.7),
    "IH": Target(0.40, 0.40, 0.35, jaw_force=0.8, width_force=0.6),
    "IY": Target(0.28, 0.32, 0.75, jaw_force=0.9, width_force=0.9),
    "UH": Target(0.40, 0.36, -0.50, jaw_force=0.8, width_force=0.8),
    "UW": Target(0.28, 0.24, -0.90, jaw_force=0.9, width_force=1.0),
}
DIPHTHONGS: dict[str, tuple[str, str]] = {
    "AW": ("AA", "UH"),
    "AY": ("AA", "IH"),
    "EY": ("EH", "IY"),
    "OW": ("AO", "UW"),
    "OY": ("AO", "IH"),
}
CONSONANTS: dict[str, Target] = {
    "P": Target(0.14, 0.0, 0.0, jaw_force=0.3, width_force=0.1),
    "B": Target(0.14, 0.0, 0.0, jaw_force=0.3, width_force=0.1),
    "M": Target(0.14, 0.0, 0.0, jaw_force=0.3, width_force=0.1),
    "F": Target(0.16, 0.14, 0.0, tuck=1.0, jaw_force=0.54, width_force=0.2),
    "V": Target(0.16, 0.14, 0.0, tuck=1.0, jaw_force=0.54, width_force=0.2),
    "TH": Target(0.26, 0.43, 0.1, tongue=1.0, jaw_force=0.36),
    "DH": Target(0.26, 0.43, 0.1, tongue=0.8, jaw_force=0.36),
    "T": Target(0.18, 0.38, 0.15, tongue=0.2, jaw_force=0.3, width_force=0.2),
    "D": Target(0.20, 0.40, 0.15, tongue=0.25, jaw_force=0.3, width_force=0.2),
    "N": Target(0.22, 0.42, 0.1, tongue=0.3, jaw_force=0.24, width_force=0.2),
    "L": Target(0.34, 0.49, 0.1, tongue=0.8, jaw_force=0.3, width_force=0.2),
    "S": Target(0.06, 0.38, 0.35, jaw_force=0.54, width_force=0.4),
    "Z": Target(0.06, 0.38, 0.35, jaw_force=0.54, width_force=0.4),
    "SH": Target(0.10, 0.44, -0.50, jaw_force=0.54, width_force=0.8),
    "ZH": Target(0.10, 0.44, -0.50, jaw_force=0.54, width_force=0.8),
    "CH": Target(0.10, 0.43, -0.45, jaw_force=0.54, width_force=0.7),
    "JH": Target(0.10, 0.43, -0.45, jaw_force=0.54, width_force=0.7),
    "K": Target(0.30, 0.46, 0.05, jaw_force=0.15, width_force=0.1),
    "G": Target(0.30, 0.46, 0.05, jaw_force=0.15, width_force=0.1),
    "NG": Target(0.30, 0.46, 0.05, jaw_force=0.15, width_force=0.1),
    "HH": Target(0.45, 0.56, 0.05, jaw_force=0.06, width_force=0.05),
    "R": Target(0.26, 0.40, -0.45, jaw_force=0.3, width_force=0.6),
    "W": Target(0.22, 0.24, -0.95, jaw_force=0.48, width_force=1.0),
    "Y": Target(0.24, 0.43, 0.55, jaw_force=0.36, width_force=0.6),
}
"""Lips stay well apart at sounds that are not made with them: those of four talkers on video were as wide apart at s, t
and n as at high vowels, about a tenth of the distance between the outer corners of the eyes."""
REST = Target(0.0, 0.0, 0.0, jaw_force=0.7, width_force=0.3)
TARGETS: dict[str, Target] = {**VOWELS, **CONSONANTS, SILENCE: REST}

CUE_TARGETS: dict[str, Target] = {
    "A": Target(0.14, 0.0, 0.0, jaw_force=0.9, width_force=0.2),
    "B": Target(0.14, 0.34, 0.25, jaw_force=0.7, width_force=0.4),
    "C": Target(0.62, 0.56, 0.25, jaw_force=0.9, width_force=0.5),
    "D": Target(0.95, 0.88, 0.10, jaw_force=1.0, width_force=0.5),
    "E": Target(0.60, 0.54, -0.45, jaw_force=0.9, width_force=0.8),
    "F": Target(0.28, 0.22, -0.90, jaw_force=0.9, width_force=1.0),
    "G": Target(0.16, 0.14, 0.00, tuck=1.0, jaw_force=0.9, width_force=0.2),
    "H": Target(0.55, 0.52, 0.10, tongue=0.8, jaw_force=0.8, width_force=0.3),
    "X": REST,
}
"""Targets of the mouth shapes A to H and X."""

BILABIAL = frozenset(("P", "B", "M"))
LABIODENTAL = frozenset(("F", "V"))
PHONES = frozenset(TARGETS) | frozenset(DIPHTHONGS)


def is_vowel(label: str) -> bool:
    return label in VOWELS or label in DIPHTHONGS


def vowel_height(label: str) -> float:
    """Openness of a vowel in [0, 1]: 0 close (IY, UW), 1 open (AA); of a diphthong, of its more open part."""
    return max(VOWELS[part].jaw for part in DIPHTHONGS.get(label, (label,)))
