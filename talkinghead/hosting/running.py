"""An ASGI application that is served in a thread while a block runs."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from talkinghead.errors import OptionError
from talkinghead.hosting.asgi import App
from talkinghead.hosting.hosts import EVERYWHERE, LOCAL

START_S = 30.0
STOP_S = 20.0
_PORT_OPTION = int(getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR))
"""A port is ours alone. On Windows SO_REUSEADDR would let two programs have one at the same time; elsewhere it only
lets it be had again right after its last owner."""


def listening_socket(host: str, port: int, what: str) -> socket.socket:
    """A socket that listens.

    Args:
        what: is to be served, for the message: "Live sessions".
    Raises:
        OptionError: the port is taken, or the address is not of this machine.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, _PORT_OPTION, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise OptionError(
            f"{what} cannot be served at {host}:{port}: {error.strerror or error}.",
            remedy=f"another port (--port {port + 1 if port < 65_535 else port - 1}), or 0 for a free one",
        ) from error
    return listening


def shown_url(host: str, port: int) -> str:
    """Address for a program on this machine."""
    name = "localhost" if host in LOCAL or host in EVERYWHERE else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"


@contextmanager
def serving(app: App, listening: socket.socket, name: str, **settings: Any) -> Iterator[None]:
    """Serve while the `with` block runs; the socket is closed afterwards.

    Args:
        name: of the thread.
        settings: further ones of uvicorn.
    Raises:
        OptionError: the server does not start.
    """
    import uvicorn

    host, port = listening.getsockname()[:2]
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            log_level=logging.WARNING,
            lifespan="on",
            server_header=False,
            timeout_graceful_shutdown=1,
            proxy_headers=False,
            **settings,
        )
    )
    thread = threading.Thread(target=server.run, args=([listening],), name=name, daemon=True)
    thread.start()
    try:
        waited = time.monotonic() + START_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > waited:
                raise OptionError(f"The server did not start at {host}:{port}.")
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join(STOP_S)
        listening.close()
