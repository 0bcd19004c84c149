"""Reads the packed tensors of the embedded checkpoint, with numpy alone.

A tensor is cut into groups of 32 weights, `w = zero + scale * code`; the scales and zeros of 16
groups share one float16 range each and are themselves 8-bit numbers. So 4-bit codes cost
4.5625 bits a weight. `moss_audio.model.nano.quantize` writes them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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


def read_packed(path: Path) -> dict[str, Packed | np.ndarray]:
    """The tensors of a file that `save_packed` wrote: packed ones, and float16 arrays.

    Raises:
        CheckpointError: if the file is missing, damaged or of another format.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: missing; reinstall the package or rebuild the folder")
    try:
        metadata, stored = _mapped(path)
        if metadata.get("format") != FORMAT:
            raise CheckpointError(f"{path}: format {metadata.get('format')!r}, expected {FORMAT!r}")
        tensors: dict[str, Packed | np.ndarray] = {}
        for name, entry in json.loads(metadata["index"]).items():
            bits, shape = int(entry["bits"]), tuple(entry["shape"])
            if bits == 16:
                tensors[name] = stored[name]
                continue
            keys = ("codes", "scales", "ranges") + (("high",) if bits in (5, 6) else ())
            parts = {key: stored[f"{name}:{key}"] for key in keys}
            tensors[name] = Packed(bits, shape, **parts)
        return tensors
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = short_reason(error)
        raise CheckpointError(f"{path}: damaged ({reason}); reinstall or rebuild it") from error


def _mapped(path: Path) -> tuple[Mapping[str, str], dict[str, np.ndarray]]:
    """Metadata and tensors of a safetensors file, mapped into memory: read when they are used."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    data = np.asarray(np.memmap(path, np.uint8, "r", 8 + length))
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        part = data[begin:end].view(_DTYPES[entry["dtype"]])
        tensors[name] = part.reshape(entry["shape"])
    return metadata, tensors


def unpacked(tensor: Packed | np.ndarray) -> np.ndarray:
    """A tensor of `read_packed` as float32."""
    return tensor.array() if isinstance(tensor, Packed) else tensor.astype(np.float32)
