"""How the service is served. Cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from talkinghead.bounds import MAX_PATH, Between, Length, check_fields
from talkinghead.errors import OptionError
from talkinghead.hosting.hosts import LOCAL, host_names

DEFAULT_PORT = 8962


@dataclass(frozen=True)
class ServeOptions:
    """Address and limits of the service."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines in, who need a token then."""
    port: Annotated[int, Between(0, 65_535)] = DEFAULT_PORT
    """Port to listen on; 0 takes a free one."""
    allow_host: Annotated[str | None, Length(MAX_PATH)] = None
    """Further names under which those without a token may reach the service, separated by commas."""
    tokens: Path | None = None
    """File of tokens, one a line: NAME TOKEN, or NAME sha256:HEX so that the file holds no secret. Each name sees its
    own videos only."""
    data: Path | None = None
    """Folder where orders and videos are kept, so that a restart loses none. Default: a private folder that is removed
    at the end."""
    keep_h: Annotated[float, Between(0, 87_600, above=True)] = 24.0
    """Hours after which a finished video is removed."""
    at_once: Annotated[int, Between(1, 64)] = 1
    """Videos of one model that are made at the same time; the others wait in line."""
    max_waiting: Annotated[int, Between(0, 100_000)] = 100
    """Videos of one model that may wait; further ones are refused until there is room (429)."""
    max_own: Annotated[int, Between(1, 100_000)] = 20
    """Videos of one token that may wait or be made at the same time."""
    per_minute: Annotated[int, Between(1, 100_000)] = 60
    """New videos of one token a minute."""
    max_upload_mb: Annotated[int, Between(1, 100_000)] = 200
    """Largest file that can be sent or fetched, in megabytes."""
    max_minutes: Annotated[float, Between(0, 1_440, above=True)] = 10.0
    """Longest speech, in minutes."""
    max_pixels: Annotated[int, Between(1, 2_000_000_000)] = 40_000_000
    """Pixels of a picture, or of a frame, that is sent."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.host.strip():
            raise OptionError("The host is empty.", accepted="an address of this machine, such as 127.0.0.1")
        host_names(self.allow_host)

    @property
    def is_local(self) -> bool:
        """Only this machine can reach the service."""
        return self.host in LOCAL

    @property
    def visitor_bytes(self) -> int:
        """What one sender may have on the way at the same time."""
        return 10 * self.max_upload_mb * 1_000_000
