"""Attention for packed rows on a CPU: each sample attends within itself alone.

torch's CPU kernel works through the whole row of several samples and discards what the mask
forbids, forward and backward; for short samples that is most of the work. Here every sample is a
small dense product of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "moss_audio_packed"


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    segments: Sequence[int] = (),
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each of `segments` (lengths that sum to L).

    query `[1, H, L, D]`, key and value `[1, K, L, D]` with H a multiple of K -> `[1, L, H, D]`.
    """
    if query.shape[0] != 1 or sum(segments) != query.shape[2]:
        raise ValueError(f"segments {list(segments)} do not fill a row of {query.shape[2]}")
    groups = query.shape[1] // key.shape[1]
    key = key[0].repeat_interleave(groups, 0)
    value = value[0].repeat_interleave(groups, 0)
    parts = []
    for q, k, v in zip(
        (query[0] * scaling).split(list(segments), 1),
        key.split(list(segments), 1),
        value.split(list(segments), 1),
        strict=True,
    ):
        length = q.shape[1]
        future = torch.ones(length, length, dtype=torch.bool, device=q.device).triu_(1)
        scores = torch.bmm(q, k.transpose(1, 2)).masked_fill(future, float("-inf"))
        parts.append(torch.bmm(scores.softmax(-1), v))
    return torch.cat(parts, 1).transpose(0, 1).unsqueeze(0), None


def use_packed_attention(decoder: PreTrainedModel) -> None:
    """Make a decoder use `packed_attention`; its forward then needs `segments`."""
    ALL_ATTENTION_FUNCTIONS.register(NAME, packed_attention)
    decoder.config._attn_implementation = NAME
