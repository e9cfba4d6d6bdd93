"""The one form of an error, and which answer of HTTP goes with it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from talkinghead.errors import (
    BackendError,
    Cancelled,
    InputError,
    MissingDependency,
    MissingWeights,
    OutputError,
    StorageError,
    TalkingHeadError,
)
from talkinghead.hosting.faults import told_parts
from talkinghead.hosting.uploads import TooMuch
from talkinghead.hosting.workshop import Workshop
from talkinghead.service.jobs import QueueFull

LOG = logging.getLogger("talkinghead.serve")


class Refused(TalkingHeadError):
    """A request that is not served.

    Args:
        status: of HTTP.
        wait_s: after which it may be tried again; 0 says nothing of that.
    """

    def __init__(
        self, status: int, what: str, *, accepted: str | None = None, remedy: str | None = None, wait_s: float = 0.0
    ) -> None:
        super().__init__(what, accepted=accepted, remedy=remedy)
        self.status, self.wait_s = status, wait_s


class InvalidRequest(Refused):
    """A parameter of the address, or a header, is not what it must be."""

    def __init__(self, what: str) -> None:
        super().__init__(422, what, remedy="/docs describes every parameter")


class NotHere(Refused):
    """There is no such video, or it is somebody else's."""

    def __init__(self, what: str = "There is no such video.") -> None:
        super().__init__(404, what)


class NotYet(Refused):
    """It is not made yet."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(409, what, remedy=remedy, wait_s=1.0)


class NotEntered(Refused):
    """The token is missing or wrong."""

    def __init__(self) -> None:
        super().__init__(401, "A token is needed.", accepted="the header Authorization: Bearer TOKEN")


class KeyConflict(Refused):
    """An `Idempotency-Key` that stands for another order, or for one that is still coming."""


class TooOften(Refused):
    """More than is taken, for now."""

    def __init__(self, what: str, wait_s: float, accepted: str | None = None) -> None:
        super().__init__(429, what, accepted=accepted, remedy=f"again in {ceil(wait_s)} seconds", wait_s=wait_s)


class Told(TalkingHeadError):
    """An error that was put into words already, maybe by another machine.

    Args:
        row: as `told` gave it.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__(
            str(row.get("message") or "Cancelled."), accepted=row.get("accepted"), remedy=row.get("remedy")
        )
        self.kind = str(row.get("type") or "Cancelled")


class ServerStopped(TalkingHeadError):
    """The server ended again and again while it made a video."""


_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (Told, 422),
    (TooMuch, 413),
    (QueueFull, 429),
    (MissingWeights, 409),
    (MissingDependency, 409),
    (StorageError, 424),
    (InputError, 400),
    (Cancelled, 503),
    (OutputError, 507),
    (BackendError, 503),
)


def status_of(error: BaseException) -> int:
    """Status of HTTP."""
    if isinstance(error, Refused):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def told(error: BaseException, workshop: Workshop | None = None) -> dict[str, Any]:
    """An error as those who ask see it: type, message, and accepted and remedy where they are known. Without folders of
    this machine; of what nobody expected nothing but a number, under which the log has all of it.
    """
    ours = isinstance(error, Refused)  # names addresses of the service, and no folders
    clean: Callable[[str], str] = workshop.without_folders if workshop is not None and not ours else str
    parts = told_parts(error, LOG, "the service", clean)
    if isinstance(error, TalkingHeadError):
        kind = error.kind if isinstance(error, Told) else type(error).__name__
    else:
        kind = "OutOfMemory" if isinstance(error, MemoryError) else "InternalError"
    return {"type": kind, "message": parts["what"], "accepted": parts.get("accepted"), "remedy": parts.get("remedy")}
