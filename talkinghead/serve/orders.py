"""What a client asks for, as data: fields of a form or an object of JSON, checked; files by the names that they have in
the video's own folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from talkinghead.bounds import MAX_PATH
from talkinghead.errors import InputError, OptionError
from talkinghead.hosting.uploads import Form, safe_name
from talkinghead.hosting.workshop import Order, said
from talkinghead.reading.text import parse_json
from talkinghead.registry import DEFAULT_FAMILY
from talkinghead.service.request import SpokenText
from talkinghead.service.rows import from_row
from talkinghead.speech.options import MAX_CHARACTERS

FILES = ("face", "audio")
"""What can be sent as a file, or by address."""
TEXTS: Mapping[str, int] = {
    "model": 200,
    "checkpoint": 400,
    "source": 4_000,
    "text": 4 * MAX_CHARACTERS,
    "lang": 100,
    "voice": 400,
    "engine": 100,
    "speed": 40,
    "options": 100_000,
    "stream": 10,
}
"""Fields of a form beside its files, and how many bytes each may have."""
MAX_JSON = 1_000_000
"""Bytes of an order in JSON."""
_DEPTH = 6


@dataclass(frozen=True)
class Asked:
    """One video, as it was asked for. All of it is JSON."""

    model: str = DEFAULT_FAMILY
    """Name of the model."""
    source: str = ""
    """Name of a face of the gallery, an avatar, a template or a scene; empty where a face is sent."""
    face: str = ""
    """A picture or video of a face: address; or the name of the file that was sent, in the video's folder."""
    audio: str = ""
    """Speech: address, or name of a file, as `face`."""
    text: str = ""
    """What is said, where no sound is given."""
    lang: str = "auto"
    """Language of the text."""
    voice: str = ""
    """Voice of the text."""
    engine: str = "auto"
    """What speaks the text."""
    speed: float = 1.0
    """Pace of the text."""
    checkpoint: str = ""
    """Name of a model file of the server; empty takes the first."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options by group and name, as `/v1/models` lists them."""
    stream: bool = False
    """Make a video that can be watched while it is made."""

    def __post_init__(self) -> None:
        if bool(self.audio) == bool(self.text):
            raise InputError(
                "Both a sound and a text are given." if self.text else "Neither a sound nor a text is given.",
                accepted='"audio", a file or an address; or "text" with what to say',
            )
        if self.face and self.source:
            raise InputError("Both a face and the name of a source are given.", accepted='"face" or "source"')
        for name in FILES:
            if len(getattr(self, name)) > MAX_PATH:
                raise InputError(f"The {name} is too long.", accepted=f"at most {MAX_PATH} characters")
        if self.text:
            self.spoken()
        _check_depth(self.options, 1)
        if not all(isinstance(part, Mapping) for part in self.options.values()):
            raise OptionError("The options are of another form.", accepted='{"model": {"strength": 1.2}}')

    def spoken(self) -> SpokenText:
        """What is said.

        Raises:
            InputError, OptionError: it cannot be said so.
        """
        return said(self.text, self.lang, self.voice or None, self.engine, self.speed)

    @property
    def addresses(self) -> dict[str, str]:
        """Files that are still to be fetched, by field."""
        return {name: getattr(self, name) for name in FILES if "://" in getattr(self, name)}

    def order(self, given: Path) -> Order:
        """The order with its files, which must be there.

        Args:
            given: the folder of the files that were sent or fetched.
        """
        sound = self.spoken() if self.text else given / self.audio
        source = given / self.face if self.face else self.source
        return Order(self.model, sound, source, self.checkpoint or None, self.options)

    def with_files(self, names: Mapping[str, str]) -> Asked:
        """The same with other names of files."""
        return replace(self, face=names.get("face", self.face), audio=names.get("audio", self.audio))


def read_form(form: Form) -> tuple[Asked, dict[str, Path]]:
    """An order from a form, and its files by field.

    Raises:
        InputError, OptionError: it is none.
    """
    row: dict[str, Any] = {name: text for name, text in form.texts.items() if text != ""}
    if "speed" in row:
        row["speed"] = _json(row["speed"], "speed", "a number")
    if "stream" in row:
        row["stream"] = _json(row["stream"].lower(), "stream", "true or false")
    if "options" in row:
        row["options"] = _json(row["options"], "options", '{"model": {"strength": 1.2}}')
    files = dict(form.files)
    for name, path in files.items():
        row[name] = path.name
    return from_row(Asked, row, "The order"), files


def read_order(body: bytes) -> Asked:
    """An order from JSON; its files are addresses.

    Raises:
        InputError, OptionError: it is none.
    """
    row = parse_json(body, "The order", error=OptionError, accepted='{"text": "Hello.", "source": "Portrait"}')
    asked = from_row(Asked, row, "The order")
    for name in FILES:
        value = getattr(asked, name)
        if value and "://" not in value:
            raise OptionError(
                f"The {name} is no address.",
                accepted="an address such as https://cdn.example.com/face.png; files are sent as a form",
            )
    return asked


def fetched_name(field_name: str, address: str) -> str:
    """What a fetched file is called in the video's folder."""
    path = address.partition("?")[0].partition("#")[0]
    return f"{field_name}-{safe_name(path)}"


def fingerprint(asked: Asked, files: Mapping[str, Path]) -> str:
    """What two orders have in common that ask for the same: SHA-256 of all that was said and sent."""
    from talkinghead.files import file_sha256

    row = {name: getattr(asked, name) for name in Asked.__dataclass_fields__}
    row |= {name: file_sha256(path) for name, path in files.items()}
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def _json(text: str, name: str, accepted: str) -> Any:
    return parse_json(text, f"The field {name}", error=OptionError, accepted=accepted)


def _check_depth(value: Any, depth: int) -> None:
    if depth > _DEPTH:
        raise OptionError("The options are nested too deeply.", accepted=f"{_DEPTH} levels")
    if isinstance(value, Mapping):
        for item in value.values():
            _check_depth(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_depth(item, depth + 1)
