"""Serving live sessions: the page, WHEP, and the WebSocket of agents."""

from __future__ import annotations

import logging
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from talkinghead.errors import MissingDependency, OptionError
from talkinghead.hosting.folders import server_folder, sweep
from talkinghead.hosting.hosts import Hosts, host_names
from talkinghead.live.options import ServerOptions
from talkinghead.speech.options import SpeechOptions

if TYPE_CHECKING:
    from talkinghead.live.heads import Cast
    from talkinghead.live.rooms import Stage

START_S = 30.0
STOP_S = 20.0
SWITCH_S = 0.0005
"""How long a thread waits for Python's lock: with Python's own 5 ms, those who draw and those who send would often wait
for each other."""
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
    import uvicorn

    from talkinghead.live.app import build_app
    from talkinghead.live.guard import Guard

    options = options or ServerOptions()
    token = options.token or (None if options.is_local else secrets.token_urlsafe(24))
    listening = _listen(options)
    port = int(listening.getsockname()[1])
    app = build_app(stage, options, speech or SpeechOptions())
    guard = Guard(app, options, Hosts(options.host, host_names(options.allow_host)), token)
    server = uvicorn.Server(
        uvicorn.Config(
            guard,
            log_config=None,
            access_log=False,
            log_level=logging.WARNING,
            lifespan="on",
            ws="websockets-sansio",
            ws_max_size=MOST_MESSAGE,
            ws_ping_interval=10.0,
            ws_ping_timeout=20.0,
            server_header=False,
            timeout_graceful_shutdown=1,
            proxy_headers=False,
        )
    )
    switching = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    thread = threading.Thread(target=server.run, args=([listening],), name="live-server", daemon=True)
    thread.start()
    try:
        waited = time.monotonic() + START_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > waited:
                raise OptionError(f"The server did not start at {options.host}:{port}.")
            time.sleep(0.01)
        host = "localhost" if options.is_local or options.host in ("0.0.0.0", "::") else options.host  # noqa: S104
        shown = f"[{host}]" if ":" in host else host
        yield RunningServer(f"http://{shown}:{port}/" + (f"#token={token}" if token else ""), port, token)
    finally:
        server.should_exit = True
        thread.join(STOP_S)
        sys.setswitchinterval(switching)
        listening.close()


def _listen(options: ServerOptions) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((options.host, options.port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise OptionError(
            f"Live sessions cannot be served at {options.host}:{options.port}: {error.strerror or error}.",
            remedy="another port (--port 8962), or 0 for a free one",
        ) from error
    return listening


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
