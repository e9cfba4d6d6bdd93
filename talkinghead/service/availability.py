"""Which models can run now, what can be chosen for them, and how to get what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talkinghead.engine.manifest import Manifest
from talkinghead.engine.options import config_class
from talkinghead.enhance.config import OFF, EnhanceConfig
from talkinghead.enhance.model_files import installed_networks
from talkinghead.errors import TalkingHeadError
from talkinghead.registry import FAMILIES, family, named


@dataclass(frozen=True)
class Availability:
    """One model, as it is on this machine now."""

    facts: Manifest
    why_not: str
    """What is missing, as a sentence; empty when the model can run."""
    remedy: str = ""
    """How to get it; a command or an instruction. Empty when nothing is missing."""
    checkpoints: tuple[str, ...] = ()
    """Names in the model store, the preferred one first; empty where the model needs none or has none."""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names that can be chosen: fields of the configuration, and "source" for what `prepare` takes by name."""

    @property
    def ready(self) -> bool:
        return not self.why_not


def availability(name: str, options: Mapping[str, Any] | None = None) -> Availability:
    """Look whether a model can run. Reads no weights and uses no network.

    Args:
        options: fields of the model's configuration that are set already (folders to look in).
    Raises:
        OptionError: no such model.
    """
    from talkinghead.service.doctor import missing_packages
    from talkinghead.service.models import model_store

    facts = family(name)
    missing = missing_packages(facts.extra) if facts.extra is not None else ()
    if missing:
        remedy = f'pip install "talkinghead[{facts.extra}]"'
        return Availability(
            facts, f"{facts.title} needs packages that are not installed ({', '.join(missing)}).", remedy
        )
    store = model_store()
    checkpoints = tuple(record.name for record in store.for_model(name))
    if facts.needs_checkpoint and not checkpoints:
        return Availability(
            facts, f"{facts.title} needs a model file, and none is installed.", store.missing_checkpoint(name)
        )
    choices: Mapping[str, tuple[str, ...]] = {}
    if facts.choices is not None:
        try:
            choices = named(facts.choices)(options or {})
        except TalkingHeadError as error:
            return Availability(facts, error.what, error.remedy or "", checkpoints)
    return Availability(facts, "", "", checkpoints, {**choices, **_sharpening(facts)})


def _sharpening(facts: Manifest) -> dict[str, tuple[str, ...]]:
    """The networks that can sharpen what a model makes; nothing where there are none."""
    names = installed_networks()
    offers = issubclass(config_class(facts.config), EnhanceConfig)
    return {"enhance": (OFF, *names)} if names and offers else {}


def all_models(options: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[Availability, ...]:
    """Every registered model, in order.

    Args:
        options: model name to the fields of its configuration that are set already.
    """
    return tuple(availability(name, (options or {}).get(name)) for name in FAMILIES)


def sources_in(folders: Iterable[Path], facts: Manifest) -> tuple[Path, ...]:
    """Folders that a model can take as its source: those given and the ones right below them, by name."""
    if not facts.source_marks:
        return ()
    found: list[Path] = []
    for folder in folders:
        inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        for path in (folder, *inside):
            if path not in found and all(any(path.glob(mark)) for mark in facts.source_marks):
                found.append(path)
    return tuple(found)
