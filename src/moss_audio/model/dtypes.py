"""Which floating-point type a device computes fast."""

from __future__ import annotations

import torch


def fast_dtype(device: torch.device | str) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, else float32 (float16 on mps).

    On a CPU without bfloat16 instructions torch emulates the products, some ten times slower than
    float32 ones.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if kind == "mps":
        return torch.float16
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = ("avx512_bf16", "amx_bf16", "bf16")  # the last one: arm64
    return torch.bfloat16 if any(capabilities.get(name) for name in native) else torch.float32
