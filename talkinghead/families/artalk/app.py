"""The published program's web page: sound or text, an appearance and a style in; a video and its motion out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from talkinghead.errors import MissingDependency, TalkingHeadError
from talkinghead.families.artalk.pipeline import MESH
from talkinghead.families.artalk.published import ARTAvatarInferEngine, run

TITLE = "ARTalk: Speech-Driven 3D Head Animation via Autoregressive Model"
DEFAULT_STYLE = "natural_0"
PORT = 8960


def launch(*, assets: Path | None = None, device: str = "auto", host: str = "127.0.0.1", port: int = PORT) -> None:
    """Open the page and serve it until it is stopped.

    Raises:
        MissingDependency: gradio is not installed.
    """
    build_page(assets=assets, device=device).launch(server_name=host, server_port=port)


def build_page(*, assets: Path | None = None, device: str = "auto") -> Any:
    """The page as a Gradio Blocks object."""
    try:
        import gradio as gr
    except ImportError as error:
        raise MissingDependency("gradio", extra="web", purpose="The web page") from error

    folder = Path(tempfile.mkdtemp(prefix="talkinghead-artalk-"))  # of this page's results, for as long as it is served
    engine = ARTAvatarInferEngine(device=device, assets=assets, driver="auto", output_folder=folder)
    styles = ["default", *engine.head.assets.styles]
    avatars = [MESH, *_avatars(engine)]

    def generate(audio: str | None, avatar: str, style: str) -> tuple[str | None, str | None]:
        if not audio:
            gr.Warning("Please give a sound.")
            return None, None
        try:
            result = run(engine, audio, shape_id=avatar, style_id=style)
        except TalkingHeadError as error:
            raise gr.Error(str(error)) from error
        for note in result.notes:
            gr.Info(note)
        return str(result.video), str(result.motions)

    with gr.Blocks(title=TITLE) as page:
        gr.Markdown(f"# {TITLE}")
        with gr.Row():
            with gr.Column():
                gr.Markdown("Input audio")
                audio = gr.Audio(type="filepath", label="Speech")
            with gr.Column():
                gr.Markdown("Avatar control")
                avatar = gr.Dropdown(avatars, value=MESH, label="Appearance")
                style = gr.Dropdown(
                    styles, value=DEFAULT_STYLE if DEFAULT_STYLE in styles else "default", label="Speaking style"
                )
            with gr.Column():
                gr.Markdown("Generated video")
                video = gr.Video(autoplay=True, label="Video")
                motion = gr.File(label="Motion sequence")
        gr.Button("Generate", variant="primary").click(generate, [audio, avatar, style], [video, motion])
    return page


def _avatars(engine: ARTAvatarInferEngine) -> list[str]:
    tracked = engine.head.assets.find("tracked_avatars")
    if tracked is None or engine.head.assets.find("gagavatar_model") is None:
        return []
    from talkinghead.families.artalk.weights import read_tracked

    return sorted(read_tracked(tracked))
