"""The LoRA that an embedded folder holds is trained further, instead of adding another one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import is_embedded
from moss_audio.model.nano.parts import LORA_DOWN, LORA_UP, load_trained
from moss_audio.train.lora import BASE, DOWN, UP, LoraConfig


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
