"""`talkinghead models`: the model families and what they need."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from talkinghead.cli import console
from talkinghead.cli.typers import new_typer

app = new_typer(help="List models and what they need.")


@app.command("list")
def list_models(json_output: Annotated[bool, typer.Option("--json", help="Show it as JSON.")] = False) -> None:
    """List the models: what each takes, needs and gives."""
    from talkinghead.options import config_class, option_fields
    from talkinghead.registry import DEFAULT_FAMILY, FAMILIES

    if not json_output:
        rows = [
            [
                facts.name + (" (default)" if facts.name == DEFAULT_FAMILY else ""),
                facts.source_option,
                "checkpoint" if facts.needs_checkpoint else "no weights",
                str(facts.fps) if facts.fps is not None else "any",
                facts.extra or "base",
                facts.summary,
            ]
            for facts in FAMILIES.values()
        ]
        console.say(console.table(["model", "takes", "needs", "frames/s", "extra", "what it does"], rows))
        return
    found: list[dict[str, Any]] = []
    for facts in FAMILIES.values():
        options = [
            {
                "name": item.name,
                "flag": item.flag,
                "type": item.spelling,
                "default": item.default,
                "help": item.help,
            }
            for item in option_fields(config_class(facts.config))  # type: ignore[arg-type]
        ]
        found.append(
            {
                "name": facts.name,
                "title": facts.title,
                "summary": facts.summary,
                "kind": facts.kind,
                "source_option": facts.source_option,
                "face_source": facts.face_source,
                "needs_checkpoint": facts.needs_checkpoint,
                "fps": str(facts.fps) if facts.fps is not None else None,
                "look_ahead_s": facts.look_ahead_s,
                "can_stream": facts.can_stream,
                "extra": facts.extra,
                "options": options,
            }
        )
    console.print_json(found)
