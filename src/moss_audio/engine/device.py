"""Which device, and which type of numbers, a model runs on where nobody says."""

from __future__ import annotations

import torch

from moss_audio.errors import MossAudioError


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The given device, or the best there is: cuda, mps, cpu.

    Raises:
        MossAudioError: for a device that does not exist here.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device is None:
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        raise MossAudioError(f"device {device!r}: give cuda, cuda:1, mps or cpu") from None
    there = {"cpu": True, "cuda": cuda, "mps": mps}.get(chosen.type, False)
    if there and chosen.type == "cuda" and chosen.index is not None:
        there = chosen.index < torch.cuda.device_count()
    if not there:
        raise MossAudioError(
            f"device {str(device)!r} is not available here; leave it out to choose"
        )
    return chosen


def choose_dtype(device: torch.device, dtype: str | torch.dtype | None = None) -> torch.dtype:
    """The given dtype, or what `device` computes fast: bfloat16, float16 or float32.

    A CPU without bfloat16 instructions emulates it, an order of magnitude slower than float32 in
    a long prompt, so there it is float32 (to the bit the same weights).

    Raises:
        MossAudioError: for anything but those three.
    """
    if dtype is not None:
        names = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
        names |= {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
        chosen = names.get(dtype) if isinstance(dtype, str) else dtype
        if chosen is None or chosen not in names.values():
            raise MossAudioError(f"dtype {dtype!r}: give bfloat16, float16 or float32")
        return chosen
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "mps":
        return torch.float16
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    fast = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return torch.bfloat16 if fast else torch.float32
