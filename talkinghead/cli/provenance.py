"""`talkinghead provenance`: what signing videos needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkinghead.terminal import console
from talkinghead.terminal.typers import new_typer

app = new_typer(help="Make a certificate for trying to sign videos.")


@app.callback()
def _group() -> None:
    """Make a certificate for trying to sign videos."""


@app.command("make-test-certificate")
def make_certificate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the three files; made where missing.")],
) -> None:
    """Make a certificate and its key, for trying to sign videos; nothing that is there is replaced.

    Nobody knows the authority that signs it, so programs show such videos as signed by somebody unknown. For videos
    that leave the house, get a certificate from an authority on the C2PA trust list.
    """
    from talkinghead.provenance.signing import make_test_certificate

    certificate, key, authority = make_test_certificate(folder)
    console.say(f"{certificate} and {key} sign videos for a year; whoever knows {authority} can verify them.")
    console.say(f"Next: talkinghead generate ... --sign {certificate} --key {key}")
