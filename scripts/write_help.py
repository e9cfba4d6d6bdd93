"""Copy the sentences that `--help` and the web page show from the sources into talkinghead/assets/help.json.

    python scripts/write_help.py           # after a field of a configuration or the docstring of a command has changed
    python scripts/write_help.py --check   # only say whether the file is current

The package reads them there, so that a frozen application has help too, without sources and without docstrings.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
from importlib import import_module
from pathlib import Path

import typer

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "talkinghead" / "assets" / "help.json"
CONFIGURATIONS = ("Options", "Config", "Request", "SoundFile", "SpokenText", "BenchSettings")
"""How the names of classes end whose fields are options."""

Texts = dict[str, dict[str, str]]


def of_fields(package: Path) -> Texts:
    """Class ("module:class") to field to the sentence under it, for the package's configurations."""
    from talkinghead.engine.options import docs_under_fields

    found: Texts = {}
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith(CONFIGURATIONS):
                docs = docs_under_fields(node)
                if docs:
                    found[f"{module}:{node.name}"] = docs
    return found


def of_commands() -> Texts:
    """Module to function to docstring, for the functions behind our own commands and steps."""
    from talkinghead.cli.main import commands
    from talkinghead.cli.stage import steps
    from talkinghead.cli.train import trainers
    from talkinghead.terminal.typers import functions_of

    found: Texts = {}
    for row in (*commands(), *steps(), *trainers()):
        module, _, name = row.target.partition(":")
        if module.partition(".")[0] != "talkinghead":
            continue  # another package brings it
        target = getattr(import_module(module), name)
        for function in functions_of(target) if isinstance(target, typer.Typer) else [target]:
            found.setdefault(function.__module__, {})[function.__qualname__] = inspect.getdoc(function) or ""
    return dict(sorted(found.items()))


def text() -> str:
    """The file, as it should be."""
    made = {"fields": of_fields(ROOT / "talkinghead"), "commands": of_commands()}
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; the exit status is 1 where it is not current"
    )
    check = parser.parse_args().check
    made = text()
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == made:
        return 0
    if check:
        print(f"{TARGET.name} is not current. Try: python scripts/write_help.py", file=sys.stderr)
        return 1
    TARGET.write_text(made, encoding="utf-8")
    print(TARGET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
