"""How live sessions are served. Cheap to import."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from talkinghead.bounds import MAX_PATH, Between, Length, check_fields
from talkinghead.errors import OptionError
from talkinghead.hosting.hosts import host_names, split_host

DEFAULT_PORT = 8961
MIN_TOKEN = 16
_TOKEN = re.compile(rf"[A-Za-z0-9._~-]{{{MIN_TOKEN},200}}")
_ORIGIN = re.compile(r"https?://[^/?#@\s]{1,300}")
LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServerOptions:
    """Address and limits of the live server."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines in, who need the token then."""
    port: Annotated[int, Between(0, 65_535)] = DEFAULT_PORT
    """Port to listen on; 0 takes a free one."""
    allow_host: Annotated[str | None, Length(MAX_PATH)] = None
    """Further names under which the server may be reached, separated by commas: that of a proxy in front, say."""
    allow_origin: Annotated[str | None, Length(MAX_PATH)] = None
    """Pages elsewhere that may use the server from a browser, separated by commas: https://player.example.org"""
    token: Annotated[str | None, Length(MAX_PATH)] = None
    """What everybody must give who watches or speaks: at least 16 letters and digits. Default: none on this machine
    alone, else a new one that is shown."""
    max_sessions: Annotated[int, Between(1, 64)] = 4
    """Sessions at the same time."""
    max_viewers: Annotated[int, Between(1, 64)] = 8
    """Who watches one session at the same time."""
    max_agents: Annotated[int, Between(1, 64)] = 4
    """Connections that speak through one session at the same time."""
    idle_s: Annotated[float, Between(0.1, 86_400)] = 60.0
    """Seconds after which a session ends that nobody watches or speaks through."""
    max_upload_mb: Annotated[int, Between(1, 1_000)] = 50
    """Largest face that can be sent, in megabytes."""
    stun: Annotated[str | None, Length(MAX_PATH)] = None
    """Server that tells this machine its address on the internet, for viewers there: HOST:PORT. Default: nobody is
    asked."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.host.strip():
            raise OptionError("The host is empty.", accepted="an address of this machine, such as 127.0.0.1")
        host_names(self.allow_host)
        _ = self.origins, self.stun_server
        if self.token is not None and _TOKEN.fullmatch(self.token) is None:  # it is secret and is not shown
            raise OptionError(
                "The token is too short, or has other signs than it may.",
                accepted=f"{MIN_TOKEN} or more letters, digits and - _ . ~",
            )

    @property
    def is_local(self) -> bool:
        """Only this machine can reach the server."""
        return self.host in LOCAL

    @property
    def origins(self) -> tuple[str, ...]:
        """`allow_origin`, parsed.

        Raises:
            OptionError: one is no origin.
        """
        found = tuple(part.strip().lower().rstrip("/") for part in (self.allow_origin or "").split(",") if part.strip())
        for origin in found:
            if _ORIGIN.fullmatch(origin) is None or split_host(origin.partition("://")[2]) is None:
                raise OptionError(f"{origin[:60]!r} is no origin.", accepted="such as https://player.example.org")
        return found

    @property
    def stun_server(self) -> str | None:
        """`stun` as an address of ICE.

        Raises:
            OptionError: it is none.
        """
        if self.stun is None:
            return None
        split = split_host(self.stun.removeprefix("stun:"))
        if split is None or ":" in split[0]:
            raise OptionError(f"{self.stun[:60]!r} is no STUN server.", accepted="HOST or HOST:PORT")
        return f"stun:{split[0]}:{split[1] or 3478}"


@dataclass(frozen=True)
class StreamOptions:
    """How a live session is sent."""

    video_bitrate_k: Annotated[int, Between(100, 100_000)] = 2500
    """Of the pictures, in kbit/s."""
    audio_bitrate_k: Annotated[int, Between(16, 512)] = 128
    """Of the sound, in kbit/s."""
    keyframe_s: Annotated[float, Between(0.1, 60)] = 2.0
    """Seconds between pictures at which a receiver can begin."""
    overwrite: bool = False
    """Replace a file that is there."""
    label: bool = True
    """Say in the metadata of files (XMP and the comment) that they are synthetic, what made them and when."""

    def __post_init__(self) -> None:
        check_fields(self)
