"""The page: how its parts stand together, and which function of the studio each action calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from talkinghead.assets.portrait import portrait_path
from talkinghead.engine.manifest import Example, Manifest
from talkinghead.errors import Cancelled, OptionError
from talkinghead.hosting.workshop import PORTRAIT, Face, Finished
from talkinghead.registry import DEFAULT_FAMILY
from talkinghead.service.preview import LAYERS
from talkinghead.webui import show, stage
from talkinghead.webui.face_step import FaceStep, name_of
from talkinghead.webui.inputs import SAMPLE, TEXT, Inputs, path_of
from talkinghead.webui.intake import face_of, taken_html, voice_of
from talkinghead.webui.look_panel import LookPanel, shape_words
from talkinghead.webui.model_step import ModelStep
from talkinghead.webui.studio import Studio
from talkinghead.webui.voice_step import SAMPLE_TEXT, VoiceStep
from talkinghead.webui.widgets import address

TITLE = "talkinghead"
HERO = "olive"
"""The portrait that speaks in the first view (`scripts/make_page_pictures.py`)."""
FACES_IN_VIEW = 6


def build_page(studio: Studio, *, model: str = DEFAULT_FAMILY) -> Any:
    """The page as a Gradio Blocks object, with the HTTP API beside it.

    Args:
        model: the one that is chosen at first.
    """
    from talkinghead.webui.endpoints import add_endpoints

    page = _Page(studio, model)
    with gr.Blocks(
        title=TITLE,
        analytics_enabled=False,
        delete_cache=(600, round(3600 * studio.options.keep_hours)),
        fill_width=True,
    ) as blocks:
        add_endpoints(studio)  # first, so that their names are theirs
        page.build()
        blocks.load(
            page.refresh, page.inputs.named["model"], page.changing, show_progress="hidden", api_visibility="private"
        )
        blocks.load(None, js="() => talkinghead.start()")
        blocks.unload(lambda: None)  # only for that do pages and clients keep a connection open (see `Guard`)
    blocks.queue(default_concurrency_limit=None, max_size=None)
    return blocks


class _Page:
    """Builds the page and handles its actions."""

    def __init__(self, studio: Studio, model: str) -> None:
        self.studio = studio
        self.first_model = model
        self.inputs = Inputs(studio.workshop.example_sound)
        self.face = FaceStep(studio, self.inputs)
        self.voice = VoiceStep(studio, self.inputs)
        self.model = ModelStep(studio, self.inputs, model)
        self.look = LookPanel()

    # What is on it

    def build(self) -> None:
        gr.HTML(
            f'<header class="th-head"><h1>{TITLE}</h1><p>Any face, any voice, one click. '
            "Everything stays on the machine that serves this page.</p></header>",
            apply_default_css=False,
        )
        with gr.Row(equal_height=False, elem_id="work"):
            with gr.Column(elem_id="left", min_width=0):
                self._result()
            with gr.Column(elem_id="right", min_width=0):
                self.face.build(visible=self.model.takes_any_face(self.first_model))
                self.voice.build()
                self.model.build()
                self.look.build()
                with gr.Row(elem_id="go-row"):
                    self.go = gr.Button("Generate", variant="primary", size="lg", elem_id="go")
                    self.stop = gr.Button("Cancel", variant="stop", size="lg", elem_id="stop", visible=False)
        self._connect()

    def _result(self) -> None:
        hero = Path(str(files("talkinghead.assets") / "hero.mp4"))
        poster = self.studio.page_file(portrait_path(HERO))
        self.stage = gr.HTML(
            stage.hero_html(address(self.studio.page_file(hero)), address(poster)),
            elem_id="stage", apply_default_css=False,
        )  # fmt: skip
        self.status = gr.HTML("", elem_id="status", apply_default_css=False)
        self.downloads = gr.HTML("", elem_id="downloads", apply_default_css=False)
        with gr.Column(elem_id="try", visible=self.model.takes_any_face(self.first_model)) as self.first_view:
            gr.HTML('<h2 class="th-heading">Try it: one click, and they speak</h2>', apply_default_css=False)
            with gr.Row(elem_id="try-faces"):
                self.tries = [(self._try_button(face), face.title) for face in self.face.faces[:FACES_IN_VIEW]]
        self.details = gr.HTML("", elem_id="details", apply_default_css=False)
        self.history = gr.HTML(
            "", elem_id="history", js_on_load="talkinghead.actions(element, trigger)", apply_default_css=False
        )
        with gr.Row(elem_id="examples"):
            gr.HTML('<span class="th-words">Fill in an example:</span>', apply_default_css=False)
            self.examples = [(_example_button(row), facts.name, row) for facts, row in self.offered_examples()]

    def _try_button(self, face: Face) -> Any:
        return gr.Button(name_of(face), icon=self.face.thumbnail(face), elem_classes="th-try", min_width=0)

    def offered_examples(self) -> list[tuple[Manifest, Example]]:
        """Those that give a result here: of models that can run, and with a text where something can read it aloud."""
        voices = bool(self.voice.usable)
        return [
            (found.facts, row)
            for found in self.model.found.values()
            for row in found.facts.examples
            if found.ready and (voices or not row.text)
        ]

    # What is connected to what

    def _connect(self) -> None:
        named = self.inputs.named
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        # Of what takes files, or all inputs: gradio would open the files itself; what may be given is checked here.
        raw: dict[str, Any] = {**quiet, "preprocess": False}
        self.cleared = [self.stage, self.status, self.downloads, self.details, self.first_view]
        self.changing = [*self.model.changing, self.face.group]
        self._connect_face(quiet, raw)
        named["sound_from"].change(
            self.voice.shown, named["sound_from"], [*self.voice.panes, self.voice.error], **quiet
        )
        heard = [self.voice.error, self.voice.taken]
        named["sound"].upload(self.sound_came, named["sound"], heard, **raw)
        named["recording"].change(self.recording_came, named["recording"], heard, **raw)
        named["sound"].clear(lambda: ["", ""], None, heard, **quiet)
        self.voice.speak.click(
            self.listen,
            [named[name] for name in ("text", "lang", "voice", "engine", "speed")],
            [self.voice.spoken, self.voice.error],
            **quiet,
        )
        named["model"].select(self.refresh, named["model"], self.changing, **quiet).then(
            self.show_face, self.inputs.components, self.cleared, **raw
        )
        self._connect_making(quiet, raw)
        self._connect_look(raw)

    def _connect_face(self, quiet: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
        named, face = self.inputs.named, self.face
        seen = [face.error, named["portrait"], *self.cleared]
        face.use_photo.click(lambda: [gr.update(visible=True), gr.update(visible=False, value=None)], None,
                             [named["photo"], named["film"]], **quiet)  # fmt: skip
        face.use_film.click(lambda: [gr.update(visible=True), gr.update(visible=False, value=None)], None,
                            [named["film"], named["photo"]], **quiet)  # fmt: skip
        named["portrait"].select(
            lambda: ["", gr.update(value="")] + 2 * [gr.update(value=None, visible=False)],
            None, [face.error, *face.extra], **quiet,
        ).then(self.show_face, self.inputs.components, self.cleared, **raw)  # fmt: skip
        came = [*seen, *face.extra]
        named["face"].upload(self.file_came, self.inputs.components, came, **raw)
        named["photo"].input(self.photo_came, self.inputs.components, came, **raw)
        named["film"].change(self.film_came, self.inputs.components, came, **raw)
        named["face"].clear(self.face_gone, None, [face.error, named["portrait"]], **quiet).then(
            self.show_face, self.inputs.components, self.cleared, **raw
        )

    def _connect_making(self, quiet: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
        named = self.inputs.named
        self.results = [
            *self.cleared, self.history, self.go, self.stop, self.face.error, self.voice.error,
        ]  # fmt: skip
        making: dict[str, Any] = {"concurrency_limit": None, "trigger_mode": "once", **raw}
        self.go.click(self.generate, self.inputs.components, self.results, js=GO, **making)
        filled = [
            named["model"], named["sound_from"], named["text"], named["portrait"], *self.face.extra, self.face.error
        ]  # fmt: skip
        for button, title in self.tries:
            button.click(
                partial(self.example, DEFAULT_FAMILY, None, title), named["text"], filled, js=HOLD, **quiet
            ).then(self.generate, self.inputs.components, self.results, js=GO, **making)
        for button, model, row in self.examples:
            fill = partial(self.example, model, SAMPLE_TEXT if row.text else None, None)
            button.click(fill, named["text"], filled, js=HOLD, **quiet).then(
                self.refresh, named["model"], self.changing, **quiet
            ).then(self.show_face, self.inputs.components, self.cleared, js=RELEASE, **raw)
        self.stop.click(self.cancel, None, self.stop, **quiet)
        self.history.select(self.show_again, None, self.results, **quiet)
        self.history.delete(self.delete, None, self.results, **quiet)

    def _connect_look(self, raw: Mapping[str, Any]) -> None:
        look = self.look
        seen = [look.status, look.picture]
        asked = [look.shape, look.layers, look.close_up, look.at_s, *self.inputs.components]
        look.button.click(self.preview, asked, seen, concurrency_limit=None, **raw)
        for component in (look.shape, look.layers, look.close_up):
            component.change(
                self.preview_again, [look.picture, *asked], seen, concurrency_limit=None, trigger_mode="always_last",
                **raw,
            )  # fmt: skip

    # Choosing

    def refresh(self, model: str) -> list[Any]:
        """Look again what is installed, and show what belongs to the model."""
        return [*self.model.shown(model), gr.update(visible=self.model.takes_any_face(model))]

    def example(self, model: str, text: str | None, face: str | None, _: Any) -> list[Any]:
        """Fill the page so that Generate gives a result at once."""
        faces = self.studio.workshop.faces
        return [
            model, TEXT if text is not None else SAMPLE, text or gr.update(),
            face or (faces[0].title if faces else ""), *self._no_face_sent(), "",
        ]  # fmt: skip

    @staticmethod
    def _no_face_sent() -> list[Any]:
        return ["", gr.update(value=None, visible=False), gr.update(value=None, visible=False)]

    def file_came(self, request: gr.Request, *values: Any) -> list[Any]:
        return self._face_came("face", request, values)

    def photo_came(self, request: gr.Request, *values: Any) -> list[Any]:
        return self._face_came("photo", request, values)

    def film_came(self, request: gr.Request, *values: Any) -> list[Any]:
        return self._face_came("film", request, values)

    def _face_came(self, name: str, request: gr.Request, values: tuple[Any, ...]) -> list[Any]:
        """A file, a photo or a film: check it, and show it where all is well."""
        given = self.inputs.given(values)
        path = path_of(given[name])
        same = [gr.skip()] * len(self.cleared)
        if path is None:
            return [gr.skip(), gr.skip(), *same, gr.skip(), gr.skip(), gr.skip()]
        try:
            taken = face_of(self.studio, request.session_hash, path)
        except Exception as error:  # noqa: BLE001 (see `_error`)
            return [self._error(error), gr.skip(), *same, *("" if name == "face" else gr.skip(), gr.skip(), gr.skip())]
        others = {"face": "", "photo": None, "film": None}
        shown = self.show_face(request, *self._with(values, portrait="", **{**others, name: given[name]}))
        notes = "".join(show.note_html(note) for note in taken.notes)
        return [notes, gr.update(value=""), *shown, *(gr.skip() if own == name else others[own] for own in others)]

    def _with(self, values: tuple[Any, ...], **changed: Any) -> list[Any]:
        return [changed.get(name, value) for name, value in zip(self.inputs.named, values, strict=False)] + list(
            values[len(self.inputs.named) :]
        )

    def face_gone(self) -> list[Any]:
        faces = self.studio.workshop.faces
        return ["", faces[0].title if faces else ""]

    def show_face(self, request: gr.Request, *values: Any) -> list[Any]:
        """The face that is chosen, on the stage; what was made before goes."""
        return [self._still(request.session_hash, values), "", "", "", gr.update(visible=False)]

    def _still(self, key: str | None, values: Any, *, working: bool = False) -> str:
        """The face that is chosen, or the model's picture where it takes none."""
        try:
            source = self.inputs.order(values, needs_sound=False).source
            if isinstance(source, Path):
                picture = self.studio.still(key, source)
                return stage.still_html(address(picture), "Your face", working=working)
            face = next((face for face in self.studio.workshop.faces if face.title == source), None)
            if face is not None:
                picture = self.face.thumbnail(face)
                return stage.still_html(address(picture), name_of(face), working=working)
        except Exception:  # noqa: BLE001 - what is wrong with it, the check or the job says
            return stage.still_html("", "", working=working)
        model = str(self.inputs.given(values)["model"])
        of_model = self.model.picture(model, "-still")
        small = address(of_model) if of_model else ""
        return stage.still_html(small, "An example of the model", working=working, small=True)

    def recording_came(self, request: gr.Request, value: Any) -> list[Any]:
        return [self.sound_came(request, value)[0], ""]  # the recorder plays it itself

    def sound_came(self, request: gr.Request, value: Any) -> list[Any]:
        """A sound, or a video with one: check it, and let it be heard."""
        path = path_of(value)
        if path is None:
            return ["", ""]
        try:
            taken = voice_of(self.studio, request.session_hash, path)
        except Exception as error:  # noqa: BLE001 (see `_error`)
            return [self._error(error), ""]
        return ["", taken_html(taken)]

    def _error(self, error: BaseException) -> str:
        """Any error of a handler as HTML: a visitor reads a sentence."""
        return show.error_html(self.studio.sentence(error))

    def listen(self, text: str, lang: str, voice: str, engine: str, speed: float, request: gr.Request) -> list[Any]:
        from talkinghead.hosting.workshop import said

        try:
            asked = said(text or "", lang, voice, engine, float(speed))
            path = self.studio.start_speech(request.session_hash, asked).result()
        except Exception as error:  # noqa: BLE001 (see `_error`)
            return [gr.update(visible=False), self._error(error)]
        return [gr.update(value=str(path), visible=True), ""]

    # Making

    def generate(self, request: gr.Request, *values: Any) -> Iterator[dict[Any, Any]]:
        """Make the video, telling how far it is."""
        key = request.session_hash
        idle = {self.go: gr.update(visible=True), self.stop: gr.update(visible=False, value="Cancel")}
        yield {
            self.stage: self._still(key, values, working=True), self.status: show.beginning_html(),
            self.downloads: "", self.details: "", self.first_view: gr.update(visible=False),
            self.face.error: "", self.voice.error: "", self.history: self._history(key, None),
            self.go: gr.update(visible=False),
            self.stop: gr.update(visible=True, interactive=True, value="Cancel"),
        }  # fmt: skip
        try:
            job = self.studio.start(key, self.inputs.order(values))
            for state in job.states():
                yield {self.status: show.progress_html(state)}
            finished = job.result()
            self.studio.keep(key, finished)
            done = show.done_html(finished.report, job.state().elapsed_s)
            yield {**self._shown(key, finished), self.status: done, **idle}
        except Cancelled:
            note = show.note_html("Cancelled.", "Nothing was kept.")
            yield {self.stage: self._still(key, values), self.status: note, **idle}
        except Exception as error:  # noqa: BLE001 (see `_error`)
            yield {self.stage: self._still(key, values), self.status: self._error(error), **idle}

    def cancel(self, request: gr.Request) -> Any:
        self.studio.cancel(request.session_hash)
        return gr.update(interactive=False, value="Stopping ...")

    def show_again(self, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """A result of the history."""
        videos = self.studio.history(request.session_hash)
        index = _index(event, len(videos))
        if index is None:
            return {self.status: gr.skip()}
        shown = self._shown(request.session_hash, videos[index])
        return {**shown, self.status: show.plain_html(videos[index].title)}

    def delete(self, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Remove a result; the stage is left where another one is on it."""
        key = request.session_hash
        videos = self.studio.history(key)
        index = _index(event, len(videos))
        if index is None:
            return {self.status: gr.skip()}
        with suppress(OptionError):  # deleted already
            self.studio.delete(key, videos[index].number)
        left = self.studio.history(key)
        if left:
            return {**self._shown(key, left[0]), self.status: show.plain_html(left[0].title)}
        return {
            self.stage: stage.still_html("", ""), self.status: "", self.downloads: "", self.details: "",
            self.history: "",
        }  # fmt: skip

    def _shown(self, key: str | None, finished: Finished) -> dict[Any, Any]:
        made = self._made(finished)
        return {
            self.stage: stage.result_html(made),
            self.downloads: stage.downloads_html(made),
            self.details: show.report_html(self.studio.worded(finished.report)),
            self.history: self._history(key, finished.number),
            self.first_view: gr.update(visible=False),
        }

    def _history(self, key: str | None, current: int | None) -> str:
        return stage.history_html([self._made(item) for item in self.studio.history(key)], current)

    @staticmethod
    def _made(finished: Finished) -> stage.Made:
        files = (
            ("video", "Download", finished.video), ("motion", "Motion", finished.motion),
            ("cues", "Mouth cues", finished.cues), ("report", "Report", finished.report_file),
        )  # fmt: skip
        source = finished.source
        return stage.Made(
            finished.number, finished.title, address(finished.video), address(finished.poster),
            address(source) if source is not None else "", source is not None and _is_picture(source),
            tuple((name, label, address(path)) for name, label, path in files if path is not None),
        )  # fmt: skip

    # Looking

    def preview(
        self, request: gr.Request, shape: str, layers: Any, close_up: bool, at_s: float | None, *values: Any
    ) -> Iterator[list[Any]]:
        key = request.session_hash
        yield [show.plain_html("Looking at the face ..."), gr.skip()]
        try:
            order = self.inputs.order(values, needs_sound=False)
            job = self.studio.start_preview(key, order, shape=str(shape), at_s=float(at_s or 0))
            for state in job.states():
                if state.phase == "waiting":
                    yield [show.progress_html(state), gr.skip()]
            seen = job.result()
            path = self.studio.write_preview(key, seen, [name for name in LAYERS if name in layers], close_up)
        except Exception as error:  # noqa: BLE001 (see `_error`)
            yield [self._error(error), ""]
            return
        title = f"Mouth shape: {shape_words(shape)}"
        picture = f'<img src="{address(path)}" alt="{title}">'
        yield [show.plain_html(title, seen.sentence(layers)), picture]

    def preview_again(self, request: gr.Request, picture: Any, *values: Any) -> Iterator[list[Any]]:
        """The preview with other settings, where there is one already."""
        if picture:
            yield from self.preview(request, *values)


GO = "(...values) => { talkinghead.making(); return values; }"
HOLD = "(...values) => { talkinghead.hold(); return values; }"
RELEASE = "(...values) => { talkinghead.release(); return values; }"
"""While an example is being filled in, Generate waits: pressed at once, it would send the inputs of before."""


def _example_button(row: Example) -> Any:
    label = row.label[:1].upper() + row.label[1:]
    return gr.Button(label, size="sm", elem_id=f"example-{row.name}", min_width=0)


def _index(event: gr.EventData, count: int) -> int | None:
    """Which entry of the history was meant; None where there is none such any more."""
    index = getattr(event, "index", None)
    return index if isinstance(index, int) and 0 <= index < count else None


def _is_picture(path: Path) -> bool:
    from talkinghead.media.headers import picture_format

    return picture_format(path) is not None


__all__ = ["PORTRAIT", "build_page"]
