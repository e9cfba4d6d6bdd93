"""A long request as several short ones that different workers can do, and one video of what they made.

    requests = cut(request, 60, length_s=300, folder=parts)     # five, one minute each
    for each in requests:
        run(each)                                               # anywhere, in any order
    result = join(request, [each.output for each in requests])

Each frame is as in the video that one worker would make, bit for bit before encoding. Pictures are not encoded again
when they are joined, and the sound is written once, over the whole length.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated

from talkinghead.bounds import MOMENTS_S, Between, FieldBounds, check_value
from talkinghead.contracts import Report, Result, Speech, StageTime
from talkinghead.engine.context import CancelToken, Progress, ProgressEvent
from talkinghead.engine.head import RenderOptions
from talkinghead.engine.runner import together
from talkinghead.engine.speech_input import with_its_pictures
from talkinghead.errors import OptionError, TalkingHeadError
from talkinghead.files import folder_for
from talkinghead.media.options import EncodeOptions
from talkinghead.provenance.origin import Origin
from talkinghead.service.planning import check_all_apart
from talkinghead.service.request import Request, SpokenText
from talkinghead.service.run import hear, signer_for, told

STRETCHES_S = Between(1, 3_600)
"""Seconds of one stretch."""
Seconds = Annotated[float, STRETCHES_S]
END_S = float(MOMENTS_S.most)
"""After the end of every video."""
PART = "{:05d}"
"""Name of a part by its number."""


def stretches(length_s: float, seconds: float) -> tuple[tuple[float, float], ...]:
    """Where a video is cut: stretches of equal length, the last one from half of it to one and a half.

    Args:
        length_s: of the video, about.
        seconds: of a stretch.
    Returns:
        [from, to) of each, in seconds; the last one goes to the end, wherever that is.
    """
    count = max(1, round(length_s / seconds))
    return tuple((k * seconds, END_S if k == count - 1 else (k + 1) * seconds) for k in range(count))


def why_whole(request: Request) -> str | None:
    """Why a request cannot be cut, as a sentence; None where it can."""
    from talkinghead.media.joining import check_cut

    if isinstance(request.speech, SpokenText):
        return "It is spoken from a text, whose sound is not known before (talkinghead say makes a file of it)."
    if request.render.loop == "trim":
        return "It ends with its face (--loop trim), and how long that is, is not known before."
    if request.render.stretch is not None:
        return "It is a stretch already."
    try:
        check_cut(request.output)
    except TalkingHeadError as error:
        return error.what
    return None


def part_of(request: Request, stretch: tuple[float, float], output: Path, *, is_first: bool) -> Request:
    """One stretch of a request: without sound, which is written once, and with the files beside the video only where
    it is the first.
    """
    encode = replace(request.render.encode or EncodeOptions(), audio_codec="none", fragment_s=None)
    render: RenderOptions = replace(request.render, stretch=stretch, encode=encode, overwrite=True)
    if not is_first:
        render = replace(render, motion=None, cues=None)
    return replace(request, output=output, report=None, render=render)


def cut(request: Request, seconds: float, *, length_s: float, folder: Path) -> tuple[Request, ...]:
    """The requests of all stretches, in order; the request itself where one would be enough.

    Args:
        seconds: of a stretch, 1 to 3600.
        length_s: how long the speech lasts, about.
        folder: of the parts.
    Raises:
        OptionError: it cannot be cut, or not like that.
    """
    check_value("A stretch", float(seconds), FieldBounds(float, STRETCHES_S))
    reason = why_whole(request)
    if reason is not None:
        raise OptionError(f"This video cannot be made in stretches. {reason}")
    edges = stretches(length_s, seconds)
    if len(edges) == 1:
        return (request,)
    suffix = request.output.suffix
    return tuple(
        replace(part_of(request, edge, folder / f"{PART.format(k)}{suffix}", is_first=k == 0), make_folder=True)
        for k, edge in enumerate(edges)
    )


def origin_of(request: Request, speech: Speech) -> Origin:
    """What the video of a request says of itself."""
    facts = request.facts
    face = Path(request.source) if isinstance(request.source, str | Path) and Path(request.source).is_file() else None
    sound = speech.soundtrack if isinstance(speech.soundtrack, Path) else None
    if facts is None:
        return Origin(face=face, sound=sound)
    return Origin(facts.made_with(request.load.family), facts.name, face, sound)


def join(
    request: Request,
    parts: Sequence[Path],
    reports: Sequence[Report] = (),
    *,
    fps: Fraction | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Result:
    """One video of what the requests of `cut` made. The parts stay.

    Args:
        request: the whole one.
        parts: in order.
        reports: of the parts, which become part of the result's.
        fps: of the video, exact; None: that of the request or of the parts. Folders of pictures say none.
    Raises:
        OutputError, MediaError, OptionError: as `media.joining.join_videos`. Cancelled: the token was used.
    """
    from talkinghead.media.joining import join_videos, rate_of

    started = time.perf_counter()
    token = cancel or CancelToken()
    check_all_apart([request])
    heard = hear(request.speech, face=None if request.load.compat else request.source, progress=progress, cancel=cancel)
    speech: Speech = heard if request.load.compat else with_its_pictures(heard, request.source)
    facts = request.facts
    asked = request.render.fps if facts is not None and facts.fps is None else None
    rate = fps or (Fraction(reports[0].fps) if reports else None) or rate_of(parts[0], asked)
    if progress is not None:
        progress(ProgressEvent("write", 0, None))
    with folder_for(request.output) if request.make_folder else nullcontext():
        begun = time.perf_counter()
        info = join_videos(
            request.output,
            parts,
            fps=rate,
            soundtrack=speech.soundtrack,
            start_s=speech.start_s,
            lead_s=speech.lead_s,
            options=request.render.encode or EncodeOptions(),
            overwrite=request.render.overwrite,
            check=token.check,
            origin=origin_of(request, speech),
            signer=signer_for(request),
        )
    written = StageTime("write", time.perf_counter() - begun, 0.0, 0.0, info.num_frames)
    known = reports[0] if reports else Report(model=request.model or "")
    notes = [text for report in reports for text in report.warnings]
    whole = replace(
        known,
        output=str(request.output),
        video_codec=info.video_codec,
        audio_codec=info.audio_codec,
        width=info.width,
        height=info.height,
        fps=str(rate),
        num_frames=info.num_frames,
        audio_s=float(info.num_frames / rate),
        stages=together([*(stage for report in reports for stage in report.stages), written]),
        fallbacks=tuple(dict.fromkeys(text for report in reports for text in report.fallbacks)),
        warnings=tuple(dict.fromkeys([*notes, *speech.warnings, *info.notes])),
        wall_s=sum(report.wall_s for report in reports) + time.perf_counter() - started,
    )
    return told(request, Result(path=request.output, report=whole))
