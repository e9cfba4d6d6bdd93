"""Videos over HTTP, in the shape that clients know from public video APIs. Thin over `hosting` and `service`.

options.py   how it is served                tokens.py    who may ask, and whose is what
orders.py    what is asked for, as data      records.py   what is known of each video, on disk
desk.py      from an order to its end        making.py    an order made into a video
app.py       the addresses                   guard.py     what stands before them
metrics.py   figures for Prometheus          pages.py     the description of the API, readable without a network
server.py    serving it
"""

from __future__ import annotations

from talkinghead.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {"ServeOptions": "options", "RunningService": "server", "open_service": "server", "serve": "server"},
)
