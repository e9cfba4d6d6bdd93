"""The HTTP API: the page's actions as named endpoints, for Gradio's client and anything that speaks HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from talkinghead.contracts import STAGES
from talkinghead.hosting.workshop import Order, said
from talkinghead.registry import DEFAULT_FAMILY
from talkinghead.service.preview import LAYERS, SHAPES
from talkinghead.webui.studio import Studio

T = TypeVar("T")


def add_endpoints(studio: Studio) -> None:
    """Add the endpoints to the Blocks that is being built. Their inputs and outputs are not on the page."""
    api = _Endpoints(studio)
    with gr.Column(visible=False):
        face = gr.File(label="face")
        sound = gr.File(label="sound")
        text = gr.Textbox("", label="text")
        lang, voice, engine = (
            gr.Textbox("auto", label="lang"),
            gr.Textbox("", label="voice"),
            gr.Textbox("auto", label="engine"),
        )
        speed = gr.Number(1.0, label="speed")
        model, checkpoint = gr.Textbox(DEFAULT_FAMILY, label="model"), gr.Textbox("", label="checkpoint")
        source = gr.Textbox("", label="source")
        options = gr.JSON({}, label="options")
        shape, at_s = gr.Textbox("X", label="shape"), gr.Number(0.0, label="at_s")
        layers, close_up = gr.JSON(list(LAYERS), label="layers"), gr.Checkbox(False, label="close_up")
        video, motion, cues = gr.File(label="video"), gr.File(label="motion"), gr.File(label="cues")
        report, found, said = gr.JSON(label="report"), gr.JSON(label="found"), gr.Textbox(label="sentence")
        picture, speech, stopped = gr.File(label="picture"), gr.File(label="speech"), gr.Number(label="stopped")
        run = gr.Button("API")
    spoken = [text, lang, voice, engine, speed]
    asked = [model, checkpoint, source, options]
    several: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden"}
    run.click(
        api.generate, [face, sound, *spoken, *asked], [video, motion, cues, report], api_name="generate", **several
    )
    run.click(
        api.preview, [face, shape, at_s, layers, close_up, *asked], [picture, said], api_name="preview", **several
    )
    run.click(api.speak, spoken, speech, api_name="speak", **several)
    run.click(api.models, None, found, api_name="models", **several)
    run.click(api.cancel, None, stopped, api_name="cancel", **several)


class _Endpoints:
    """One function per endpoint; errors arrive at the client as sentences."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def _tried(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except Exception as error:
            raise gr.Error(self.studio.sentence(error), print_exception=False) from error

    def generate(
        self,
        request: gr.Request,
        face: str | None = None,
        sound: str | None = None,
        text: str = "",
        lang: str = "auto",
        voice: str = "",
        engine: str = "auto",
        speed: float = 1.0,
        model: str = DEFAULT_FAMILY,
        checkpoint: str = "",
        source: str = "",
        options: dict[str, Any] | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - how gradio hands it over
    ) -> tuple[str, str | None, str, dict[str, Any]]:
        """Make a video.

        Args:
            face: picture or video of a face, where the model takes any.
            sound: speech as a file; or leave it out and give a text.
            source: instead of a face: the name of a gallery face, avatar, template or scene.
            options: {"model": {"strength": 1.2}, "video": {"loop": "hold"}}: the fields of the page's options.
        """
        key = request.session_hash

        def work() -> Any:
            spoken = Path(sound) if sound else said(text, lang, voice, engine, speed)
            order = Order(model, spoken, Path(face) if face else source, checkpoint or None, options or {})
            job = self.studio.start(key, order)
            for state in job.states():
                if not state.ended:
                    title = STAGES.get(state.stage, state.stage)
                    if state.phase == "waiting":
                        title = f"In line: position {state.position} of {state.waiting}"
                    progress(state.share, desc=title)
            return job.result()

        finished = self._tried(work)
        self.studio.keep(key, finished)
        motion = str(finished.motion) if finished.motion is not None else None
        return str(finished.video), motion, str(finished.cues), finished.report.to_dict()

    def preview(
        self,
        request: gr.Request,
        face: str | None = None,
        shape: str = "X",
        at_s: float = 0.0,
        layers: list[str] | None = None,
        close_up: bool = False,
        model: str = DEFAULT_FAMILY,
        checkpoint: str = "",
        source: str = "",
        options: dict[str, Any] | None = None,
    ) -> tuple[str, str]:
        """Show one frame with a mouth shape (X, A to H) and layers (box, landmarks, mask)."""
        key = request.session_hash

        def work() -> tuple[str, str]:
            order = Order(model, None, Path(face) if face else source, checkpoint or None, options or {})
            seen = self.studio.preview(key, order, shape=shape or SHAPES[0], at_s=at_s or 0.0)
            return str(self.studio.write_preview(key, seen, layers or [], close_up)), seen.sentence(layers or [])

        return self._tried(work)

    def speak(
        self,
        request: gr.Request,
        text: str = "",
        lang: str = "auto",
        voice: str = "",
        engine: str = "auto",
        speed: float = 1.0,
    ) -> str:
        """Speak a text into a WAV file."""
        key = request.session_hash

        def work() -> str:
            return str(self.studio.start_speech(key, said(text, lang, voice, engine, speed)).result())

        return self._tried(work)

    def models(self) -> list[dict[str, Any]]:
        """The models: what each takes, whether it is ready, how to get it, its sources and its options."""
        return self._tried(self.studio.workshop.described)

    def cancel(self, request: gr.Request) -> int:
        """Stop what this client has under way; gives the number of jobs."""
        return self._tried(lambda: self.studio.cancel(request.session_hash))
