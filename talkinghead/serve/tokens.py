"""Who may ask, and whose is what: tokens, known by their hashes alone."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from pathlib import Path

from talkinghead.errors import InputError, OptionError

MIN_TOKEN = 16
EVERYBODY = "everybody"
"""Whose videos are where no token is asked for."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/=-]{{{MIN_TOKEN},500}}")
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_MAX_BYTES = 1_000_000
ACCEPTED = f"a name and a token of {MIN_TOKEN} or more letters, digits and - _ . ~ + / =, or sha256: and its hash"


class Tokens:
    """Names with their tokens.

    Args:
        hashes: (name, SHA-256 of the token, hexadecimal); one name may have several.
    """

    def __init__(self, hashes: Iterable[tuple[str, str]] = ()) -> None:
        self._known = [(name, bytes.fromhex(digest)) for name, digest in hashes]

    def __bool__(self) -> bool:
        return bool(self._known)

    def owner(self, token: str) -> str | None:
        """The name whose token it is; takes the same time for every wrong one."""
        given = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = None
        for name, known in self._known:
            if hmac.compare_digest(known, given):
                found = name
        return found


def read_tokens(text: str, where: str) -> list[tuple[str, str]]:
    """Names and hashes from lines (or parts between commas) of NAME TOKEN or NAME sha256:HEX; # begins a comment.

    Args:
        where: what the text is, for messages; the text itself is secret and is not shown.
    Raises:
        OptionError: a line of another form.
    """
    found = []
    for number, line in enumerate(re.split(r"[\n,]", text), 1):
        bare = line.partition("#")[0].strip()
        if not bare:
            continue
        name, _, token = bare.partition(" ")
        token = token.strip()
        hashed = _HASH.fullmatch(token)
        if _NAME.fullmatch(name) is None or (hashed is None and _TOKEN.fullmatch(token) is None):
            raise OptionError(f"Line {number} of {where} is no name with a token.", accepted=ACCEPTED)
        found.append((name, hashed[1] if hashed else hashlib.sha256(token.encode()).hexdigest()))
    return found


def tokens_file(path: Path) -> list[tuple[str, str]]:
    """Names and hashes of a file.

    Raises:
        OptionError, InputError: it cannot be read, or has a line of another form, or none.
    """
    from talkinghead.reading.text import read_text

    found = read_tokens(read_text(path, max_bytes=_MAX_BYTES), f"the file {path.name!r}")
    if not found:
        raise InputError(f"There is no token in {str(path)!r}.", accepted=f"in each line {ACCEPTED}")
    return found
