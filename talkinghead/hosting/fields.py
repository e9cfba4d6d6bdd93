"""Configuration fields as inputs of the page: which are offered, and how their values come back.

Fields that name files of the server (paths, and texts that may be paths) are not offered: whoever sees the page must
not read or write there. A text field is offered where the names that it takes are known.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from talkinghead.bounds import shown
from talkinghead.engine.manifest import Manifest
from talkinghead.engine.options import OptionField, config_class, option_fields
from talkinghead.enhance.config import EnhanceConfig
from talkinghead.errors import OptionError, choices
from talkinghead.hosting.words import AUTOMATIC, WORDS, called, hint_of, label_of


@dataclass(frozen=True)
class Offered:
    """A field that can be set on the page."""

    field: OptionField
    names: tuple[str, ...] = ()
    """The values that it takes, where these are names."""

    @property
    def kind(self) -> str:
        """ "switch", "number", "choice" or "text": of numbers that may be left open, too."""
        if self.field.type is bool:
            return "switch"
        if self.names:
            return "choice"
        return "number" if self.field.type in (int, float) and self.shown_default is not None else "text"

    @property
    def label(self) -> str:
        """What it is called: "Blinks per minute"."""
        return label_of(self.field.name)

    @property
    def hint(self) -> str:
        """A sentence on it, for beside its input, with the numbers that it takes."""
        text = hint_of(self.field.name, self.field.help)
        span = self.field.range if typing.get_origin(self.field.type) is not tuple and self.field.name != "seed" else ""
        return f"{text} {span[:1].upper()}{span[1:]}.".strip() if span else text

    @property
    def placeholder(self) -> str:
        """What an empty input shows."""
        words = WORDS.get(self.field.name)
        return AUTOMATIC if words is None else words.absent

    @property
    def called_names(self) -> tuple[tuple[str, str], ...]:
        """What each of `names` is called, and the name itself."""
        return tuple((called(self.field.name, name), name) for name in self.names)

    @property
    def shown_default(self) -> Any:
        """The default, as the page's input takes it; None where it is automatic."""
        value, known = self.field.default, WORDS.get(self.field.name)
        if known is not None and known.empty is not None and value == known.empty and self.field.type is not bool:
            return None
        if self.field.type is bool or (not self.names and self.field.type in (int, float)):
            return value
        if value is None:
            return None
        return ",".join(str(part) for part in value) if isinstance(value, tuple) else str(value)

    def read(self, value: Any) -> Any:
        """The field's value from the page's.

        Raises:
            OptionError: not of this field.
        """
        if self.kind == "choice":
            if str(value) not in self.names:
                raise OptionError(f"{self.field.name} is {shown(value)}.", accepted=choices(self.names))
            return str(value)
        if self.kind == "switch":
            if not isinstance(value, bool):
                raise OptionError(f"{self.field.name} is {shown(value)}.", accepted="true or false")
            return value
        if self.kind == "number" and self.field.type is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        text = ",".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)
        try:
            return self.field.parse(text)
        except OptionError as error:
            raise OptionError(f"{self.field.name} is {shown(value)}.", accepted=error.accepted) from None


@dataclass(frozen=True)
class FieldGroup:
    """Fields that belong together: one folder of options on the page, one key of `options` in the HTTP API."""

    key: str
    title: str
    offered: tuple[Offered, ...]

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values that differ from the defaults, by field name; None and empty text leave the default.

        Raises:
            OptionError: a field that is not offered, or a value that is none of it.
        """
        known = {offered.field.name: offered for offered in self.offered}
        found: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise OptionError(
                    f"{self.title} has no option {shown(name)} here.",
                    accepted=choices(sorted(known)) if known else "no options",
                )
            if value is None or value == "":
                continue
            parsed = known[name].read(value)
            if parsed != known[name].field.default:
                found[name] = parsed
        return found


def offered_fields(
    config: type[Any],
    *,
    only: Sequence[str] | None = None,
    leave_out: Sequence[str] = (),
    names: Mapping[str, Sequence[str]] | None = None,
    texts: Sequence[str] = (),
) -> tuple[Offered, ...]:
    """The fields of a configuration that may be set from a web page.

    Args:
        only: these fields, in this order; None takes all that are safe.
        names: text fields and the names that each takes.
        texts: text fields that take anything, because they never name files.
    """
    known = names or {}
    found = []
    for item in option_fields(config):  # type: ignore[arg-type]
        if item.name in leave_out or (only is not None and item.name not in only):
            continue
        if item.name in known:
            found.append(Offered(item, tuple(known[item.name])))
        elif item.choices:
            found.append(Offered(item, item.choices))
        elif item.name in texts or item.type in (bool, int, float, Fraction) or typing.get_origin(item.type) is tuple:
            found.append(Offered(item))
        else:
            assert item.type in (str, Path)
    if only is not None:
        found.sort(key=lambda offered: only.index(offered.field.name))
    return tuple(found)


def model_group(facts: Manifest, names: Mapping[str, Sequence[str]]) -> FieldGroup:
    """The options of a model: its configuration's fields.

    Args:
        names: fields whose values are names that exist now (`Availability.choices`).
    """
    config = config_class(facts.config)
    idle = [] if "enhance" in names else [item.name for item in fields(EnhanceConfig)]
    return FieldGroup("model", facts.title, offered_fields(config, names=names, leave_out=idle))


def shared_groups() -> tuple[FieldGroup, ...]:
    """Options that do not depend on the model: the face, the video, the machine."""
    from talkinghead.engine.head import LoadOptions, PrecisionAim, RenderOptions
    from talkinghead.face.detectors import DETECTORS
    from talkinghead.face.detectors.options import NO_FACE_POLICIES, FaceOptions
    from talkinghead.media.options import EncodeOptions, FrameOptions

    reading = offered_fields(FrameOptions, only=("start_s", "duration_s", "crop", "rotate", "resize_factor"))
    finding = offered_fields(
        FaceOptions,
        only=("detector", "select", "box", "padding", "smoothing", "every", "no_face", "min_score", "max_side"),
        names={"detector": ("auto", *DETECTORS), "no_face": NO_FACE_POLICIES},
        texts=("select",),
    )
    video = offered_fields(RenderOptions, only=("fps", "loop"))
    encoding = offered_fields(
        EncodeOptions,
        only=("crf", "audio_bitrate", "gop_s", "even", "mark", "mark_place", "mark_opacity"),
        texts=("mark",),
    )
    machine = offered_fields(
        LoadOptions,
        only=("device", "precision", "backend", "compat"),
        names={"device": _devices(), "precision": typing.get_args(PrecisionAim)},
    )
    return (
        FieldGroup("reading", "Reading the face", reading),
        FieldGroup("finding", "Finding the face", finding),
        FieldGroup("video", "Video", video),
        FieldGroup("encoding", "Encoding", encoding),
        FieldGroup("machine", "Machine and precision", machine),
    )


def _devices() -> tuple[str, ...]:
    from talkinghead.service.doctor import usable_gpus

    return ("auto", "cpu", "cuda") if usable_gpus() else ("auto", "cpu")
