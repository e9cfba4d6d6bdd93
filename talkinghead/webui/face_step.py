"""The first step of the page: whose face speaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from talkinghead.hosting.workshop import Face
from talkinghead.webui import show
from talkinghead.webui.inputs import Inputs
from talkinghead.webui.studio import Studio
from talkinghead.webui.widgets import Card, address, choice, drop_zone

ACCEPTED = "image/*,video/*,.heic,.heif,.mkv,.avif"


class FaceStep:
    """A place to drop a photo or a video, the camera, and portraits to choose from."""

    def __init__(self, studio: Studio, inputs: Inputs) -> None:
        self.studio = studio
        self.faces = studio.workshop.faces
        self.named = inputs.named

    def build(self, *, visible: bool) -> None:
        with gr.Column(elem_id="face-step", elem_classes="th-step", visible=visible) as self.group:
            show.step("face", 1, "Face")
            self.named["face"] = drop_zone(
                "face-drop", "Drop a photo or video", "JPEG, PNG, HEIC, WebP, MP4, MOV, WebM and others", ACCEPTED,
                self.studio.options.max_upload_mb,
            )  # fmt: skip
            with gr.Row(elem_classes="th-cameras"):
                self.use_photo = gr.Button("Take a photo", size="sm", elem_id="use-photo", elem_classes="th-quiet")
                self.use_film = gr.Button("Film yourself", size="sm", elem_id="use-film", elem_classes="th-quiet")
            self.named["photo"] = gr.Image(
                sources=["webcam"],
                type="filepath",
                image_mode=None,  # the file as it arrived
                label="Photo",
                height=280,
                visible=False,
                elem_id="photo",
                buttons=[],
            )
            self.named["film"] = gr.Video(
                sources=["webcam"], label="Film", height=280, visible=False, elem_id="film", buttons=[]
            )
            cards = [Card(face.title, name_of(face), address(self.thumbnail(face))) for face in self.faces]
            first = self.faces[0].title if self.faces else ""
            gr.HTML('<p class="th-or">or choose a portrait</p>', apply_default_css=False, visible=bool(cards))
            self.named["portrait"] = choice("portraits", "Portraits", cards, first, "th-faces")
        self.error = gr.HTML("", elem_id="face-error", apply_default_css=False)

    def thumbnail(self, face: Face) -> Path:
        """The small picture of a face, where the page may show it."""
        return self.studio.page_file(face.thumbnail)

    @property
    def extra(self) -> list[Any]:
        """What else can give a face, beside the portraits."""
        return [self.named[name] for name in ("face", "photo", "film")]


def name_of(face: Face) -> str:
    """A face's name for people."""
    return face.title[:1].upper() + face.title[1:]
