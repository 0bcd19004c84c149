"""Which device, and which type of numbers, a model runs on where nobody says."""

from __future__ import annotations

import os

import torch

from moss_audio.errors import MossAudioError
from moss_audio.model.dtypes import dtype_name


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


def training_device() -> torch.device:
    """Where a training process computes: its own GPU (`LOCAL_RANK`), else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def choose_dtype(device: torch.device, dtype: str | torch.dtype | None = None) -> torch.dtype:
    """The given dtype, or what `device` computes fast: bfloat16, float16 or float32.

    Raises:
        MossAudioError: for anything but those three.
    """
    if dtype is None:
        return fast_dtype(device)
    chosen: torch.dtype = getattr(torch, dtype_name(str(dtype).removeprefix("torch.")))
    return chosen


def training_dtype(device: torch.device | str) -> torch.dtype:
    """bfloat16 where that is the fast one, else float32: float16 would need its loss scaled."""
    return torch.bfloat16 if fast_dtype(device) == torch.bfloat16 else torch.float32


def fast_dtype(device: torch.device | str) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, else float16 on a GPU, float32 on a CPU.

    A CPU without bfloat16 instructions emulates the products, an order of magnitude slower than
    float32 ones in a long prompt.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if kind == "mps":
        return torch.float16
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    else:  # torch before 2.10 has private probes
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return torch.bfloat16 if native else torch.float32
