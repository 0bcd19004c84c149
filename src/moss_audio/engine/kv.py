"""Keys and values: a cache that grows in place, and prefixes that are kept for further questions.

Shapes: B rows, H key-value heads, P positions, D width of a head.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from transformers.cache_utils import Cache, DynamicLayer

_GROWTH = 128  # positions that are added at once: one copy every so many tokens


class _Layer(DynamicLayer):
    """DynamicLayer that writes into spare room instead of copying all of itself every token."""

    def __init__(self) -> None:
        super().__init__()
        self._key_room: torch.Tensor | None = None
        self._value_room: torch.Tensor | None = None
        self._used = 0

    def reserve(self, like: torch.Tensor, rows: int, length: int) -> None:
        """Room for `length` positions of `rows` rows, zeros in the first `length`."""
        shape = (rows, like.shape[1], length + _GROWTH, like.shape[3])
        self.dtype, self.device = like.dtype, like.device
        # zeros, not rubbish: masked positions must not hold NaN, which masks do not silence
        self._key_room = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self._value_room = torch.zeros_like(self._key_room)
        self.is_initialized = True
        self._show(length)

    def _show(self, length: int) -> None:
        assert self._key_room is not None
        assert self._value_room is not None
        self._used = length
        self.keys = self._key_room[:, :, :length]
        self.values = self._value_room[:, :, :length]

    def update(  # type: ignore[override]
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.reserve(key_states, key_states.shape[0], 0)
        assert self._key_room is not None
        assert self._value_room is not None
        end = self._used + key_states.shape[2]
        if end > self._key_room.shape[2]:
            old_keys, old_values, used = self._key_room, self._value_room, self._used
            self.reserve(key_states, old_keys.shape[0], end)
            self._key_room[:, :, :used] = old_keys[:, :, :used]
            self._value_room[:, :, :used] = old_values[:, :, :used]
        first = end - key_states.shape[2]
        self._key_room[:, :, first:end] = key_states
        self._value_room[:, :, first:end] = value_states
        self._show(end)
        return self.keys, self.values

    def keep_rows(self, rows: torch.Tensor) -> None:
        assert self._key_room is not None
        assert self._value_room is not None
        self._key_room = self._key_room.index_select(0, rows)
        self._value_room = self._value_room.index_select(0, rows)
        self._show(self._used)


class GrowingCache(Cache):
    """A transformers cache for one batch whose rows may leave."""

    def __init__(self, n_layers: int) -> None:
        super().__init__(layers=[_Layer() for _ in range(n_layers)])

    def keep_rows(self, rows: torch.Tensor) -> None:
        """Keep only the rows `[k]`, in that order."""
        for layer in self.layers:
            layer.keep_rows(rows)


@dataclass(frozen=True, eq=False)
class Prefix:
    """Keys and values of a prompt's beginning: a `[1, H, P, D]` pair a layer. Never written to."""

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    length: int

    @property
    def n_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for pair in self.layers for t in pair)

    def cloned(self) -> Prefix:
        """A copy that shares no memory: kept alone, it holds on to no whole batch."""
        return Prefix(tuple((k.clone(), v.clone()) for k, v in self.layers), self.length)


def split_rows(cache: Cache, lengths: Sequence[int]) -> list[Prefix]:
    """A prefix a row of a left-padded cache, as views: the last `lengths[i]` positions of row i."""
    return [
        Prefix(
            tuple(
                (
                    layer.keys[row : row + 1, :, layer.keys.shape[2] - length :],
                    layer.values[row : row + 1, :, layer.values.shape[2] - length :],
                )
                for layer in cache.layers
            ),
            length,
        )
        for row, length in enumerate(lengths)
    ]


def join_rows(n_layers: int, prefixes: Sequence[Prefix | None]) -> GrowingCache:
    """A left-padded cache whose row i begins with a copy of `prefixes[i]` (None: nothing)."""
    cache = GrowingCache(n_layers)
    present = [prefix for prefix in prefixes if prefix is not None]
    if not present:
        return cache
    longest = max(prefix.length for prefix in present)
    for index, layer in enumerate(cache.layers):
        layer.reserve(present[0].layers[index][0], len(prefixes), longest)
        for row, prefix in enumerate(prefixes):
            if prefix is not None:
                keys, values = prefix.layers[index]
                layer.keys[row, :, longest - prefix.length :] = keys[0]
                layer.values[row, :, longest - prefix.length :] = values[0]
    return cache


class _Sized(Protocol):
    @property
    def n_bytes(self) -> int: ...


T = TypeVar("T", bound=_Sized)


class LruStore(Generic[T]):
    """Values by key, least recently used out first beyond `max_bytes`; pinned ones stay."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, T] = OrderedDict()
        self._pins: Counter[Hashable] = Counter()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> T | None:
        with self._lock:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            return value

    def put(self, key: Hashable, value: T) -> None:
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            self._evict()

    def pin(self, key: Hashable) -> None:
        """Keep `key`, now or once it comes, until as many `unpin`."""
        with self._lock:
            self._pins[key] += 1

    def unpin(self, key: Hashable) -> None:
        with self._lock:
            self._pins[key] -= 1
            if self._pins[key] <= 0:
                del self._pins[key]
            self._evict()

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def _evict(self) -> None:
        total = sum(value.n_bytes for value in self._entries.values())
        for key in list(self._entries):
            if total <= self.max_bytes:
                return
            if key not in self._pins:
                total -= self._entries.pop(key).n_bytes
