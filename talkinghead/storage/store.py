"""The place that an address belongs to."""

from __future__ import annotations

import threading

from talkinghead.storage.address import Address
from talkinghead.storage.base import PARTIAL, UNKNOWN_SIZE, Stat, Store, StoreOptions

__all__ = ["PARTIAL", "UNKNOWN_SIZE", "Stat", "Store", "StoreOptions", "Stores", "open_store"]


def open_store(address: Address | str, *, options: StoreOptions | None = None) -> Store:
    """Open the place of an address.

    Args:
        address: a folder or a file in the place: where videos go, or what is read.
    Returns:
        A store whose root is the address.
    Raises:
        BadAddress
        MissingDependency, StorageError: the library for it is not installed, or takes no such settings.
    """
    root = Address.of(address)
    if root.is_local:
        from talkinghead.storage.local import LocalStore

        return LocalStore(root, options)
    if root.is_web:
        from talkinghead.storage.web import WebStore

        return WebStore(root, options)
    if root.scheme == "s3":
        from talkinghead.storage.s3 import S3Store

        return S3Store(root, options)
    from talkinghead.storage.objects import AzureStore, ObjectStore

    return (ObjectStore if root.scheme in ("gs", "memory") else AzureStore)(root, options)


class Stores:
    """One store for each bucket and each host that addresses name. May be asked from several threads.

    Args:
        options: of all of them.
    """

    def __init__(self, options: StoreOptions | None = None) -> None:
        self._options = options
        self._guard = threading.Lock()
        self._known: dict[str, Store] = {}

    def __call__(self, address: Address) -> Store:
        """The store of an address that is not local.

        Raises:
            MissingDependency, StorageError: as for `open_store`.
        """
        place = "/".join(address.text.split("/", 3)[:3])
        with self._guard:
            if place not in self._known:
                self._known[place] = open_store(Address(place), options=self._options)
            return self._known[place]
