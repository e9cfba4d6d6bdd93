"""One frame before a long job: the face that is found, what will move, and every mouth shape."""

from __future__ import annotations

from typing import Any

import gradio as gr

from talkinghead.service.preview import SHAPES

SHAPE_WORDS = {
    "X": "At rest", "A": "Closed (p, b, m)", "B": "Teeth together (s, t, ee)", "C": "Open (eh)", "D": "Wide open (ah)",
    "E": "Half rounded (aw)", "F": "Puckered (oo, w)", "G": "Teeth on lip (f, v)", "H": "Tongue up (l)",
}  # fmt: skip


class LookPanel:
    """Builds it; the page says what happens."""

    shape: Any
    layers: Any
    close_up: Any
    at_s: Any
    button: Any
    status: Any
    picture: Any

    def build(self) -> None:
        with gr.Accordion("Look at one frame first", open=False, elem_id="look-panel"):
            gr.HTML(
                '<p class="th-words">See the face that is found, what will move, and each shape of the mouth, before '
                "a long video.</p>",
                apply_default_css=False,
            )
            self.shape = gr.Radio(
                [(SHAPE_WORDS[shape], shape) for shape in SHAPES], value=SHAPES[0], label="Mouth shape",
                elem_id="shape", elem_classes="th-chips", container=False,
            )  # fmt: skip
            self.layers = gr.CheckboxGroup(
                [("Face box", "box"), ("Landmarks", "landmarks"), ("What will move", "mask")],
                value=["box", "landmarks"],
                label="Show",
                elem_id="layers",
                elem_classes="th-chips",
                container=False,
            )
            with gr.Row(elem_classes="th-options"):
                self.close_up = gr.Checkbox(True, label="Close-up", elem_id="close-up", min_width=100)
                self.at_s = gr.Number(0, label="Seconds into the film", minimum=0, min_width=100)
            self.button = gr.Button("Look", elem_id="look", elem_classes="th-button")
            self.status = gr.HTML("", elem_id="preview-status", apply_default_css=False)
            self.picture = gr.HTML("", elem_id="preview-picture", apply_default_css=False)


def shape_words(shape: str) -> str:
    """A mouth shape in the words of the panel."""
    return SHAPE_WORDS.get(shape, shape)
