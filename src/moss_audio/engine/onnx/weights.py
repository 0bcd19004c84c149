"""Linear layers of a graph: float32, or 4 or 8 bits in blocks, each with a low-rank term.

Shapes: N outputs, K inputs, B blocks of a row, R rank, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moss_audio.engine.onnx.graph import MICROSOFT, Graph

BLOCK = 32  # weights that share a scale and a zero point, where nobody says otherwise
# Candidate sizes of a block's range: clipping its extremes often lowers the error.
_SHRINK = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
_ROWS_AT_ONCE = 2**20  # weights that are quantised at once: the intermediate arrays stay small


@dataclass(frozen=True, eq=False)
class Blocks:
    """A weight `[N, K]` in blocks: `(code - zero) * scale + offset`.

    Attributes:
        codes: uint8 `[N, B, block * bits / 8]`, at 4 bits the low nibble first.
        scales: float32 `[N, B]`.
        zeros: uint8 `[N, B * bits / 8]` (rounded up), packed like the codes; None: half of all
            codes, 8 or 128.
        offsets: float32 `[N, B]`; None: 0. MatMulNBits has none: they join the low-rank term, on
            the sums of the blocks of an input.
        block: weights that share a scale, a zero point and an offset.
    """

    codes: np.ndarray
    scales: np.ndarray
    zeros: np.ndarray | None = None
    offsets: np.ndarray | None = None
    block: int = BLOCK

    @property
    def bits(self) -> int:
        return self.codes.shape[2] * 8 // self.block

    @property
    def shape(self) -> tuple[int, int]:
        return self.codes.shape[0], self.codes.shape[1] * self.block

    def rows(self, index: np.ndarray | slice) -> np.ndarray:
        """The weights of some outputs, float32 `[n, K]`."""
        scales = self.scales[index].astype(np.float32)
        codes = _unpacked(self.codes[index], self.bits).reshape(*scales.shape, self.block)
        if self.zeros is None:
            zeros = np.full((1, 1), 2 ** (self.bits - 1), np.float32)
        else:
            unpacked = _unpacked(self.zeros[index], self.bits)
            zeros = unpacked[:, : scales.shape[1]].astype(np.float32)
        weights = (codes - zeros[..., None]) * scales[..., None]
        if self.offsets is not None:
            weights += self.offsets[index][..., None]
        return weights.reshape(len(scales), -1)


@dataclass(frozen=True, eq=False)
class LowRank:
    """`up @ down`: float32 `[N, R]` and `[R, K]`."""

    down: np.ndarray
    up: np.ndarray


@dataclass(frozen=True, eq=False)
class Linear:
    """`x @ (weight + low_rank).T + bias`; a weight in full is float32 `[N, K]`."""

    weight: np.ndarray | Blocks
    low_rank: LowRank | None = None
    bias: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        n, k = self.weight.shape
        return n, k

    def rows(self, index: np.ndarray | slice = np.s_[:]) -> np.ndarray:
        """The weights of some outputs with the low-rank term, float32 `[n, K]`."""
        weight = self.weight
        rows = weight.rows(index) if isinstance(weight, Blocks) else weight[index]
        return (
            rows if self.low_rank is None else rows + self.low_rank.up[index] @ self.low_rank.down
        )

    def as_bits(self, bits: int) -> Linear:
        """The same layer in 4, 8 or 32 bits (float32), without a low-rank term."""
        weight = np.asarray(self.rows(), np.float32)
        return Linear(weight if bits == 32 else quantize(weight, bits), bias=self.bias)


def joined(layers: Sequence[Linear]) -> Linear:
    """One layer whose outputs are those of several on the same inputs, one after the other."""
    weights = [layer.weight for layer in layers]
    blocks = [weight for weight in weights if isinstance(weight, Blocks)]
    weight: np.ndarray | Blocks
    if blocks:
        zeros = [part.zeros for part in blocks if part.zeros is not None]
        offsets = [part.offsets for part in blocks if part.offsets is not None]
        weight = Blocks(
            np.concatenate([part.codes for part in blocks]),
            np.concatenate([part.scales for part in blocks]),
            np.concatenate(zeros) if zeros else None,
            np.concatenate(offsets) if offsets else None,
            blocks[0].block,
        )
    else:
        weight = np.concatenate([part for part in weights if isinstance(part, np.ndarray)])
    biases = [layer.bias for layer in layers if layer.bias is not None]
    return Linear(
        weight,
        _joined_low_ranks([layer.low_rank for layer in layers if layer.low_rank is not None]),
        np.concatenate(biases) if biases else None,
    )


def _joined_low_ranks(terms: Sequence[LowRank]) -> LowRank | None:
    if not terms:
        return None
    shape = [sum(term.up.shape[axis] for term in terms) for axis in (0, 1)]
    up = np.zeros(shape, np.float32)
    row = column = 0
    for term in terms:
        n, rank = term.up.shape
        up[row : row + n, column : column + rank] = term.up
        row, column = row + n, column + rank
    return LowRank(np.concatenate([term.down for term in terms]), up)


def linear(graph: Graph, x: str, name: str, layer: Linear, *, accuracy_level: int) -> str:
    """The outputs `[T, N]` of a layer on `x` `[T, K]`.

    Args:
        name: of its tensors in the graph.
        accuracy_level: of MatMulNBits: 4 multiplies in int8, 1 in float32.
    """
    weight = layer.weight
    n, k = layer.shape
    if isinstance(weight, Blocks):
        inputs = [graph.give(f"{name}.codes", weight.codes)]
        inputs.append(graph.give(f"{name}.scales", weight.scales))
        if weight.zeros is not None:
            inputs.append(graph.give(f"{name}.zeros", weight.zeros))
        if layer.bias is not None:
            inputs += [""] * (4 - len(inputs)) + [graph.give(f"{name}.bias", layer.bias)]
        out = graph.op(
            "MatMulNBits",
            x,
            *inputs,
            domain=MICROSOFT,
            K=k,
            N=n,
            bits=weight.bits,
            block_size=weight.block,
            accuracy_level=accuracy_level,
        )
    else:
        bias = () if layer.bias is None else (graph.give(f"{name}.bias", layer.bias),)
        out = graph.op("Gemm", x, graph.give(f"{name}.weight", weight), *bias, transB=1)
    term = _with_offsets(layer)
    if term is None:
        return out
    down, up = graph.give(f"{name}.down", term.down), graph.give(f"{name}.up", term.up)
    return graph.op("Gemm", graph.op("Gemm", x, down, transB=1), up, out, transB=1)


def _with_offsets(layer: Linear) -> LowRank | None:
    """The low-rank term of a layer, with the offsets of its blocks."""
    term = layer.low_rank
    if not isinstance(layer.weight, Blocks) or layer.weight.offsets is None:
        return term
    offsets = layer.weight.offsets
    sums = np.eye(offsets.shape[1], dtype=np.float32).repeat(layer.weight.block, 1)
    if term is None:
        return LowRank(sums, offsets)
    return LowRank(np.concatenate([sums, term.down]), np.concatenate([offsets, term.up], 1))


def quantize(weight: np.ndarray, bits: int, block: int = BLOCK) -> Blocks:
    """A weight float32 `[N, K]` in blocks of 4 bits (with zero points) or 8.

    Raises:
        ValueError: if K is no multiple of the block, or there is no such form.
    """
    n, k = weight.shape
    if k % block or bits not in (4, 8):
        raise ValueError(f"a weight of {n} x {k} cannot be stored in blocks of {bits} bits")
    step = max(1, _ROWS_AT_ONCE // k)
    make = _quantized_4 if bits == 4 else _quantized_8
    parts = [
        make(np.asarray(weight[first : first + step], np.float32).reshape(-1, k // block, block))
        for first in range(0, n, step)
    ]
    codes, scales, zeros = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Blocks(codes, scales, zeros if bits == 4 else None, block=block)


def _quantized_8(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scales = np.abs(blocks).max(2) / 127
    codes = np.rint(blocks / np.maximum(scales, 1e-30)[..., None]) + 128
    return codes.astype(np.uint8), scales, np.empty(0, np.uint8)


def _quantized_4(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, scales and zero points: of some ranges the one with the least squared error, its
    scale fitted to its codes."""
    low, high = np.minimum(blocks.min(2), 0), np.maximum(blocks.max(2), 0)
    width = np.maximum(high - low, 1e-30) / 15
    best_error = np.full(low.shape, np.inf, np.float32)
    best_codes = np.zeros_like(blocks)
    best_scale, best_zero = np.zeros_like(low), np.zeros_like(low)
    for shrink in _SHRINK:
        scale = width * np.float32(shrink)
        zero = np.clip(np.rint(-low * np.float32(shrink) / scale), 0, 15)
        codes = np.rint(blocks / scale[..., None])
        np.clip(codes, -zero[..., None], 15 - zero[..., None], out=codes)
        # the squared error falls by this product when the scale is the best for these codes
        product = np.einsum("nbk,nbk->nb", codes, blocks)
        square = np.maximum(np.einsum("nbk,nbk->nb", codes, codes), 1e-30)
        error = -(product**2) / square
        better = error < best_error
        best_error[better] = error[better]
        best_codes[better] = codes[better]
        best_zero[better] = zero[better]
        best_scale[better] = (product / square)[better]
    codes = (best_codes + best_zero[..., None]).astype(np.uint8)
    return _packed(codes), best_scale, _packed(best_zero.astype(np.uint8))


def _packed(codes: np.ndarray) -> np.ndarray:
    """4-bit codes two a byte along the last axis, the low nibble first."""
    if codes.shape[-1] % 2:
        codes = np.concatenate([codes, np.zeros_like(codes[..., :1])], -1)
    packed: np.ndarray = codes[..., 0::2] | codes[..., 1::2] << 4
    return packed


def _unpacked(codes: np.ndarray, bits: int) -> np.ndarray:
    """What `_packed` packed, a byte a code; codes of 8 bits as they are."""
    if bits == 8:
        return codes
    out = np.empty((*codes.shape[:-1], codes.shape[-1] * 2), np.uint8)
    out[..., 0::2] = codes & 15
    out[..., 1::2] = codes >> 4
    return out
