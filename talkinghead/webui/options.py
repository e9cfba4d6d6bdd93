"""How the web page is served. Cheap to import."""

from __future__ import annotations

from dataclasses import dataclass

from talkinghead.errors import OptionError

DEFAULT_PORT = 8960


@dataclass(frozen=True)
class AppOptions:
    """Address and limits of the web page."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines in."""
    port: int = DEFAULT_PORT
    """Port to listen on; 0 takes a free one."""
    auth: str | None = None
    """USER:PASSWORD that visitors must give; several are separated by commas."""
    share: bool = False
    """Publish the page on the internet through Gradio's relay, for a week at most; it fetches a program for that."""
    at_once: int = 1
    """Videos of one model that are made at the same time; the others wait in line."""
    max_waiting: int = 20
    """Videos of one model that may wait."""
    max_upload_mb: int = 200
    """Largest file that can be uploaded, in megabytes."""
    max_minutes: float = 10.0
    """Longest speech, in minutes."""
    keep_hours: float = 3.0
    """Hours after which files of a page that was left open are removed; those of a closed page go at once."""

    def __post_init__(self) -> None:
        if not self.host.strip():
            raise OptionError("The host is empty.", accepted="an address of this machine, such as 127.0.0.1")
        if not 0 <= self.port <= 65535:
            raise OptionError(f"The port is {self.port}.", accepted="0 to 65535")
        if self.at_once < 1:
            raise OptionError(f"at_once is {self.at_once}.", accepted="1 or more")
        if self.max_waiting < 0:
            raise OptionError(f"max_waiting is {self.max_waiting}.", accepted="0 or more")
        for name in ("max_upload_mb", "max_minutes", "keep_hours"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} is {getattr(self, name)}.", accepted="more than 0")
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
    def is_local(self) -> bool:
        """Only this machine can reach the page."""
        return not self.share and self.host in ("127.0.0.1", "localhost", "::1")
