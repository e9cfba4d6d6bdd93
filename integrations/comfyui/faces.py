"""The nodes that prepare a face, and show what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from talkinghead.assets.portrait import PORTRAITS, portrait_path
from talkinghead.contracts import FaceSource
from talkinghead.engine.head import Avatar, PrepareOptions
from talkinghead.engine.manifest import Manifest
from talkinghead.face.detectors.options import FaceOptions
from talkinghead.media.arrays import ArraySource
from talkinghead.media.options import FrameOptions
from talkinghead.registry import FAMILIES
from talkinghead.service.availability import availability, sources_in
from talkinghead.service.preview import LAYERS, SHAPES, preview

from . import host, values
from .heads import HEAD, LoadedHead
from .options import CATEGORY, FACE_OPTIONS, Widget, manner_widgets
from .words import NodeError

FACE = "TALKINGHEAD_FACE"
PORTRAIT, AVATAR, PERSON = "portrait: ", "avatar: ", "folder: "


@dataclass(eq=False)
class PreparedFace:
    """A face, and the head that prepared it."""

    head: LoadedHead
    avatar: Avatar

    def avatar_for(self, loaded: LoadedHead) -> Avatar:
        """The face as this head takes it, in whatever manner it speaks.

        Raises:
            NodeError: prepared by another one.
        """
        if loaded.model != self.head.model:
            raise NodeError(
                f"The face was prepared for {self.head.model}, and the head is {loaded.model}.",
                remedy="the same Load Head for Prepare Face and here",
            )
        if loaded.options != self.head.options:
            raise NodeError(
                "The face was prepared by a head with other options.",
                remedy="the same Load Head for Prepare Face and here",
            )
        return self.avatar


def source_names() -> list[str]:
    """What can be shown without a picture: portraits, avatars, and folders of people and scenes."""
    found = [PORTRAIT + name for name in PORTRAITS]
    for name, facts in FAMILIES.items():
        found += [AVATAR + avatar for avatar in availability(name).choices.get("source", ())]
        found += [PERSON + path.name for path in sources_in(host.model_folders(), facts)]
    return list(dict.fromkeys(found))


def named_source(name: str, facts: Manifest) -> str | Path:
    """The source of a name that was chosen.

    Raises:
        NodeError: the model does not show such a thing, or it is not there any more.
    """
    for option, start in (("--face", PORTRAIT), ("--avatar", AVATAR)):
        if name.startswith(start) and facts.source_option == option:
            rest = name.removeprefix(start)
            return portrait_path(rest) if start == PORTRAIT else rest
    found = {PERSON + path.name: path for path in sources_in(host.model_folders(), facts)}
    if name in found:
        return found[name]
    raise NodeError(
        f"The source is {name!r}, and the model {facts.name} shows {facts.face_source}.",
        accepted=", ".join(found) if found else None,
        remedy="its folder in models/talkinghead" if facts.source_marks and not found else None,
    )


class PrepareFace:
    """A face, found and measured once; it may speak many times."""

    TITLE = "Prepare Face (talkinghead)"
    DESCRIPTION = (
        "Finds and measures a face: of one picture, of several as a video, of a VIDEO, or where none is connected of "
        "the source. A VIDEO from a file is read as it is needed, however long it is."
    )
    CATEGORY = CATEGORY
    FUNCTION = "prepare"
    RETURN_TYPES = (FACE,)
    RETURN_NAMES = ("face",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:
        names = source_names()
        return {
            "required": {
                "head": (HEAD, {"tooltip": "The model that is to speak."}),
                "source": (
                    names,
                    {
                        "default": names[0],
                        "tooltip": "Who is shown where neither image nor video is connected: a portrait that comes "
                        "along, an avatar, or a person's or scene's folder in models/talkinghead.",
                    },
                ),
            },
            "optional": {
                "image": ("IMAGE", {"tooltip": "One picture, or several that are a video."}),
                "video": ("VIDEO", {"tooltip": "A video of a face; its sound is not used."}),
                "image_fps": (
                    "FLOAT",
                    {
                        "default": 25.0,
                        "min": 0.1,
                        "max": 240.0,
                        "step": 0.01,
                        "round": False,
                        "tooltip": "Frames per second of an image that is several pictures.",
                    },
                ),
                "face_options": (FACE_OPTIONS, {"tooltip": "How the face is found; which part is used."}),
            },
        }

    def prepare(
        self,
        head: LoadedHead,
        source: str,
        image: torch.Tensor | None = None,
        video: Any = None,
        image_fps: float = 25.0,
        face_options: tuple[FrameOptions, FaceOptions] | None = None,
    ) -> tuple[PreparedFace]:
        if image is not None and video is not None:
            raise NodeError(
                "An image and a video are connected.", accepted="one of them", remedy="disconnect the other"
            )
        reading, finding = face_options or (FrameOptions(), FaceOptions())
        with host.Work() as work:
            shown: FaceSource
            if image is not None:
                shown = values.source_of_images(image, image_fps, reading)
            elif video is not None:
                shown = values.source_of_video(video, reading)
            else:
                shown = named_source(source, head.head.facts)
            options = PrepareOptions(frames=reading, faces=finding)
            if isinstance(shown, ArraySource):  # cropped and turned already
                options = replace(options, frames=FrameOptions())
            avatar = head.head.prepare(shown, options, progress=work.progress, cancel=work.cancel)
            work.tell((*avatar.fallbacks, *avatar.warnings))
            return (PreparedFace(head, avatar),)


class PreviewFace:
    """One frame before a long job."""

    TITLE = "Preview Face (talkinghead)"
    DESCRIPTION = (
        "One frame with a mouth shape: where the face was found, and as a mask which part of the picture the model "
        "changes while it speaks."
    )
    CATEGORY = CATEGORY
    FUNCTION = "preview"
    RETURN_TYPES = ("IMAGE", "MASK", "STRING")
    RETURN_NAMES = ("image", "mask", "found")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:
        return {
            "required": {
                "head": (HEAD, {}),
                "face": (FACE, {}),
                "shape": (
                    list(SHAPES),
                    {"default": "D", "tooltip": "Mouth shape: X at rest, A closed, D wide open, F rounded, G f and v."},
                ),
                **{f"show_{name}": ("BOOLEAN", {"default": name != "mask"}) for name in LAYERS},
            },
            "optional": dict(manner_widgets()),
        }

    def preview(
        self,
        head: LoadedHead,
        face: PreparedFace,
        shape: str,
        show_box: bool,
        show_landmarks: bool,
        show_mask: bool,
        **manner: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, str]:
        layers = _chosen({"box": show_box, "landmarks": show_landmarks, "mask": show_mask})
        with host.Work() as work:
            speaking = head.speaking(manner)
            seen = preview(speaking, face.avatar_for(head), shape=shape, cancel=work.cancel)
            height, width = seen.result.shape[:2]
            changed = torch.ones((1, height, width)) if seen.mask is None else torch.from_numpy(seen.mask[None]).float()
            return values.image_of(seen.picture(layers)), changed, seen.sentence(layers)


def _chosen(shown: Mapping[str, bool]) -> tuple[str, ...]:
    return tuple(name for name in LAYERS if shown[name])
