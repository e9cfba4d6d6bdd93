"""From a request to its result: load, read or speak the sound, prepare the face, render. Everything is timed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from talkinghead.contracts import AudioClip, Result, Speech, StageTime
from talkinghead.engine.context import CancelToken, Progress, ProgressEvent
from talkinghead.engine.head import AnyHead, Avatar, LoadOptions
from talkinghead.engine.lru import Lru
from talkinghead.engine.speech_input import listen, say
from talkinghead.errors import OptionError
from talkinghead.files import folder_for
from talkinghead.provenance.signing import Signer, configured
from talkinghead.registry import build, family
from talkinghead.service.planning import check_all_apart, missing_source, own_source
from talkinghead.service.request import Request, SoundFile, SpokenText

HEADS_KEPT = 3
"""Loaded models that a pool keeps for the next request."""
CHARACTERS_PER_S = 15.0
"""Of a text that is spoken."""


def load(model: str, options: LoadOptions | None = None) -> AnyHead:
    """Load a model.

    Args:
        options: the checkpoint may be a name of the model store; None takes the first installed one.
    Raises:
        OptionError: unknown model or option. CheckpointError: the file is not a checkpoint of this model or is unsafe.
        MissingDependency: the extra that the model needs is not installed.
    """
    options = options or LoadOptions()
    if family(model).needs_checkpoint or options.checkpoint is not None:
        from talkinghead.service.models import model_store

        options = replace(options, checkpoint=model_store().checkpoint_for(model, options.checkpoint))
    return build(model, options)


def hear(
    speech: SoundFile | SpokenText | AudioClip | Speech,
    *,
    face: object = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Speech:
    """Read, or speak, what a request says.

    Args:
        face: what the request shows; see `talkinghead.listen`.
    Raises:
        MediaError: the file cannot be read, has no sound or no samples. Cancelled: the token was used. And as
            `talkinghead.say`.
    """
    if isinstance(speech, Speech):
        return speech
    if isinstance(speech, AudioClip):
        return listen(speech)
    if isinstance(speech, SpokenText):

        def count(done: int, total: int) -> None:
            if cancel is not None:
                cancel.check()
            if progress is not None:
                progress(ProgressEvent("speak", done, total, unit="sentences"))

        return say(speech.text, speech.options, progress=count)
    phones = None
    if speech.phones is not None:
        from talkinghead.audio.phones import read_phones

        phones = read_phones(speech.phones)
    return listen(
        speech.path,
        start_s=speech.start_s,
        duration_s=speech.duration_s,
        phones=phones,
        face=face,
        check=cancel.check if cancel is not None else None,
    )


class _Watch:
    """Tells of the stages before the rendering, and measures them."""

    def __init__(self, progress: Progress | None, cancel: CancelToken | None) -> None:
        self._progress, self._cancel = progress, cancel
        self.times: list[StageTime] = []

    def begin(self, name: str, **known: Any) -> None:
        """Say that a stage begins, and what has become known of the job."""
        if self._cancel is not None:
            self._cancel.check()
        if self._progress is not None:
            self._progress(ProgressEvent(name, 0, None, **known))

    @contextmanager
    def stage(self, name: str, **known: Any) -> Iterator[None]:
        self.begin(name, **known)
        started = time.perf_counter()
        yield
        self.times.append(StageTime(name, time.perf_counter() - started, 0.0, 0.0, 1))


def run(
    request: Request,
    *,
    head: AnyHead | None = None,
    avatar: Avatar | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Result:
    """Make the video of a request.

    Args:
        head: the model, loaded already with the request's options; then nothing is loaded.
        avatar: the face, prepared by that head; then nothing is prepared.
    Returns:
        The result; its report covers all that was done here, from loading to writing.
    Raises:
        OptionError, MediaError, CheckpointError, OutputError: something cannot be used, read or written.
        Cancelled: the token was used.
    """
    started = time.perf_counter()
    check_all_apart([request])
    signer = signer_for(request)
    watch = _Watch(progress, cancel)
    if head is None:
        if request.model is None:
            raise OptionError("The request names no model, and none was handed over.", accepted="a name, or a head")
        with watch.stage("load", **foreseen(request)):
            head = load(request.model, request.load)
    if isinstance(request.speech, Speech):
        heard = [request.speech]
    else:
        with watch.stage("speak" if isinstance(request.speech, SpokenText) else "read-sound", **foreseen(request)):
            face = None if head.compat else request.source
            heard = [hear(request.speech, face=face, progress=progress, cancel=cancel)]
    request.check_length(float(heard[0].clip.duration_s))
    with ExitStack() as stack:
        ahead = None
        if avatar is None:
            ahead = stack.enter_context(head.listen_ahead(heard[0], request.render, request.prepare.cache))
            watch.begin("open-face", sizes={"sound_s": float(heard[0].clip.duration_s)})
            options = replace(request.preparing, speech=heard[0], render=request.render)
            avatar = head.prepare(source_of(request, head), options, progress=progress, cancel=cancel)
            watch.times.extend(avatar.times)
            del options
        if request.make_folder:
            stack.enter_context(folder_for(request.output))
        # Handed over rather than lent, so that the samples are freed once they have been listened to.
        result = head.render(
            avatar,
            heard.pop(),
            request.output,
            request.render,
            progress=progress,
            cancel=cancel,
            ahead=ahead,
            signer=signer,
        )
    return told(request, with_stages(result, watch.times, time.perf_counter() - started))


def signer_for(request: Request) -> Signer | None:
    """Who signs the video of a request: whom the environment of this process names (`provenance.signing`).

    Raises:
        OptionError: certificate or key cannot be used, or such a video cannot be signed.
    """
    signer = configured()
    if signer is not None:
        signer.check(request.output)
    return signer


def check_signed(requests: Sequence[Request]) -> None:
    """Find out before the work whether all videos can be signed, where videos are.

    Raises:
        OptionError: as `signer_for`.
    """
    signer = configured()
    for request in requests if signer is not None else ():
        signer_for(request)


def foreseen(request: Request) -> dict[str, Any]:
    """What a request says about its stages before anything is opened, as `ProgressEvent` has it."""
    facts = request.facts
    if facts is None:
        return {}
    opened = facts.kind == "scene" or bool(facts.source_marks)
    face = () if opened else ("detect-faces", "analyse-face")
    speech = "speak" if isinstance(request.speech, SpokenText) else "read-sound"
    is_still = isinstance(request.source, Path) and request.source.is_file() and _is_picture(request.source)
    sizes = {"face_frames": 0.0 if opened else 1.0} if opened or is_still else {}
    if isinstance(request.speech, SpokenText):
        sizes["sound_s"] = len(request.speech.text) / CHARACTERS_PER_S
    kind = f"{facts.name} of {'nobody' if opened else 'a picture' if is_still else 'a video'}"
    return {"job": kind, "stages": (speech, "open-face", *face, "listen", "render"), "sizes": sizes}


def _is_picture(path: Path) -> bool:
    from talkinghead.media.headers import picture_format

    return picture_format(path) is not None


def source_of(request: Request, head: AnyHead) -> Any:
    """What a request prepares: its source, or what the model has of its own.

    Raises:
        OptionError: neither.
    """
    facts = head.facts
    source = request.source if request.source is not None else own_source(facts, request.load.checkpoint)
    if source is None:
        raise missing_source(facts)
    return source


def with_stages(result: Result, before: list[StageTime], wall_s: float) -> Result:
    """A result whose report begins with these stages, and lasted as long as given."""
    report = replace(result.report, stages=(*before, *result.report.stages), wall_s=wall_s)
    return replace(result, report=report)


def told(request: Request, result: Result) -> Result:
    """A finished result, after its report was written where the request wants it."""
    if request.report is not None:
        write_report(request.report, result.report.to_dict())
    return result


def write_report(path: Path, report: Any, *, new_folder: bool = False) -> None:
    """Write a report as JSON; it appears whole or not at all.

    Args:
        new_folder: make its folder where it is missing.
    """
    from talkinghead.files import make_folder, write_bytes

    if new_folder:
        make_folder(path.parent)
    write_bytes(path, (json.dumps(report, indent=2, default=str) + "\n").encode("utf-8"))


class HeadPool:
    """Loaded models. One is used by one job at a time; those that are free are kept for the next.

    Args:
        keep: how many.
    """

    def __init__(self, keep: int = HEADS_KEPT) -> None:
        self._free: Lru[tuple[str, str], AnyHead] = Lru(keep)
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self, request: Request, progress: Progress | None = None) -> Iterator[tuple[AnyHead, list[StageTime]]]:
        """A head for a request, and what loading took; nothing if it was there."""
        assert request.model is not None
        key = head_key(request)
        with self._lock:
            head = self._free.take(key)
        watch = _Watch(progress, None)
        if head is None:
            with watch.stage("load", **foreseen(request)):
                head = load(request.model, request.load)
        try:
            yield head, watch.times
        finally:
            with self._lock:
                self._free.keep(key, head)

    def run(self, request: Request, *, progress: Progress | None = None, cancel: CancelToken | None = None) -> Result:
        """`run`, with a head of the pool."""
        started = time.perf_counter()
        check_all_apart([request])
        with self.borrow(request, progress) as (head, times):
            result = run(replace(request, report=None), head=head, progress=progress, cancel=cancel)
        return told(request, with_stages(result, times, time.perf_counter() - started))


def head_key(request: Request) -> tuple[str, str]:
    """What two requests have in common that can use one head."""
    load = request.load
    family_options = sorted((name, repr(value)) for name, value in load.family.items())
    return (str(request.model), repr((replace(load, family={}), family_options)))
