"""How the web page is served. Cheap to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from talkinghead.bounds import MAX_PATH, Between, Length, check_fields
from talkinghead.errors import OptionError
from talkinghead.hosting.hosts import host_names

DEFAULT_PORT = 8960


@dataclass(frozen=True)
class AppOptions:
    """Address and limits of the web page."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines in."""
    port: Annotated[int, Between(0, 65_535)] = DEFAULT_PORT
    """Port to listen on; 0 takes a free one."""
    allow_host: Annotated[str | None, Length(MAX_PATH)] = None
    """Further names under which the page may be reached, separated by commas: that of a proxy in front, for example."""
    auth: Annotated[str | None, Length(MAX_PATH)] = None
    """USER:PASSWORD that visitors must give; several are separated by commas."""
    share: bool = False
    """Publish the page on the internet through Gradio's relay, for a week at most; it fetches a program for that."""
    at_once: Annotated[int, Between(1, 64)] = 1
    """Videos of one model that are made at the same time; the others wait in line."""
    max_waiting: Annotated[int, Between(0, 10_000)] = 20
    """Videos of one model that may wait."""
    max_upload_mb: Annotated[int, Between(1, 100_000)] = 200
    """Largest file that can be uploaded, in megabytes."""
    max_uploads_mb: Annotated[int, Between(1, 1_000_000)] = 2_000
    """Files that one visitor's address may have on the server at the same time, in megabytes."""
    max_minutes: Annotated[float, Between(0, 1_440, above=True)] = 10.0
    """Longest speech, in minutes."""
    keep_hours: Annotated[float, Between(0, 8_760, above=True)] = 3.0
    """Hours after which files of a page that was left open are removed; those of a closed page go at once."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.host.strip():
            raise OptionError("The host is empty.", accepted="an address of this machine, such as 127.0.0.1")
        host_names(self.allow_host)
        _ = self.logins

    @property
    def logins(self) -> list[tuple[str, str]]:
        """`auth`, parsed; empty where everyone may enter.

        Raises:
            OptionError: not USER:PASSWORD.
        """
        if self.auth is None:
            return []
        found = []
        for number, part in enumerate(self.auth.split(","), 1):
            user, colon, password = part.partition(":")
            if not (user.strip() and colon and password):  # the text itself is secret and is not shown
                raise OptionError(f"Login {number} of auth is not of the right form.", accepted="USER:PASSWORD")
            found.append((user.strip(), password))
        return found

    @property
    def visitor_bytes(self) -> int:
        """What one visitor may have here: at least one file of the largest size."""
        return max(self.max_upload_mb, self.max_uploads_mb) * 1_000_000

    @property
    def is_local(self) -> bool:
        """Only this machine can reach the page."""
        return not self.share and self.host in ("127.0.0.1", "localhost", "::1")
