"""What both stages start from: nano's folder, its tokenizer and prompt, and its trained tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import is_embedded, load_config
from moss_audio.model.dtypes import fast_dtype
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano import AUDIO_ROWS, EMBEDDING, has_lora
from moss_audio.prompt import PromptSpec


def load_for_training(folder: Path) -> tuple[MossAudioModel, Any, PromptSpec]:
    """The model (all frozen, in the CPU's fast type, adapters float32), tokenizer and prompt.

    Raises:
        MossAudioError: if the folder already holds a LoRA, which would be lost: it is merged in
            memory, and only a new one would be written.
    """
    from transformers import AutoTokenizer

    if is_embedded(folder) and has_lora(folder):
        raise MossAudioError(
            f"{folder}: already holds a LoRA, which training would lose; start from a folder "
            "that went through the align step only"
        )
    config = load_config(folder)
    model = MossAudioModel.from_pretrained(folder, dtype=fast_dtype("cpu"))
    model.requires_grad_(False)
    model.train()
    # masters of what is trained are float32; autocast rounds them for each product
    model.audio_adapter.float()
    model.deepstack_audio_merger_list.float()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    spec = PromptSpec(config.audio_token_id, config.audio_start_id, config.audio_end_id)
    return model, tokenizer, spec


def adapter_parameters(model: MossAudioModel, mergers: bool) -> dict[str, torch.nn.Parameter]:
    """The adapter's (and the mergers') parameters by name, set to be trained."""
    prefixes = ("audio_adapter.",) + (("deepstack_audio_merger_list.",) if mergers else ())
    chosen = {n: p for n, p in model.named_parameters() if n.startswith(prefixes)}
    for parameter in chosen.values():
        parameter.requires_grad_(True)
    return chosen


def exported(model: MossAudioModel) -> dict[str, torch.Tensor]:
    """Adapter, mergers and audio rows under the names that `nano.assemble` reads."""
    tensors = {n: p.detach() for n, p in adapter_parameters(model, mergers=True).items()}
    tensors[AUDIO_ROWS] = model.get_parameter(EMBEDDING)[-3:].detach().float()
    return tensors


def mixed_precision(model: MossAudioModel) -> torch.autocast:
    """Autocast to the frozen weights' type; off where that is float32."""
    dtype = model.get_parameter(EMBEDDING).dtype
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)
