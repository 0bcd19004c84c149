"""Where the weights of a graph come from: by their released names, read as they are needed.

Shapes: N outputs and K inputs of a linear layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from moss_audio.engine.onnx import proto
from moss_audio.engine.onnx.weights import BLOCK, Blocks, Linear
from moss_audio.errors import CheckpointError, short_reason


class WeightSource(Protocol):
    """The weights of a model."""

    def array(self, name: str) -> np.ndarray:
        """A tensor as float32."""

    def linear(self, name: str) -> Linear:
        """The layer of a weight `[N, K]`, with its bias where it has one."""

    def rows_beyond(self) -> list[np.ndarray]:
        """Float32 `[n, H]`: rows behind those of the stored embedding, in their order."""


class Tensors:
    """The tensors of safetensors files as they are stored, mapped into memory: read when used.

    Raises:
        CheckpointError: naming the file that is not readable.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._places: dict[str, proto.StoredTensor] = {}
        self._files = {path.name: path for path in files}
        for path in files:
            try:
                places = proto.places(path)
                end = max((place.offset + place.size for place in places.values()), default=0)
                if path.stat().st_size < end:
                    raise ValueError(f"{end} bytes expected, but it has {path.stat().st_size}")
            except (OSError, ValueError, KeyError) as error:
                raise CheckpointError(
                    f"{path}: not a readable safetensors file ({short_reason(error)}); "
                    "download or export it again"
                ) from error
            self._places |= places

    def __contains__(self, name: str) -> bool:
        return name in self._places

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor, by name."""
        return {name: place.shape for name, place in self._places.items()}

    def _place(self, name: str) -> proto.StoredTensor:
        """Where a tensor lies. Raises CheckpointError where there is none of that name."""
        if name not in self._places:
            folder = next(iter(self._files.values())).parent
            raise CheckpointError(
                f"{folder}: weights do not fit config.json: missing {name}; download or export it "
                "again"
            )
        return self._places[name]

    def raw(self, name: str) -> np.ndarray:
        """A tensor as it is stored; bfloat16, which numpy lacks, as the uint16 of its bits."""
        place = self._place(name)
        dtype = "uint16" if place.dtype == "bfloat16" else place.dtype
        # mapped anew at each call: what is no longer used counts no longer as memory
        return np.memmap(self._files[place.file], dtype, "r", place.offset, place.shape)

    def floats(self, name: str, rows: slice | Sequence[int] = slice(None)) -> np.ndarray:
        """Rows of a tensor as float32, a copy unless it is stored so."""
        part = self.raw(name)[rows]
        if self._place(name).dtype == "bfloat16":
            return (part.astype(np.uint32) << 16).view(np.float32)
        return part.astype(np.float32, copy=False)


class FileSource:
    """Weights in files of the released layout (16 or 32 bits, computed with in float32), or in
    those of an exported folder (blocks, taken as they are stored).

    Args:
        block: inputs of a block.
    """

    def __init__(self, files: Sequence[Path], block: int = BLOCK) -> None:
        self._tensors = Tensors(files)
        self._block = block

    def array(self, name: str) -> np.ndarray:
        """A tensor as float32."""
        return self._tensors.floats(name)

    def linear(self, name: str) -> Linear:
        """The layer of a weight `[N, K]`, with its bias where it has one."""
        bias = name.removesuffix("weight") + "bias"
        return Linear(self._weight(name), bias=self.array(bias) if bias in self._tensors else None)

    def rows_beyond(self) -> list[np.ndarray]:
        """None: the embedding is whole."""
        return []

    def _weight(self, name: str) -> np.ndarray | Blocks:
        codes, scales, zeros = (f"{name}:{part}" for part in ("codes", "scales", "zeros"))
        if codes not in self._tensors:
            return self.array(name)
        return Blocks(
            self._tensors.raw(codes),
            self._tensors.raw(scales),
            self._tensors.raw(zeros) if zeros in self._tensors else None,
            block=self._block,
        )


class InBits:
    """The weights of a source, each linear layer in 4, 8 or 32 bits without a low-rank term."""

    def __init__(self, source: WeightSource, bits: int) -> None:
        self._source, self._bits = source, bits

    def array(self, name: str) -> np.ndarray:
        return self._source.array(name)

    def linear(self, name: str) -> Linear:
        return self._source.linear(name).as_bits(self._bits)

    def rows_beyond(self) -> list[np.ndarray]:
        return self._source.rows_beyond()
