"""The shelf of model families: their manifests by name, and builders that import the heavy parts when they run.

A family is one folder under `families/` with a module `manifest`, and one name here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from talkinghead.engine.manifest import Manifest
from talkinghead.errors import OptionError, choices

if TYPE_CHECKING:
    from talkinghead.engine.head import Head, LoadOptions

_NAMES = ("viseme", "wav2lip", "talkinggaussian", "synctalk2d", "artalk")


def _manifest(name: str) -> Manifest:
    found: Manifest = import_module(f"talkinghead.families.{name}.manifest").MANIFEST
    return found


FAMILIES: Mapping[str, Manifest] = {name: _manifest(name) for name in _NAMES}

DEFAULT_FAMILY = "viseme"


def family(name: str) -> Manifest:
    """Facts of one family.

    Raises:
        OptionError: no such family.
    """
    try:
        return FAMILIES[name]
    except KeyError:
        raise OptionError(
            f"There is no model {name!r}.", accepted=choices(list(FAMILIES)), remedy="talkinghead models list"
        ) from None


def build(name: str, options: LoadOptions) -> Head:
    """Import the family's module and build its head."""
    facts = family(name)
    if facts.needs_checkpoint and options.checkpoint is None:
        from talkinghead.weights.store import missing_checkpoint

        raise OptionError(
            f"The model {name!r} needs a checkpoint and none was given.",
            accepted=f"--checkpoint FILE ({facts.title})",
            remedy=f"{missing_checkpoint(name)}; or leave out --model to use the built-in {DEFAULT_FAMILY!r}",
        )
    module: Any = import_module(facts.module)
    head: Head = module.build(options)
    return head
