"""Values kept in memory within a limit: the least recently used ones go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class Lru(Generic[KeyT, ValueT]):
    """Values by key, at most `limit` of them, or of `limit` bytes. Used by one thread at a time.

    Args:
        limit: how much all values together may come to.
        size: what a value comes to, such as its bytes; None counts values. A value's size must not change.
    """

    def __init__(self, limit: int, size: Callable[[ValueT], int] | None = None) -> None:
        if limit < 0:
            raise ValueError(f"limit must not be negative, not {limit}")
        self.limit = limit
        self._size = size
        self._kept: OrderedDict[KeyT, ValueT] = OrderedDict()
        self._used = 0

    @property
    def used(self) -> int:
        """What all kept values come to; never more than the limit."""
        return self._used

    def find(self, key: KeyT) -> ValueT | None:
        """The value of a key, which now counts as used last; None if it is not kept."""
        value = self._kept.get(key)
        if value is not None:
            self._kept.move_to_end(key)
        return value

    def keep(self, key: KeyT, value: ValueT) -> None:
        """Keep a value, which now counts as used last; one that is above the limit by itself is not kept."""
        self.take(key)
        size = self._size_of(value)
        if size > self.limit:
            return
        self._kept[key] = value
        self._used += size
        while self._used > self.limit:
            _, old = self._kept.popitem(last=False)
            self._used -= self._size_of(old)

    def take(self, key: KeyT) -> ValueT | None:
        """The value of a key, which is forgotten; None if it was not kept."""
        value = self._kept.pop(key, None)
        if value is not None:
            self._used -= self._size_of(value)
        return value

    def clear(self) -> None:
        self._kept.clear()
        self._used = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: object) -> bool:
        """Whether a key is kept; does not count as use."""
        return key in self._kept

    def _size_of(self, value: ValueT) -> int:
        return 1 if self._size is None else self._size(value)
