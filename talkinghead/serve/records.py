"""What is known of each video, on disk.

    DATA/videos/video_3f…/record.json    what was asked for, and how far it is
    DATA/videos/video_3f…/given/         files that were sent or fetched
    DATA/videos/video_3f…/made-a1b2c3d4/ the video and what belongs to it

A record is written whole at every step that a client was told of, so that a server that starts again goes on from it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from talkinghead.errors import OptionError, TalkingHeadError
from talkinghead.files import make_folder, write_bytes
from talkinghead.serve.orders import Asked
from talkinghead.service.rows import from_row, to_row
from talkinghead.system import open_file, remove, remove_tree, try_lock, unlock

LOG = logging.getLogger("talkinghead.serve")
Status = Literal["queued", "in_progress", "completed", "failed", "cancelled"]
ENDED: tuple[Status, ...] = ("completed", "failed", "cancelled")
ID = re.compile(r"video_[0-9a-f]{32}")
RECORD, GIVEN, MADE = "record.json", "given", "made-"
_MAX_BYTES = 4_000_000


@dataclass(frozen=True)
class Record:
    """One video, from its order to its end. All of it is JSON."""

    id: str
    owner: str
    """Name of the token that ordered it."""
    created_s: float
    """When, seconds since 1970."""
    asked: Asked
    status: Status = "queued"
    key: str = ""
    """`Idempotency-Key` of the order; empty where none was given."""
    fingerprint: str = ""
    """Of what was asked for with a key; see `orders.fingerprint`."""
    attempts: int = 0
    """How often its making was begun."""
    ended_s: float = 0.0
    """When it ended, seconds since 1970; 0 where it has not."""
    error: Mapping[str, Any] = field(default_factory=dict)
    """What went wrong: type, message, accepted, remedy."""
    result: Mapping[str, Any] = field(default_factory=dict)
    """What was made: names of its files, and figures."""

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


def new_id() -> str:
    """A name that cannot be guessed."""
    return f"video_{secrets.token_hex(16)}"


class Shelf:
    """The folder with all records. One process has it at a time.

    Raises:
        OptionError: another server has it. UnwritableOutput: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        for part in (self.folder, self.folder / "videos", self.folder / "uploads", self.folder / "cache"):
            make_folder(part)
            part.chmod(0o700)
        self._lock = open_file(self.folder / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not try_lock(self._lock):
            os.close(self._lock)
            raise OptionError(
                f"Another server keeps its videos in {str(folder)!r}.", remedy="another folder, or stop that server"
            )
        for left in (self.folder / "uploads").iterdir():
            remove_tree(left)

    def close(self) -> None:
        """Let go of it."""
        unlock(self._lock)
        os.close(self._lock)

    def place(self, name: str) -> Path:
        """The folder of one video."""
        assert ID.fullmatch(name)
        return self.folder / "videos" / name

    @property
    def uploads(self) -> Path:
        """Where files lie while they come."""
        return self.folder / "uploads"

    @property
    def cache(self) -> Path:
        """Where slow results about faces are kept."""
        return self.folder / "cache"

    def tidy(self, name: str, keep: str = "") -> None:
        """Remove the folders of a video but for one."""
        place = self.place(name)
        for path in place.iterdir() if place.is_dir() else ():
            if path.is_dir() and path.name != keep:
                remove_tree(path)

    def save(self, record: Record) -> None:
        """Write a record; it is there whole or as it was.

        Raises:
            UnwritableOutput
        """
        text = json.dumps(to_row(record), ensure_ascii=False)
        write_bytes(self.place(record.id) / RECORD, text.encode())

    def forget(self, name: str) -> None:
        """Remove a record; what else there is of the video will not be found again."""
        remove(self.place(name) / RECORD)

    def remove(self, name: str) -> None:
        """Remove a video with all that belongs to it; the record goes first, so that nothing half is found again."""
        self.forget(name)
        remove_tree(self.place(name))

    def all(self) -> Iterator[Record]:
        """Every record, oldest first. What is none is removed: an order that was never accepted."""
        found = []
        for place in (self.folder / "videos").iterdir():
            if ID.fullmatch(place.name) is None:
                continue
            try:
                found.append(self._read(place))
            except TalkingHeadError as error:
                LOG.warning("%s holds no record and is removed: %s", place.name, error)
                remove_tree(place)
        yield from sorted(found, key=lambda record: record.created_s)

    def _read(self, place: Path) -> Record:
        from talkinghead.reading.text import read_json

        row = read_json(place / RECORD, max_bytes=_MAX_BYTES)
        record = from_row(Record, row, "A record")
        if record.id != place.name:
            raise OptionError(f"The record of {place.name} is that of another video.")
        return record
