"""Low-rank adapters on the decoder's linear layers, kept apart to be shipped apart."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from moss_audio.model.nano import LORA_DOWN, LORA_UP

_TARGETS = re.compile(
    r"language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)$"
)


class LoraLinear(nn.Module):
    """`base(x) + up(down(x))`; `base` is frozen, `down` and `up` are float32 masters."""

    def __init__(self, base: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        scale = base.in_features**-0.5
        self.down = nn.Parameter(torch.randn(rank, base.in_features, generator=generator) * scale)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + F.linear(F.linear(x, self.down), self.up)


def add_lora(model: nn.Module, rank: int, seed: int) -> dict[str, LoraLinear]:
    """Wrap the decoder's linear layers in place; name of the wrapped weight -> its adapter."""
    generator = torch.Generator().manual_seed(seed)
    wrapped: dict[str, LoraLinear] = {}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and _TARGETS.search(name):
            parent = model.get_submodule(name.rpartition(".")[0])
            lora = LoraLinear(module, rank, generator)
            setattr(parent, name.rpartition(".")[2], lora)
            wrapped[f"{name}.weight"] = lora
    return wrapped


def lora_tensors(wrapped: Mapping[str, LoraLinear]) -> dict[str, torch.Tensor]:
    """What an export needs: `weight.lora_down` and `weight.lora_up` of every adapter."""
    out: dict[str, torch.Tensor] = {}
    for name, lora in wrapped.items():
        out[name + LORA_DOWN] = lora.down.detach()
        out[name + LORA_UP] = lora.up.detach()
    return out
