"""`talkinghead train`: models of a person from a video of them; each family that can be trained has its own command."""

from __future__ import annotations

from talkinghead.cli.rows import row_group
from talkinghead.engine.manifest import CommandRow
from talkinghead.registry import FAMILIES
from talkinghead.terminal.typers import new_typer


def trainers() -> tuple[CommandRow, ...]:
    """A row for each family that can be trained."""
    return tuple(
        CommandRow(facts.name, facts.train, f"A person for {facts.title}.", "Models that can be trained")
        for facts in FAMILIES.values()
        if facts.train is not None
    )


app = new_typer(help="Train a model of a person from a video.", cls=row_group(trainers))


@app.callback()
def _group() -> None:
    """Holds the subcommands."""
