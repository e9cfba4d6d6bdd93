"""Options as widgets, made from the fields of the package's configurations: names, defaults, bounds and help.

Which fields are offered is what the web page offers: none that name files of the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from talkinghead.bounds import Between
from talkinghead.engine.manifest import Manifest
from talkinghead.engine.options import build_config, config_class
from talkinghead.enhance.config import OFF, EnhanceConfig
from talkinghead.errors import TalkingHeadError
from talkinghead.face.detectors import DETECTORS
from talkinghead.face.detectors.options import NO_FACE_POLICIES, FaceOptions
from talkinghead.hosting.fields import FieldGroup, Offered, model_group, offered_fields
from talkinghead.media.options import EncodeOptions, FrameOptions
from talkinghead.registry import FAMILIES
from talkinghead.service.availability import availability

from .words import node_error

Widget = tuple[Any, dict[str, Any]]
"""An input as INPUT_TYPES has it."""
CATEGORY = "talkinghead"
MODEL_OPTIONS, FACE_OPTIONS, VIDEO_OPTIONS = (
    "TALKINGHEAD_MODEL_OPTIONS",
    "TALKINGHEAD_FACE_OPTIONS",
    "TALKINGHEAD_VIDEO_OPTIONS",
)
MANNER = {
    "expressiveness": "strength",
    "head_movement": "head_motion",
    "blinks_per_minute": "blinks_per_minute",
    "seed": "seed",
}
"""What creators set where somebody speaks: widget to field of a model's configuration."""
LARGEST = 2**53 - 1
"""The largest whole number that a browser keeps exactly."""
DEFAULT = "default"
"""Of a choice that may be left open."""


def widget(offered: Offered) -> Widget:
    """The input of one field; text where it may be left empty."""
    item, default = offered.field, offered.field.default
    facts: dict[str, Any] = {"tooltip": offered.hint}
    if item.type is bool:
        return "BOOLEAN", {**facts, "default": default}
    if offered.names:
        names = list(offered.names) if default in offered.names else [DEFAULT, *offered.names]
        return names, {**facts, "default": default if default in names else DEFAULT}
    if item.type not in (int, float) or default is None:
        text = ",".join(map(str, default)) if isinstance(default, tuple) else "" if default is None else str(default)
        return "STRING", {**facts, "default": text}
    assert isinstance(item.bound, Between)
    if item.type is int:
        least, most = int(item.bound.least), min(int(item.bound.most), LARGEST)
        return "INT", {**facts, "default": default, "min": least, "max": most}
    span = {"min": float(item.bound.least), "max": float(item.bound.most), "step": 0.05, "round": False}
    return "FLOAT", {**facts, "default": default, **span}


def widgets(offered: Sequence[Offered]) -> dict[str, Widget]:
    """The inputs of several fields."""
    return {one.field.name: widget(one) for one in offered}


def read(group: FieldGroup, values: Mapping[str, Any]) -> dict[str, Any]:
    """What was set of a group, by field name.

    Raises:
        NodeError: a value that the field refuses.
    """
    try:
        return group.read({name: None if value == DEFAULT else value for name, value in values.items()})
    except TalkingHeadError as error:
        raise node_error(error) from error


@cache
def _group(key: str) -> FieldGroup:
    if key == "face":
        reading = offered_fields(FrameOptions, only=("start_s", "duration_s", "crop", "rotate", "resize_factor"))
        names = {"detector": ("auto", *DETECTORS), "no_face": NO_FACE_POLICIES}
        finding = offered_fields(FaceOptions, names=names, texts=("select",))
        return FieldGroup("face", "Options: Face", (*finding, *reading))
    offered = offered_fields(EncodeOptions, leave_out=("fragment_s", "threads"), texts=("mark",))
    return FieldGroup("video", "Options: Video File", offered)


@dataclass(frozen=True)
class ModelOptions:
    """Options of one model."""

    model: str
    values: Mapping[str, Any]


class FaceOptionsNode:
    """How the face is found, and which part of the picture or video is used."""

    TITLE = "Options: Face (talkinghead)"
    DESCRIPTION = "How the face is found, and which part of the picture or video is used."
    CATEGORY = f"{CATEGORY}/options"
    FUNCTION = "options"
    RETURN_TYPES = (FACE_OPTIONS,)
    RETURN_NAMES = ("face_options",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:
        return {"required": {}, "optional": widgets(_group("face").offered)}

    def options(self, **values: Any) -> tuple[tuple[FrameOptions, FaceOptions]]:
        given = read(_group("face"), values)
        own = {item.field.name for item in offered_fields(FrameOptions)}
        reading = {name: value for name, value in given.items() if name in own}
        finding = {name: value for name, value in given.items() if name not in own}
        try:
            return (
                (
                    build_config(FrameOptions, reading, owner="Reading the face"),
                    build_config(FaceOptions, finding, owner="Finding the face"),
                ),
            )
        except TalkingHeadError as error:
            raise node_error(error) from error


class VideoOptionsNode:
    """How Speak to Video writes its file."""

    TITLE = "Options: Video File (talkinghead)"
    DESCRIPTION = "How Speak to Video writes its file: quality, key frames, sound, label."
    CATEGORY = f"{CATEGORY}/options"
    FUNCTION = "options"
    RETURN_TYPES = (VIDEO_OPTIONS,)
    RETURN_NAMES = ("video_options",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:
        return {"required": {}, "optional": widgets(_group("video").offered)}

    def options(self, **values: Any) -> tuple[EncodeOptions]:
        try:
            return (build_config(EncodeOptions, read(_group("video"), values), owner="The video file"),)
        except TalkingHeadError as error:
            raise node_error(error) from error


def _model_fields(facts: Manifest) -> FieldGroup:
    """All options of a model but those that Speak has. Those that are there on some machines only come last, since a
    saved workflow counts widgets.
    """
    names = dict(availability(facts.name).choices)
    always: dict[str, Sequence[str]] = {}
    if issubclass(config_class(facts.config), EnhanceConfig):
        always["enhance"] = names.pop("enhance", (OFF,))
    group = model_group(facts, always)
    known = {one.field.name for one in group.offered} | set(MANNER.values())
    here = [one for one in model_group(facts, {**always, **names}).offered if one.field.name not in known]
    offered = [one for one in group.offered if one.field.name not in MANNER.values()]
    return FieldGroup(group.key, group.title, (*offered, *here))


def _model_node(facts: Manifest) -> type[Any]:
    class Options:
        TITLE = f"Options: {facts.title} (talkinghead)"
        DESCRIPTION = f"Expert options of the model {facts.name}, for Load Head. {facts.summary}"
        CATEGORY = f"{CATEGORY}/options"
        FUNCTION = "options"
        RETURN_TYPES = (MODEL_OPTIONS,)
        RETURN_NAMES = ("options",)

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:
            return {"required": {}, "optional": widgets(_model_fields(facts).offered)}

        def options(self, **values: Any) -> tuple[ModelOptions]:
            given = read(_model_fields(facts), values)
            try:
                build_config(config_class(facts.config), given, owner=f"The model {facts.name}")
            except TalkingHeadError as error:
                raise node_error(error) from error
            return (ModelOptions(facts.name, given),)

    Options.__name__ = f"Options_{facts.name}"
    return Options


def model_option_nodes() -> dict[str, type[Any]]:
    """A node of expert options for each model."""
    return {f"TalkingHeadOptions_{name}": _model_node(facts) for name, facts in FAMILIES.items()}


@cache
def manner_widgets() -> dict[str, Widget]:
    """What creators set where somebody speaks; bounds and help are those of the built-in animator."""
    from talkinghead.registry import DEFAULT_FAMILY, family

    offered = {one.field.name: widget(one) for one in model_group(family(DEFAULT_FAMILY), {}).offered}
    return {name: offered[field] for name, field in MANNER.items()}
