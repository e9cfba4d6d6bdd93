"""What the service fetches from elsewhere: files below addresses that whoever serves has allowed, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from talkinghead.engine.context import CancelToken
from talkinghead.errors import OptionError, choices
from talkinghead.serve.orders import Asked, fetched_name
from talkinghead.storage.address import Address
from talkinghead.storage.base import Stat, StoreOptions
from talkinghead.storage.store import open_store

TRIES = 4
"""How often a file is asked for that does not come."""


@dataclass(frozen=True)
class Allowed:
    """Addresses below which files are fetched."""

    folders: tuple[Address, ...] = ()

    @staticmethod
    def of(given: Sequence[str]) -> Allowed:
        """What an operator allowed.

        Raises:
            BadAddress, OptionError: one is no address of a folder elsewhere.
        """
        found = tuple(Address.of(text) for text in given)
        for folder in found:
            if folder.is_local:
                raise OptionError(
                    f"{str(folder.path)!r} is a folder of this machine.",
                    accepted="an address elsewhere, such as https://cdn.example.com/",
                )
            if "?" in folder.text or "#" in folder.text:
                raise OptionError(f"{folder.shown!r} is no address of a folder.", accepted="one without ? and #")
        return Allowed(found)

    def check(self, address: Address) -> None:
        """Refuse what was not allowed.

        Raises:
            OptionError
        """
        if not address.is_local:
            path = address.text.partition("?")[0].partition("#")[0]
            if any(path.startswith(folder.text.rstrip("/") + "/") for folder in self.folders):
                return
        raise OptionError(
            f"Nothing is fetched from {address.shown!r}." if not address.is_local else "That is no address.",
            accepted=f"files below {choices([folder.text for folder in self.folders])}" if self.folders else None,
            remedy="send the file itself, as a form",
        )

    def check_all(self, asked: Asked) -> None:
        """Refuse an order with an address that was not allowed."""
        for text in asked.addresses.values():
            self.check(Address.of(text))


def fetch(asked: Asked, given: Path, allowed: Allowed, max_mb: int, cancel: CancelToken) -> Asked:
    """Fetch the files of an order into its folder; returns the order with their names.

    Raises:
        OptionError: an address that is not allowed, or leads to one. StorageError: it cannot be read, or is too large.
        Cancelled: the token was used.
    """
    options = StoreOptions(max_bytes=max_mb * 1_000_000, allow=allowed.check, tries=TRIES)
    names = {}

    def check(_: Stat) -> None:
        cancel.check()

    for field_name, text in asked.addresses.items():
        cancel.check()
        address = Address.of(text)
        allowed.check(address)
        name = fetched_name(field_name, text)
        open_store(address.parent, options=options).fetch(address, given / name, check=check)
        names[field_name] = name
    return asked.with_files(names)
