"""The place that an address belongs to."""

from __future__ import annotations

from talkinghead.storage.address import Address
from talkinghead.storage.base import PARTIAL, UNKNOWN_SIZE, Stat, Store, StoreOptions

__all__ = ["PARTIAL", "UNKNOWN_SIZE", "Stat", "Store", "StoreOptions", "open_store"]


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
