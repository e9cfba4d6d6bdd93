"""The file that is being written: a container with what it says of itself."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av

from talkinghead.media.options import EncodeOptions
from talkinghead.provenance.carriers import (
    MOV_KEY,
    TAG,
    Inserting,
    after_gif_palette,
    after_moov,
    append_box,
    gif_block,
    move_fragment_index,
    uuid_box,
)
from talkinghead.provenance.origin import Origin
from talkinghead.provenance.xmp import packet_of

if TYPE_CHECKING:
    from av.container import OutputContainer

FRAGMENTED = ("mp4", "mov")
"""Containers that can be written in fragments."""


class Label:
    """What a file says of itself, while it is written.

    Args:
        container: FFmpeg's name of it.
    """

    def __init__(self, container: str, origin: Origin) -> None:
        self._container, self._origin = container, origin
        self._packet = packet_of(origin)
        self._file: Inserting | None = None
        self._path: Path | None = None

    def inserting(self, path: Path) -> Inserting | None:
        """What to write into, where the packet has its place before the pictures: GIF, and MP4 in fragments."""
        if self._container == "gif":
            self._file = Inserting(path, after_gif_palette, gif_block(self._packet))
        elif self._container == "mp4":
            self._file, self._path = Inserting(path, after_moov, uuid_box(self._packet)), path
        return self._file

    def say(self, opened: OutputContainer) -> None:
        """Give an opened container its metadata."""
        opened.metadata["comment"] = self._origin.done
        if self._container == "mov":
            opened.metadata[MOV_KEY] = self._packet.decode()
        elif self._container in ("matroska", "webm"):
            opened.metadata[TAG] = self._packet.decode()
            opened.metadata["DIGITAL_SOURCE_TYPE"] = self._origin.source_address

    def append(self, path: Path) -> None:
        """Put the packet behind a finished MP4 file.

        Raises:
            OSError: it cannot be written.
        """
        if self._container == "mp4" and self._file is None:
            append_box(path, self._packet)

    def close(self) -> None:
        """End what `inserting` gave.

        Raises:
            OSError: it cannot be written.
        """
        if self._file is None:
            return
        self._file.close()
        if self._path is not None:
            move_fragment_index(self._path, len(uuid_box(self._packet)))
            self._path = None


class OutputFile:
    """A file to write pictures of one rate into. No pass over it is needed for what it says of itself.

    Args:
        container: FFmpeg's name of it.
        origin: what it says, with `options.label`; None: that it is synthetic.
    """

    container: OutputContainer

    def __init__(
        self, path: Path, container: str, fps: Fraction, options: EncodeOptions, origin: Origin | None = None
    ) -> None:
        self._path = path
        self._label = Label(container, origin or Origin()) if options.label else None
        inserting = None
        if self._label is not None and (container == "gif" or options.fragment_s is not None):
            inserting = self._label.inserting(path)
        try:
            settings = _settings(container, fps, options)
            self.container = av.open(inserting or f"file:{path}", "w", format=container, container_options=settings)
        except BaseException:
            if inserting is not None:
                inserting.close()
            raise
        if self._label is not None:
            self._label.say(self.container)

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError, av.FFmpegError: it cannot be written.
        """
        self.container.close()
        if self._label is not None:
            self._label.close()
            self._label.append(self._path)

    def abort(self) -> None:
        """Close a file that is being thrown away."""
        with suppress(av.FFmpegError, OSError, ValueError):
            self.container.close()
        if self._label is not None:
            with suppress(OSError):
                self._label.close()


def _settings(container: str, fps: Fraction, options: EncodeOptions) -> dict[str, str]:
    if container not in FRAGMENTED:
        return {}
    clock = fps.numerator * -(-10_000 // fps.numerator)  # in which the length is exact; FFmpeg's own is 1/1000 s
    settings = {"movflags": "+faststart", "movie_timescale": str(clock)}
    if options.fragment_s is not None:
        settings |= {
            "movflags": "+frag_keyframe+delay_moov+default_base_moof",
            "frag_duration": str(round(options.fragment_s * 1_000_000)),
            "flush_packets": "1",
        }
    return settings
