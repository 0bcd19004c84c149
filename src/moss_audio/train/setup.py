"""What the stages start from: a checkpoint folder, its tokenizer and prompt, all frozen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.device import training_device, training_dtype
from moss_audio.model.modeling import MossAudioModel
from moss_audio.prompt import PromptSpec

ENCODER = "audio_encoder."
ADAPTER = "audio_adapter."
MERGERS = "deepstack_audio_merger_list."
DECODER = ("language_model.", "lm_head.")


def source_folder(name: str) -> Path:
    """The folder that a stage starts from: of nano (the one that is shipped), a folder or a hub
    id."""
    return Checkpoint.open(name).folder


def load_for_training(folder: Path) -> tuple[MossAudioModel, Any, PromptSpec]:
    """The model (float32, all frozen), tokenizer and prompt of a folder.

    A LoRA that an embedded folder holds is merged in memory, and stays what it is in the export.
    """
    from moss_audio.model.processing import MossAudioProcessor

    model = MossAudioModel.from_pretrained(folder, dtype=torch.float32)
    model.requires_grad_(False)
    model.train()
    processor = MossAudioProcessor.from_pretrained(folder)
    return model, processor.tokenizer, processor.prompt_spec


def learn(model: nn.Module, prefixes: Sequence[str]) -> None:
    """Let the parameters under `prefixes` learn."""
    for name, parameter in model.named_parameters():
        if name.startswith(tuple(prefixes)):
            parameter.requires_grad_(True)


def settle(model: nn.Module, keep: str = "\0") -> torch.dtype:
    """Round what is frozen to the type that the run computes in, and return that type.

    What learns (and what is named `keep...`) stays float32, as the master that autocast rounds for
    each product. With FSDP everything does: shards of one unit have one type, and are small.
    """
    dtype = training_dtype(training_device())
    if not sharded():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad and not name.startswith(keep):
                parameter.data = parameter.data.to(dtype)
    return dtype


def checkpoint_activations(model: Any) -> None:
    """Recompute activations in the backward pass; not reentrant, so that DeepStack's features get
    their gradient."""
    enable = getattr(model, "activation_checkpointing_enable", None)
    if enable is not None:
        enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable({"use_reentrant": False})


def sharded() -> bool:
    """Whether `accelerate launch` has asked for FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")


def trained_millions(module: nn.Module) -> float:
    """Parameters that learn, in millions."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad) / 1e6
