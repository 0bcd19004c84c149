"""Keys and values of sequences, where the decoder's graph reads and writes them in place.

A sequence has a room of its own until it is decoded together with others: then they lie side by
side in one table, so that a step needs no copy. A sequence is copied when it joins, when the row of
one that left is filled, and when its room is full; never by a step.

Shapes: N layers (each with keys and values), S slots, G heads, C positions of capacity, D width.
"""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Callable, Sequence
from weakref import WeakSet, ref

import numpy as np
import onnxruntime as ort

from moss_audio.engine.onnx.decoder import past, present
from moss_audio.model.sizes import DecoderSizes

_SPARE = 256  # positions that a new room has beyond what is asked for
_SLOTS = 8  # of a table; memory that is not used is never touched


def position_bytes(sizes: DecoderSizes) -> int:
    """Memory of a position: its keys and values in all layers."""
    return 2 * sizes.layers * sizes.kv_heads * sizes.head_dim * 4


def _memory(n_bytes: int) -> mmap.mmap:
    """Zeros of this process alone: a forked one gets a copy. Not np.empty, which asks for huge
    pages: those would be in memory whole."""
    if not hasattr(mmap, "MAP_PRIVATE"):  # Windows, which does not fork
        return mmap.mmap(-1, n_bytes)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    memory = mmap.mmap(-1, n_bytes, flags)
    with contextlib.suppress(AttributeError, OSError):  # a system that has no huge pages
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


class Slab:
    """Memory for sequences: float32 `[2 * N, S, G, C, D]`, of which only what is used is touched.

    Args:
        session: of the decoder's graph, which is bound to the memory.
    """

    def __init__(
        self, session: ort.InferenceSession, sizes: DecoderSizes, slots: int, capacity: int
    ) -> None:
        self.slots, self.capacity = slots, capacity
        shape = (2 * sizes.layers, slots, sizes.kv_heads, capacity, sizes.head_dim)
        memory = _memory(4 * math.prod(shape))
        self.values = np.frombuffer(memory, np.float32).reshape(shape)
        self._session = session
        self._bindings: dict[tuple[int, int], ort.IOBinding] = {}

    def binding(self, first: int, end: int) -> ort.IOBinding:
        """A run of the graph on some slots: keys and values are read and written in place."""
        if (first, end) not in self._bindings:
            binding = self._bindings[first, end] = self._session.io_binding()
            for index, part in enumerate(self.values[:, first:end]):
                name = past(("keys", "values")[index % 2], index // 2)
                memory = ort.OrtValue.ortvalue_from_numpy(part)
                binding.bind_ortvalue_input(name, memory)
                binding.bind_ortvalue_output(present(name), memory)
        return self._bindings[first, end]


class OnnxCache:
    """`KVCache` of one sequence: a slot of a room."""

    def __init__(self, session: ort.InferenceSession, sizes: DecoderSizes) -> None:
        self._session = session
        self._sizes = sizes
        self._length = 0
        self.room: Slab | None = None
        self.slot = 0

    @property
    def length(self) -> int:
        return self._length

    @property
    def n_bytes(self) -> int:
        return self._length * position_bytes(self._sizes)

    def crop(self, length: int) -> None:
        """Forget all positions from `length` on."""
        self._length = min(self._length, length)

    def fork(self) -> OnnxCache:
        """A copy that grows by itself."""
        copy = OnnxCache(self._session, self._sizes)
        copy.room, copy.slot, copy._length = self.room, self.slot, self._length
        copy.leave()
        return copy

    def follow(self, other: OnnxCache, first: int) -> None:
        """Hold what another sequence holds; both hold the same up to `first`."""
        room = self.reserve(other.length)
        assert other.room is not None
        part = slice(first, other.length)
        room.values[:, self.slot, :, part] = other.room.values[:, other.slot, :, part]
        self._length = other.length

    def close(self) -> None:
        """Give the memory back; it is of no use afterwards."""
        self.room = None
        self._length = 0

    def grown(self, positions: int) -> None:
        """So many positions were appended by a run."""
        self._length += positions

    def reserve(self, length: int) -> Slab:
        """The room, after making one where there was none for so many positions."""
        if self.room is None or self.room.capacity < length:
            before = 0 if self.room is None else self.room.capacity
            self.leave(max(length, before * 3 // 2))
        assert self.room is not None
        return self.room

    def leave(self, length: int = 0) -> None:
        """Go to a room of its own, for so many positions or those that there are."""
        capacity = max(length, self._length) + _SPARE
        self.move(Slab(self._session, self._sizes, 1, capacity), 0)

    def move(self, room: Slab, slot: int) -> None:
        """Go to another slot, with all positions."""
        if self.room is not None:
            used = self.room.values[:, self.slot, :, : self._length]
            room.values[:, slot, :, : self._length] = used
        self.room, self.slot = room, slot


class Table:
    """Sequences that are decoded together, in the first slots of one room, which is gone when the
    last of them is."""

    def __init__(self, session: ort.InferenceSession, sizes: DecoderSizes) -> None:
        self._session = session
        self._sizes = sizes
        self._room: Callable[[], Slab | None] = lambda: None  # a weak reference
        self._members: WeakSet[OnnxCache] = WeakSet()

    def arrange(self, caches: Sequence[OnnxCache]) -> Slab:
        """A room where these sequences, each with place for one more position, are in the first
        slots, in any order."""
        room, n = self._room(), len(caches)
        length = max(cache.length for cache in caches) + 1
        members = [cache for cache in self._members if cache.room is room]
        if room is None or room.capacity < length or room.slots < n:
            capacity = max(length, 0 if room is None else room.capacity * 3 // 2) + _SPARE
            room = Slab(self._session, self._sizes, max(_SLOTS, n), capacity)
            staying: set[OnnxCache] = set()
        else:
            staying = {cache for cache in members if cache in caches and cache.slot < n}
        for cache in members:  # of other sequences, which rest or go on alone
            if cache not in caches and (cache.slot < n or cache.room is not room):
                cache.leave()
        free = set(range(n)) - {cache.slot for cache in staying}
        for cache in caches:
            if cache not in staying:
                cache.move(room, free.pop())
        self._room = ref(room)
        self._members = WeakSet([*caches, *(one for one in members if one.room is room)])
        return room
