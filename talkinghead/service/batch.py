"""Several requests that are known beforehand: what later ones need is kept, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from talkinghead.contracts import Result
from talkinghead.engine.context import CancelToken, Progress
from talkinghead.errors import Cancelled
from talkinghead.service.planning import check_all_apart, speech_path
from talkinghead.service.request import Request, SpokenText
from talkinghead.service.warm import Warm, face_key


@dataclass(frozen=True)
class Outcome:
    """What came of one request."""

    request: Request
    result: Result | None
    error: Exception | None

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "source": str(self.request.source),
            "audio": str(speech_path(self.request.speech)),
            "output": str(self.request.output),
            "ok": self.error is None,
        }
        if self.error is not None:
            data["error"] = str(self.error) or type(self.error).__name__
        if self.result is not None:
            data["report"] = self.result.report.to_dict()
        return data


class Batch:
    """Runs requests that are known beforehand.

    A face that several of them show is prepared once, for all that they say; a text that several of them say is spoken
    once. Use one thread.

    Raises:
        OptionError: one would write over what another reads or writes.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        self.requests = tuple(requests)
        check_all_apart(self.requests)
        self._faces = Counter(face_key(request) for request in requests)
        self._texts = Counter(request.speech for request in requests if isinstance(request.speech, SpokenText))
        self._coming = Counter(self._faces)
        """How often each face is still to be shown."""
        self._warm = Warm(heads=1, faces=len(self._faces), texts=len(self._texts), keep_errors=True)

    def outcome(
        self, request: Request, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Outcome:
        """Run one of several: what it raises, whatever it is, is kept, so that the others can go on.

        Raises:
            Cancelled: the token was used.
        """
        try:
            return Outcome(request, self.run(request, progress=progress, cancel=cancel), None)
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 (it is reported with the request, and shown)
            return Outcome(request, None, error)

    def run(self, request: Request, *, progress: Progress | None = None, cancel: CancelToken | None = None) -> Result:
        """As `service.run.run`; the report counts what was done for this request."""
        several = len(self.requests) > 1  # their folder is ours to make
        face, said = face_key(request), request.speech
        try:
            return self._warm.run(
                replace(request, make_folder=request.make_folder or several),
                face=face if self._faces[face] > 1 else None,
                text=isinstance(said, SpokenText) and self._texts[said] > 1,
                progress=progress,
                cancel=cancel,
            )
        finally:
            self._let_go(face)

    def _let_go(self, face: tuple[Any, ...]) -> None:
        """Forget a face that was shown for the last time."""
        self._coming[face] -= 1
        if self._coming[face] <= 0:
            self._warm.forget(face)
