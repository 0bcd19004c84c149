"""The gated MLP that carries encoder tokens to the decoder's width (specification, section 1.3)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class GatedMLP(nn.Module):
    """`down(SiLU(gate(x)) * up(x))`, without biases: `[..., in_size] -> [..., out_size]`.

    One is the adapter; one more per DeepStack tap, each with its own weights.
    """

    def __init__(self, in_size: int, hidden_size: int, out_size: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(in_size, hidden_size, bias=False)
        self.up_proj = nn.Linear(in_size, hidden_size, bias=False)
        self.down_proj = nn.Linear(hidden_size, out_size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
