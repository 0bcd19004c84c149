"""Values that are kept as long as there is room for them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class _Sized(Protocol):
    @property
    def n_bytes(self) -> int: ...


T = TypeVar("T", bound=_Sized)


class LruStore(Generic[T]):
    """Values by key, least recently used out first beyond `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: Hashable, value: T) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        total = sum(one.n_bytes for one in self._entries.values())
        while total > self.max_bytes:
            total -= self._entries.popitem(last=False)[1].n_bytes

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)
