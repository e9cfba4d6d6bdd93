"""Open any picture or video as frames, and take those that are in memory."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from talkinghead.contracts import FaceSource, FrameSource
from talkinghead.errors import OptionError
from talkinghead.files import existing_file
from talkinghead.media.options import AS_THEY_ARE, FrameOptions

PART_OF_READING = ("crop", "resize_factor", "rotate", "start_s", "duration_s")
"""What was done with frames that are given, if it was."""


def open_frames(
    path: str | os.PathLike[str],
    *,
    options: FrameOptions = AS_THEY_ARE,
    check: Callable[[], object] | None = None,
) -> FrameSource:
    """Open a picture, an animation or a video.

    What the file is, its content decides, not its name. A picture is a source of one frame, as is a GIF of one.

    Args:
        check: called often while the file is looked through; raises `Cancelled` when the job was stopped.
    Raises:
        MediaNotFound: no such file, or a folder.
        UnreadableMedia: not media, damaged beyond use, or larger than `options.max_pixels`.
        NoVideoStream: sound only.
        OptionError: the crop, size or time asked for does not exist in the file.
    """
    from talkinghead.media.headers import picture_format
    from talkinghead.media.pictures import PictureSource, load

    file = existing_file(path)
    if picture_format(file) is not None:
        opened = load(file, options)
        if opened[1].is_animated:
            from talkinghead.media.animation import AnimationSource

            return AnimationSource(file, options, opened)
        return PictureSource(file, options, opened)
    from talkinghead.media.video import VideoSource

    video = VideoSource(file, options, check=check)
    if video.info.codec == "gif" and len(video.timeline) == 1:
        from talkinghead.media.still import StillSource

        return StillSource(video)
    return video


def frames_of(
    source: FaceSource,
    *,
    options: FrameOptions = AS_THEY_ARE,
    check: Callable[[], object] | None = None,
) -> FrameSource:
    """What a head is given to show, as frames: a file is opened, a picture in memory is a source of one frame, and a
    source that is open already is taken as it is.

    Raises:
        OptionError: a part or a turn is asked for of frames that were read already. And as `open_frames`.
    """
    if isinstance(source, np.ndarray):
        from talkinghead.media.arrays import ArraySource

        return ArraySource([source], options=options)
    if isinstance(source, str | os.PathLike):
        return open_frames(source, options=options, check=check)
    for name in PART_OF_READING:
        if getattr(options, name) != getattr(AS_THEY_ARE, name):
            raise OptionError(
                f"{name} was given with frames that are in memory already.",
                remedy=f"leave {name} out, or give it to ArraySource",
            )
    return source
