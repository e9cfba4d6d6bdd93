"""The page: what is on it, and which function of the studio each action calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from talkinghead.engine.manifest import Example, Manifest
from talkinghead.errors import Cancelled, OptionError
from talkinghead.hosting.fields import FieldGroup, Offered
from talkinghead.hosting.workshop import PORTRAIT, Finished, Order, said
from talkinghead.registry import DEFAULT_FAMILY, FAMILIES, family
from talkinghead.service.availability import Availability
from talkinghead.service.preview import LAYERS, SHAPES
from talkinghead.service.request import SpokenText
from talkinghead.webui import show
from talkinghead.webui.languages import language_choices
from talkinghead.webui.studio import Studio

TITLE = "talkinghead"
UPLOAD, MICROPHONE, TEXT = "Upload", "Microphone", "Text"
PICTURE, VIDEO, GALLERY = "Picture", "Video", "Gallery"
SHAPE_NAMES = {
    "X": "at rest", "A": "closed: p b m", "B": "teeth together: s t ee", "C": "open: eh", "D": "wide open: ah",
    "E": "half rounded: aw", "F": "puckered: oo w", "G": "lip on teeth: f v", "H": "tongue up: l",
}  # fmt: skip
SAMPLE_TEXT = "Hello! I am a picture, and now I can speak. What would you like me to say?"
EMPTY = '<div class="th-empty">Your video appears here.</div>'
SHORTCUT = """() => { document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    const button = document.querySelector('#go'); if (button && !button.disabled) button.click(); } }); }"""
RELEASE_GO = """() => { const button = document.querySelector('#go');
  if (button.dataset.held) { button.disabled = false; delete button.dataset.held; } }"""
HOLD_GO = f"""() => {{ const button = document.querySelector('#go');
  if (!button.disabled) {{ button.disabled = true; button.dataset.held = 'yes'; setTimeout({RELEASE_GO}, 5000); }} }}"""
"""While an example is being filled in, Generate waits: pressed at once, it would send the inputs of before."""
PLAY_BOTH = """() => { document.querySelectorAll('#compare video').forEach((video, index) => {
  video.muted = index > 0 || document.querySelectorAll('#compare video').length > 1 && index === 0;
  video.currentTime = 0; video.loop = index === 0; });
  const all = document.querySelectorAll('#compare video'); if (all.length) all[all.length - 1].muted = false;
  all.forEach((video) => video.play()); }"""


@dataclass
class Slot:
    """An option on the page and where its value goes."""

    model: str | None
    """None for options of every model."""
    group: str
    offered: Offered
    component: Any


@dataclass
class Inputs:
    """The page's inputs, in the order in which handlers receive them."""

    named: dict[str, Any] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)

    @property
    def components(self) -> list[Any]:
        return [*self.named.values(), *(slot.component for slot in self.slots)]

    def order(self, values: Sequence[Any], *, needs_sound: bool = True) -> Order:
        """What is asked for, from the values of `components`.

        Raises:
            OptionError: something is missing.
        """
        given = dict(zip(self.named, values, strict=False))
        model = str(given["model"])
        options: dict[str, dict[str, Any]] = {}
        for slot, value in zip(self.slots, values[len(self.named) :], strict=True):
            if slot.model in (None, model):
                options.setdefault(slot.group, {})[slot.offered.field.name] = value
        if family(model).kind == "scene":
            options = {key: value for key, value in options.items() if key not in ("reading", "finding")}
        return Order(
            model=model,
            sound=_sound(given) if needs_sound else None,
            source=_source(given),
            checkpoint=given["checkpoint"] or None,
            options=options,
        )


def _sound(given: Mapping[str, Any]) -> Path | SpokenText:
    if given["sound_from"] == TEXT:
        return said(
            str(given["text"] or ""),
            str(given["lang"] or "auto"),
            given["voice"] or None,
            str(given["engine"] or "auto"),
            _number(given["speed"], 1.0),
        )
    path = _path(given["recording"] if given["sound_from"] == MICROPHONE else given["sound"])
    if path is None:
        raise OptionError(
            "There is no speech yet.", accepted="a sound file, a recording, or a text", remedy="an example above"
        )
    return path


def _number(value: Any, usual: float) -> float:
    return float(value) if isinstance(value, int | float) else usual


def _path(value: Any) -> Path | None:
    """The file of an input as it came; None where there is none."""
    if isinstance(value, Mapping) and isinstance(value.get("video"), Mapping):
        value = value["video"]
    path = value.get("path") if isinstance(value, Mapping) else None
    return Path(path) if isinstance(path, str) and path else None


def _source(given: Mapping[str, Any]) -> Path | str:
    facts = family(str(given["model"]))
    if facts.source_marks or not facts.source_is_path:
        return str(given["source"] or "")
    chosen: Path | str | None
    if given["face_from"] == GALLERY:
        chosen = str(given["gallery"] or "")
    else:
        chosen = _path(given["video"] if given["face_from"] == VIDEO else given["picture"])
    if not chosen:
        raise OptionError(
            "There is no face yet.", accepted="a picture or a video of a face", remedy="the portrait in the gallery"
        )
    return chosen


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
            page.refresh, page.inputs.named["model"], page.refreshed, show_progress="hidden", api_visibility="private"
        )
        blocks.load(None, js=SHORTCUT)
        blocks.unload(lambda: None)  # only for that do pages and clients keep a connection open (see `Guard`)
    blocks.queue(default_concurrency_limit=None, max_size=None)
    return blocks


class _Page:
    """Builds the page and handles its actions."""

    def __init__(self, studio: Studio, model: str) -> None:
        self.studio = studio
        self.found = {found.facts.name: found for found in studio.workshop.models()}
        self.model = model
        self.inputs = Inputs()
        self.folds: list[tuple[str | None, str, Any]] = []
        """Folded groups of options: model (None: of every one), key, component."""

    # What is on it

    def build(self) -> None:
        gr.HTML(
            f'<div class="th-head"><h1>{TITLE}</h1><p>Turn speech and a face into a talking-head video. '
            "Everything stays on the machine that serves this page.</p></div>"
        )
        with gr.Row(elem_id="examples"):
            self.examples = [
                (gr.Button(f"Example: {row.label}", size="sm", elem_id=f"example-{row.name}"), facts.name, row)
                for facts, row in self.offered_examples()
            ]
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=320):
                self._voice()
            with gr.Column(scale=3, min_width=320):
                self._face()
            with gr.Column(scale=4, min_width=340):
                self._result()
        self._connect()

    def offered_examples(self) -> list[tuple[Manifest, Example]]:
        """Those that give a result here: of models that can run, and with a text where something can read it aloud."""
        voices = any(engine.usable for engine in self.studio.workshop.engines() if engine.name != "piper")
        return [
            (found.facts, row)
            for found in self.found.values()
            for row in found.facts.examples
            if found.ready and (voices or not row.text)
        ]

    def _step(self, number: int, title: str) -> None:
        gr.HTML(f'<h2 class="th-step"><span aria-hidden="true">{number}</span>{title}</h2>')

    def _voice(self) -> None:
        named = self.inputs.named
        self._step(1, "Voice")
        named["sound_from"] = gr.Radio(
            [UPLOAD, MICROPHONE, TEXT], value=UPLOAD, label="Where the speech comes from", elem_id="sound-from"
        )
        named["sound"] = gr.Audio(
            sources=["upload"], type="filepath", label="Speech (a sound or video file)", elem_id="sound", buttons=[]
        )
        named["recording"] = gr.Audio(
            sources=["microphone"],
            type="filepath",
            label="Record yourself",
            visible=False,
            elem_id="recording",
            buttons=[],
        )
        engines = self.studio.workshop.engines()
        usable = [engine for engine in engines if engine.usable and engine.name != "piper"]
        with gr.Column(visible=False, elem_id="text-group") as self.text_group:
            named["text"] = gr.Textbox(
                label="Text", lines=4, max_lines=12, placeholder="What shall be said?", elem_id="text"
            )
            codes = {code for engine in usable for code in engine.languages}
            with gr.Row():
                named["lang"] = gr.Dropdown(
                    [("By its letters", "auto"), *(language_choices(codes) or [("English (en)", "en")])],
                    value="auto",
                    label="Language",
                    min_width=130,
                )
                voices = [("Usual", "")] + [(name, name) for engine in usable for name in engine.variants]
                named["voice"] = gr.Dropdown(voices, value="", label="Voice", min_width=110)
            with gr.Row():
                ways = [("Automatic", "auto"), *((engine.summary, engine.name) for engine in usable)]
                named["engine"] = gr.Dropdown(ways, value="auto", label="Spoken by", min_width=150)
                named["speed"] = gr.Slider(0.5, 2.0, value=1.0, step=0.05, label="Pace", min_width=130)
            self.speak = gr.Button("Listen to it", size="sm", elem_id="speak")
            self.spoken = gr.Audio(label="Spoken", visible=False, interactive=False, elem_id="spoken", buttons=[])
            missing = next((engine for engine in engines if engine.name == "espeak" and not engine.usable), None)
            if missing is not None:
                gr.HTML(show.note_html("Text cannot be spoken yet.", missing.why_not))
        self.voice_error = gr.HTML("", elem_id="voice-error")

    def _face(self) -> None:
        named = self.inputs.named
        found = self.found[self.model]
        any_face = _takes_any_face(found)
        self._step(2, "Face")
        named["model"] = gr.Dropdown(self._model_choices(), value=self.model, label="Model", elem_id="model")
        self.model_note = gr.HTML(show.model_html(found), elem_id="model-note")
        named["checkpoint"] = gr.Dropdown(
            [("The first that is installed", ""), *((name, name) for name in found.checkpoints)],
            value="",
            label="Model file",
            visible=len(found.checkpoints) > 1,
        )
        with gr.Column(visible=any_face) as self.face_group:
            named["face_from"] = gr.Radio(
                [PICTURE, VIDEO, GALLERY],
                value=GALLERY if self.studio.workshop.faces else PICTURE,
                label="Where the face comes from",
                elem_id="face-from",
            )
            first = named["face_from"].value
            named["picture"] = gr.Image(
                sources=["upload", "webcam", "clipboard"],
                type="filepath",
                image_mode=None,  # the file as it arrived
                label="Picture (upload, webcam or paste)",
                height=280,
                visible=first == PICTURE,
                elem_id="picture",
                buttons=[],
            )
            named["video"] = gr.Video(
                sources=["upload", "webcam"],
                label="Video (upload or webcam)",
                height=280,
                visible=False,
                elem_id="face-video",
                buttons=[],
            )
            self.gallery = gr.Gallery(
                [(str(face.thumbnail), face.title) for face in self.studio.workshop.faces],
                label="Gallery",
                columns=3,
                fit_columns=False,
                object_fit="cover",
                show_label=False,
                allow_preview=False,
                selected_index=0 if self.studio.workshop.faces else None,
                visible=first == GALLERY,
                interactive=False,
                elem_id="gallery",
                buttons=[],
            )
            # Carries the name of the chosen face. The style sheet hides it: `visible="hidden"` shows a text box, and
            # without a column of its own a frame would be drawn around it.
            with gr.Column(elem_id="chosen-face"):
                named["gallery"] = gr.Textbox(
                    self.studio.workshop.faces[0].title if self.studio.workshop.faces else "", elem_id="gallery-face"
                )
        sources = self.studio.workshop.sources(found)
        named["source"] = gr.Dropdown(
            list(sources),
            value=sources[0] if sources else None,
            label=_source_label(found),
            visible=not any_face,
            elem_id="source",
        )
        self._promoted()
        with gr.Accordion("Options", open=False, elem_id="options"):
            self._options()
        self.face_error = gr.HTML("", elem_id="face-error")

    def _promoted(self) -> None:
        """Options whose values are names that exist now, such as speaking styles: beside the face, not folded."""
        for name, found in self.found.items():
            group = self.studio.workshop.groups(found)[0]
            for offered in group.offered:
                if offered.field.name in found.choices:
                    self._slot(name, group.key, offered, visible=name == self.model)

    def _options(self) -> None:
        for name, found in self.found.items():
            group = self.studio.workshop.groups(found)[0]
            rest = [offered for offered in group.offered if offered.field.name not in found.choices]
            if rest:
                with gr.Column(visible=name == self.model) as column:
                    for offered in rest:
                        self._slot(name, group.key, offered)
                self.folds.append((name, group.key, column))
        shared = self.studio.workshop.groups(next(iter(self.found.values())))[1:]
        for group in shared:
            with gr.Accordion(group.title, open=False, visible=self._applies(group, self.model)) as fold:
                for offered in group.offered:
                    self._slot(None, group.key, offered)
            self.folds.append((None, group.key, fold))

    def _applies(self, group: FieldGroup | str, model: str) -> bool:
        key = group if isinstance(group, str) else group.key
        return not (key in ("reading", "finding") and FAMILIES[model].kind == "scene")

    def _slot(self, model: str | None, group: str, offered: Offered, *, visible: bool = True) -> None:
        item = offered.field
        info = f"{item.help} {item.range[:1].upper()}{item.range[1:]}." if item.range else item.help
        common: dict[str, Any] = {"label": offered.label, "info": info, "visible": visible}
        if offered.kind == "switch":
            component = gr.Checkbox(value=offered.shown_default, **common)
        elif offered.kind == "choice":
            names = list(offered.names)
            value = offered.shown_default if offered.shown_default in names else names[0]
            component = gr.Dropdown(names, value=value, **common)
        elif offered.kind == "number":
            component = gr.Number(value=offered.shown_default, precision=0 if item.type is int else None, **common)
        else:
            component = gr.Textbox(value=offered.shown_default or "", placeholder=item.spelling, **common)
        self.inputs.slots.append(Slot(model, group, offered, component))

    def _result(self) -> None:
        self._step(3, "Video")
        with gr.Row():
            self.go = gr.Button("Generate", variant="primary", size="lg", elem_id="go", scale=3)
            self.stop = gr.Button("Cancel", variant="stop", size="lg", elem_id="stop", scale=1, interactive=False)
        self.status = gr.HTML("", elem_id="status")
        with gr.Tabs(selected="video", elem_id="tabs") as self.tabs:
            with gr.Tab("Video", id="video"):
                self.empty = gr.HTML(EMPTY)
                self.player = gr.Video(
                    label="Video", autoplay=True, interactive=False, visible=False, height=420, elem_id="player",
                    buttons=[],
                )  # fmt: skip
                with gr.Row(visible=False, elem_id="downloads") as self.downloads:
                    self.files = {
                        name: gr.DownloadButton(f"\u2193 {title}", size="sm", elem_id=f"download-{name}", min_width=90)
                        for name, title in (
                            ("video", "Video"), ("motion", "Motion"), ("cues", "Mouth cues"), ("report", "Report")
                        )
                    }  # fmt: skip
            with gr.Tab("Side by side", id="compare"):
                self.compare_note = gr.HTML('<div class="th-empty">Source and result appear here side by side.</div>')
                with gr.Row(elem_id="compare"):
                    self.source_picture = gr.Image(
                        label="Source", visible=False, interactive=False, height=320, buttons=[], min_width=150
                    )
                    self.source_video = gr.Video(
                        label="Source", visible=False, interactive=False, height=320, buttons=[], min_width=150
                    )
                    self.compared = gr.Video(
                        label="Result", visible=False, interactive=False, height=320, buttons=[], min_width=150
                    )
                self.play_both = gr.Button(
                    "Play both from the beginning", size="sm", visible=False, elem_id="play-both"
                )
            with gr.Tab("Preview", id="preview"):
                gr.HTML(
                    '<div class="th-model">Look at one frame before a long job: the face that is found, what will '
                    "move, and each mouth shape.</div>"
                )
                self.shape = gr.Slider(
                    0, len(SHAPES) - 1, value=0, step=1, label="Mouth shape", elem_id="shape",
                    info=", ".join(f"{index} {SHAPE_NAMES[shape]}" for index, shape in enumerate(SHAPES)),
                )  # fmt: skip
                self.layers = gr.CheckboxGroup(
                    [("Face box", "box"), ("Landmarks", "landmarks"), ("Mask: what will move", "mask")],
                    value=["box", "landmarks"],
                    label="Show",
                    elem_id="layers",
                )
                with gr.Row():
                    self.close_up = gr.Checkbox(True, label="Close-up", elem_id="close-up", min_width=100)
                    self.at_s = gr.Number(0, label="Seconds into the video", minimum=0, min_width=100)
                self.look = gr.Button("Preview", elem_id="look")
                self.preview_status = gr.HTML("", elem_id="preview-status")
                self.preview_picture = gr.Image(
                    label="Preview", visible=False, interactive=False, height=420, elem_id="preview-picture", buttons=[]
                )
            with gr.Tab("Timing", id="timing"):
                self.timing = gr.HTML('<div class="th-empty">Where the time went appears here.</div>', elem_id="timing")
            with gr.Tab("History", id="history"):
                self.history_note = gr.HTML('<div class="th-empty">The videos of this session appear here.</div>')
                self.history = gr.Gallery(
                    label="Videos of this session, newest first",
                    columns=3,
                    allow_preview=False,
                    fit_columns=False,
                    object_fit="cover",
                    show_label=False,
                    visible=False,
                    interactive=False,
                    elem_id="history",
                    buttons=[],
                )

    # What is connected to what

    def _connect(self) -> None:
        named = self.inputs.named
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        # Of what takes files, or all inputs: gradio would open the files itself; what may be given is checked here.
        raw: dict[str, Any] = {**quiet, "preprocess": False}
        named["sound_from"].change(
            lambda way: [gr.update(visible=way == UPLOAD), gr.update(visible=way == MICROPHONE),
                         gr.update(visible=way == TEXT)],
            named["sound_from"], [named["sound"], named["recording"], self.text_group], **quiet,
        )  # fmt: skip
        named["face_from"].change(
            lambda way: [gr.update(visible=way == PICTURE), gr.update(visible=way == VIDEO),
                         gr.update(visible=way == GALLERY)],
            named["face_from"], [named["picture"], named["video"], self.gallery], **quiet,
        )  # fmt: skip
        self.gallery.select(self.choose_face, None, named["gallery"], **quiet)
        self.refreshed = [
            named["model"], self.model_note, named["checkpoint"], self.face_group, named["source"],
            *(fold for _, _, fold in self.folds),
            *(slot.component for slot in self._promoted_slots()),
        ]  # fmt: skip
        named["model"].change(self.refresh, named["model"], self.refreshed, **quiet)
        for path, error in ((named["sound"], self.voice_error), (named["recording"], self.voice_error)):
            path.change(self.check_sound, path, error, **raw)
        for path in (named["picture"], named["video"]):
            path.change(self.check_face, path, self.face_error, **raw)
        named["sound_from"].change(lambda: "", None, self.voice_error, **quiet)
        named["face_from"].change(lambda: "", None, self.face_error, **quiet)
        self.speak.click(
            self.listen,
            [named[name] for name in ("text", "lang", "voice", "engine", "speed")],
            [self.spoken, self.voice_error],
            **quiet,
        )
        self.results = [
            self.status, self.go, self.stop, self.tabs, self.empty, self.player, self.downloads, *self.files.values(),
            self.compare_note, self.source_picture, self.source_video, self.compared, self.play_both, self.timing,
            self.history_note, self.history,
        ]  # fmt: skip
        self.go.click(
            self.generate, self.inputs.components, self.results, concurrency_limit=None, trigger_mode="once", **raw
        )
        self.stop.click(self.cancel, None, self.stop, **quiet)
        self.history.select(self.show_again, None, self.results, **quiet)
        self.play_both.click(None, None, None, js=PLAY_BOTH)
        seen = [self.preview_status, self.preview_picture]
        looked = [self.shape, self.layers, self.close_up, self.at_s, *self.inputs.components]
        self.look.click(self.preview, looked, seen, concurrency_limit=None, **raw)
        for component in (self.shape, self.layers, self.close_up):
            component.change(
                self.preview_again, [self.preview_picture, *looked], seen, concurrency_limit=None,
                trigger_mode="always_last", **raw,
            )  # fmt: skip
        self._connect_examples(quiet)

    def _connect_examples(self, quiet: Mapping[str, Any]) -> None:
        named = self.inputs.named
        filled = [named[name] for name in ("model", "sound_from", "sound", "text", "face_from", "gallery")]
        for button, model, row in self.examples:
            fill = partial(self.example, model, SAMPLE_TEXT if row.text else None)
            button.click(fill, None, filled, js=HOLD_GO, **quiet).then(None, js=RELEASE_GO)

    def _promoted_slots(self) -> list[Slot]:
        return [slot for slot in self.inputs.slots if self._is_promoted(slot)]

    def _is_promoted(self, slot: Slot) -> bool:
        return slot.model is not None and slot.offered.field.name in self.found[slot.model].choices

    # Actions

    def _model_choices(self) -> list[tuple[str, str]]:
        return [
            (found.facts.title + ("" if found.ready else " (not installed)"), name)
            for name, found in self.found.items()
        ]

    def refresh(self, model: str) -> list[Any]:
        """Look again what is installed, and show what belongs to the model."""
        self.found = {found.facts.name: found for found in self.studio.workshop.models()}
        found = self.found.get(model) or self.found[DEFAULT_FAMILY]
        sources = self.studio.workshop.sources(found)
        any_face = _takes_any_face(found)
        updates = [
            gr.update(choices=self._model_choices()),
            show.model_html(found),
            gr.update(
                choices=[("The first that is installed", ""), *((name, name) for name in found.checkpoints)],
                value="",
                visible=len(found.checkpoints) > 1,
            ),
            gr.update(visible=any_face),
            gr.update(
                choices=list(sources),
                value=sources[0] if sources else None,
                visible=not any_face,
                label=_source_label(found),
            ),
        ]
        for owner, key, _ in self.folds:
            updates.append(gr.update(visible=owner == model if owner is not None else self._applies(key, model)))
        for slot in self._promoted_slots():
            names = list(self.found[slot.model or ""].choices.get(slot.offered.field.name, slot.offered.names))
            updates.append(gr.update(visible=slot.model == model, choices=names))
        return updates

    def example(self, model: str, text: str | None) -> list[Any]:
        """Fill the page so that Generate gives a result at once."""
        sound = gr.update() if text is not None else str(self.studio.workshop.example_sound)
        gallery = self.studio.workshop.faces[0].title if self.studio.workshop.faces else ""
        return [model, TEXT if text is not None else UPLOAD, sound, text or gr.update(), GALLERY, gallery]

    def choose_face(self, event: gr.SelectData) -> str:
        return str(self.studio.workshop.faces[event.index].title)

    def check_sound(self, value: Any, request: gr.Request) -> str:
        key, path = request.session_hash, _path(value)
        return self._said(key, path, self.studio.workshop.check_sound)

    def check_face(self, value: Any, request: gr.Request) -> str:
        key, path = request.session_hash, _path(value)
        return self._said(key, path, self.studio.workshop.check_face)

    def _said(self, key: str | None, path: Path | None, check: Callable[[Path], object]) -> str:
        """The error of a check of a visitor's file as HTML; empty when all is well."""
        try:
            if path is not None:
                check(self.studio.own_file(key, path))
        except Exception as error:  # noqa: BLE001 (see `_error`)
            return self._error(error)
        return ""

    def _error(self, error: BaseException) -> str:
        """Any error of a handler as HTML: a visitor reads a sentence."""
        return show.error_html(self.studio.sentence(error))

    def listen(self, text: str, lang: str, voice: str, engine: str, speed: float, request: gr.Request) -> list[Any]:
        try:
            asked = said(text or "", lang, voice, engine, float(speed))
            path = self.studio.start_speech(request.session_hash, asked).result()
        except Exception as error:  # noqa: BLE001 (see `_error`)
            return [gr.update(visible=False), self._error(error)]
        return [gr.update(value=str(path), visible=True), ""]

    def generate(self, request: gr.Request, *values: Any) -> Iterator[dict[Any, Any]]:
        """Make the video, telling how far it is."""
        key = request.session_hash
        idle = {self.go: gr.update(interactive=True), self.stop: gr.update(interactive=False, value="Cancel")}
        try:
            job = self.studio.start(key, self.inputs.order(values))
            busy = {self.go: gr.update(interactive=False), self.stop: gr.update(interactive=True)}
            for state in job.states():
                yield {self.status: show.progress_html(state), **busy}
                busy = {}
            finished = job.result()
            self.studio.keep(key, finished)
            done = show.done_html(finished.report, job.state().elapsed_s)
            yield {**self._shown(key, finished), self.status: done, **idle}
        except Cancelled:
            yield {self.status: show.note_html("Cancelled.", "Nothing was kept."), **idle}
        except Exception as error:  # noqa: BLE001 (see `_error`)
            yield {self.status: self._error(error), **idle}

    def cancel(self, request: gr.Request) -> Any:
        self.studio.cancel(request.session_hash)
        return gr.update(interactive=False, value="Stopping ...")

    def show_again(self, event: gr.SelectData, request: gr.Request) -> dict[Any, Any]:
        """A result of the history."""
        finished = self.studio.history(request.session_hash)[event.index]
        shown = self._shown(request.session_hash, finished)
        return {**shown, self.status: show.note_html(finished.title, f"Video {finished.number} of this session.")}

    def _shown(self, key: str | None, finished: Finished) -> dict[Any, Any]:
        history = self.studio.history(key)
        source = finished.source
        is_picture = source is not None and _is_picture(source)
        paths = {
            "video": finished.video, "motion": finished.motion, "cues": finished.cues, "report": finished.report_file
        }  # fmt: skip
        return {
            self.tabs: gr.Tabs(selected="video"),
            self.empty: gr.update(visible=False),
            self.player: gr.update(value=str(finished.video), visible=True),
            self.downloads: gr.update(visible=True),
            **{
                button: gr.update(value=str(paths[name]) if paths[name] else None, visible=paths[name] is not None)
                for name, button in self.files.items()
            },
            self.compare_note: show.note_html("This model takes no picture or video: there is no source to compare.")
            if source is None
            else "",
            self.source_picture: gr.update(value=str(source) if is_picture else None, visible=is_picture),
            self.source_video: gr.update(
                value=str(source) if source is not None and not is_picture else None,
                visible=source is not None and not is_picture,
            ),
            self.compared: gr.update(value=str(finished.video), visible=True),
            self.play_both: gr.update(visible=source is not None),
            self.timing: show.report_html(finished.report),
            self.history_note: gr.update(visible=False),
            self.history: gr.update(
                value=[(str(item.poster), f"{item.number}. {item.title}") for item in history],
                visible=True,
                selected_index=None,
            ),
        }

    def preview(
        self,
        request: gr.Request,
        shape: float,
        layers: Sequence[str],
        close_up: bool,
        at_s: float | None,
        *values: Any,
    ) -> Iterator[list[Any]]:
        key = request.session_hash
        yield [show.plain_html("Looking at the face ..."), gr.update()]
        try:
            order = self.inputs.order(values, needs_sound=False)
            job = self.studio.start_preview(key, order, shape=SHAPES[int(shape)], at_s=float(at_s or 0))
            for state in job.states():
                if state.phase == "waiting":
                    yield [show.progress_html(state), gr.update()]
            seen = job.result()
            path = self.studio.write_preview(key, seen, [name for name in LAYERS if name in layers], close_up)
        except Exception as error:  # noqa: BLE001 (see `_error`)
            yield [self._error(error), gr.update(visible=False)]
            return
        title = f"Mouth shape {SHAPES[int(shape)]}, {SHAPE_NAMES[SHAPES[int(shape)]]}"
        yield [show.plain_html(title, seen.sentence(layers)), gr.update(value=str(path), visible=True)]

    def preview_again(self, request: gr.Request, picture: Any, *values: Any) -> Iterator[list[Any]]:
        """The preview with other settings, where there is one already."""
        if picture is not None:
            yield from self.preview(request, *values)


def _takes_any_face(found: Availability) -> bool:
    return found.facts.source_is_path and not found.facts.source_marks


def _source_label(found: Availability) -> str:
    return found.facts.source_option.lstrip("-").capitalize()


def _is_picture(path: Path) -> bool:
    from talkinghead.media.headers import picture_format

    return picture_format(path) is not None


__all__ = ["PORTRAIT", "build_page"]
