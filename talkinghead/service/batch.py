"""Several requests, one after the other: models, faces and spoken texts that the next ones need are kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from talkinghead.contracts import Result, Speech, StageTime
from talkinghead.engine.context import CancelToken, Progress
from talkinghead.engine.head import AnyHead, Avatar
from talkinghead.errors import Cancelled
from talkinghead.service.planning import check_all_apart, speech_path
from talkinghead.service.request import Request, SpokenText
from talkinghead.service.run import HeadPool, head_key, hear, run, source_of, told, with_stages


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
        self._heads = HeadPool(keep=1)
        self._faces = Counter(_face_key(request) for request in requests)
        self._texts = Counter(request.speech for request in requests if isinstance(request.speech, SpokenText))
        self._coming = Counter(self._faces)
        """How often each face is still to be shown."""
        self._prepared: dict[tuple[Any, ...], Avatar | Exception] = {}
        self._latest: Avatar | None = None
        self._spoken: dict[SpokenText, Speech] = {}

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
        started = time.perf_counter()
        several = len(self.requests) > 1  # their folder is ours to make
        plain = replace(request, report=None, make_folder=request.make_folder or several)
        times: list[StageTime] = []
        with ExitStack() as stack:
            stack.callback(self._let_go, _face_key(request))
            head, loaded = stack.enter_context(self._heads.borrow(plain, progress))
            times.extend(loaded)
            plain = self._with_speech(plain, times, progress, cancel)
            avatar = self._avatar(plain, head, times, progress, cancel)
            self._hold(avatar)
            result = run(plain, head=head, avatar=avatar, progress=progress, cancel=cancel)
        return told(request, with_stages(result, times, time.perf_counter() - started))

    def _with_speech(
        self, request: Request, times: list[StageTime], progress: Progress | None, cancel: CancelToken | None
    ) -> Request:
        text = request.speech
        if not isinstance(text, SpokenText) or self._texts[text] < 2:
            return request
        if text not in self._spoken:
            before = time.perf_counter()
            self._spoken[text] = hear(text, progress=progress, cancel=cancel)
            times.append(StageTime("speak", time.perf_counter() - before, 0.0, 0.0, 1))
        return replace(request, speech=self._spoken[text])

    def _avatar(
        self,
        request: Request,
        head: AnyHead,
        times: list[StageTime],
        progress: Progress | None,
        cancel: CancelToken | None,
    ) -> Avatar | None:
        """The face of a request that is not the only one with it; None leaves preparing to `run`."""
        key = _face_key(request)
        if self._faces[key] < 2:
            return None
        if key not in self._prepared:
            options = replace(request.preparing, render=request.render)
            try:
                made = head.prepare(source_of(request, head), options, progress=progress, cancel=cancel)
                self._prepared[key] = made
                times.extend(made.times)
            except Cancelled:
                raise
            except Exception as error:  # noqa: BLE001 (raised again below, for each request with this face)
                self._prepared[key] = error
        found = self._prepared[key]
        if isinstance(found, Exception):
            raise found
        return found

    def _hold(self, avatar: Avatar | None) -> None:
        """Decoded frames take memory: of faces that will be shown again, only the latest keeps its own."""
        before, self._latest = self._latest, avatar
        if before is not None and before is not avatar and before.source is not None:
            before.source.close()

    def _let_go(self, key: tuple[Any, ...]) -> None:
        """Forget a face that was shown for the last time."""
        self._coming[key] -= 1
        if self._coming[key] <= 0:
            self._prepared.pop(key, None)


def _face_key(request: Request) -> tuple[Any, ...]:
    source = request.source
    name = str(source) if source is None or isinstance(source, str | Path) else id(source)
    return (head_key(request), name, repr(request.preparing))
