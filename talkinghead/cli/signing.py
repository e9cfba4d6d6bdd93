"""The options with which commands sign the videos that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from talkinghead.provenance.signing import CERTIFICATE, KEY, TIMESTAMP_URL

Sign = Annotated[
    Path | None,
    typer.Option(
        "--sign",
        metavar="CERT",
        envvar=CERTIFICATE,
        help="Sign finished videos (C2PA, extra provenance): certificates as PEM, the signer's first.",
    ),
]
Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", envvar=KEY, help="Private key of the certificate of --sign, PEM."),
]
TimestampUrl = Annotated[
    str | None,
    typer.Option(
        "--timestamp-url",
        metavar="URL",
        envvar=TIMESTAMP_URL,
        help="Have a time stamp authority (RFC 3161) confirm when; default: nobody is asked.",
    ),
]
