"""Names of videos that say what is in them, for every file system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from pathlib import Path

from talkinghead.service.request import Request, SoundFile, SpokenText

WORDS, MOST = 4, 40
"""Words of a text, and characters of a part of a name."""
SAMPLE = "sample"
"""What the bundled sentence is called."""


def video_name(request: Request, sample: Path, taken: Collection[str]) -> str:
    """The name of a request's video without its suffix, of its face and its speech: "hazel-hello".

    Args:
        sample: the bundled sentence.
        taken: names that others have; the new one gets a number where it is among them.
    """
    source, speech = request.source, request.speech
    face = source.stem if isinstance(source, Path) else str(source or "")
    if isinstance(speech, SpokenText):
        said = " ".join(speech.text.split()[:WORDS])
    else:
        said = speech.path.stem if isinstance(speech, SoundFile) and speech.path != sample else SAMPLE
    parts = (plain(face.removeprefix("portrait-")) or "face", plain(said) or "speech")
    name, number = "-".join(parts), 1
    while (unique := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return unique


def plain(text: str) -> str:
    """Letters and digits of a text in lower case, with hyphens between words: no accents where there are Latin letters,
    no sign that a system takes for something else, and not too long.
    """
    apart = unicodedata.normalize("NFKD", text)
    letters = "".join(letter for letter in apart if not unicodedata.combining(letter))
    if not letters.isascii():
        letters = unicodedata.normalize("NFC", text)
    words = re.sub(r"[^\w]+|_+", "-", letters.replace("'", "").replace("\u2019", "")).strip("-").lower()
    cut = words[:MOST]
    while len(cut.encode()) > 2 * MOST:
        cut = cut[:-1]
    return cut.rpartition("-")[0] or cut if len(words) > len(cut) and words[len(cut)] != "-" else cut.strip("-")
