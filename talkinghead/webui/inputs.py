"""What a visitor has chosen on the page, and the order that comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talkinghead.errors import OptionError
from talkinghead.hosting.fields import Offered
from talkinghead.hosting.workshop import Order, said
from talkinghead.registry import family
from talkinghead.service.request import SpokenText

SAMPLE, TEXT, FILE, MICROPHONE = "Sample", "Text", "File", "Record"
"""Where the speech comes from."""


@dataclass
class Slot:
    """An option on the page and where its value goes."""

    model: str | None
    """None for options of every model that has it."""
    group: str
    offered: Offered
    component: Any


@dataclass
class Inputs:
    """The page's inputs, in the order in which handlers receive them."""

    sample: Path
    """The sentence that comes along."""
    named: dict[str, Any] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)
    sliders: dict[str, tuple[tuple[str, str], Any]] = field(default_factory=dict)
    """By name: group and field of an option that several models share, and the input."""
    has: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    """Groups and fields that each model has."""

    @property
    def components(self) -> list[Any]:
        return [
            *self.named.values(),
            *(component for _, component in self.sliders.values()),
            *(slot.component for slot in self.slots),
        ]

    def given(self, values: Sequence[Any]) -> dict[str, Any]:
        """The named values of `components`."""
        return dict(zip(self.named, values, strict=False))

    def order(self, values: Sequence[Any], *, needs_sound: bool = True) -> Order:
        """What is asked for, from the values of `components`.

        Raises:
            OptionError: something is missing, or there is no such model.
        """
        given = self.given(values)
        model = family(str(given["model"])).name
        options: dict[str, dict[str, Any]] = {}
        start = len(self.named)
        for (place, _), value in zip(self.sliders.values(), values[start : start + len(self.sliders)], strict=True):
            if place in self.has[model]:
                options.setdefault(place[0], {})[place[1]] = value
        for slot, value in zip(self.slots, values[start + len(self.sliders) :], strict=True):
            if slot.model in (None, model) and (slot.group, slot.offered.field.name) in self.has[model]:
                options.setdefault(slot.group, {})[slot.offered.field.name] = value
        quality = given.get("quality")
        if isinstance(quality, int | float) and not options.get("encoding", {}).get("crf"):
            options.setdefault("encoding", {})["crf"] = QUALITY.get(round(quality))
        return Order(
            model=model,
            sound=self._sound(given) if needs_sound else None,
            source=source_of(given),
            checkpoint=given["checkpoint"] or None,
            options=options,
        )

    def _sound(self, given: Mapping[str, Any]) -> Path | SpokenText:
        way = given["sound_from"]
        if way == SAMPLE:
            return self.sample
        if way == TEXT:
            return said(
                str(given["text"] or ""),
                str(given["lang"] or "auto"),
                given["voice"] or None,
                str(given["engine"] or "auto"),
                _number(given["speed"], 1.0),
            )
        path = path_of(given["recording"] if way == MICROPHONE else given["sound"])
        if path is None:
            raise OptionError("There is no speech yet.", accepted="a sound or video file, a recording, or a text")
        return path


QUALITY: dict[int, int | None] = {1: 30, 2: 24, 3: None, 4: 15, 5: 12}
"""The slider's steps as CRF of H.264; the middle is what the encoder takes by itself."""


def _number(value: Any, usual: float) -> float:
    return float(value) if isinstance(value, int | float) else usual


def path_of(value: Any) -> Path | None:
    """The file of an input as it came; None where there is none. Whose it is, the studio looks at."""
    if isinstance(value, Mapping) and isinstance(value.get("video"), Mapping):
        value = value["video"]
    path = value.get("path") if isinstance(value, Mapping) else value
    return Path(path) if isinstance(path, str) and path else None


def source_of(given: Mapping[str, Any]) -> Path | str:
    """The face: what was sent or taken with the camera, else the portrait that is chosen.

    Raises:
        OptionError: there is none.
    """
    facts = family(str(given["model"]))
    if facts.source_marks or not facts.source_is_path:
        return str(given["source"] or "")
    sent = (path_of(given[name]) for name in ("face", "photo", "film"))
    chosen = next((path for path in sent if path is not None), None) or str(given["portrait"] or "")
    if not chosen:
        raise OptionError("There is no face yet.", accepted="a photo or a video of a face, or one of the portraits")
    return chosen
