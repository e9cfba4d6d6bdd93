"""Under which names the page may be reached, and from which pages it may be asked.

A page elsewhere can make its own name lead to this machine (DNS rebinding); a browser then takes our answers for
answers of that page. So a request is served only if its `Host` is a name that is known, and if its `Origin`, where a
browser gives one, is that same name.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping

from talkinghead.errors import OptionError

LOCAL = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
_NETLOC = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9._-]{0,252}))(?::([0-9]{1,5}))?", re.ASCII)


def split_host(text: str) -> tuple[str, int | None] | None:
    """Name and port of a Host header; None where it is none.

    Returns:
        The name in small letters without a final dot; an address of IPv6 without its brackets, in its short form.
    """
    match = _NETLOC.fullmatch(text.lower()) if len(text) <= 300 else None
    if match is None:
        return None
    name, port = match[1].removesuffix("."), int(match[2]) if match[2] else None
    if name.startswith("["):
        try:
            name = str(ipaddress.IPv6Address(name[1:-1]))
        except ValueError:
            return None
    if not name or (port is not None and port > 65535):
        return None
    return name, port


def host_names(text: str | None) -> tuple[str, ...]:
    """The names of an option, separated by commas.

    Raises:
        OptionError: one is not a name or an address.
    """
    found = []
    for part in (text or "").split(","):
        bare = part.strip()
        if not bare:
            continue
        split = split_host(f"[{bare}]" if bare.count(":") > 1 and not bare.startswith("[") else bare)
        if split is None or split[1] is not None:
            raise OptionError(
                f"{bare[:60]!r} is no name of a host.", accepted="names or addresses without a port: th.example.org"
            )
        found.append(split[0])
    return tuple(found)


class Hosts:
    """The names that are known.

    Args:
        listen: the address that the page listens on. At every address of this machine ("0.0.0.0") any address is known,
            since an address, unlike a name, cannot be made to lead here by somebody else; and so are the names of this
            machine.
        more: names that whoever serves the page has given.
    """

    def __init__(self, listen: str, more: Iterable[str] = ()) -> None:
        self.any_address = listen in EVERYWHERE
        names = {*LOCAL, *more}
        if self.any_address:
            own = socket.gethostname().lower()
            names |= {own, own.partition(".")[0], f"{own.partition('.')[0]}.local", socket.getfqdn().lower()}
        else:
            names |= set(host_names(listen))
        self._names = {name for name in names if name}

    def add(self, name: str) -> None:
        """Also know this name."""
        self._names |= set(host_names(name))

    def knows(self, netloc: str) -> bool:
        """Whether a Host header, of any port, names this page."""
        split = split_host(netloc)
        if split is None:
            return False
        if split[0] in self._names:
            return True
        if not self.any_address:
            return False
        try:
            ipaddress.ip_address(split[0])
        except ValueError:
            return False
        return True

    def refusal(self, headers: Mapping[str, list[str]], *, looks: bool) -> str:
        """Why a request is not served; empty where it is.

        Args:
            headers: by small name, all values.
            looks: it only opens a page (GET of a document): a link on another page may lead here.
        """
        hosts, forwarded = headers.get("host", []), headers.get("x-forwarded-host", [])
        if len(hosts) != 1 or not self.knows(hosts[0]):
            return "This page is not served under that name."
        if len(forwarded) > 1 or any(not self.knows(name) for name in forwarded) or headers.get("x-gradio-server"):
            return "This page is not served under that name."
        origins = headers.get("origin", [])
        here = {_place(name) for name in (*hosts, *forwarded)}
        if len(origins) > 1 or any(_place(_netloc(origin)) not in here for origin in origins):
            return "Other pages may not ask this one."
        if not looks and not origins and any(site in ("cross-site", "same-site") for site in _sites(headers)):
            return "Other pages may not ask this one."
        return ""


def _sites(headers: Mapping[str, list[str]]) -> list[str]:
    return [value.strip().lower() for value in headers.get("sec-fetch-site", [])]


def _netloc(origin: str) -> str:
    """What stands behind the scheme of an origin; empty for "null" and everything else that is none."""
    scheme, separator, rest = origin.partition("://")
    return rest if separator and scheme.lower() in ("http", "https") else ""


def _place(netloc: str) -> tuple[str, int | None] | None:
    """Name and port, the usual ports as none."""
    split = split_host(netloc)
    if split is None:
        return None
    return split[0], None if split[1] in (80, 443) else split[1]
