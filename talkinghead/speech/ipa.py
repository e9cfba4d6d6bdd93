"""The international phonetic alphabet, as espeak-ng writes it, in the phones that move the mouth.

The mouth needs far fewer sounds than the ear: a sound that ARPAbet lacks takes the phone that looks the same. So the
German ch is K, a Spanish trill is R, and Chinese tones, stress, length and palatalisation are left out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from talkinghead.audio.visemes import SILENCE, is_vowel

_TABLE = """
AA ɑ a ɐ ɒ ä A
AE æ
AH ʌ ə ɜ ɘ ɞ ɤ ᵊ
AO ɔ
EH ɛ e œ ε
ER ɚ ɝ
IH ɪ ɨ ı ᵻ
IY i ɿ
UH ʊ ɵ ʉ ɯ ʮ
UW u y ø ʏ
AW aʊ aʊ̯ ɑu au ɑʊ äʊ ɐʊ æʊ
AY aɪ ai aɪ̯ ɑɪ ɑi äɪ ɐɪ
EY eɪ ei ɛɪ
OW oʊ o əʊ ou ɔʊ oːʊ ʌʊ
OY ɔɪ ɔi ɔø ɔʏ oi oɪ
P p ɸ
B b β ɓ
M m ɱ
F f
V v ʋ ⱱ
TH θ
DH ð
T t ʈ ɾ̥ ɗ̥ ʔt
D d ɖ ɗ ɾ ɽ
N n ɳ
L l ɫ ɭ ɺ ɬ ɮ ʎ ʟ ǁ
S s ɕ
Z z ʑ
SH ʃ ʂ ɧ S
ZH ʒ ʐ Z
CH tʃ tɕ tʂ ʧ ʨ
JH dʒ dʑ dʐ ʤ ʥ
K k q x X χ c ç ħ ʡ
G g ɡ ɣ ɢ ɟ ʁ ʛ ɠ ɰ ʕ
NG ŋ ɴ ɲ
HH h ɦ ʜ
R r ɹ ɻ ʀ ɚ̯
W w ʍ ɥ
Y j ʝ
"""
_DROPPED = frozenset("ˈˌːˑ˞ʰʲʷˠˤʱʼˀ̃͡‿|‖.'`^~*_-!?;:()[]{}\"012345678 9ˉˊˋ˥˦˧˨˩↓↑→↗↘ʔˡⁿᵝꜜꜛ,#<>=+&%/\\")
"""Marks that change how a sound is heard, not how it looks. The glottal stop has no mouth shape."""


def _build() -> Mapping[str, str]:
    table: dict[str, str] = {}
    for line in _TABLE.strip().splitlines():
        label, *symbols = line.split()
        for symbol in symbols:
            table.setdefault(_plain(symbol), label)
    table["ts"] = "T S"
    table["ʦ"] = "T S"
    table["dz"] = "D Z"
    table["pf"] = "P F"
    table["ɲ"] = "N Y"
    return table


def _plain(symbols: str) -> str:
    decomposed = unicodedata.normalize("NFD", symbols)
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn" and c not in _DROPPED)


_PHONES = _build()
_LONGEST = max(map(len, _PHONES))
_VOWEL_WEIGHT = 2.0


def _spelled(symbols: str) -> str:
    """Undo two spellings of espeak-ng: retroflex sounds with a dot ("s."), and the vowel of "nurse" by its length."""
    for spelling, symbol in (("s.", "ʂ"), ("z.", "ʐ"), ("ɜː", "ɝ")):
        symbols = symbols.replace(spelling, symbol)
    return symbols


def phones_of_ipa(symbols: str) -> tuple[tuple[str, ...], str]:
    """ARPAbet phones of one sound in IPA.

    Args:
        symbols: one phoneme with its marks ("ˈoʊ", "tʃ"); empty is a pause. A note such as "(en)", which espeak-ng
            writes where the language changes, is no sound.
    Returns:
        The phones, in order (none for marks alone, one SIL for a pause), and the symbols that are not known.
    """
    if symbols == "":
        return (SILENCE,), ""
    if symbols.startswith("("):
        return (), ""
    plain = _plain(_spelled(symbols))
    phones: list[str] = []
    unknown = ""
    position = 0
    while position < len(plain):
        for size in range(min(_LONGEST, len(plain) - position), 0, -1):
            found = _PHONES.get(plain[position : position + size])
            if found is not None:
                phones.extend(found.split())
                position += size
                break
        else:
            unknown += plain[position]
            position += 1
    return tuple(phones), unknown


def shares(phones: tuple[str, ...]) -> tuple[float, ...]:
    """How the time of one sound is shared among its phones: vowels take twice as long as consonants; sums to 1."""
    weights = [_VOWEL_WEIGHT if is_vowel(phone) else 1.0 for phone in phones]
    return tuple(weight / sum(weights) for weight in weights)
