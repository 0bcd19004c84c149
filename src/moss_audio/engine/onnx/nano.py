"""The weights of an embedded checkpoint as the graphs take them: its codes stay as they are stored.

A stored weight is `zero + scale * code`: for MatMulNBits, a block with an offset. The low-rank
updates of training (LoRA) stay beside it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from moss_audio.engine.onnx.weights import BLOCK, Blocks, Linear, LowRank
from moss_audio.errors import CheckpointError
from moss_audio.model.checkpoint import part_files
from moss_audio.model.nano.packed import Packed, PackedFile, unpacked
from moss_audio.model.nano.parts import AUDIO_ROWS, LORA_DOWN, LORA_UP, THINK_ROWS


class NanoSource:
    """`WeightSource` of an embedded checkpoint. Its embedding has no rows for the audio ids and the
    think marks: those are the arrays `AUDIO_ROWS` and `THINK_ROWS`.

    Raises:
        CheckpointError: if a part is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files = part_files(folder)
        self._stored: dict[str, PackedFile] = {}  # where each weight is
        for file in (*files.fixed, *files.trained):
            packed = PackedFile(file)
            self._stored |= dict.fromkeys(packed, packed)

    def array(self, name: str) -> np.ndarray:
        """A tensor as float32."""
        return unpacked(self._get(name))

    def rows_beyond(self) -> list[np.ndarray]:
        """Float32 `[n, H]`: the rows behind those of the embedding, in their order."""
        return [self.array(name) for name in (AUDIO_ROWS, THINK_ROWS) if name in self._stored]

    def linear(self, name: str) -> Linear:
        """The layer of a weight `[N, K]`, with its bias where it has one."""
        stored, bias = self._get(name), name.removesuffix("weight") + "bias"
        update = None
        if name + LORA_UP in self._stored:
            update = LowRank(self.array(name + LORA_DOWN), self.array(name + LORA_UP))
        return Linear(
            _blocks(stored) if isinstance(stored, Packed) else unpacked(stored),
            update,
            self.array(bias) if bias in self._stored else None,
        )

    def _get(self, name: str) -> Packed | np.ndarray:
        if name not in self._stored:
            raise CheckpointError(f"{self._folder}: no values for {name}; reinstall or rebuild it")
        return self._stored[name][name]


def _blocks(packed: Packed) -> Blocks | np.ndarray:
    """The stored codes with their scales; in full where there is no operator for their bits."""
    n, k = packed.shape
    if packed.bits not in (4, 8) or k % BLOCK:
        return packed.array()
    shape = (n, k // BLOCK)
    scale, zero = (part[: n * k // BLOCK].reshape(shape) for part in packed.grid())
    codes = packed.codes[: n * k * packed.bits // 8].reshape(*shape, -1)
    return Blocks(codes, scale, offsets=zero + np.float32(2 ** (packed.bits - 1)) * scale)
