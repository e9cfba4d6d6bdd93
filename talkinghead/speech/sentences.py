"""Text into sentences that are spoken one after the other."""

from __future__ import annotations

import re
import unicodedata

from talkinghead.errors import InputError
from talkinghead.speech.options import MAX_CHARACTERS

MAX_SENTENCE = 400
"""Characters after which a sentence is cut at a comma, a space, or anywhere."""

_ABBREVIATIONS = frozenset(
    {"mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "etc", "e.g", "i.e", "fig", "no", "vol", "approx", "dept"}
    | {"z.b", "d.h", "bzw", "usw", "ca", "nr", "hr", "fr", "mme", "mlle", "sra", "srta", "p.ej"}
)
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[」』”’）]*|\n\s*\n|[।؟۔](?=\s|$)")
_SOFT_END = re.compile(r"[,;:–—](?=\s)|[、，；：]")


def clean_text(text: str) -> str:
    """The text without what cannot be said.

    Control characters, invisible format characters and lone surrogates become spaces; nothing else is changed.

    Raises:
        InputError: nothing to say, or more than MAX_CHARACTERS.
    """
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"The text has {len(text)} characters.",
            accepted=f"at most {MAX_CHARACTERS} (nearly two hours of speech)",
            remedy="speak it in parts",
        )
    kept = "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")
        else " "
        for character in text.replace("\r\n", "\n").replace("\r", "\n")
    )
    if not any(character.isalnum() for character in kept):
        what = "empty" if not text.strip() else f"{text.strip()[:40]!r}, without a letter or digit"
        raise InputError(f"The text is {what}.", accepted="words to say")
    return kept


def split_sentences(text: str) -> list[str]:
    """Cut a text into sentences of at most MAX_SENTENCE characters.

    Line breaks inside a sentence become spaces; an empty line ends one. Abbreviations ("Dr."), single initials and
    numbers ("3.5") end none. Nothing that can be said is lost: the letters and digits of the pieces are those of the
    text, in order.

    Raises:
        InputError: as `clean_text`.
    """
    kept = clean_text(text)
    pieces: list[str] = []
    start = 0
    for match in _END.finditer(kept):
        if match.group().startswith(".") and _is_abbreviation(kept[start : match.start()]):
            continue
        pieces.append(kept[start : match.end()])
        start = match.end()
    pieces.append(kept[start:])
    sentences: list[str] = []
    for piece in pieces:
        plain = " ".join(piece.split())
        for part in _cut(plain):
            if any(character.isalnum() for character in part):
                sentences.append(part)
            elif sentences and part:
                sentences[-1] += part
    return sentences


def _is_abbreviation(before: str) -> bool:
    word = re.split(r"[\s(\"'“„«]", before)[-1].lower()
    return word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha() and before[-1:].isupper())


def _cut(sentence: str) -> list[str]:
    """Parts of at most MAX_SENTENCE characters, ending at the last comma or space that fits."""
    parts = []
    while len(sentence) > MAX_SENTENCE:
        window = sentence[:MAX_SENTENCE]
        soft = [match.end() for match in _SOFT_END.finditer(window)]
        stop = next((end for end in reversed(soft) if end > MAX_SENTENCE // 3), None)
        stop = stop or window.rfind(" ") + 1 or MAX_SENTENCE
        parts.append(sentence[:stop].strip())
        sentence = sentence[stop:].strip()
    return [*parts, sentence]
