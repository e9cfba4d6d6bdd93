"""The command line: thin. A command parses its options, calls `talkinghead.api`, and shows what came back.

To add a command:

1. Write `cli/<command>.py` with one function whose parameters are `Annotated[type, typer.Option(...)]` (or a
   `typer.Typer` of subcommands). Import heavy things inside the function: the module is also loaded for its `--help`.
   Results go to stdout through `console.say` and `console.print_json`, everything else to stderr through
   `console.note`, `console.warn` and `console.ProgressDisplay`. Raise errors of `talkinghead.errors`; `main` shows them
   and sets the exit status. A function may return an exit status.
2. Add one row to `OWN` in `cli/main.py`; a command of one family goes into the `commands` of its manifest.

Options that are fields of a configuration dataclass are not typed again: `flags.with_flags` makes them from the fields.
"""
