"""The third step of the page: which model makes the video, and how."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from talkinghead.bounds import Between
from talkinghead.hosting.fields import FieldGroup, Offered
from talkinghead.hosting.words import called, hint_of
from talkinghead.registry import DEFAULT_FAMILY, FAMILIES
from talkinghead.service.availability import Availability
from talkinghead.webui import show
from talkinghead.webui.inputs import Inputs, Slot
from talkinghead.webui.studio import Studio
from talkinghead.webui.widgets import Card, address, cards_html, choice

SLIDERS = {"strength": 0.05, "head_motion": 0.05, "blinks_per_minute": 1.0}
"""Options of models that everybody wants, and the step of each. A model has those that its configuration has."""
MOST = 2.0
"""Of a factor on a slider: twice what is natural."""
FIRST_CHECKPOINT = "The first that is installed"


class ModelStep:
    """Models as cards, four sliders, and everything else under "Expert"."""

    def __init__(self, studio: Studio, inputs: Inputs, model: str) -> None:
        self.studio = studio
        self.inputs = inputs
        self.model = model
        self.found: dict[str, Availability] = {}
        self.groups: dict[str, tuple[FieldGroup, ...]] = {}
        self.folds: list[tuple[str | None, str, Any]] = []
        """Groups of expert options: model (None: of every one), key, component."""
        self.look()

    def look(self) -> None:
        """What is installed now."""
        self.found = {found.facts.name: self.studio.in_our_words(found) for found in self.studio.workshop.models()}
        self.groups = {name: tuple(self.studio.workshop.groups(found)) for name, found in self.found.items()}
        self.inputs.has = {
            name: frozenset((group.key, offered.field.name) for group in groups for offered in group.offered)
            for name, groups in self.groups.items()
        }

    # What is on it

    def build(self) -> None:
        named, found = self.inputs.named, self.found[self.model]
        with gr.Column(elem_id="model-step", elem_classes="th-step"):
            show.step("model", 3, "Model and style")
            named["model"] = choice("models", "Models", self._cards(), self.model, "th-models")
            self.note = gr.HTML(show.model_html(found), elem_id="model-note", apply_default_css=False)
            sources = self.studio.workshop.sources(found)
            named["source"] = gr.Dropdown(
                list(sources),
                value=sources[0] if sources else None,
                label=_source_label(found),
                visible=not takes_any_face(found),
                elem_id="source",
            )
            named["checkpoint"] = gr.Dropdown(
                self._checkpoints(found),
                value="",
                label="Model file",
                visible=len(found.checkpoints) > 1,
                elem_id="checkpoint",
            )
            self._promoted()
            with gr.Column(elem_id="sliders", elem_classes="th-options"):
                self._sliders()
            with gr.Accordion("Expert", open=False, elem_id="expert"):
                self._expert()

    def _cards(self) -> list[Card]:
        return [
            Card(
                name, found.facts.title, self._picture(name), found.facts.phrase,
                "" if found.ready else "not installed", self._picture(name, "-still"),
            )
            for name, found in self.found.items()
        ]  # fmt: skip

    def _picture(self, model: str, kind: str = "") -> str:
        path = self.picture(model, kind)
        return address(path) if path is not None else BLANK

    def picture(self, model: str, kind: str = "") -> Path | None:
        """The picture of a model; None where it brings none."""
        path = Path(str(files("talkinghead.assets") / f"model-{model}{kind}.webp"))
        return self.studio.page_file(path) if path.is_file() else None

    @staticmethod
    def _checkpoints(found: Availability) -> list[tuple[str, str]]:
        return [(FIRST_CHECKPOINT, ""), *((name, name) for name in found.checkpoints)]

    def _promoted(self) -> None:
        """Options whose values are names that exist now, such as speaking styles: not folded."""
        for name, found in self.found.items():
            group = self.groups[name][0]
            for offered in group.offered:
                if offered.field.name in found.choices:
                    self._slot(name, group.key, offered, visible=name == self.model)

    def _sliders(self) -> None:
        known = {
            offered.field.name: offered
            for groups in self.groups.values()
            for offered in groups[0].offered
            if offered.field.name in SLIDERS
        }
        for name, step in SLIDERS.items():
            if name not in known:
                continue
            offered = known[name]
            bound = offered.field.bound
            assert isinstance(bound, Between)
            most = min(float(bound.most), MOST) if step < 1 else float(bound.most)
            slider = gr.Slider(
                float(bound.least), most, value=offered.shown_default, step=step, label=offered.label,
                info=hint_of(name, offered.field.help), buttons=[], elem_id=f"slider-{name.replace('_', '-')}",
                visible=("model", name) in self.inputs.has[self.model],
            )  # fmt: skip
            self.inputs.sliders[name] = (("model", name), slider)
        self.inputs.named["quality"] = gr.Slider(
            1, 5, value=3, step=1, label="Quality", info="5 keeps the most detail; 1 makes the smallest file",
            buttons=[], elem_id="slider-quality",
        )  # fmt: skip

    def _expert(self) -> None:
        for name, found in self.found.items():
            group = self.groups[name][0]
            rest = [
                offered
                for offered in group.offered
                if offered.field.name not in found.choices and offered.field.name not in SLIDERS
            ]
            if rest:
                self._fold(name, FieldGroup(group.key, group.title, tuple(rest)), visible=name == self.model)
        for group in next(iter(self.groups.values()))[1:]:
            self._fold(None, group, visible=self._applies(group.key, self.model))

    def _fold(self, model: str | None, group: FieldGroup, *, visible: bool) -> None:
        with gr.Column(visible=visible, elem_classes="th-options") as column:
            gr.HTML(f"<h3>{group.title}</h3>", apply_default_css=False)
            for offered in group.offered:
                self._slot(model, group.key, offered)
        self.folds.append((model, group.key, column))

    def _applies(self, key: str, model: str) -> bool:
        return not (key in ("reading", "finding") and FAMILIES[model].kind == "scene")

    def _slot(self, model: str | None, group: str, offered: Offered, *, visible: bool = True) -> None:
        self.inputs.slots.append(Slot(model, group, offered, option_input(offered, visible=visible)))

    # What changes with the model

    @property
    def changing(self) -> list[Any]:
        """What `shown` updates."""
        named = self.inputs.named
        return [
            named["model"], self.note, named["checkpoint"], named["source"],
            *(slider for _, slider in self.inputs.sliders.values()),
            *(fold for _, _, fold in self.folds),
            *(slot.component for slot in self._promoted_slots()),
        ]  # fmt: skip

    def shown(self, model: str) -> list[Any]:
        """Look again what is installed, and show what belongs to a model."""
        self.look()
        model = model if model in self.found else DEFAULT_FAMILY
        found = self.found[model]
        sources = self.studio.workshop.sources(found)
        updates = [
            gr.update(cards=cards_html("models", "Models", self._cards(), "th-models")),
            show.model_html(found),
            gr.update(choices=self._checkpoints(found), value="", visible=len(found.checkpoints) > 1),
            gr.update(
                choices=list(sources),
                value=sources[0] if sources else None,
                visible=not takes_any_face(found),
                label=_source_label(found),
            ),
        ]
        updates += [gr.update(visible=place in self.inputs.has[model]) for place, _ in self.inputs.sliders.values()]
        for owner, key, _ in self.folds:
            updates.append(gr.update(visible=owner == model if owner is not None else self._applies(key, model)))
        for slot in self._promoted_slots():
            field = slot.offered.field.name
            names = self.found[slot.model or ""].choices.get(field, slot.offered.names)
            choices = [(called(field, name), name) for name in names]
            updates.append(gr.update(visible=slot.model == model, choices=choices))
        return updates

    def takes_any_face(self, model: str) -> bool:
        """Whether a face can be given that nobody prepared."""
        return takes_any_face(self.found.get(model) or self.found[DEFAULT_FAMILY])

    def _promoted_slots(self) -> list[Slot]:
        promoted: Mapping[str, Availability] = self.found
        return [
            slot
            for slot in self.inputs.slots
            if slot.model is not None and slot.offered.field.name in promoted[slot.model].choices
        ]


BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
"""A picture of one transparent dot."""


def option_input(offered: Offered, *, visible: bool = True) -> Any:
    """The input of an option. One that is not set is empty and says so: a 0 would be a value."""
    common: dict[str, Any] = {"label": offered.label, "info": offered.hint, "visible": visible}
    if offered.kind == "switch":
        return gr.Checkbox(value=offered.shown_default, **common)
    if offered.kind == "choice":
        names = offered.names
        value = offered.shown_default if offered.shown_default in names else names[0]
        return gr.Dropdown(list(offered.called_names), value=value, **common)
    if offered.kind == "number":
        return gr.Number(value=offered.shown_default, precision=0 if offered.field.type is int else None, **common)
    return gr.Textbox(value=str(offered.shown_default or ""), placeholder=offered.placeholder, **common)


def takes_any_face(found: Availability) -> bool:
    return found.facts.source_is_path and not found.facts.source_marks


def _source_label(found: Availability) -> str:
    return found.facts.source_option.lstrip("-").capitalize()
