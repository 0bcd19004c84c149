"""Low-rank adapters on linear layers, through peft, and their names in a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import is_embedded
from moss_audio.model.nano.parts import LORA_DOWN, LORA_UP, load_trained

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


def resume_lora(model: nn.Module, folder: Path, config: LoraConfig) -> None:
    """Move the stored LoRA from the weights of `model` into its adapters.

    `model` was loaded from `folder` and has had adapters put on it (`add_lora`); what it computes
    stays the same up to rounding. An adapter without a stored one keeps its initial values.

    Raises:
        MossAudioError: no embedded folder, nothing stored, another rank, or a scale that is not 1.
    """
    if not is_embedded(folder):
        raise MossAudioError(f"{folder}: lora_start: stored needs an embedded folder's LoRA")
    if config.scaling != 1.0:
        raise MossAudioError("lora_start: stored needs lora_alpha equal to lora_rank, or none")
    stored = load_trained(folder)
    parameters = dict(model.named_parameters())
    taken = 0
    with torch.no_grad():
        for name, learnt_down in parameters.items():
            layer = name.removesuffix(DOWN)
            target = layer + ".weight"
            if layer == name or target + LORA_UP not in stored:
                continue
            down, up = stored[target + LORA_DOWN], stored[target + LORA_UP]
            if learnt_down.shape != down.shape:
                raise MossAudioError(
                    f"{folder}: the stored LoRA of {target} has rank {down.shape[0]}, lora_rank "
                    f"is {learnt_down.shape[0]}"
                )
            parameters[f"{layer}{BASE}weight"].sub_(up @ down)  # it was merged when it was loaded
            learnt_down.copy_(down)
            parameters[layer + UP].copy_(up)
            taken += 1
    if not taken:
        raise MossAudioError(f"{folder}: holds no LoRA for these layers; use lora_start: new")


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
