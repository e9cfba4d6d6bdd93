"""Which folder may know which: read from the sources, lazy imports and imports by string included.

Rooms are the folders of the package, each family, and each module at the top level.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

from talkinghead.registry import FAMILIES
from tests.conftest import ROOT

PACKAGE = "talkinghead"
NAMES = tuple(FAMILIES)
TARGET = re.compile(rf"{PACKAGE}(\.\w+)+(:\w+)?")
"""How a module, or an object in one, is named by a string."""
ABOVE_FAMILIES = {
    "registry",
    "service",
    "hosting",
    "reference",
    "api",
    "live",
    "fleet",
    "serve",
    "stages",
    "cli",
    "webui",
    "__main__",
    PACKAGE,
}
KNOWS_FAMILIES = {"registry"}
"""The rooms outside families/ that may name one."""


@dataclass(frozen=True)
class Use:
    """One place where a module uses another."""

    room: str
    used: str
    """Room that is used."""
    place: str
    """File and line."""


def room_of(module: str) -> str:
    """The room of a module of the package."""
    parts = module.split(".")
    if len(parts) == 1:
        return PACKAGE
    if parts[1] == "families" and len(parts) > 2:
        return f"families/{parts[2]}"
    return parts[1]


def sources(root: Path) -> Iterator[tuple[str, Path, ast.Module]]:
    """Every module with its file and its tree."""
    for path in sorted((root / PACKAGE).rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        yield module, path, ast.parse(path.read_text(encoding="utf-8"))


def is_module(name: str, root: Path) -> bool:
    path = root.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def named_modules(node: ast.AST, module: str, is_package: bool, root: Path) -> Iterator[str]:
    """Modules of the package that a node imports or names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = module.split(".")[: len(module.split(".")) - node.level + is_package]
            base = ".".join([*above, *base.split(".")]).rstrip(".")
        for alias in node.names:
            whole = f"{base}.{alias.name}"
            yield whole if is_module(whole, root) else base
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and TARGET.fullmatch(node.value):
        name = node.value.partition(":")[0]
        while "." in name and not is_module(name, root):
            name = name.rpartition(".")[0]
        if "." in name:
            yield name
    elif isinstance(node, ast.JoinedStr) and begins_with_families(node):
        folders = (root / PACKAGE / "families").iterdir()
        yield from (f"{PACKAGE}.families.{path.name}" for path in folders if (path / "__init__.py").is_file())


def begins_with_families(node: ast.JoinedStr) -> bool:
    """Whether an f-string names a module of whatever family."""
    first = node.values[0]
    return isinstance(first, ast.Constant) and str(first.value).startswith(f"{PACKAGE}.families.")


def uses(root: Path) -> list[Use]:
    """Every use of one room by another."""
    found = []
    for module, path, tree in sources(root):
        for node in ast.walk(tree):
            for name in named_modules(node, module, path.name == "__init__.py", root):
                if name.split(".")[0] != PACKAGE:
                    continue
                room, used = room_of(module), room_of(name)
                if room != used:
                    place = f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"
                    found.append(Use(room, used, place))
    return found


def circle(found: list[Use]) -> str:
    """A circle of rooms, with a place for each of its steps; empty where there is none."""
    graph: Mapping[str, set[str]] = defaultdict(set)
    for use in found:
        graph[use.room].add(use.used)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        rooms = list(reversed(error.args[1]))
        steps = []
        for room, used in pairwise(rooms):
            place = next(use.place for use in found if (use.room, use.used) == (room, used))
            steps.append(f"{room} uses {used} ({place})")
        return "; ".join(steps)
    return ""


def docstrings(tree: ast.Module) -> set[int]:
    """Strings that stand alone as a statement: of modules, classes, functions and fields."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def identifiers(node: ast.AST) -> Iterator[str]:
    for field in ("id", "attr", "name", "arg", "asname", "module"):
        value = getattr(node, field, None)
        if isinstance(value, str):
            yield value
    if isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names


def mentions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, text) of every identifier and every string, docstrings apart, that names a family.

    Strings name one by its name in the registry as a whole word (a published project is spelled in another way, such as
    in the licence of a detector); identifiers by having it in them.
    """
    told = docstrings(tree)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
        if is_text and any(re.search(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])", node.value) for name in NAMES):
            yield line, node.value
        for text in identifiers(node):
            if any(re.search(rf"{name}(?!s\b)", text.lower()) for name in NAMES):
                yield line, text


def named_outside(root: Path) -> list[str]:
    """Where a room that may not names a family."""
    return [
        f"{path.relative_to(root)}:{line} names {text!r}"
        for module, path, tree in sources(root)
        if (room := room_of(module)) not in KNOWS_FAMILIES and not room.startswith("families")
        for line, text in mentions(tree)
    ]


# The house ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def house() -> list[Use]:
    """Every use of one room by another in the package."""
    return uses(ROOT)


def test_families_use_no_other_family_and_nothing_above_them(house: list[Use]) -> None:
    wrong = [
        f"{use.place}: {use.room} uses {use.used}"
        for use in house
        if use.room.startswith("families/") and (use.used.startswith("families") or use.used in ABOVE_FAMILIES)
    ]
    assert wrong == []


def test_only_the_registry_uses_families(house: list[Use]) -> None:
    wrong = [
        f"{use.place}: {use.room} uses {use.used}"
        for use in house
        if use.used.startswith("families") and use.room not in KNOWS_FAMILIES
    ]
    assert wrong == []


@pytest.mark.thorough
def test_only_the_registry_names_families() -> None:
    assert named_outside(ROOT) == []


def test_there_is_no_circle(house: list[Use]) -> None:
    assert circle(house) == ""


# That these checks find something -----------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A package with two rooms and two families; `write` adds to it."""
    for name in ("__init__", "registry", "low/__init__", "high/__init__", "families/__init__"):
        path = tmp_path / PACKAGE / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in NAMES[:2]:
        folder = tmp_path / PACKAGE / "families" / name
        folder.mkdir()
        (folder / "__init__.py").touch()
    return tmp_path


WAYS = {
    "plainly": "import talkinghead.high",
    "a name": "from talkinghead.high import thing",
    "a room": "from talkinghead import high",
    "relatively": "from ..high import thing",
    "lazily": "def f():\n    from talkinghead.high import thing",
    "for types": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from talkinghead.high import thing",
    "by string": "ROW = ('x', 'talkinghead.high:thing')",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_circle_is_found(small: Path, way: str) -> None:
    (small / PACKAGE / "high" / "__init__.py").write_text("from talkinghead.low import b")
    assert circle(uses(small)) == ""
    (small / PACKAGE / "low" / "a.py").write_text(WAYS[way])
    assert "low uses high" in circle(uses(small))
    assert "talkinghead/low/a.py:" in circle(uses(small))


def test_a_use_of_families_is_found(small: Path) -> None:
    one, other = NAMES[:2]
    (small / PACKAGE / "registry.py").write_text(f"def f(name):\n    return f'{PACKAGE}.families.{{name}}.x'")
    assert {use.used for use in uses(small)} == {f"families/{one}", f"families/{other}"}
    (small / PACKAGE / "families" / one / "a.py").write_text(f"X = '{PACKAGE}.families.{other}:y'")
    assert Use(f"families/{one}", f"families/{other}", f"{PACKAGE}/families/{one}/a.py:1") in uses(small)


@pytest.mark.parametrize(
    "code", ["X = 'NAME'", "X = 'NAME-gan'", "X = f'a/NAME/{b}'", "NAME_X = 1", "def run_NAME(): ...", "f(NAME=1)",
             "class NAMEHead: ...", "from a import b as NAME"]
)  # fmt: skip
def test_a_name_is_found(small: Path, code: str) -> None:
    path = small / PACKAGE / "low" / "a.py"
    path.write_text(code.replace("NAME", NAMES[1]))
    assert named_outside(small) != []
    path.write_text(f'"""{NAMES[1]}"""\nX = 1  # {NAMES[1]}\n"""{NAMES[1]}"""\n')
    assert named_outside(small) == []
