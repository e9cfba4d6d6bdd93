"""`talkinghead app`: the web page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkinghead.cli.signing import Key, Sign, TimestampUrl
from talkinghead.engine.flags import Given, Group, make_flags
from talkinghead.engine.options import build_config, option_fields
from talkinghead.registry import DEFAULT_FAMILY
from talkinghead.terminal import console
from talkinghead.terminal.flags import declared_flags, with_flags
from talkinghead.terminal.helping import HelpPage, help_page
from talkinghead.webui.options import AppOptions

if TYPE_CHECKING:
    from talkinghead.webui import RunningApp

PAGE = Group("page", AppOptions, "Options", leave_out=frozenset({"auth", "share"}))
_HELP = {field.name: field.help for field in option_fields(AppOptions)}


@help_page(
    HelpPage(
        examples=(
            "app",
            "app --gallery faces/ --browser",
            "app --host 0.0.0.0 --auth me:secret-of-mine",
        ),
        main=(
            "--host", "--port", "--auth", "--share", "--model", "--gallery", "--at-once", "--max-waiting",
            "--max-upload-mb", "--max-minutes", "--browser",
        ),
    )
)  # fmt: skip
def app(
    given: Given,
    auth: Annotated[
        str | None, typer.Option(metavar="USER:PASSWORD", envvar="TALKINGHEAD_APP_AUTH", help=_HELP["auth"])
    ] = None,
    share: Annotated[bool, typer.Option("--share", help=_HELP["share"])] = False,
    model: Annotated[str, typer.Option("--model", "-m", help="The model that is chosen at first.")] = DEFAULT_FAMILY,
    gallery: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of faces (pictures, videos), template folders and scenes to offer. Several are allowed."
        ),
    ] = None,
    sign: Sign = None,
    key: Key = None,
    timestamp_url: TimestampUrl = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in the browser.")] = False,
) -> None:
    """Serve the web page on this machine; stop it with Ctrl-C.

    Nothing is sent to or fetched from anywhere else, and files of a visitor are removed when the page is closed. Needs
    the extra `web`.
    """
    from talkinghead.provenance.signing import signing_with

    values: dict[str, Any] = {"auth": auth, "share": share, **given.of(PAGE.owner)}
    options = build_config(AppOptions, values, owner="The web page")
    with signing_with(sign, key, timestamp_url):
        run_page(options, model=model, folders=gallery or [], browser=browser)


def run_page(
    options: AppOptions,
    *,
    model: str = DEFAULT_FAMILY,
    folders: list[Path] | None = None,
    fixed: dict[str, dict[str, Any]] | None = None,
    browser: bool = False,
) -> None:
    """Serve until Ctrl-C, saying where."""
    from talkinghead.webui import serve

    def ready(running: RunningApp) -> None:
        console.say(f"The page is at {running.url} (stop it with Ctrl-C)")
        if running.share_url:
            console.say(f"Everyone who has this address can use it: {running.share_url}")
        if not options.is_local and not options.logins:
            console.warn("Others can reach this page without a password. Try: --auth USER:PASSWORD")
        if browser:
            import webbrowser

            webbrowser.open(running.url)

    serve(options, model=model, folders=folders or [], fixed=fixed, on_ready=ready)


command = with_flags(app, make_flags([PAGE], taken=declared_flags(app)))
