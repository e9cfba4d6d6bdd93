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
        origin = origin or Origin()
        packet = packet_of(origin) if options.label else None
        in_fragments = options.fragment_s is not None
        settings = _settings(container, fps, options)
        self._inserting: Inserting | None = None
        self._moved = 0
        self._appended: bytes | None = None
        if packet is not None and container == "gif":
            self._inserting = Inserting(path, after_gif_palette, gif_block(packet))
        elif packet is not None and container == "mp4" and in_fragments:
            box = uuid_box(packet)
            self._inserting, self._moved = Inserting(path, after_moov, box), len(box)
        elif packet is not None and container == "mp4":
            self._appended = packet
        try:
            target = self._inserting or f"file:{path}"
            self.container = av.open(target, "w", format=container, container_options=settings)
        except BaseException:
            if self._inserting is not None:
                self._inserting.close()
            raise
        if packet is None:
            return
        self.container.metadata["comment"] = origin.done
        if container == "mov":
            self.container.metadata[MOV_KEY] = packet.decode()
        elif container in ("matroska", "webm"):
            self.container.metadata[TAG] = packet.decode()
            self.container.metadata["DIGITAL_SOURCE_TYPE"] = origin.source_address

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError, av.FFmpegError: it cannot be written.
        """
        self.container.close()
        if self._inserting is not None:
            self._inserting.close()
        if self._moved:
            move_fragment_index(self._path, self._moved)
        if self._appended is not None:
            append_box(self._path, self._appended)

    def abort(self) -> None:
        """Close a file that is being thrown away."""
        with suppress(av.FFmpegError, OSError, ValueError):
            self.container.close()
        if self._inserting is not None:
            with suppress(OSError):
                self._inserting.close()


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
