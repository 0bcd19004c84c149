"""Packs weights into 4 to 8 bits for the embedded checkpoint, in plain safetensors.

The format is told in `moss_audio.model.nano.packed`. Lossy once, at packing; loading is exact.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from moss_audio.files import replaced
from moss_audio.model.nano.packed import FORMAT, GROUP, SUPER, Packed, PackedFile, unpacked

BITS = (4, 5, 6, 8)
# Candidate shrink factors of a group's range: clipping its extremes often lowers the error.
_SHRINK = (1.0, 0.95, 0.9, 0.85, 0.8)


def _grouped(weight: torch.Tensor) -> torch.Tensor:
    flat = weight.detach().to(torch.float32).reshape(-1)
    block = GROUP * SUPER
    padding = -flat.shape[0] % block
    return torch.nn.functional.pad(flat, (0, padding)).view(-1, GROUP)


def _best_range(groups: torch.Tensor, top: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero of each group `[G]`: the candidate with the least squared error."""
    low, high = groups.amin(1), groups.amax(1)
    best_error = torch.full_like(low, float("inf"))
    best_scale, best_zero = torch.zeros_like(low), low.clone()
    for shrink in _SHRINK:
        middle, half = (low + high) / 2, (high - low) / 2 * shrink
        scale, zero = 2 * half / top, middle - half
        safe = scale.clamp(min=1e-12)[:, None]
        codes = ((groups - zero[:, None]) / safe).round().clamp(0, top)
        error = (zero[:, None] + scale[:, None] * codes - groups).square().sum(1)
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best_scale = torch.where(better, scale, best_scale)
        best_zero = torch.where(better, zero, best_zero)
    return best_scale, best_zero


def _float16_up(values: torch.Tensor) -> torch.Tensor:
    """Positive float32 to the next float16 that is not below it.

    A range rounded down would clip the largest scale of its groups, badly so for small weights,
    whose ranges lie among the coarse subnormal numbers.
    """
    rounded = values.to(torch.float16)
    above = (rounded.view(torch.int16) + 1).view(torch.float16)  # the next positive float16
    return torch.where(rounded.to(torch.float32) < values, above, rounded)


def pack(weight: torch.Tensor, bits: int) -> dict[str, torch.Tensor]:
    """Quantise a tensor of any shape.

    Returns:
        `codes` uint8 (two low nibbles a byte, or a byte a code at 8 bits), `high` uint8 (the bits
        above the nibble at 5 and 6 bits), `scales` uint8 `[G, 2]` (scale, zero + 128) and
        `ranges` float16 `[G / 16, 2]`.
    """
    if bits not in BITS:
        raise ValueError(f"bits {bits} is not one of {BITS}")
    top = 2**bits - 1
    groups = _grouped(weight)
    scale, zero = _best_range(groups, top)
    ranges = torch.stack(
        [scale.view(-1, SUPER).amax(1) / 255, zero.abs().view(-1, SUPER).amax(1) / 127], dim=1
    )
    ranges = _float16_up(ranges.clamp(min=6e-8))
    spread = ranges.to(torch.float32).repeat_interleave(SUPER, 0)
    scale8 = (scale / spread[:, 0]).round().clamp(0, 255)
    zero8 = (zero / spread[:, 1]).round().clamp(-127, 127)
    # codes are rounded against the scales that will be used, not the ideal ones
    used_scale, used_zero = scale8 * spread[:, 0], zero8 * spread[:, 1]
    codes = (groups - used_zero[:, None]) / used_scale.clamp(min=1e-12)[:, None]
    codes = codes.round().clamp(0, top).to(torch.uint8).view(-1)
    packed = {
        "scales": torch.stack([scale8, zero8 + 128], dim=1).to(torch.uint8),
        "ranges": ranges,
    }
    if bits == 8:
        packed["codes"] = codes
        return packed
    low = codes & 15
    packed["codes"] = low[0::2] | (low[1::2] << 4)
    if bits > 4:
        per_byte = 8 // (bits - 4)
        high = (codes >> 4).view(-1, per_byte)
        shifts = torch.arange(per_byte, dtype=torch.uint8) * (bits - 4)
        packed["high"] = (high << shifts).sum(1, dtype=torch.uint8)
    return packed


def unpack(
    packed: Mapping[str, torch.Tensor], bits: int, shape: tuple[int, ...], dtype: torch.dtype
) -> torch.Tensor:
    """The weights that `pack` stored, as `dtype`."""
    parts = {key: tensor.numpy() for key, tensor in packed.items()}
    return torch.from_numpy(Packed(bits, shape, **parts).array()).to(dtype)


def save_packed(path: Path, tensors: Mapping[str, tuple[torch.Tensor, int]]) -> None:
    """Write tensors, each with its bits (16: as float16), to one safetensors file, atomically."""
    stored: dict[str, torch.Tensor] = {}
    index: dict[str, dict[str, object]] = {}
    for name, (tensor, bits) in tensors.items():
        index[name] = {"bits": bits, "shape": list(tensor.shape)}
        if bits == 16:
            stored[name] = tensor.detach().to(torch.float16).contiguous()
        else:
            stored.update({f"{name}:{k}": v for k, v in pack(tensor, bits).items()})
    with replaced(path) as temporary:
        save_file(stored, str(temporary), metadata={"format": FORMAT, "index": json.dumps(index)})


def load_packed(
    path: Path, dtype: torch.dtype, exact: Collection[str] = ()
) -> dict[str, torch.Tensor]:
    """Read what `save_packed` wrote, as `dtype`, but the tensors named in `exact` as float32.

    Raises:
        CheckpointError: if the file is missing, damaged or of another format.
    """
    return {
        name: torch.from_numpy(unpacked(tensor)).to(torch.float32 if name in exact else dtype)
        for name, tensor in PackedFile(path).items()
    }
