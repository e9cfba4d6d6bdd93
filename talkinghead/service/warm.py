"""Requests one after the other: models, faces and spoken texts that later ones need are kept, within bounds."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

from talkinghead.contracts import Result, Speech, StageTime
from talkinghead.engine.context import CancelToken, Progress
from talkinghead.engine.head import AnyHead, Avatar
from talkinghead.engine.lru import Lru
from talkinghead.errors import Cancelled
from talkinghead.service.request import Request, SpokenText
from talkinghead.service.run import HeadPool, head_key, hear, run, source_of, told, with_stages


class Warm:
    """Runs requests, and keeps what the next ones can use. Use one thread.

    Of the faces that are kept only the latest keeps decoded frames, which take memory.

    Args:
        heads: loaded models that are kept.
        faces: prepared faces that are kept.
        texts: spoken texts that are kept.
        keep_errors: what preparing a face raised is raised again for the next request with it, without trying.
    """

    def __init__(self, *, heads: int, faces: int, texts: int = 0, keep_errors: bool = False) -> None:
        self._heads = HeadPool(keep=heads)
        self._faces: Lru[Hashable, Avatar | Exception] = Lru(faces)
        self._texts: Lru[SpokenText, Speech] = Lru(texts)
        self._keep_errors = keep_errors
        self._latest: Avatar | None = None

    def run(
        self,
        request: Request,
        *,
        face: Hashable | None = None,
        text: bool = False,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Result:
        """As `service.run.run`; the report counts what was done for this request.

        Args:
            face: by this the prepared face is known; it is prepared for whatever it may say, and kept. None: it is
                prepared for this speech alone.
            text: keep the text as it was spoken.
        """
        started = time.perf_counter()
        plain = replace(request, report=None)
        with self._heads.borrow(plain, progress) as (head, times):
            plain = self._with_speech(plain, text, times, progress, cancel)
            avatar = None if face is None else self._avatar(plain, head, face, times, progress, cancel)
            self._hold(avatar)
            result = run(plain, head=head, avatar=avatar, progress=progress, cancel=cancel)
        return told(request, with_stages(result, times, time.perf_counter() - started))

    def forget(self, face: Hashable) -> None:
        """Let go of a face that is not shown again."""
        self._faces.take(face)

    def _with_speech(
        self,
        request: Request,
        keep: bool,
        times: list[StageTime],
        progress: Progress | None,
        cancel: CancelToken | None,
    ) -> Request:
        text = request.speech
        if not keep or not isinstance(text, SpokenText):
            return request
        spoken = self._texts.find(text)
        if spoken is None:
            before = time.perf_counter()
            spoken = hear(text, progress=progress, cancel=cancel)
            self._texts.keep(text, spoken)
            times.append(StageTime("speak", time.perf_counter() - before, 0.0, 0.0, 1))
        return replace(request, speech=spoken)

    def _avatar(
        self,
        request: Request,
        head: AnyHead,
        face: Hashable,
        times: list[StageTime],
        progress: Progress | None,
        cancel: CancelToken | None,
    ) -> Avatar:
        found = self._faces.find(face)
        if found is None:
            options = replace(request.preparing, render=request.render)
            try:
                found = head.prepare(source_of(request, head), options, progress=progress, cancel=cancel)
                times.extend(found.times)
            except Cancelled:
                raise
            except Exception as error:
                if not self._keep_errors:
                    raise
                found = error
            self._faces.keep(face, found)
        if isinstance(found, Exception):
            raise found
        return found

    def _hold(self, avatar: Avatar | None) -> None:
        before, self._latest = self._latest, avatar
        if before is not None and before is not avatar and before.source is not None:
            before.source.close()


def face_key(request: Request) -> tuple[Any, ...]:
    """What two requests have in common that can show one prepared face, while files keep their content."""
    source = request.source
    name = str(source) if source is None or isinstance(source, str | Path) else id(source)
    return (head_key(request), name, repr(request.preparing))
