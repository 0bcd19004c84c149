"""Reads the packed tensors of the embedded checkpoint, with numpy alone.

A tensor is cut into groups of 32 weights, `w = zero + scale * code`; the scales and zeros of 16
groups share one float16 range each and are themselves 8-bit numbers. So 4-bit codes cost
4.5625 bits a weight. `moss_audio.model.nano.quantize` writes them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from moss_audio.errors import CheckpointError, short_reason

FORMAT = "moss_audio.grouped.v1"
GROUP = 32  # weights that share a scale and a zero
SUPER = 16  # groups that share the ranges of scales and zeros
_DTYPES = {"U8": np.uint8, "F16": np.float16, "F32": np.float32}
_BLOCK_GROUPS = 4096  # unpacked at once: half a megabyte of float32 stays in the cache


@dataclass(frozen=True, eq=False)
class Packed:
    """A tensor as it is stored: G groups of codes, padded to whole super-groups.

    Attributes:
        codes: uint8, flat: two low nibbles a byte, or a byte a code at 8 bits.
        high: the bits above the nibble at 5 and 6 bits.
        scales: uint8 `[G, 2]` (scale, zero + 128).
        ranges: float16 `[G / 16, 2]`.
    """

    bits: int
    shape: tuple[int, ...]
    codes: np.ndarray
    scales: np.ndarray
    ranges: np.ndarray
    high: np.ndarray | None = None

    def __post_init__(self) -> None:
        blocks = -(-math.prod(self.shape) // (GROUP * SUPER))
        n_bytes = blocks * SUPER * GROUP // 8
        low = 8 if self.bits == 8 else 4
        n_high = 0 if self.high is None else self.high.size
        if (self.codes.size, n_high) != (n_bytes * low, n_bytes * (self.bits - low)):
            raise ValueError(f"{self.codes.size} bytes of codes for a tensor {list(self.shape)}")
        if self.scales.shape != (blocks * SUPER, 2) or self.ranges.shape != (blocks, 2):
            raise ValueError(f"{len(self.scales)} scales for a tensor {list(self.shape)}")

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Scale and zero of each group, float32 `[G]`."""
        ranges = self.ranges.astype(np.float32)[:, None]
        steps = self.scales.reshape(-1, SUPER, 2).astype(np.float32)
        steps[..., 1] -= 128
        scale, zero = (steps * ranges).reshape(-1, 2).T
        return scale, zero

    def array(self) -> np.ndarray:
        """The weights, float32; computed block by block."""
        scale, zero = self.grid()
        n_groups = len(scale)
        out = np.empty((n_groups, GROUP), np.float32)
        low = self.codes.reshape(n_groups, self.codes.size // max(n_groups, 1))
        for first in range(0, n_groups, _BLOCK_GROUPS):
            part = slice(first, first + _BLOCK_GROUPS)
            values = out[part]
            if self.bits == 8:
                values[:] = low[part]
            else:
                values[:, 0::2] = low[part] & 15
                values[:, 1::2] = low[part] >> 4
            if self.high is not None:
                width = self.bits - 4
                shifts = np.arange(8 // width, dtype=np.uint8) * width
                high = self.high.reshape(n_groups, GROUP * width // 8)[part]
                spread = (high[..., None] >> shifts & (2**width - 1)) << 4
                values += spread.reshape(len(values), GROUP)
            values *= scale[part, None]
            values += zero[part, None]
        return out.reshape(-1)[: math.prod(self.shape)].reshape(self.shape)


class PackedFile(Mapping[str, "Packed | np.ndarray"]):
    """The tensors of a file that `save_packed` wrote: packed ones, and float16 arrays. Each is read
    when it is asked for, and kept by nobody.

    Raises:
        CheckpointError: if the file is missing, damaged or of another format.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise CheckpointError(f"{path}: missing; reinstall the package or rebuild the folder")
        self._path = path
        with self._undamaged():
            with path.open("rb") as file:
                self._begin = 8 + int.from_bytes(file.read(8), "little")
                self._places = json.loads(file.read(self._begin - 8))
            metadata = self._places.pop("__metadata__", {})
        if metadata.get("format") != FORMAT:
            raise CheckpointError(f"{path}: format {metadata.get('format')!r}, expected {FORMAT!r}")
        with self._undamaged():
            self._index = json.loads(metadata["index"])

    def __getitem__(self, name: str) -> Packed | np.ndarray:
        entry = self._index[name]
        with self._undamaged(), self._path.open("rb") as file:
            bits, shape = int(entry["bits"]), tuple(entry["shape"])
            if bits == 16:
                return self._read(file, name)
            keys = ("codes", "scales", "ranges") + (("high",) if bits in (5, 6) else ())
            parts = {key: self._read(file, f"{name}:{key}") for key in keys}
            return Packed(bits, shape, **parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def _read(self, file: BinaryIO, name: str) -> np.ndarray:
        place = self._places[name]
        begin, end = place["data_offsets"]
        file.seek(self._begin + begin)
        data = np.frombuffer(file.read(end - begin), _DTYPES[place["dtype"]])
        return data.reshape(place["shape"])

    @contextmanager
    def _undamaged(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = short_reason(error)
            raise CheckpointError(
                f"{self._path}: damaged ({reason}); reinstall or rebuild it"
            ) from error


def unpacked(tensor: Packed | np.ndarray) -> np.ndarray:
    """A tensor of a `PackedFile` as float32."""
    return tensor.array() if isinstance(tensor, Packed) else tensor.astype(np.float32)
