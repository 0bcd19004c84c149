"""Where the weights of a graph come from: by their released names, read as they are needed.

Shapes: N outputs and K inputs of a linear layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from moss_audio.engine.onnx import proto
from moss_audio.engine.onnx.weights import Linear
from moss_audio.errors import CheckpointError, short_reason


class WeightSource(Protocol):
    """The weights of a model."""

    def array(self, name: str) -> np.ndarray:
        """A tensor as float32."""

    def linear(self, name: str) -> Linear:
        """The layer of a weight `[N, K]`, with its bias where it has one."""


class Tensors:
    """The tensors of safetensors files as they are stored, mapped into memory: read when used.

    Raises:
        CheckpointError: naming the file that is not readable.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._places: dict[str, proto.StoredTensor] = {}
        self._bytes: dict[str, np.ndarray] = {}
        for path in files:
            try:
                self._places.update(proto.places(path))
                self._bytes[path.name] = np.memmap(path, np.uint8, "r")
            except (OSError, ValueError, KeyError) as error:
                raise CheckpointError(
                    f"{path}: not a readable safetensors file ({short_reason(error)})"
                ) from error

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def place(self, name: str) -> proto.StoredTensor:
        """Where a tensor lies. Raises CheckpointError where there is none of that name."""
        if name not in self._places:
            raise CheckpointError(f"no weight {name} in {', '.join(sorted(self._bytes))}")
        return self._places[name]

    def raw(self, name: str) -> np.ndarray:
        """A tensor as it is stored; bfloat16, which numpy lacks, as the uint16 of its bits."""
        place = self.place(name)
        data = self._bytes[place.file][place.offset : place.offset + place.size]
        dtype = "uint16" if place.dtype == "bfloat16" else place.dtype
        return data.view(dtype).reshape(place.shape)

    def floats(self, name: str, rows: slice | Sequence[int] = slice(None)) -> np.ndarray:
        """Rows of a tensor as float32, a copy unless it is stored so."""
        part = self.raw(name)[rows]
        if self.place(name).dtype == "bfloat16":
            return (part.astype(np.uint32) << 16).view(np.float32)
        return part.astype(np.float32, copy=False)


class FloatSource:
    """Weights in 16 or 32 bits in files of the released layout, computed with in float32."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._tensors = Tensors(files)

    def array(self, name: str) -> np.ndarray:
        return self._tensors.floats(name)

    def linear(self, name: str) -> Linear:
        bias = name.removesuffix("weight") + "bias"
        return Linear(
            self._tensors.floats(name),
            bias=self._tensors.floats(bias) if bias in self._tensors else None,
        )
