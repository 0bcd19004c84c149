"""Choosing the next token of one row from its logits, independently of all other rows."""

from __future__ import annotations

import torch

from moss_audio.engine.base import GenerationOptions


class TokenSampler:
    """The token choice of one answer.

    One uniform number a token, drawn from a generator of its own, picks from the sorted
    distribution: the same seed gives the same answer alone and in any batch.
    """

    def __init__(self, options: GenerationOptions, seed: int) -> None:
        self.greedy = options.temperature == 0 or options.top_k == 1
        self._options = options
        self._generator = torch.Generator().manual_seed(seed)

    def pick(self, logits: torch.Tensor) -> int:
        """The next token from float32 logits `[V]` on the CPU, audio ids already at -inf."""
        if self.greedy:
            return int(logits.argmax())
        options = self._options
        scores = logits.double() / options.temperature
        if 0 < options.top_k < scores.shape[0]:
            values, ids = torch.topk(scores, options.top_k)
        else:
            values, ids = torch.sort(scores, descending=True, stable=True)
        probabilities = torch.softmax(values, dim=0)
        if options.top_p < 1.0:
            # the token that crosses the bound stays in, so there is always one
            before = probabilities.cumsum(0) - probabilities
            probabilities = probabilities[before < options.top_p]
        cumulative = probabilities.cumsum(0)
        drawn = torch.rand((), generator=self._generator, dtype=torch.float64) * cumulative[-1]
        place = int(torch.searchsorted(cumulative, drawn, right=True))
        return int(ids[min(place, cumulative.shape[0] - 1)])
