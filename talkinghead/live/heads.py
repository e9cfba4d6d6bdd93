"""The stage of the real server: models that are loaded once, faces that are prepared once, shared by all sessions."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkinghead.backends.runtimes import load_ahead
from talkinghead.contracts import Frame
from talkinghead.engine.cache import NullCache
from talkinghead.engine.head import AnyHead, LoadOptions, PrepareOptions
from talkinghead.engine.live import LiveOptions, LiveSession
from talkinghead.errors import InputError, OptionError
from talkinghead.live.rooms import Role
from talkinghead.media.options import FrameOptions
from talkinghead.registry import family, named

if TYPE_CHECKING:
    from talkinghead.engine.head import Avatar

LARGEST_SIDE = 1280
"""Faces that are sent are shown no larger: WebRTC would not carry more of them."""
LONGEST_S = 60.0
"""So much of a video that is sent is shown, to and fro."""
MAX_PIXELS = 40_000_000


@dataclass(frozen=True)
class Cast:
    """What the server is started with."""

    model: str
    source: str | Path | Frame
    load: LoadOptions = field(default_factory=LoadOptions)
    prepare: PrepareOptions = field(default_factory=PrepareOptions)
    live: LiveOptions = field(default_factory=LiveOptions)


class Heads:
    """A `Stage`.

    Args:
        cast: loaded and prepared at once, so that it is known to work.
        folder: where faces lie that were sent.
    """

    def __init__(self, cast: Cast, folder: Path) -> None:
        self._cast, self._folder = cast, folder
        self._sent: dict[str, Path] = {}
        self._heads: dict[str, AnyHead] = {}
        self._avatars: dict[Role, Avatar] = {}
        self._locks: dict[object, threading.Lock] = {}
        self._lock = threading.Lock()
        self._avatar(self.role)
        others = [str(row["name"]) for row in self.models() if row["name"] != cast.model]
        for name in others:  # what they run in is loaded before anybody watches, who would see the face stand still
            named(family(name).builder)
        if others:
            load_ahead()

    @property
    def role(self) -> Role:
        return Role(self._cast.model)

    def open(self, role: Role) -> LiveSession[Any]:
        """As `Stage`."""
        session: LiveSession[Any] = self._head(role.model).live(self._avatar(role), self._cast.live)
        return session

    def change(self, session: LiveSession[Any], before: Role, role: Role) -> bool:
        """As `Stage`."""
        avatar = self._avatar(role)
        if before.model != role.model or tuple(avatar.size) != tuple(session.size):
            return False
        session.show(avatar)
        return True

    def keep(self, sent: Path) -> str:
        """As `Stage`: it stays until its session ends."""
        name = secrets.token_urlsafe(16)
        self._sent[name] = Path(shutil.move(sent, self._folder / name))
        return name

    def forget(self, faces: set[str]) -> None:
        """As `Stage`."""
        for name in faces:
            path = self._sent.pop(name, None)
            if path is not None:
                path.unlink(missing_ok=True)
        with self._lock:
            for role in [role for role in self._avatars if role.face in faces]:
                del self._avatars[role]
            for what in [what for what in self._locks if isinstance(what, Role) and what.face in faces]:
                del self._locks[what]

    def models(self) -> tuple[Mapping[str, Any], ...]:
        """Models that can be chosen: they take any face, and what they need is here."""
        from talkinghead.service.availability import all_models

        return tuple(
            {"name": found.facts.name, "title": found.facts.title}
            for found in all_models()
            if found.facts.name == self._cast.model or (found.ready and found.facts.source_option == "--face")
        )

    def _one_at_a_time(self, what: object) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(what, threading.Lock())

    def _head(self, model: str) -> AnyHead:
        from talkinghead.service.run import load

        family(model)
        with self._one_at_a_time(model):
            if model not in self._heads:
                own = model == self._cast.model
                general = self._cast.load if own else replace(self._cast.load, checkpoint=None, family={})
                self._heads[model] = load(model, general)
            return self._heads[model]

    def _avatar(self, role: Role) -> Avatar:
        head = self._head(role.model)
        with self._one_at_a_time(role):
            if role not in self._avatars:
                self._avatars[role] = head.prepare(self._source(role), self._preparing(role))
            return self._avatars[role]

    def _source(self, role: Role) -> Any:
        facts = family(role.model)
        if role.face is not None:
            if facts.source_option != "--face":
                raise OptionError(f"{facts.title} shows no face that is sent.", accepted=facts.face_source)
            path = self._sent.get(role.face)
            if path is None:
                raise OptionError("That face is not here.", remedy="send it again")
            return path
        if role.model == self._cast.model or (
            facts.source_option == "--face" and family(self._cast.model).source_option == "--face"
        ):
            return self._cast.source
        if facts.default_source is None:
            raise OptionError(f"{facts.title} has nothing to show here.", accepted=facts.face_source)
        return facts.default_source

    def _preparing(self, role: Role) -> PrepareOptions:
        if role.face is None:
            return self._cast.prepare
        frames = FrameOptions(max_pixels=MAX_PIXELS, duration_s=LONGEST_S)
        with suppress(InputError):  # what cannot be read is told by who reads it
            frames = replace(frames, resize_factor=max(1, -(-_largest_side(self._sent[role.face]) // LARGEST_SIDE)))
        return replace(self._cast.prepare, frames=frames, cache=NullCache())


def _largest_side(path: Path) -> int:
    from talkinghead.media.inspect import probe

    video = probe(path).main_video
    return 0 if video is None else max(video.width, video.height)
