"""The node that loads a head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from talkinghead.engine.head import AnyHead, BackendChoice, LoadOptions, PrecisionChoice
from talkinghead.engine.lru import Lru
from talkinghead.engine.manifest import Manifest
from talkinghead.engine.options import config_class, option_fields
from talkinghead.registry import DEFAULT_FAMILY, FAMILIES, family
from talkinghead.service.models import model_store
from talkinghead.service.run import load

from . import host
from .options import CATEGORY, MANNER, MODEL_OPTIONS, ModelOptions, Widget
from .words import NodeError

HEAD = "TALKINGHEAD_HEAD"
INSTALLED = "installed"
"""The checkpoint that the package takes by itself."""
STORED = "store: "
"""Before names of the package's own store of models."""
MANNERS_KEPT = 2
"""Heads that were loaded for a manner of speaking, kept for the next run."""


@dataclass(eq=False)
class LoadedHead:
    """A head, and what it was loaded with."""

    options: LoadOptions
    head: AnyHead
    _manners: Lru[str, AnyHead] = field(default_factory=lambda: Lru(MANNERS_KEPT))

    @property
    def model(self) -> str:
        return self.head.facts.name

    def speaking(self, manner: Mapping[str, Any]) -> AnyHead:
        """The head as it is to speak: with those of `MANNER` that differ from the defaults.

        Raises:
            NodeError: one that this model does not have.
        """
        known = _defaults(self.head.facts)
        changed = {}
        for name, value in manner.items():
            own = MANNER[name]
            if own in known and value != known[own]:
                changed[own] = value
            elif own not in known and name != "seed" and value != _usual(own):
                raise NodeError(
                    f"{name} is {value}, and the model {self.model} has no such option.",
                    remedy=f"leave {name} at {_usual(own)}",
                )
        if not changed:
            return self.head
        options = replace(self.options, family={**self.options.family, **changed})
        key = repr(sorted(changed.items()))
        head = self._manners.take(key)
        if head is None:
            head = load(self.model, options)
        self._manners.keep(key, head)
        return head


def _defaults(facts: Manifest) -> dict[str, Any]:
    return {item.name: item.default for item in option_fields(config_class(facts.config))}  # type: ignore[arg-type]


def _usual(own: str) -> Any:
    """The default of the built-in animator, which is that of the widget."""
    return _defaults(family(DEFAULT_FAMILY))[own]


def checkpoint_names() -> list[str]:
    """What can be chosen: the installed one, files of ComfyUI's folder, checkpoints of the package's store."""
    stored = [record.name for record in model_store().installed().values() if record.model is not None]
    return [INSTALLED, *host.model_files(), *(STORED + name for name in stored)]


def checkpoint_path(name: str) -> Path | None:
    """What `LoadOptions` takes for a name that was chosen."""
    if name == INSTALLED:
        return None
    return Path(name.removeprefix(STORED)) if name.startswith(STORED) else host.model_file(name)


class LoadHead:
    """A model of the package."""

    TITLE = "Load Head (talkinghead)"
    DESCRIPTION = (
        "Loads a model. The built-in animator needs no files; checkpoints of the others lie in models/talkinghead, or "
        "in the store that `talkinghead models list` shows."
    )
    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = (HEAD,)
    RETURN_NAMES = ("head",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Widget]]:
        summaries = " ".join(f"{facts.name}: {facts.summary}" for facts in FAMILIES.values())
        return {
            "required": {
                "model": (list(FAMILIES), {"default": DEFAULT_FAMILY, "tooltip": summaries}),
                "checkpoint": (
                    checkpoint_names(),
                    {"default": INSTALLED, "tooltip": "Weights: a file in models/talkinghead, or one of the store."},
                ),
                "device": (
                    ["auto", "cpu", "cuda"],
                    {"default": "auto", "tooltip": "auto: where ComfyUI itself works."},
                ),
                "precision": (
                    list(get_args(PrecisionChoice)),
                    {"default": "auto", "tooltip": _help("precision")},
                ),
            },
            "optional": {
                "backend": (list(get_args(BackendChoice)), {"default": "auto", "tooltip": _help("backend")}),
                "compat": ("BOOLEAN", {"default": False, "tooltip": _help("compat")}),
                "options": (MODEL_OPTIONS, {"tooltip": "Expert options of this model."}),
            },
        }

    @classmethod
    def IS_CHANGED(cls, checkpoint: str = INSTALLED, **_: Any) -> str:
        """A checkpoint that was replaced is loaded again."""
        path = checkpoint_path(checkpoint)
        if path is None or checkpoint.startswith(STORED):
            return checkpoint
        facts = path.stat()
        return f"{checkpoint} {facts.st_size} {facts.st_mtime_ns}"

    def load(
        self,
        model: str,
        checkpoint: str,
        device: str,
        precision: str,
        backend: str = "auto",
        compat: bool = False,
        options: ModelOptions | None = None,
    ) -> tuple[LoadedHead]:
        if options is not None and options.model != model:
            raise NodeError(
                f"The options are those of {options.model}, and the model is {model}.",
                remedy=f"the node Options: {FAMILIES[model].title}, or no options",
            )
        if checkpoint == INSTALLED and family(model).needs_checkpoint and not model_store().for_model(model):
            raise NodeError(
                f"The model {model} needs a checkpoint, and none is installed.",
                remedy=f"put its file into ComfyUI's models/{host.FOLDER} and choose it as checkpoint. "
                + model_store().missing_checkpoint(model),
            )
        with host.Work():
            where = host.device_for(device)
            host.make_room(where)
            values = {"checkpoint": checkpoint_path(checkpoint), "device": where, "precision": precision}
            family_options = options.values if options is not None else {}
            asked = LoadOptions.of({**values, "backend": backend, "compat": compat, **family_options})
            head = load(model, asked)
            for sentence in head.fallbacks:
                host.LOG.warning("%s", sentence)
            return (LoadedHead(asked, head),)


def _help(name: str) -> str:
    return next(item.help for item in option_fields(LoadOptions) if item.name == name)
