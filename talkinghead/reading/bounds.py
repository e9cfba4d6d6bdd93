"""What one file may cost, and how whatever goes wrong in it is told."""

from __future__ import annotations

import csv
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from talkinghead.errors import InputError, TalkingHeadError

Failure = type[InputError]
"""Which error a reader raises; the caller chooses."""

ROOM_BYTES = 128 * 1024 * 1024
"""What any file may become in memory, however small it is."""

DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    BufferError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    csv.Error,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What libraries raise over a damaged or hostile file (RecursionError and NotImplementedError are RuntimeErrors)."""

LONGEST_REASON = 200
"""Characters of a library's own words that are passed on."""


def unpacked_limit(stored_bytes: int) -> int:
    """How much a file may become in memory, all its arrays together: twice its size, and 128 MiB."""
    return 2 * stored_bytes + ROOM_BYTES


class Budget:
    """What the arrays of one file may still take in memory.

    Args:
        source: the file, for messages.
        stored_bytes: its size.
        error: what to raise when it is spent.
        remedy: what to try then.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        stored_bytes: int,
        error: Failure,
        remedy: str = "save it again without compression, and without arrays that repeat one another",
    ) -> None:
        self._source, self._error, self._remedy = source, error, remedy
        self._stored = stored_bytes
        self._limit = self._left = unpacked_limit(stored_bytes)

    def take(self, num_bytes: int) -> None:
        """Set memory aside before it is used.

        Raises:
            The given error: the file asks for more than its size allows.
        """
        self._left -= num_bytes
        if self._left < 0:
            raise self._error(
                f"{self._source} asks for more memory than its {self._stored} bytes can fill: "
                f"at least {self._limit - self._left} bytes.",
                accepted=f"at most twice the size of the file and {ROOM_BYTES // 2**20} MiB, here {self._limit} bytes",
                remedy=self._remedy,
            )


def reason(error: BaseException) -> str:
    """What went wrong, as the end of a sentence without its full stop; never long, never empty."""
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, RecursionError):
        return "its parts are nested too deeply"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"{shown(error.args[0]) if error.args else 'a key'} is missing"
    if isinstance(error, IndexError):
        return "something that it names is not there"
    words = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return shortened(words) or type(error).__name__


def shortened(text: str, length: int = LONGEST_REASON) -> str:
    """Text of a file in a message: its beginning where it is long, without characters that steer a terminal."""
    plain = "".join(c if c.isprintable() else "?" for c in text[: length + 1])
    return plain if len(plain) <= length else f"{plain[:length]}..."


def shown(value: object) -> str:
    """A value of a file in a message: plain values as Python writes them, of anything else its kind alone."""
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= 64 else f"a number of {value.bit_length()} bits"
    if isinstance(value, str):
        return repr(shortened(value, 60))
    name = type(value).__name__
    return f"a {name} of {len(value)}" if isinstance(value, list | tuple | dict | set | bytes) else f"a {name}"


@contextmanager
def reading(
    source: str | os.PathLike[str],
    error: Failure = InputError,
    *,
    what: str = "cannot be read",
    accepted: str | None = None,
    remedy: str | None = None,
) -> Iterator[None]:
    """Let whatever goes wrong while a foreign file is taken in reach the user as a fault of that file.

    Args:
        source: the file, for the message.
        error: what is raised. Errors of this package pass as they are.
        what: what is said of the file, before the reason.
    """
    try:
        yield
    except TalkingHeadError:
        raise
    except DAMAGE as fault:
        raise error(f"{source} {what}: {reason(fault)}.", accepted=accepted, remedy=remedy) from fault
