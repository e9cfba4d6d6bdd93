"""The language of a text by its letters.

A script that mostly one language writes tells it; scripts of several take the language of letters that only one of them
has, else the one with the most speakers. Latin letters tell nothing and are read as English.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from talkinghead.errors import InputError

AUTO = "auto"
LATIN = "LATIN"

CLEAR_SHARE = 0.7
"""Of a text's letters in one script, from which on the text is of that script."""
IDEOGRAPH_LETTERS = 2.0
"""Letters that a Chinese character counts for: it says as much as several of an alphabet."""

_LANGUAGES: Mapping[str, tuple[str, str]] = {
    LATIN: ("en", "Latin"),
    "CJK": ("zh", "Chinese"),
    "BOPOMOFO": ("zh", "Chinese"),
    "KANA": ("ja", "Japanese"),
    "HANGUL": ("ko", "Korean"),
    "CYRILLIC": ("ru", "Cyrillic"),
    "GREEK": ("el", "Greek"),
    "ARABIC": ("ar", "Arabic"),
    "HEBREW": ("he", "Hebrew"),
    "DEVANAGARI": ("hi", "Devanagari"),
    "THAI": ("th", "Thai"),
    "BENGALI": ("bn", "Bengali"),
    "GURMUKHI": ("pa", "Gurmukhi"),
    "GUJARATI": ("gu", "Gujarati"),
    "ORIYA": ("or", "Odia"),
    "TAMIL": ("ta", "Tamil"),
    "TELUGU": ("te", "Telugu"),
    "KANNADA": ("kn", "Kannada"),
    "MALAYALAM": ("ml", "Malayalam"),
    "SINHALA": ("si", "Sinhala"),
    "MYANMAR": ("my", "Burmese"),
    "KHMER": ("km", "Khmer"),
    "LAO": ("lo", "Lao"),
    "TIBETAN": ("bo", "Tibetan"),
    "GEORGIAN": ("ka", "Georgian"),
    "ARMENIAN": ("hy", "Armenian"),
    "ETHIOPIC": ("am", "Ethiopic"),
}
"""Script, by the first word of its letters' Unicode names, to the language that is taken and the script's name."""

_TELLING: Mapping[str, tuple[tuple[str, str], ...]] = {
    "CYRILLIC": (
        ("kk", "әғқңұһ"),
        ("be", "ў"),
        ("mk", "ѓќѕ"),
        ("sr", "ђјљњћџ"),
        ("uk", "іїєґ"),
    ),
    "ARABIC": (("ur", "ٹڈڑںےہھ"), ("fa", "پچژگ")),
    "DEVANAGARI": (("mr", "ळ"),),
}
"""Languages of one script and letters that tell them from the ones after them and from the script's usual one."""

_SAME_SCRIPT = {"KATAKANA": "KANA", "HIRAGANA": "KANA"}
_WIDTHS = ("FULLWIDTH", "HALFWIDTH")


@dataclass(frozen=True)
class Noticed:
    """What the letters of a text say about its language."""

    lang: str
    """Language code; "en" where there are only Latin letters, or none."""
    script: str
    """Usual name of the script."""
    note: str = ""
    """A sentence for the user; empty where nothing was to be noticed."""


def notice_language(text: str) -> Noticed:
    """The language that a text is in, by its letters.

    Raises:
        InputError: letters of several scripts, none of which is clearly the text's.
    """
    shares = script_shares(text)
    if not shares:
        return Noticed("en", "Latin")
    script, share = max(shares.items(), key=lambda item: item[1])
    if share < CLEAR_SHARE:
        two = sorted(shares, key=lambda found: -shares[found])[:2]
        raise InputError(
            f"The text mixes {' and '.join(map(_name, two))} letters, so that its language is not clear.",
            accepted=" or ".join(f"--lang {_language(text, found)}" for found in two),
            remedy="one text for each language, if the voice of one cannot read the other",
        )
    if script not in _LANGUAGES:
        raise InputError(
            f"The text is in {_name(script)} letters, of which no language is known.", remedy="say the language: --lang"
        )
    lang = _language(text, script)
    if script != LATIN:
        return Noticed(lang, _name(script), f"The text is in {_name(script)} letters and is spoken as --lang {lang}.")
    return Noticed(lang, _name(script))


def script_shares(text: str) -> dict[str, float]:
    """Share of the letters of each script; Chinese characters beside Japanese or Korean letters count as those."""
    counts: Counter[str] = Counter()
    for character in text:
        if character.isalpha():
            words = unicodedata.name(character, "").split() or [""]
            script = words[1] if words[0] in _WIDTHS and len(words) > 1 else words[0]
            counts[_SAME_SCRIPT.get(script, script)] += 1
    if "CJK" in counts:
        counts["CJK"] = round(counts["CJK"] * IDEOGRAPH_LETTERS)
        for script in ("KANA", "HANGUL"):
            # Japanese text without kana does not occur in sentences; one kana name in Chinese text does.
            if counts[script] >= 0.1 * counts["CJK"]:
                counts[script] += counts.pop("CJK")
                break
    total = sum(counts.values())
    return {script: count / total for script, count in counts.items() if count}


def _name(script: str) -> str:
    return _LANGUAGES[script][1] if script in _LANGUAGES else script.capitalize()


def _language(text: str, script: str) -> str:
    letters = set(text.lower())
    for lang, telling in _TELLING.get(script, ()):
        if letters & set(telling):
            return lang
    return _LANGUAGES[script][0] if script in _LANGUAGES else "en"


_ONE_LANGUAGE = {"cmn": "zh", "yue": "zh", "nb": "no", "nn": "no"}


def base_language(lang: str) -> str:
    """A language code without its region: en_US and en-gb are en, cmn is zh."""
    base = lang.strip().lower().replace("_", "-").split("-")[0]
    return _ONE_LANGUAGE.get(base, base)
