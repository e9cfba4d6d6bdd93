"""The shelf of model families: their manifests by name, and builders that import the heavy parts when they run.

A family of this package is one folder under `families/` with a module `manifest`, and one name here. An installed
package brings one through an entry point:

    [project.entry-points."talkinghead.families"]
    glow = "glow.manifest:MANIFEST"
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from talkinghead.engine.manifest import KINDS, SOURCE_OPTIONS, Manifest
from talkinghead.errors import BrokenFamily, OptionError, choices

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from talkinghead.engine.head import AnyHead, LoadOptions

GROUP = "talkinghead.families"
"""Entry points of this group are families of other packages: name = "module:MANIFEST"."""

_NAMES = ("viseme", "wav2lip", "talkinggaussian", "synctalk2d", "artalk")

DEFAULT_FAMILY = "viseme"


class Broken(NamedTuple):
    """A family of another package that cannot be used."""

    name: str
    package: str
    """What brings it, as pip knows it."""
    why: str
    """As a sentence."""

    def __str__(self) -> str:
        return f"The model {self.name!r} of the package {self.package} cannot be used: {self.why}"

    @property
    def remedy(self) -> str:
        """What to try."""
        return f"another version of {self.package}, or: pip uninstall {self.package}"


class Families(MutableMapping[str, Manifest]):
    """Manifests by name: those of this package, then those that other packages bring. Read when it is first asked."""

    def __init__(self) -> None:
        self._rows: dict[str, Manifest] | None = None
        self._broken: tuple[Broken, ...] = ()

    @property
    def broken(self) -> tuple[Broken, ...]:
        """Families of other packages that cannot be used."""
        self._read()
        return self._broken

    def _read(self) -> dict[str, Manifest]:
        if self._rows is None:
            rows = {name: _own(name) for name in _NAMES}
            broken: list[Broken] = []
            for entry in _offered():
                found = _brought(entry, rows)
                if isinstance(found, Broken):
                    broken.append(found)
                else:
                    rows[found.name] = found
            self._rows, self._broken = rows, tuple(broken)
        return self._rows

    def __getitem__(self, name: str) -> Manifest:
        return self._read()[name]

    def __setitem__(self, name: str, facts: Manifest) -> None:
        self._read()[name] = facts

    def __delitem__(self, name: str) -> None:
        del self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


FAMILIES = Families()


def family(name: str) -> Manifest:
    """Facts of one family.

    Raises:
        OptionError: no such family. BrokenFamily: another package brings it, and it cannot be used.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    for row in FAMILIES.broken:
        if row.name == name:
            raise BrokenFamily(str(row), remedy=row.remedy)
    raise OptionError(
        f"There is no model {name!r}.", accepted=choices(list(FAMILIES)), remedy="talkinghead models list"
    )


def build(name: str, options: LoadOptions) -> AnyHead:
    """Import the family's module and build its head."""
    facts = family(name)
    if facts.needs_checkpoint and options.checkpoint is None:
        from talkinghead.weights.store import missing_checkpoint

        rows = named(facts.catalogue) if facts.catalogue is not None else ()
        own = [row for row in rows if row.model == name]
        raise OptionError(
            f"The model {name!r} needs a checkpoint and none was given.",
            accepted=f"--checkpoint FILE ({facts.title})",
            remedy=f"{missing_checkpoint(own)}; or leave out --model to use the built-in {DEFAULT_FAMILY!r}",
        )
    head: AnyHead = named(facts.builder)(options)
    return head


def named(target: str) -> Any:
    """What a manifest names, "module:object", imported now.

    Raises:
        BrokenFamily: it is of another package, and cannot be imported.
    """
    module, _, name = target.partition(":")
    if module.partition(".")[0] == "talkinghead":
        return getattr(import_module(module), name)
    try:
        return getattr(import_module(module), name)
    except Exception as error:
        raise BrokenFamily(
            f"{target} cannot be imported: {_spelled(error)}", remedy="another version of the package that brings it"
        ) from error


def _own(name: str) -> Manifest:
    found: Manifest = import_module(f"talkinghead.families.{name}.manifest").MANIFEST
    return found


def _offered() -> Sequence[EntryPoint]:
    """Entry points of our group, by name.

    Reading all metadata of an installation takes longer than everything else that `--help` does, so the files are
    first looked at for the group's name.
    """
    if not any(_mentions_group(Path(folder)) for folder in sys.path):
        return ()
    from importlib.metadata import entry_points

    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def _mentions_group(folder: Path) -> bool:
    if folder.is_file():  # a zip archive: left to importlib.metadata
        return True
    try:
        infos = [path for path in folder.iterdir() if path.suffix in (".dist-info", ".egg-info")]
    except OSError:
        return False
    for path in infos:
        try:
            if GROUP.encode() in (path / "entry_points.txt").read_bytes():
                return True
        except OSError:
            continue
    return False


def _brought(entry: EntryPoint, rows: Mapping[str, Manifest]) -> Manifest | Broken:
    """The manifest of an entry point, checked as far as it is cheap."""
    package = entry.dist.name if entry.dist is not None else "unknown"
    try:
        found = entry.load()
        why = _fault(entry.name, found, rows)
    except Exception as error:  # noqa: BLE001 (what another package raises is not known)
        why = _spelled(error)
    return Broken(entry.name, package, why) if why else found


def _fault(name: str, found: object, rows: Mapping[str, Manifest]) -> str:
    """What is wrong with a manifest of another package, or "". What others list of it is imported here."""
    from talkinghead.engine.options import config_class, option_fields

    if not isinstance(found, Manifest):
        return f"its entry point names a {type(found).__name__}, not a talkinghead.engine.manifest.Manifest."
    if found.name != name or re.fullmatch(r"[a-z][a-z0-9]*", name) is None:
        return f"its manifest is called {found.name!r}; accepted: {name!r}, small letters and digits."
    if name in rows:
        return f"there is a model {name!r} already."
    if found.kind not in KINDS or found.source_option not in SOURCE_OPTIONS:
        given = f"its kind is {found.kind!r}, its source_option {found.source_option!r}"
        return f"{given}; accepted: {choices(KINDS)}, and {choices(SOURCE_OPTIONS)}."
    for kind in ("commands", "steps"):
        taken = {row.name for facts in rows.values() for row in getattr(facts, kind)}
        if both := sorted(taken & {row.name for row in getattr(found, kind)}):
            return f"another model has {kind} of the same names: {', '.join(both)}."
    option_fields(config_class(found.config))  # type: ignore[arg-type]
    for target in (found.catalogue, found.kinds):
        if target is not None:
            tuple(named(target))
    return ""


def _spelled(error: Exception) -> str:
    return str(error).partition("\n")[0] if isinstance(error, BrokenFamily) else f"{type(error).__name__}: {error}"
