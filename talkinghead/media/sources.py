"""Open any picture or video as frames."""

from __future__ import annotations

import os
from collections.abc import Callable

from talkinghead.contracts import FrameSource
from talkinghead.files import existing_file
from talkinghead.media.options import AS_THEY_ARE, FrameOptions


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
