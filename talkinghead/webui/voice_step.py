"""The second step of the page: what is said, and by whom."""

from __future__ import annotations

from typing import Any

import gradio as gr

from talkinghead.webui import show
from talkinghead.webui.inputs import FILE, MICROPHONE, SAMPLE, TEXT, Inputs
from talkinghead.webui.languages import language_choices
from talkinghead.webui.studio import Studio
from talkinghead.webui.widgets import drop_zone

SAMPLE_TEXT = "Hello! I am a picture, and now I can speak. What would you like me to say?"
ACCEPTED = "audio/*,video/*,.opus,.flac,.m4a,.mkv"


class VoiceStep:
    """The bundled sentence, a text, a file, or a recording."""

    def __init__(self, studio: Studio, inputs: Inputs) -> None:
        self.studio = studio
        self.named = inputs.named
        engines = studio.workshop.engines()
        self.usable = [engine for engine in engines if engine.usable and engine.name != "piper"]
        self.missing = next((engine for engine in engines if engine.name == "espeak" and not engine.usable), None)

    def build(self) -> None:
        named = self.named
        with gr.Column(elem_id="voice-step", elem_classes="th-step"):
            show.step("voice", 2, "Voice")
            named["sound_from"] = gr.Radio(
                [SAMPLE, TEXT, FILE, MICROPHONE], value=SAMPLE, label="Where the speech comes from",
                elem_id="sound-from", elem_classes="th-segments", container=False, show_label=False,
            )  # fmt: skip
            self.sample = gr.HTML(
                show.sample_html(self.studio.page_file(self.studio.workshop.example_sound)),
                elem_id="sample", apply_default_css=False,
            )  # fmt: skip
            with gr.Column(visible=False, elem_id="text-group", elem_classes="th-options") as self.text_group:
                self._text()
            named["sound"] = drop_zone(
                "sound-drop", "Drop speech: a sound or a video", "MP3, WAV, M4A, Opus, FLAC, MP4, MOV and others",
                ACCEPTED, self.studio.options.max_upload_mb, visible=False,
            )  # fmt: skip
            self.taken = gr.HTML("", elem_id="sound-taken", visible=False, apply_default_css=False)
            named["recording"] = gr.Audio(
                sources=["microphone"], type="filepath", label="Record yourself", visible=False, elem_id="recording",
                buttons=[],
            )  # fmt: skip
            self.error = gr.HTML("", elem_id="voice-error", apply_default_css=False)

    def _text(self) -> None:
        named = self.named
        named["text"] = gr.Textbox(
            label="Text", lines=3, max_lines=12, placeholder="What shall be said?", elem_id="text"
        )
        codes = {code for engine in self.usable for code in engine.languages}
        with gr.Row():
            named["lang"] = gr.Dropdown(
                [("By its letters", "auto"), *(language_choices(codes) or [("English (en)", "en")])],
                value="auto",
                label="Language",
                min_width=130,
            )
            voices = [("Usual", "")] + [(name, name) for engine in self.usable for name in engine.variants]
            named["voice"] = gr.Dropdown(voices, value="", label="Voice", min_width=110)
        with gr.Row():
            ways = [("Automatic", "auto"), *((engine.summary, engine.name) for engine in self.usable)]
            named["engine"] = gr.Dropdown(ways, value="auto", label="Spoken by", min_width=150)
            named["speed"] = gr.Slider(0.5, 2.0, value=1.0, step=0.05, label="Pace", min_width=130, buttons=[])
        self.speak = gr.Button("Listen to it", size="sm", elem_id="speak", elem_classes="th-quiet")
        self.spoken = gr.Audio(label="Spoken", visible=False, interactive=False, elem_id="spoken", buttons=[])
        if self.missing is not None:
            gr.HTML(show.note_html("Text cannot be spoken yet.", self.missing.why_not), apply_default_css=False)

    @property
    def panes(self) -> list[Any]:
        """What belongs to each way, in the order of `shown`."""
        return [self.sample, self.text_group, self.named["sound"], self.taken, self.named["recording"]]

    def shown(self, way: str) -> list[Any]:
        """Show what belongs to a way, and an error no longer."""
        return [*(gr.update(visible=way == own) for own in (SAMPLE, TEXT, FILE, FILE, MICROPHONE)), ""]
