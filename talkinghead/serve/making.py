"""An order made into a video, in the folder of its record."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from talkinghead.engine.context import CancelToken, Progress
from talkinghead.hosting.workshop import Finished, Workshop
from talkinghead.serve.orders import Asked
from talkinghead.serve.records import GIVEN, MADE

FRAGMENT_S = 0.5
"""Length of the pieces of a video that is watched while it is made."""
VIDEO = "video.mp4"


def make(
    workshop: Workshop, asked: Asked, place: Path, cache: Path, progress: Progress, cancel: CancelToken
) -> dict[str, Any]:
    """Make a video.

    Args:
        place: folder of the video. Each attempt has a folder of its own in it: one before may still be at work
            somewhere, though nobody waits for it any more.
        cache: where slow results about faces are kept.
    Returns:
        A row of JSON: its files below `place`, and figures.
    Raises:
        As `Workshop.request` and `Workshop.make`.
    """
    made = place / f"{MADE}{secrets.token_hex(4)}"
    order = asked.order(place / GIVEN)
    request = workshop.request(
        workshop.ready(order),
        order,
        output=made / VIDEO,
        cache=cache,
        fragment_s=FRAGMENT_S if asked.stream else None,
    )
    return result_row(workshop.make(request, 1, progress, cancel))


def result_row(finished: Finished) -> dict[str, Any]:
    """What is kept of a finished video."""
    report = finished.report
    files = {
        "video": finished.video,
        "thumbnail": finished.poster,
        "report": finished.report_file,
        "cues": finished.cues,
        "motion": finished.motion,
    }
    return {
        "title": finished.title,
        "files": {name: f"{path.parent.name}/{path.name}" for name, path in files.items() if path is not None},
        "bytes": finished.video.stat().st_size,
        "width": report.width,
        "height": report.height,
        "fps": report.fps,
        "num_frames": report.num_frames,
        "audio_s": report.audio_s,
        "wall_s": report.wall_s,
        "realtime_factor": report.realtime_factor,
        "stages": {stage.name: stage.busy_s for stage in report.stages},
        "warnings": list(report.warnings),
    }
