"""`talkinghead serve`: videos over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkinghead.bounds import Between
from talkinghead.cli.signing import Key, Sign, TimestampUrl
from talkinghead.engine.flags import Given, Group, make_flags
from talkinghead.engine.options import build_config
from talkinghead.serve.options import ServeOptions
from talkinghead.terminal import console
from talkinghead.terminal.flags import declared_flags, with_flags
from talkinghead.terminal.helping import HelpPage, help_page
from talkinghead.webui.options import DEFAULT_PORT as PAGE_PORT

if TYPE_CHECKING:
    from talkinghead.serve.server import RunningService

SERVICE = Group("service", ServeOptions, "Options")


@help_page(
    HelpPage(
        examples=("serve", "serve --data jobs/ --keep-h 72", "serve --host 0.0.0.0 --tokens tokens.txt --data jobs/"),
        main=(
            "--host", "--port", "--tokens", "--data", "--keep-h", "--gallery", "--allow-address", "--at-once",
            "--max-waiting", "--page",
        ),
    )
)  # fmt: skip
def serve(
    given: Given,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="NAME TOKEN",
            envvar="TALKINGHEAD_SERVE_TOKENS",
            help="Tokens beside those of --tokens, separated by commas. Better in the variable than in the command.",
        ),
    ] = None,
    allow_address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Address below which files are fetched that an order names: https://cdn.example.com/ or "
            "s3://bucket/faces/. Several are allowed. Default: none.",
        ),
    ] = None,
    gallery: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of faces (pictures, videos), template folders and scenes to offer. Several are allowed."
        ),
    ] = None,
    sign: Sign = None,
    key: Key = None,
    timestamp_url: TimestampUrl = None,
    page: Annotated[
        bool, typer.Option("--page", help="Also serve the web page, on the same queue. Needs the extra `web`.")
    ] = False,
    page_port: Annotated[
        int | None, Between(0, 65_535), typer.Option(help=f"Port of the page, with --page; default: {PAGE_PORT}.")
    ] = None,
) -> None:
    """Serve videos over HTTP on this machine; stop it with Ctrl-C.

    The address /docs describes the API. Nothing is fetched from anywhere unless --allow-address says so. Needs the
    extra `serve`.
    """
    from talkinghead.errors import OptionError
    from talkinghead.provenance.signing import signing_with
    from talkinghead.serve.server import serve as run
    from talkinghead.serve.tokens import read_tokens

    options = build_config(ServeOptions, given.of(SERVICE.owner), owner="The service")
    if page_port is not None and not page:
        raise OptionError("--page-port is given without --page.", remedy="leave it out")
    if page and not options.is_local:
        raise OptionError("The page beside the service is for this machine.", remedy="talkinghead app --auth, apart")

    def ready(running: RunningService) -> None:
        console.say(f"The service is at {running.url} (stop it with Ctrl-C); {running.url}docs describes it")
        if running.token is not None:
            console.say(f"Whoever asks needs this token: {running.token}")
        if running.beside is not None:
            console.say(f"The page is at {running.beside.url}")

    with signing_with(sign, key, timestamp_url):
        run(
            options,
            tokens=read_tokens(token, "--token") if token else (),
            allow_addresses=allow_address or (),
            folders=gallery or (),
            beside=_page_beside(options, PAGE_PORT if page_port is None else page_port) if page else None,
            on_ready=ready,
        )


def _page_beside(options: ServeOptions, port: int) -> Any:
    from talkinghead.webui import AppOptions, open_app

    page = AppOptions(
        host=options.host,
        port=port,
        at_once=options.at_once,
        max_waiting=options.max_waiting,
        max_upload_mb=options.max_upload_mb,
        max_minutes=options.max_minutes,
    )
    return lambda workshop: open_app(page, workshop=workshop)


command = with_flags(serve, make_flags([SERVICE], taken=declared_flags(serve)))
