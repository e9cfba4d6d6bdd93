"""Names of languages for people."""

from __future__ import annotations

from collections.abc import Iterable

NAMES = {
    "en": "English", "en-us": "English (US)", "en-gb": "English (UK)", "zh": "Chinese", "cmn": "Chinese (Mandarin)",
    "yue": "Chinese (Cantonese)", "ja": "Japanese", "de": "German", "fr": "French", "fr-fr": "French", "es": "Spanish",
    "es-419": "Spanish (Latin America)", "it": "Italian", "pt": "Portuguese", "pt-br": "Portuguese (Brazil)",
    "nl": "Dutch", "pl": "Polish", "ru": "Russian", "uk": "Ukrainian", "cs": "Czech", "sk": "Slovak", "sv": "Swedish",
    "da": "Danish", "nb": "Norwegian", "fi": "Finnish", "el": "Greek", "tr": "Turkish", "ar": "Arabic", "he": "Hebrew",
    "fa": "Persian", "hi": "Hindi", "bn": "Bengali", "ta": "Tamil", "te": "Telugu", "ko": "Korean",
    "vi": "Vietnamese", "th": "Thai", "id": "Indonesian", "ms": "Malay", "hu": "Hungarian", "ro": "Romanian",
    "bg": "Bulgarian", "hr": "Croatian", "sr": "Serbian", "ca": "Catalan", "sw": "Swahili", "af": "Afrikaans",
}  # fmt: skip
FIRST = ("en", "zh", "ja", "de", "fr", "es")
"""The languages of the published page, in its order: at the top of every list."""
ALIASES = {"en": "en-us", "zh": "cmn"}
"""First languages under the name that the engine lists."""


def language_choices(codes: Iterable[str]) -> list[tuple[str, str]]:
    """(name, code) pairs: the six of the published page, then all others by name."""
    known = set(codes)
    first = [code for code in FIRST if code in known or ALIASES.get(code) in known]
    rest = sorted(known - set(first), key=lambda code: (NAMES.get(code, "~" + code), code))
    return [(_label(code), code) for code in (*first, *rest)]


def _label(code: str) -> str:
    return f"{NAMES[code]} ({code})" if code in NAMES else code
