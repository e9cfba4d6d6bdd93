"""Serving live sessions: the page, WHEP, and the WebSocket of agents."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from talkinghead.errors import MissingDependency
from talkinghead.hosting.folders import server_folder, sweep
from talkinghead.hosting.hosts import Hosts, host_names
from talkinghead.hosting.running import listening_socket, serving, shown_url
from talkinghead.live.options import ServerOptions
from talkinghead.speech.options import SpeechOptions

if TYPE_CHECKING:
    from talkinghead.live.heads import Cast
    from talkinghead.live.rooms import Stage

PACKAGES = ("fastapi", "uvicorn", "aiortc", "websockets")
MOST_MESSAGE = 1_000_000
"""Bytes of one message of a WebSocket."""


@dataclass(frozen=True)
class RunningServer:
    """A server that runs."""

    url: str
    """Address for a browser on this machine, with the token where one is asked for."""
    port: int
    token: str | None
    """What everybody must give; None where nothing is asked for."""


def check_packages() -> None:
    """Look whether the extra `live` is installed.

    Raises:
        MissingDependency: it is not.
    """
    from importlib.util import find_spec

    for package in PACKAGES:
        if find_spec(package) is None:
            raise MissingDependency(package, extra="live", purpose="Serving live sessions")


@contextmanager
def open_stage(
    stage: Stage, options: ServerOptions | None = None, speech: SpeechOptions | None = None
) -> Iterator[RunningServer]:
    """Serve a stage while the `with` block runs; afterwards every session and connection is closed.

    Raises:
        MissingDependency: a package of the extra `live` is not installed. OptionError: the port is taken.
    """
    check_packages()
    from talkinghead.engine.live import keeping_time
    from talkinghead.live.app import build_app
    from talkinghead.live.guard import Guard

    options = options or ServerOptions()
    token = options.token or (None if options.is_local else secrets.token_urlsafe(24))
    listening = listening_socket(options.host, options.port, "Live sessions")
    port = int(listening.getsockname()[1])
    app = build_app(stage, options, speech or SpeechOptions())
    guard = Guard(app, options, Hosts(options.host, host_names(options.allow_host)), token)
    sockets = {
        "ws": "websockets-sansio",
        "ws_max_size": MOST_MESSAGE,
        "ws_ping_interval": 10.0,
        "ws_ping_timeout": 20.0,
    }
    with keeping_time(), serving(guard, listening, "live-server", **sockets):
        url = shown_url(options.host, port) + (f"#token={token}" if token else "")
        yield RunningServer(url, port, token)


@contextmanager
def open_server(
    cast: Cast, options: ServerOptions | None = None, speech: SpeechOptions | None = None
) -> Iterator[RunningServer]:
    """Load a model, prepare its face, and serve both while the `with` block runs. Nothing is kept afterwards.

    Args:
        speech: how texts are spoken where a message says nothing else.
    Raises:
        As `open_stage`, and whatever the model or the face cannot be used for.
    """
    check_packages()
    from talkinghead.live.heads import Heads

    sweep()
    with server_folder() as folder, open_stage(Heads(cast, folder), options, speech) as running:
        yield running


def serve(
    cast: Cast,
    options: ServerOptions | None = None,
    speech: SpeechOptions | None = None,
    on_ready: Callable[[RunningServer], None] | None = None,
) -> None:
    """Serve until interrupted (KeyboardInterrupt)."""
    with open_server(cast, options, speech) as running:
        if on_ready is not None:
            on_ready(running)
        while True:
            time.sleep(3600)
