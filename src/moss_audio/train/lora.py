"""Low-rank adapters on linear layers, through peft, and their names in a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

DECODER_LAYERS = r"language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
ENCODER_LAYERS = r"audio_encoder\.layers\.\d+\.(self_attn\.(q|k|v|out)_proj|fc[12])"
DOWN, UP, BASE = ".lora_A.default.weight", ".lora_B.default.weight", ".base_layer."


@dataclass(frozen=True)
class LoraConfig:
    """Rank and scale: a weight becomes `weight + alpha / rank * up @ down`."""

    rank: int = 16
    alpha: float | None = None  # default: the rank
    dropout: float = 0.0

    @property
    def scaling(self) -> float:
        return 1.0 if self.alpha is None else self.alpha / self.rank


def add_lora(model: nn.Module, layers: str, config: LoraConfig, seed: int) -> None:
    """Put adapters on the linear layers whose names match `layers`; then only they learn.

    `down` starts at random with the layer's own scale (columns^-0.5), `up` at zero: with it a
    learning rate means the same at every rank.
    """
    import peft

    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.rank if config.alpha is None else config.alpha,
        lora_dropout=config.dropout,
        target_modules=layers,
        bias="none",
    )
    peft.inject_adapter_in_model(settings, model)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith(DOWN):
            rank, columns = parameter.shape
            values = torch.randn(rank, columns, generator=generator) * columns**-0.5
            parameter.data = values.to(parameter.device)
        elif name.endswith(UP):
            parameter.data = parameter.data.float()


def plain_name(name: str) -> str:
    """The name that a wrapped weight had before."""
    return name.replace(BASE, ".")


def is_lora(name: str) -> bool:
    """Whether a parameter belongs to an adapter."""
    return name.endswith((DOWN, UP))


def pairs(
    weights: Mapping[str, torch.Tensor], scaling: float
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Name of each adapted weight, its `down` `[r, in]` and its `up` `[out, r]` with the scale
    folded in: `up @ down` is to be added to the weight."""
    for name, down in weights.items():
        if name.endswith(DOWN):
            stem = name.removesuffix(DOWN)
            yield stem + ".weight", down.float(), weights[stem + UP].float() * scaling
