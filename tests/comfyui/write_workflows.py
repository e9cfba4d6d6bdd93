"""Write the example workflows of the ComfyUI pack, for the page and the API: python -m tests.comfyui.write_workflows

Inputs and their order are read from the nodes; those of ComfyUI's own nodes that are used stand here.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.comfyui.conftest import PACK, Host, fakes, import_pack

FOLDER = PACK / "example_workflows"
API_FOLDER = FOLDER / "api"


@dataclass(frozen=True)
class Kind:
    """What is known of a kind of node."""

    required: Mapping[str, Any]
    """Input to its type; a list are the values of a choice."""
    optional: Mapping[str, Any]
    outputs: tuple[tuple[str, str], ...]
    """Name and type of each."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """What the page keeps after the value of an input: buttons."""

    @property
    def inputs(self) -> dict[str, Any]:
        return {**self.required, **self.optional}


def is_widget(kind: Any) -> bool:
    """Whether the page shows an input of this type as something to set."""
    return isinstance(kind, list) or kind in ("INT", "FLOAT", "STRING", "BOOLEAN")


CORE: Mapping[str, Kind] = {
    "LoadImage": Kind(
        {"image": ["example.png"]}, {}, (("IMAGE", "IMAGE"), ("MASK", "MASK")), more={"image": ("image",)}
    ),
    "LoadAudio": Kind({"audio": ["speech.wav"]}, {}, (("AUDIO", "AUDIO"),), more={"audio": (None, None)}),
    "LoadVideo": Kind({"file": ["face.mp4"]}, {}, (("VIDEO", "VIDEO"),), more={"file": ("image",)}),
    "PreviewImage": Kind({"images": "IMAGE"}, {}, ()),
    "CreateVideo": Kind({"images": "IMAGE", "fps": "FLOAT"}, {"audio": "AUDIO"}, (("VIDEO", "VIDEO"),), {"fps": 30.0}),
    "SaveVideo": Kind(
        {"video": "VIDEO", "filename_prefix": "STRING", "format": ["auto", "mp4"], "codec": ["auto", "h264"]},
        {},
        (),
        {"filename_prefix": "video/ComfyUI", "format": "auto", "codec": "auto"},
    ),
}
"""Nodes of ComfyUI itself, as they are there since VIDEO is."""
CONTROL = "fixed"
"""What the page keeps after a seed: how it changes from run to run."""


@dataclass(frozen=True)
class Node:
    """One node of a workflow; a link is the key of another node, a dot, and the number of its output."""

    kind: str
    place: tuple[int, int]
    size: tuple[int, int]
    given: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Workflow:
    nodes: Mapping[str, Node]
    note: str


SPEAKS = {"head": "head.0", "face": "face.0"}
HEAD = Node("TalkingHeadLoadHead", (40, 40), (300, 190))
FACE = Node("TalkingHeadPrepareFace", (380, 40), (320, 190), links={"head": "head.0"})

WORKFLOWS: Mapping[str, Workflow] = {
    "talkinghead_portrait_says_a_text": Workflow(
        {
            "head": HEAD,
            "face": FACE,
            "voice": Node("TalkingHeadSpeechFromText", (40, 290), (400, 240)),
            "video": Node("TalkingHeadSpeakToVideo", (760, 40), (380, 620), links={**SPEAKS, "audio": "voice.0"}),
        },
        "Runs as it is: no picture, no sound and no model file is needed. Another portrait: source. A picture of your "
        "own: connect Load Image to image.",
    ),
    "talkinghead_picture_to_frames": Workflow(
        {
            "head": HEAD,
            "picture": Node("LoadImage", (40, 290), (300, 330), {"image": "example.png"}),
            "face": Node(
                "TalkingHeadPrepareFace", (380, 40), (320, 190), links={"head": "head.0", "image": "picture.0"}
            ),
            "look": Node("TalkingHeadPreviewFace", (380, 290), (320, 270), {"shape": "D"}, SPEAKS),
            "seen": Node("PreviewImage", (380, 620), (320, 300), links={"images": "look.0"}),
            "sound": Node("LoadAudio", (40, 680), (300, 140), {"audio": "speech.wav"}),
            "frames": Node("TalkingHeadSpeak", (760, 40), (340, 270), links={**SPEAKS, "audio": "sound.0"}),
            "movie": Node(
                "CreateVideo",
                (1150, 40),
                (270, 80),
                links={"images": "frames.0", "fps": "frames.2", "audio": "frames.1"},
            ),
            "saved": Node(
                "SaveVideo", (1150, 180), (420, 480), {"filename_prefix": "video/frames"}, {"video": "movie.0"}
            ),
        },
        "Choose a picture of a face and a sound. Speak gives frames, for other nodes between it and Create Video: "
        "upscaling, backgrounds, colours. All frames are in memory; long sounds go through Speak to Video.",
    ),
    "talkinghead_video_says_something_else": Workflow(
        {
            "head": HEAD,
            "recording": Node("LoadVideo", (40, 290), (300, 330), {"file": "face.mp4"}),
            "finding": Node("TalkingHeadFaceOptions", (-320, 40), (300, 400)),
            "face": Node(
                "TalkingHeadPrepareFace",
                (380, 40),
                (320, 190),
                links={"head": "head.0", "video": "recording.0", "face_options": "finding.0"},
            ),
            "sound": Node("LoadAudio", (380, 290), (320, 140), {"audio": "speech.wav"}),
            "writing": Node("TalkingHeadVideoOptions", (380, 490), (320, 180), {"crf": "16"}),
            "video": Node(
                "TalkingHeadSpeakToVideo",
                (760, 40),
                (380, 620),
                {"filename_prefix": "video/dubbed"},
                {**SPEAKS, "audio": "sound.0", "video_options": "writing.0"},
            ),
        },
        "Choose a video of a face and a sound. Both may be long: the video is read as it is needed, and frames are "
        "written as they are made.",
    ),
    "talkinghead_wav2lip": Workflow(
        {
            "own": Node("TalkingHeadOptions_wav2lip", (-320, 40), (300, 420)),
            "head": Node(
                "TalkingHeadLoadHead", (40, 40), (300, 190), {"model": "wav2lip"}, {"options": "own.0"}
            ),
            "picture": Node("LoadImage", (40, 290), (300, 330), {"image": "example.png"}),
            "face": Node(
                "TalkingHeadPrepareFace", (380, 40), (320, 190), links={"head": "head.0", "image": "picture.0"}
            ),
            "voice": Node("TalkingHeadSpeechFromText", (380, 290), (320, 240)),
            "video": Node("TalkingHeadSpeakToVideo", (760, 40), (380, 620), links={**SPEAKS, "audio": "voice.0"}),
        },
        "Needs Wav2Lip's weights: put the checkpoint into models/talkinghead and choose it in Load Head.",
    ),
}  # fmt: skip


def kinds(pack: Any) -> dict[str, Kind]:
    """Every kind of node that workflows may use."""
    known = dict(CORE)
    for name, node in pack.NODE_CLASS_MAPPINGS.items():
        parts = node.INPUT_TYPES()
        required, optional = parts.get("required", {}), parts.get("optional", {})
        known[name] = Kind(
            {key: kind for key, (kind, _) in required.items()},
            {key: kind for key, (kind, _) in optional.items()},
            tuple(zip(node.RETURN_NAMES, node.RETURN_TYPES, strict=True)),
            {key: facts["default"] for key, (_, facts) in {**required, **optional}.items() if "default" in facts},
        )
    return known


def values_of(node: Node, kind: Kind) -> dict[str, Any]:
    """What is set, by input, in the order of the inputs."""
    found = {}
    for name, type_name in kind.inputs.items():
        if is_widget(type_name):
            usual = type_name[0] if isinstance(type_name, list) else None
            found[name] = node.given.get(name, kind.defaults.get(name, usual))
    return found


def api_form(workflow: Workflow, known: Mapping[str, Kind]) -> dict[str, Any]:
    """As ComfyUI's API takes it."""
    numbers = {key: str(number) for number, key in enumerate(workflow.nodes, 1)}
    form = {}
    for key, node in workflow.nodes.items():
        inputs = values_of(node, known[node.kind])
        for name, link in node.links.items():
            source, _, slot = link.partition(".")
            inputs[name] = [numbers[source], int(slot)]
        form[numbers[key]] = {"class_type": node.kind, "inputs": inputs}
    return form


def page_form(workflow: Workflow, known: Mapping[str, Kind]) -> dict[str, Any]:
    """As ComfyUI's page saves it."""
    numbers = {key: number for number, key in enumerate(workflow.nodes, 1)}
    links: list[list[Any]] = []
    nodes: dict[str, dict[str, Any]] = {}
    for order, (key, node) in enumerate(workflow.nodes.items()):
        kind = known[node.kind]
        values: list[Any] = []
        for name, value in values_of(node, kind).items():
            values += [value, *kind.more.get(name, ())] + ([CONTROL] if name == "seed" else [])
        inputs: list[dict[str, Any]] = []
        for name, type_name in kind.inputs.items():
            shown = "COMBO" if isinstance(type_name, list) else type_name
            if not is_widget(type_name):
                inputs.append({"name": name, "type": shown, "link": None})
                inputs[-1] |= {"shape": 7} if name in kind.optional else {}
            elif name in node.links:
                inputs.append({"name": name, "type": shown, "widget": {"name": name}, "link": None})
        nodes[key] = {
            "id": numbers[key],
            "type": node.kind,
            "pos": list(node.place),
            "size": list(node.size),
            "flags": {},
            "order": order,
            "mode": 0,
            "inputs": inputs,
            "outputs": [{"name": name, "type": type_name, "links": None} for name, type_name in kind.outputs],
            "properties": {"Node name for S&R": node.kind},
            "widgets_values": values,
        }
    for key, node in workflow.nodes.items():
        for name, link in node.links.items():
            source, _, slot = link.partition(".")
            place = next(i for i, row in enumerate(nodes[key]["inputs"]) if row["name"] == name)
            output = nodes[source]["outputs"][int(slot)]
            links.append([len(links) + 1, numbers[source], int(slot), numbers[key], place, output["type"]])
            nodes[key]["inputs"][place]["link"] = len(links)
            output["links"] = [*(output["links"] or []), len(links)]
    note = {
        "id": len(nodes) + 1,
        "type": "Note",
        "pos": [40, -120],
        "size": [660, 100],
        "flags": {},
        "order": len(nodes),
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {},
        "widgets_values": [workflow.note],
    }
    return {
        "last_node_id": len(nodes) + 1,
        "last_link_id": len(links),
        "nodes": [*nodes.values(), note],
        "links": links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def written(form: Mapping[str, Any]) -> str:
    """A workflow as it stands in its file."""
    return json.dumps(form, indent=1) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sys.modules |= fakes(Host(Path(folder)))
        known = kinds(import_pack())
    API_FOLDER.mkdir(parents=True, exist_ok=True)
    for name, workflow in WORKFLOWS.items():
        (FOLDER / f"{name}.json").write_text(written(page_form(workflow, known)), encoding="utf-8")
        (API_FOLDER / f"{name}.json").write_text(written(api_form(workflow, known)), encoding="utf-8")


if __name__ == "__main__":
    main()
