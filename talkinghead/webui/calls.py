"""The body of a call of the API or of an action of the page, looked at before anything else sees it.

It is JSON of limited size, depth and length, with numbers that are finite. Where it names a file, that is one that this
server gave a name to: an address of another place, or a path of this machine, goes no further.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from talkinghead.bounds import MAX_ITEMS, shown
from talkinghead.errors import OptionError
from talkinghead.reading.text import parse_json
from talkinghead.speech.options import MAX_CHARACTERS

MAX_BYTES = 2_000_000
"""Of a call: the longest text, with every letter written as an escape, and room for the rest."""
MAX_DEPTH = 12
SESSION = re.compile(r"[A-Za-z0-9_-]{4,64}")
META = {"_type": "gradio.FileData"}

Known = Callable[[str], bool]
"""Whether a path is one that this server gave to a visitor."""


def read_call(body: bytes, known: Known, *, named: bool) -> dict[str, Any]:
    """A call, checked.

    Args:
        known: says which paths may be named.
        named: the arguments stand in the body by their names; else they are a list under "data", beside the session.
    Returns:
        The call; with a session of its own where the list had none.
    Raises:
        OptionError: it is not such a call.
    """
    call = read_json(body)
    if not isinstance(call, dict):
        raise OptionError("A call is an object of JSON.", accepted='{"data": [...]}')
    if named:
        return {str(name): _checked(value, known, 1) for name, value in call.items()}
    if isinstance(call.get("data"), list):
        call["data"] = [_checked(value, known, 1) for value in call["data"]]
    session = call.get("session_hash")
    if session is None:
        call["session_hash"] = f"once-{secrets.token_hex(16)}"
    elif not isinstance(session, str) or SESSION.fullmatch(session) is None:
        raise OptionError(f"The session is {shown(session)}.", accepted="4 to 64 letters and digits")
    return call


def read_json(body: bytes) -> Any:
    """JSON whose numbers are finite and not absurdly long.

    Raises:
        OptionError: anything else.
    """
    return parse_json(body, "The call", error=OptionError, accepted="JSON of finite numbers, texts, lists")


def _checked(value: Any, known: Known, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise OptionError("The call is nested too deeply.", accepted=f"{MAX_DEPTH} levels")
    if isinstance(value, str) and len(value) > MAX_CHARACTERS:
        raise OptionError(f"A text has {len(value):,} characters.", accepted=f"at most {MAX_CHARACTERS:,}")
    if isinstance(value, list | dict) and len(value) > MAX_ITEMS:
        raise OptionError(f"A list has {len(value):,} entries.", accepted=f"at most {MAX_ITEMS:,}")
    if isinstance(value, list):
        return [_checked(item, known, depth + 1) for item in value]
    if isinstance(value, dict):
        if "path" in value or "url" in value or "meta" in value:
            return _file(value, known)
        return {name: _checked(item, known, depth + 1) for name, item in value.items()}
    return value


def _file(value: dict[str, Any], known: Known) -> dict[str, Any]:
    """A file as a client names it: its path alone counts, and must be one that was given."""
    path, name = value.get("path"), value.get("orig_name")
    if not isinstance(path, str) or not known(path):
        raise OptionError(
            "The call names a file that is not here.", accepted="a file that was uploaded", remedy="upload it first"
        )
    return {"path": path, "orig_name": name if isinstance(name, str) and len(name) <= 300 else None, "meta": META}
