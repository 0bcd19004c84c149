"""Models small enough to build in milliseconds, and random inputs for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from moss_audio.model.config import MossAudioConfig
from moss_audio.model.modeling import MossAudioModel
from moss_audio.units import num_tokens

AUDIO_ID = 60
N_MELS = 16

ENCODER: dict[str, Any] = {
    "d_model": 16,
    "output_dim": 24,
    "num_mel_bins": N_MELS,
    "encoder_layers": 4,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "downsample_hidden_size": 4,
    "deepstack_encoder_layer_indexes": [0, 1, 3],
    "n_window": 200,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
WHISPER_STEM: dict[str, Any] = {"stem": "conv1d_stack4", "output_dim": 64}
QWEN3: dict[str, Any] = {
    "model_type": "qwen3",
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
LLAMA: dict[str, Any] = {**QWEN3, "model_type": "llama"}


def config(
    audio: dict[str, Any] | None = None, language: dict[str, Any] | None = None, **changes: Any
) -> MossAudioConfig:
    """A tiny configuration; `audio` and `language` change fields of the two parts."""
    values: dict[str, Any] = {
        "audio_config": {**ENCODER, **(audio or {})},
        "language_config": {**QWEN3, **(language or {})},
        "adapter_hidden_size": 20,
        "audio_token_id": AUDIO_ID,
        "audio_start_id": 61,
        "audio_end_id": 62,
    }
    return MossAudioConfig(**{**values, **changes})


def scramble(module: torch.nn.Module, seed: int = 0) -> None:
    """Weights large enough that outputs depend visibly on every input."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.ndim > 1:
                fan_in = weight[0].numel()
                scale = 1.0 if "embed_tokens" in name else 1.5 * fan_in**-0.5
                weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
            elif name.endswith("bias"):
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)


def model(seed: int = 1, **kwargs: Any) -> MossAudioModel:
    """A float32 model in evaluation mode with scaled-up random weights."""
    built = MossAudioModel(config(**kwargs)).eval()
    scramble(built, seed)
    # random weights must not end the answers: nothing stops but the length
    built.generation_config.eos_token_id = None
    built.generation_config.pad_token_id = 0
    return built


def mel(n_frames: int, seed: int = 0, n_mels: int = N_MELS) -> torch.Tensor:
    """Features of a random clip `[n_mels, n_frames]`."""
    return torch.randn(n_mels, n_frames, generator=torch.Generator().manual_seed(seed))


def pad_clips(clips: Sequence[torch.Tensor], fill: float = 0.0) -> dict[str, torch.Tensor]:
    """`audio_data` and `audio_data_seqlens` of clips."""
    longest = max(clip.shape[1] for clip in clips)
    data = torch.full((len(clips), clips[0].shape[0], longest), fill)
    for row, clip in zip(data, clips, strict=True):
        row[:, : clip.shape[1]] = clip
    return {
        "audio_data": data,
        "audio_data_seqlens": torch.tensor([clip.shape[1] for clip in clips]),
    }


# A prompt is a list of text ids and clips, in order.
Prompt = Sequence[int | torch.Tensor]


def prompt_ids(prompt: Prompt) -> list[int]:
    ids: list[int] = []
    for part in prompt:
        if isinstance(part, int):
            ids.append(part)
        else:
            ids += [61, *[AUDIO_ID] * num_tokens(part.shape[1]), 62]
    return ids


def batch(prompts: Sequence[Prompt]) -> dict[str, torch.Tensor]:
    """Left-padded model inputs of several prompts, as the processor gives them."""
    rows = [prompt_ids(prompt) for prompt in prompts]
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    attention = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    inputs = {
        "input_ids": ids,
        "attention_mask": attention,
        "audio_input_mask": ids == AUDIO_ID,
    }
    clips = [part for prompt in prompts for part in prompt if isinstance(part, torch.Tensor)]
    return {**inputs, **(pad_clips(clips) if clips else {})}


def mixed_prompts() -> list[Prompt]:
    """Eight: no clip, one, two; clips from one frame to beyond three chunks."""
    return [
        [5, 6, mel(37, 1), 7],
        [8, 9, 10],
        [11, mel(400, 2), 12, mel(9, 3), 13, 14],
        [mel(1, 4), 15],
        [16, 17, 18, 19, mel(1013, 5), 20, 21],
        [22],
        [23, mel(405, 6), 24, 25],
        [26, mel(130, 7), mel(131, 8), 27],
    ]
