"""Attention for packed rows on a CPU: each sample attends within itself alone.

torch's CPU kernel works through the whole row of several samples and discards what the mask
forbids, forward and backward; for short samples that is most of the work. Here every sample is a
small dense product of its own, and samples can go on from one beginning, which then stands in the
row once. (On a GPU transformers' own mask is the faster way.)
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
    segments: Sequence[Sequence[int]] = (),
    follows: Sequence[Sequence[int]] = (),
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each of the samples of each row.

    query `[R, H, L, D]`, key and value `[R, K, L, D]` with H a multiple of K -> `[R, L, H, D]`.
    `segments` holds each row's lengths, which sum to L or, before padding, to less. `follows`: of
    each of them the place of the segment that it goes on from, -1 where it begins by itself; none
    given: all do.
    """
    length = query.shape[2]
    if len(segments) != query.shape[0] or any(sum(row) > length for row in segments):
        raise ValueError(
            f"segments {[list(row) for row in segments]} do not fit {query.shape[0]} rows of "
            f"{length}"
        )
    groups = query.shape[1] // key.shape[1]
    rows = [
        _row(
            query[i] * scaling,
            key[i].repeat_interleave(groups, 0),
            value[i].repeat_interleave(groups, 0),
            list(lengths) + [length - sum(lengths)] * (sum(lengths) < length),
            list(follows[i]) if follows else [],
        )
        for i, lengths in enumerate(segments)
    ]
    return torch.stack(rows), None


def _row(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: list[int],
    follows: list[int],
) -> torch.Tensor:
    """`[H, L, D]` three times -> `[L, H, D]`."""
    parts = []
    keys, values = key.split(lengths, 1), value.split(lengths, 1)
    for place, q in enumerate(query.split(lengths, 1)):
        before = follows[place] if place < len(follows) else -1
        seen = [before, place] if before >= 0 else [place]
        k, v = (torch.cat([one[i] for i in seen], 1) for one in (keys, values))
        length, total = q.shape[1], k.shape[1]
        future = torch.ones(length, total, dtype=torch.bool, device=q.device)
        future = future.triu_(1 + total - length)
        scores = torch.bmm(q, k.transpose(1, 2)).masked_fill(future, float("-inf"))
        parts.append(torch.bmm(scores.softmax(-1), v))
    return torch.cat(parts, 1).transpose(0, 1)


def use_packed_attention(decoder: PreTrainedModel) -> None:
    """Make a decoder use `packed_attention`; its forward then needs `segments`."""
    ALL_ATTENTION_FUNCTIONS.register(NAME, packed_attention)
    decoder.config._attn_implementation = NAME
