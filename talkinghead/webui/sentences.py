"""Errors and notes in the words of the page.

The package's own sentences name options of the command line, whose reader can type them. On the page they are controls,
called as `hosting.words` calls them; what cannot be done there is left out of what to try.

    on_page("There is no face.\\nTry: --detector haar, or --max-pixels 9000000", options)
    # There is no face.
    # Try: the option "How faces are found": haar
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from talkinghead.hosting.fields import Offered

CONTROLS: Mapping[str, str] = {
    "face": "a file under Face",
    "audio": "a file under Voice",
    "text": "a text under Voice",
    "text-file": "a text under Voice",
    "model": '"Model"',
    "checkpoint": '"Model file"',
    "avatar": '"Avatar"',
    "scene": '"Scene"',
    "template": '"Template"',
    "lang": '"Language"',
    "engine": '"Spoken by"',
    "voice": '"Voice"',
    "speed": '"Pace"',
}
"""What a flag is on the page, where it is no option of a group."""
NOTHING_HERE = "whoever serves this page can set that up"
"""What to try where nothing on the page helps."""
_ALIASES = {"start": "start_s", "face-start": "start_s", "duration": "duration_s", "face-duration": "duration_s"}
_NAMED = frozenset(("espeak", "gtts", "piper", "mesh"))
"""Values of controls that are no options of a group."""
_FLAG = re.compile(
    r"(?P<before>\b(?:another|without|leave(?: out)?|lower|higher|the|with|give) )?(?<![\w-])--(?P<name>[a-z][\w-]*)"
    r"(?:[ =](?P<value>[\w.]*[.\d][\w.]*\w|\d|[A-Z]+\b|[a-z]+\b))?"
)
"""An option of the command line in a text, and what stands behind it."""
_LEFT = re.compile(r"(?<![\w-])--+(?=\w)")
"""Of an option that is not on the page. Names of files may have such signs in them."""
_ASIDE = re.compile(r"\s*\([^()]*(?<![\w-])--\w[^()]*\)")
_OR = re.compile(r"(?:[;,]\s+)?\bor\s+|;\s+")
"""Between the things to try."""
_FIELD = re.compile(r"^([a-z][a-z_0-9]*) is\b")
"""What an error of one option begins with."""
_COMMAND = re.compile(r"\buse `talkinghead generate` without\b")


def on_page(text: str, options: Mapping[str, Offered]) -> str:
    """A message in the words of the page; each line is one of "what", "Accepted: ..." and "Try: ...".

    Args:
        options: those of the page by the names of their fields.
    Returns:
        The same without any flag; lines that would say nothing are left out.
    """
    lines = (_line(line, options) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _line(line: str, options: Mapping[str, Offered]) -> str:
    head, colon, rest = line.partition(": ")
    is_hint = bool(colon) and head in ("Accepted", "Try")
    text = _COMMAND.sub("leave out", rest if is_hint else _FIELD.sub(lambda match: _label(match, options), line))
    text = _FLAG.sub(lambda match: _control(match, options), text)
    text = re.sub(r'"(?= the option ")', '" and', re.sub(r"(: [\w. ]+)(?= the option \")", r"\1 and", text))
    text = _ASIDE.sub("", text)
    if is_hint and _LEFT.search(text):
        text = ", or ".join(filter(None, map(_without, _OR.split(text))))
    text = _LEFT.sub("", text).strip()
    if is_hint:
        return f"{head}: {text}" if text else f"Try: {NOTHING_HERE}" if head == "Try" else ""
    return re.sub(r"(^|[.!?] )the option ", r"\1The option ", text)


def _label(match: re.Match[str], options: Mapping[str, Offered]) -> str:
    return f'"{options[match[1]].label}" is' if match[1] in options else match[0]


def _without(part: str) -> str:
    """A thing to try, if it needs nothing that is not on the page."""
    part = part.strip(" ,;")
    return "" if _LEFT.search(part) else part


def _control(match: re.Match[str], options: Mapping[str, Offered]) -> str:
    """What stands on the page for a flag and its value."""
    before, name, value = match["before"] or "", match["name"], match["value"] or ""
    field = _ALIASES.get(name, name.replace("-", "_"))
    offered = options.get(field) or options.get(field.removeprefix("no_"))
    if offered is None and name not in CONTROLS:
        return match[0]
    called = {own: word for word, own in offered.called_names} if offered is not None else {}
    is_value = value in called or value in _NAMED or any(sign in value for sign in ".0123456789")
    behind = f": {called.get(value, value)}" if is_value else "" if value.isupper() or not value else f" {value}"
    if offered is None:
        return f"{before}{CONTROLS[name]}{behind}"
    label = f'"{offered.label}"' if before not in ("", "with ", "give ") else f'the option "{offered.label}"'
    return f"{before}{label}{'' if field in options else ' switched off'}{behind}"
