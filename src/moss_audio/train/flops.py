"""Floating-point operations of a training step, estimated, for the model's share of the peak.

A linear layer of P weights costs 2 P a position forward; backward costs 2 P for the gradient of
its input and 2 P more where its weights learn. Recomputed activations are not counted.
"""

from __future__ import annotations

import time

import torch
from torch import nn

from moss_audio.data.batch import Batch
from moss_audio.model.device import training_dtype
from moss_audio.model.modeling import MossAudioModel
from moss_audio.units import num_tokens

_CONV2D_RATE = 8  # mel frames a position of the encoder's layers
_CONV1D_RATE = 2


def _weights(module: nn.Module) -> tuple[float, float]:
    """Weights of the matrices, and those of them that learn."""
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters() if p.ndim > 1]
    return float(sum(n for n, _ in sizes)), float(sum(n for n, learns in sizes if learns))


def step_flops(
    model: MossAudioModel, n_frames: list[int], segments: list[int], labels: int, decodes: bool
) -> float:
    """Operations of one forward and backward pass.

    Args:
        n_frames: mel frames of each clip.
        segments: length of each packed sample.
        labels: positions that get logits.
        decodes: whether the decoder takes part.
    """
    audio = sum(num_tokens(n) for n in n_frames)
    rate = _CONV2D_RATE if model.config.audio_config.stem == "conv2d" else _CONV1D_RATE
    parts: list[tuple[nn.Module, float]] = [
        (model.audio_encoder.layers, sum(n_frames) / rate),
        (model.audio_adapter, audio),
    ]
    if decodes:
        parts += [
            (model.deepstack_audio_merger_list, audio),
            (model.language_model.layers, sum(segments)),
            (model.lm_head, labels),
        ]
    total, learning = 0.0, False
    for module, positions in parts:
        every, learns = _weights(module)
        learning = learning or learns > 0  # gradients pass through all that comes after
        total += positions * (2 * every + (2 * every if learning else 0) + 2 * learns)
    if decodes:
        decoder = model.config.language_config
        width = decoder.num_attention_heads * (
            getattr(decoder, "head_dim", None) or decoder.hidden_size // decoder.num_attention_heads
        )
        # two products of half a square each (causal), forward once and backward twice
        total += 6 * decoder.num_hidden_layers * width * sum(float(n) ** 2 for n in segments)
    return total


def measured_peak(device: torch.device, size: int = 1024, seconds: float = 0.1) -> float:
    """Operations a second of a square product in the type that training computes in."""
    dtype = training_dtype(device)
    if device.type == "cuda":
        size *= 8
    a = torch.ones(size, size, device=device, dtype=dtype)

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    a @ a
    wait()
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        a @ a
        wait()
        count += 1
    return 2.0 * size**3 * count / (time.perf_counter() - begin)


def frames_of(batch: Batch) -> list[int]:
    """Mel frames of each clip of a batch."""
    return [int(n) for n in batch.audio_data_seqlens.tolist()]
