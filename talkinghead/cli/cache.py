"""`talkinghead cache`: what was kept from earlier runs."""

from __future__ import annotations

from typing import Annotated

import typer

from talkinghead.terminal import console
from talkinghead.terminal.typers import new_typer

app = new_typer(help="Show or clear what was kept from earlier runs.")

Json = Annotated[bool, typer.Option("--json", help="Show it as JSON.")]


@app.command()
def size(json_output: Json = False) -> None:
    """Say where the cache is and how much it holds."""
    from talkinghead.backends import artefacts
    from talkinghead.engine.cache import Cache
    from talkinghead.fleet.contents import memory_size

    cache = Cache()
    compiled = artefacts.entries(artefacts.compiled_folder(cache.folder))
    entries, num_bytes = len(cache) + len(compiled), cache.size() + sum(size for _, size, _ in compiled)
    num_bytes += memory_size(cache.folder)
    if json_output:
        console.print_json({"folder": str(cache.folder), "entries": entries, "bytes": num_bytes})
    else:
        console.say(f"{cache.folder}: {entries} entries, {console.size_text(num_bytes)}")


@app.command()
def clear(json_output: Json = False) -> None:
    """Remove everything from the cache; it fills again as it is needed."""
    from talkinghead.backends import artefacts
    from talkinghead.engine.cache import Cache
    from talkinghead.fleet.contents import forget_all

    cache = Cache()
    freed = cache.clear() + artefacts.clear(artefacts.compiled_folder(cache.folder)) + forget_all(cache.folder)
    if json_output:
        console.print_json({"folder": str(cache.folder), "freed_bytes": freed})
    else:
        console.say(f"{cache.folder}: {console.size_text(freed)} freed")
