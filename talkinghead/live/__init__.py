"""Where live sessions are seen and heard: transports, each of which knows only the session."""

from __future__ import annotations

from talkinghead.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {"ServerOptions": "options", "RunningServer": "server", "open_server": "server", "serve": "server"},
)
