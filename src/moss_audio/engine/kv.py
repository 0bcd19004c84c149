"""Keys and values on torch: one cache a sequence, and the batch in which several are decoded.

Shapes: B rows, H key-value heads, P positions, D width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers.cache_utils import Cache, DynamicLayer

from moss_audio.errors import MossAudioError

_GROWTH = 128  # positions that are added at once: one copy every so many tokens

Layers = list[tuple[torch.Tensor, torch.Tensor]]  # keys and values `[1, H, P, D]` of each layer


class _Layer(DynamicLayer):
    """DynamicLayer that writes into spare room instead of copying all of itself every token."""

    def __init__(self) -> None:
        super().__init__()
        self._key_room: torch.Tensor | None = None
        self._value_room: torch.Tensor | None = None
        self._used = 0

    def reserve(self, like: torch.Tensor, rows: int, length: int, spare: int = _GROWTH) -> None:
        """Room for `length` positions of `rows` rows and `spare` more, zeros at first."""
        shape = (rows, like.shape[1], length + spare, like.shape[3])
        self.dtype, self.device = like.dtype, like.device
        # zeros, not rubbish: masked positions must not hold NaN, which masks do not silence
        self._key_room = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self._value_room = torch.zeros_like(self._key_room)
        self.is_initialized = True
        self.show(length)

    def show(self, length: int) -> None:
        """Let the first `length` positions be all there are."""
        assert self._key_room is not None
        assert self._value_room is not None
        self._used = length
        self.keys = self._key_room[:, :, :length]
        self.values = self._value_room[:, :, :length]

    def update(  # type: ignore[override]
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.reserve(key_states, key_states.shape[0], 0, key_states.shape[2])
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
        self.show(end)
        return self.keys, self.values


class TorchKVCache:
    """`KVCache` on torch.

    Its keys and values lie in `layers`, which is never written to, so that forks share it; or, of
    a sequence that is being decoded, in a row of `batch`.

    Args:
        position_bytes: memory of one position.
    """

    def __init__(self, position_bytes: int, length: int = 0, layers: Layers | None = None) -> None:
        self.length = length
        self.layers = layers
        self.batch: PaddedCache | None = None
        self.closed = False
        self._position_bytes = position_bytes

    @property
    def n_bytes(self) -> int:
        return self.length * self._position_bytes

    def crop(self, length: int) -> None:
        """Forget all positions from `length` on."""
        if length >= self.length:
            return
        if self.batch is not None and len(self.batch.members) == 1:
            self.batch.crop(self.length - length)
        else:
            self.layers = [
                (keys[:, :, :length], values[:, :, :length]) for keys, values in self.alone()
            ]
        self.length = length

    def fork(self) -> TorchKVCache:
        """A sequence with the same positions, which share their memory."""
        layers = self.alone() if self.length else None
        return TorchKVCache(self._position_bytes, self.length, layers)

    def follow(self, other: TorchKVCache, first: int) -> None:
        """Hold what another sequence holds; both hold the same up to `first`."""
        if self.batch is not None and self.batch is other.batch and self.length == other.length:
            self.batch.copy_row(other, self, self.length - first)
            return
        self.layers, self.batch = other.fork().layers, None
        self.length = other.length

    def close(self) -> None:
        batch, self.layers, self.batch, self.closed = self.batch, None, None, True
        if batch is not None and all(member.closed for member in batch.members):
            batch.release()

    def alone(self) -> Layers:
        """All positions, out of any batch."""
        if self.batch is not None:
            self.layers = [
                (keys.clone(), values.clone())
                for keys, values in map(self.view, range(len(self.batch.cache.layers)))
            ]
            self.batch = None
        if self.layers is None:
            raise MossAudioError("the keys and values of this sequence are gone")
        return self.layers

    def view(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of a layer `[1, H, P, D]`, wherever they lie."""
        if self.batch is None:
            return self.alone()[layer]
        return self.batch.view(self, layer)


class PaddedCache:
    """A left-padded cache in which sequences are decoded together, a row each.

    Attributes:
        mask: `[B, P]`, 1 where a row has a position.
    """

    def __init__(
        self, n_layers: int, members: Sequence[TorchKVCache], spare: int, device: torch.device
    ) -> None:
        self.members = list(members)
        self.width = max(member.length for member in members)
        self.cache = Cache(layers=[_Layer() for _ in range(n_layers)])
        for index, layer in enumerate(self.cache.layers if self.width else ()):
            views = [member.view(index) if member.length else None for member in members]
            like = next(view for view in views if view is not None)[0]
            layer.reserve(like, len(members), self.width, spare)
            for row, view in enumerate(views):
                if view is not None:
                    layer.keys[row, :, self.width - view[0].shape[2] :] = view[0][0]
                    layer.values[row, :, self.width - view[1].shape[2] :] = view[1][0]
        columns = torch.arange(self.width, device=device)
        first = torch.tensor([self.width - member.length for member in members], device=device)
        self.mask = (columns >= first[:, None]).long()

    def adopt(self) -> None:
        """Let the sequences lie here from now on."""
        for member in self.members:
            member.batch, member.layers = self, None

    def view(self, member: TorchKVCache, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        row = self.members.index(member)
        part = (slice(row, row + 1), slice(None), slice(self.width - member.length, self.width))
        rows = self.cache.layers[layer]
        return rows.keys[part], rows.values[part]

    @torch.inference_mode()
    def copy_row(self, source: TorchKVCache, target: TorchKVCache, count: int) -> None:
        """Copy the last `count` positions of a member to another that is as long."""
        first, rows = self.width - count, (self.members.index(source), self.members.index(target))
        for layer in self.cache.layers:
            for values in (layer.keys, layer.values):
                values[rows[1], :, first:] = values[rows[0], :, first:]

    def crop(self, count: int) -> None:
        """Take the last `count` columns away from all rows."""
        self.width -= count
        self.mask = self.mask[:, : self.width]
        for layer in self.cache.layers:
            if layer.is_initialized:
                layer.show(self.width)

    def release(self) -> None:
        """Give the memory back."""
        self.members, self.cache = [], Cache(layers=[])

    def split(self, lengths: Sequence[int]) -> list[Layers]:
        """The layers of each row: its own positions before the last columns, and of those the
        last `lengths[i]`. For a batch that is used once."""
        grown = self.cache.layers[0].keys.shape[2]
        out = []
        for row, (member, length) in enumerate(zip(self.members, lengths, strict=True)):
            old = slice(self.width - member.length, self.width)
            new = slice(grown - length, grown)
            layers: Layers = []
            for layer in self.cache.layers:
                both = layer.keys[row : row + 1], layer.values[row : row + 1]
                if len(self.members) == 1:  # no padding: nothing to copy
                    layers.append((both[0], both[1]))
                else:
                    keys, values = (torch.cat([t[:, :, old], t[:, :, new]], 2) for t in both)
                    layers.append((keys, values))
            out.append(layers)
        return out
