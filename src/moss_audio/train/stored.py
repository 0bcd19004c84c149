"""The LoRA that an embedded folder holds, taken up again: it learns on instead of another one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import is_embedded
from moss_audio.model.nano import LORA_DOWN, LORA_UP, read_parts
from moss_audio.model.quantize import load_packed
from moss_audio.train.lora import LoraConfig, is_lora, plain_name


def take_up_lora(model: nn.Module, folder: Path, config: LoraConfig) -> None:
    """Take the stored LoRA out of the weights of `model` and into its adapters.

    `model` was loaded from `folder` and has had adapters put on it (`add_lora`); what it computes
    stays the same to rounding. An adapter without a stored one keeps its new start.

    Raises:
        MossAudioError: no embedded folder, nothing stored, another rank, or a scale that is not 1.
    """
    if not is_embedded(folder):
        raise MossAudioError(f"{folder}: lora_start: stored needs an embedded folder's LoRA")
    if config.scaling != 1.0:
        raise MossAudioError("lora_start: stored needs lora_alpha equal to lora_rank, or none")
    parts = read_parts(folder)
    fixed: dict[str, torch.Tensor] = {}
    for name in parts["fixed"]:
        fixed |= load_packed(folder / name, torch.float32)
    stored = load_packed(folder / str(parts["trained"]), torch.float32)
    taken = 0
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            target = plain_name(name)
            if is_lora(name) or target + LORA_UP not in stored:
                continue
            stem = name.removesuffix("base_layer.weight")
            down, up = stored[target + LORA_DOWN], stored[target + LORA_UP]
            pair = (parameters.get(f"{stem}lora_A.default.weight"),
                    parameters.get(f"{stem}lora_B.default.weight"))  # fmt: skip
            if pair[0] is None or pair[1] is None:
                continue  # this layer stays as it is, with its LoRA merged
            if pair[0].shape != down.shape:
                raise MossAudioError(
                    f"{folder}: the stored LoRA of {target} has rank {down.shape[0]}, lora_rank "
                    f"is {pair[0].shape[0]}"
                )
            parameter.copy_(fixed[target])
            pair[0].copy_(down)
            pair[1].copy_(up)
            taken += 1
    if not taken:
        raise MossAudioError(f"{folder}: holds no LoRA for these layers; use lora_start: new")
