"""Folders of numbered pictures as frames between steps, and the step that makes a video of them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from talkinghead.bounds import FRAME_RATES, FieldBounds, check_value, ratio, shown
from talkinghead.contracts import Frame
from talkinghead.engine.steps import StageReport, Stopwatch, check_free, picture_paths, read_record, write_record
from talkinghead.errors import OptionError, StaleStage

PICTURE_FPS = Fraction(25)
"""Rate of a still picture where none is given, as published."""


def parse_fps(text: str | Fraction | None) -> Fraction | None:
    """An exact rate from "25" or "30000/1001".

    Raises:
        OptionError: not a rate.
    """
    if text is None or isinstance(text, Fraction):
        return text
    try:
        fps = ratio(text)
    except ValueError:
        raise OptionError(f"The frame rate is {shown(text)}.", accepted="25, 29.97 or 30000/1001") from None
    check_value("The frame rate", fps, FieldBounds(Fraction, FRAME_RATES))
    return fps


def encode_video(
    frames: Path, audio: Path, out: Path, *, fps: str | Fraction | None = None, force: bool = False
) -> StageReport:
    """Numbered pictures and a sound to a video: NVENC where it works, else libx264, yuv420p, even sizes."""
    from talkinghead.media import write_video
    from talkinghead.media.offsets import sound_offset

    check_free(out, force=force, inputs=(frames, audio))
    watch = Stopwatch()
    source = PictureFolder(frames)
    known = fps_of(frames)
    rate = parse_fps(fps) or parse_fps(known) or PICTURE_FPS
    if fps is not None and known is not None and Fraction(known) != rate:
        raise StaleStage(
            f"The pictures of {frames} are {known} per second, and --fps is {rate}: lips and sound would part.",
            remedy=f"--fps {known}, or run chunk-mel again with --fps {rate}",
        )
    info = write_video(out, source.read(), fps=rate, soundtrack=audio, num_frames=len(source), overwrite=force)
    write_record(out, "encode-video", {"fps": str(rate)}, {"frames": frames, "audio": audio}, {"fps": str(rate)})
    details = {"encoder": info.encoder, "pixel_format": info.pixel_format, "width": info.width, "height": info.height}
    dropped = sound_offset(audio).dropped(audio.name)
    details["notes"] = [*info.notes, *([dropped] if dropped else [])]
    return StageReport("encode-video", str(out), watch.seconds(), info.num_frames, "frames", details)


def read_picture(path: Path) -> Frame:
    """A picture of a folder."""
    from talkinghead.media import read_picture as read

    return read(path)


def write_picture(path: Path, frame: Frame) -> None:
    """Write a PNG file, quickly rather than small."""
    import cv2

    ok, data = cv2.imencode(".png", frame[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert ok
    path.write_bytes(data.tobytes())


def fps_of(frames: Path) -> str | None:
    """The rate in the record of a folder of frames, or None."""
    record = read_record(frames)
    return str(record.facts["fps"]) if record is not None and record.facts.get("fps") else None


class PictureFolder:
    """Numbered pictures of one size as a source of frames; see `FrameSource`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = picture_paths(folder, "frames")
        first = read_picture(self._paths[0])
        self._shape = first.shape
        self._last: tuple[int, Frame] = (0, first)
        self._hash: str | None = None

    @property
    def info(self) -> Any:
        from talkinghead.contracts import MediaInfo

        width, height = self.size
        fps = self.fps
        length = float(len(self) / fps) if fps else None
        return MediaInfo(self._folder, "video", width, height, fps, len(self), length, has_audio=False, codec="png")

    @property
    def fps(self) -> Fraction | None:
        return parse_fps(fps_of(self._folder))

    @property
    def size(self) -> tuple[int, int]:
        return self._shape[1], self._shape[0]

    @property
    def content_hash(self) -> str:
        from talkinghead.engine.steps import identity

        if self._hash is None:
            self._hash = identity(self._folder)
        return self._hash

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Frame:
        if self._last[0] != index:
            frame = read_picture(self._paths[index])
            if frame.shape != self._shape:
                raise StaleStage(
                    f"{self._paths[index]} is {frame.shape[1]}x{frame.shape[0]} pixels, the first is "
                    f"{self._shape[1]}x{self._shape[0]}.",
                    accepted="frames of one size",
                )
            self._last = index, frame
        return self._last[1]

    def read(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        from talkinghead.media.transform import frame_indices

        for index in frame_indices(start, stop, step, len(self)):
            yield self[index]

    def close(self) -> None:
        """Nothing to release."""
