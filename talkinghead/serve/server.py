"""Serving the service: on this machine unless asked otherwise."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkinghead.errors import MissingDependency
from talkinghead.hosting.folders import server_folder, sweep
from talkinghead.hosting.hosts import Hosts, host_names
from talkinghead.hosting.running import listening_socket, serving, shown_url
from talkinghead.serve.options import ServeOptions
from talkinghead.serve.tokens import Tokens, read_tokens, tokens_file

if TYPE_CHECKING:
    from talkinghead.hosting.asgi import App
    from talkinghead.hosting.workshop import Workshop
    from talkinghead.serve.desk import Desk, Maker

PACKAGES = {"fastapi": "fastapi", "uvicorn": "uvicorn", "prometheus_client": "prometheus-client",
            "python_multipart": "python-multipart"}  # fmt: skip
HOUSEKEEPING_S = 5.0
OPERATOR = "operator"
"""Whose the token is that a server makes up."""

Beside = Callable[["Workshop"], Any]
"""Opens another door to the same workshop: a context manager."""


@dataclass(frozen=True)
class RunningService:
    """A service that runs."""

    url: str
    """Address on this machine."""
    port: int
    token: str | None
    """A token that was made up because others can reach the service and none was given; None elsewhere."""
    beside: Any = None
    """What another door gave."""


def check_packages() -> None:
    """Look whether the extra `serve` is installed.

    Raises:
        MissingDependency: it is not.
    """
    for module, package in PACKAGES.items():
        if find_spec(module) is None:
            raise MissingDependency(package, extra="serve", purpose="Serving videos over HTTP")


@contextmanager
def open_desk(
    options: ServeOptions,
    *,
    allow_addresses: Sequence[str] = (),
    folders: Sequence[Path] = (),
    fixed: Mapping[str, Mapping[str, Any]] | None = None,
    maker: Maker | None = None,
) -> Iterator[Desk]:
    """Take orders while the `with` block runs, without a server; as `open_service`."""
    from talkinghead.hosting.workshop import Workshop
    from talkinghead.serve.addresses import Allowed
    from talkinghead.serve.desk import Desk
    from talkinghead.serve.records import Shelf

    allowed = Allowed.of(allow_addresses)
    sweep()
    with ExitStack() as stack:
        private = stack.enter_context(server_folder())
        workshop = Workshop(private / "workshop", options, folders=folders, fixed=fixed, max_pixels=options.max_pixels)
        stack.callback(workshop.close)
        shelf = Shelf(options.data or private / "data")
        stack.callback(shelf.close)
        desk = Desk(workshop, options, shelf, maker=maker, allowed=allowed)
        stack.callback(desk.close)
        stopped = threading.Event()
        house = threading.Thread(target=_keep_house, args=(desk, stopped), name="serve-housekeeping", daemon=True)
        house.start()
        stack.callback(house.join)
        stack.callback(stopped.set)
        yield desk


def guarded(desk: Desk, options: ServeOptions, tokens: Tokens) -> App:
    """The whole application."""
    from talkinghead.serve.app import build_app
    from talkinghead.serve.guard import Guard

    return Guard(build_app(desk), Hosts(options.host, host_names(options.allow_host)), tokens, desk.metrics)


@contextmanager
def open_service(
    options: ServeOptions | None = None,
    *,
    tokens: Sequence[tuple[str, str]] = (),
    allow_addresses: Sequence[str] = (),
    folders: Sequence[Path] = (),
    fixed: Mapping[str, Mapping[str, Any]] | None = None,
    beside: Beside | None = None,
) -> Iterator[RunningService]:
    """Serve while the `with` block runs. Without a data folder every file is removed afterwards.

    Args:
        tokens: names and hashes of tokens (`tokens.read_tokens`), beside those of the options' file.
        allow_addresses: addresses below which files are fetched.
        folders: gallery folders: pictures and videos of faces, template folders, scenes.
        fixed: model name to fields of its configuration that are set for everyone.
        beside: opens another door to the same queue.
    Raises:
        MissingDependency: a package of the extra `serve` is not installed. OptionError: the port or the data folder is
            taken, or a token or an address is none. MediaNotFound: no such folder.
    """
    check_packages()
    options = options or ServeOptions()
    known = [*tokens, *(tokens_file(options.tokens) if options.tokens is not None else ())]
    made_up = None
    if not known and not options.is_local:
        made_up = secrets.token_urlsafe(24)
        known = read_tokens(f"{OPERATOR} {made_up}", "a token that was made up")
    listening = listening_socket(options.host, options.port, "Videos")
    port = int(listening.getsockname()[1])
    with ExitStack() as stack:
        stack.callback(listening.close)
        desk = stack.enter_context(open_desk(options, allow_addresses=allow_addresses, folders=folders, fixed=fixed))
        other = stack.enter_context(beside(desk.workshop)) if beside is not None else None
        stack.enter_context(serving(guarded(desk, options, Tokens(known)), listening, "serve-server", ws="none"))
        yield RunningService(shown_url(options.host, port), port, made_up, other)


def _keep_house(desk: Desk, stopped: threading.Event) -> None:
    while not stopped.wait(HOUSEKEEPING_S):
        desk.sweep()
        desk.expire()


def serve(
    options: ServeOptions | None = None,
    *,
    on_ready: Callable[[RunningService], None] | None = None,
    **more: Any,
) -> None:
    """Serve until interrupted (KeyboardInterrupt); as `open_service`."""
    with open_service(options, **more) as running:
        if on_ready is not None:
            on_ready(running)
        while True:
            time.sleep(3600)
