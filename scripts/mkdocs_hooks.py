"""What the documentation takes from the code while it is built, so that it is never out of date.

A comment alone on a line of a page is replaced by a table:

    <!-- options: wav2lip -->    options of `generate` that belong to a model, or to frames, faces or encoding
    <!-- models -->              the models and their facts
    <!-- catalogue -->           public checkpoints and their licences
    <!-- errors -->              the errors that are raised on purpose
    <!-- commands -->            every command with its options
    <!-- gpu -->                 what `make gpu` measured, where somebody did
    <!-- stages -->              the stages of a job, as progress and reports name them
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MARKER = re.compile(r"^<!-- (\w+)(?:: ([\w.:]+))? -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return MARKER.sub(lambda match: WRITERS[match[1]](*([match[2]] if match[2] else [])), markdown)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown; cells lose what would end them."""
    lines = [list(header), ["---"] * len(header), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def code(text: object) -> str:
    return f"`{text}`" if str(text) else ""


def plain(text: str) -> str:
    """Text that is safe in Markdown."""
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def options(owner: str) -> str:
    from talkinghead.cli.generate import command

    rows = []
    for flag in command.command_class.flags:
        for name, item in flag.owners:
            if name == owner:
                values = ", ".join(item.choices) or item.spelling
                values = f"--no-{flag.flag[2:]}" if item.type is bool else values
                rows.append((code(flag.flag), plain(item.help), code(values), code(shown(item.default))))
    if not rows:
        raise ValueError(f"nothing has options under the name {owner!r}")
    return table(("option", "meaning", "values", "default"), rows)


def shown(default: Any) -> str:
    if default is None or default == "":
        return ""
    if isinstance(default, bool):
        return "on" if default else "off"
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def models() -> str:
    from talkinghead.registry import FAMILIES

    rows = [
        (
            f"[{code(facts.name)}]({facts.name}.md)",
            plain(facts.summary),
            f"{code(facts.source_option)} {plain(facts.face_source)}",
            ("a checkpoint" if facts.needs_checkpoint else "no weights")
            + (f"; extra {code(facts.extra)}" if facts.extra else ""),
        )
        for facts in FAMILIES.values()
    ]
    return table(("model", "what it does", "takes", "needs"), rows)


def catalogue() -> str:
    from talkinghead.service.models import catalogue as rows_of_all
    from talkinghead.terminal.console import size_text

    may = {True: "yes", False: "no", None: "not stated"}
    rows = []
    for entry in rows_of_all().values():
        how = "`pull`" if entry.urls else "by hand, `import`"
        size = f" ({size_text(entry.size_bytes)})" if entry.size_bytes is not None else ""
        licence = f"[{entry.licence.name}]({entry.licence.url})" if entry.licence.url else entry.licence.name
        rows.append((code(entry.name), plain(entry.purpose) + size, how, licence, may[entry.licence.commercial]))
    return table(("name", "what it is", "how", "licence", "commercial use"), rows)


def errors() -> str:
    import talkinghead.errors as module

    tree = (inspect.getdoc(module) or "").split("\n\n")[1]
    meaning = {match[1]: match[2].strip() for match in re.finditer(r"(?:├──|└──) (\w+) +(\S.*)", tree)}
    rows = []
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef):
            kind = getattr(module, node.name)
            rows.append(
                (code(node.name), meaning.get(node.name, ""), kind.exit_status, code(kind.__bases__[0].__name__))
            )
    return table(("error", "meaning", "exit status", "is a"), rows)


def stages() -> str:
    from talkinghead.contracts import STAGES

    return table(("stage", "what happens"), [(code(name), plain(sentence)) for name, sentence in STAGES.items()])


def commands() -> str:
    from talkinghead.cli.main import commands as all_commands
    from talkinghead.cli.rows import load_command

    parts: list[str] = []
    for row in all_commands():
        parts.append(f"## talkinghead {row.name}\n\n{plain(row.help)}\n")
        describe(f"talkinghead {row.name}", load_command(row), parts)
    return "\n".join(parts)


def describe(name: str, command: Any, parts: list[str]) -> None:
    below = getattr(command, "commands", {})
    for sub_name, sub in below.items():
        first_line = (sub.help or "").strip().split("\n")[0]
        parts.append(f"### {name} {sub_name}\n\n{plain(first_line)}\n")
        describe(f"{name} {sub_name}", sub, parts)
    rows = []
    for parameter in command.params:
        if "--help" in parameter.opts:
            continue
        is_argument = parameter.param_type_name == "argument"
        flags = [parameter.metavar or parameter.name.upper()] if is_argument else parameter.opts
        flags = [*flags, *parameter.secondary_opts]
        rows.append((", ".join(code(flag) for flag in flags), plain(parameter.help or "")))
    if rows and not below:
        parts.append(table(("option", "meaning"), rows))


GPU_FIGURES = Path(__file__).resolve().parent.parent / "docs" / "figures" / "gpu.md"


def gpu() -> str:
    if GPU_FIGURES.exists():
        return GPU_FIGURES.read_text(encoding="utf-8")
    return "That file is not there yet: **no figures from a card exist.**\n"


WRITERS: dict[str, Callable[..., str]] = {
    "options": options,
    "models": models,
    "catalogue": catalogue,
    "errors": errors,
    "commands": commands,
    "stages": stages,
    "gpu": gpu,
}
