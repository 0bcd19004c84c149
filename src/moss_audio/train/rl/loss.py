"""The loss of sampled tokens.

Source: DAPO (arXiv 2503.14476): clipped ratios with a higher upper bound, averaged over the tokens
of the whole step; importance weights of the sampler, capped, as in the MOSS-Audio report
(arXiv 2606.01802, section 5.3).

Deviation: log-probabilities are those of the truncated distribution that tokens were drawn from
(top-k), on both sides; over the whole vocabulary a ratio would differ from 1 without any change of
the policy.

Shapes: N sampled tokens, K kept ids, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from moss_audio.settings import Between, check


@dataclass(frozen=True)
class PolicyLossConfig:
    """How far one rollout may move the policy."""

    clip_low: float = 0.2
    clip_high: float = 0.28
    tis_cap: float = 2.0  # of the weights that correct for the sampler's own arithmetic
    kl: Annotated[float, Between(0.0)] = 0.0  # weight of the distance from where the run began

    def __post_init__(self) -> None:
        wrong = [
            f"{name} {getattr(self, name)} must be {what}"
            for name, what, good in (
                ("clip_low", "in (0, 1)", 0 < self.clip_low < 1),
                ("clip_high", "above 0", self.clip_high > 0),
                ("tis_cap", "above 0", self.tis_cap > 0),
            )
            if not good
        ]
        check(self, wrong)


@dataclass(frozen=True)
class PolicyTerms:
    """Of each sampled token `[N]`: its loss, not averaged; and figures without gradient.

    Attributes:
        loss: with gradient.
        ratio: of the probabilities now and before this rollout's first update.
        weight: which the sampler's own arithmetic called for.
        clipped: where the bound on the ratio stops the gradient.
    """

    loss: torch.Tensor
    ratio: torch.Tensor
    weight: torch.Tensor
    clipped: torch.Tensor


def kept_logprobs(
    logits: torch.Tensor, ids: torch.Tensor, kept: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Log-probabilities `[N]` of `ids` `[N]` among the ids `kept` `[N, K]` (-1: none), from logits
    `[N, V]`."""
    scaled = logits.float() / temperature
    among = scaled.gather(1, kept.clamp(min=0)).masked_fill(kept < 0, float("-inf"))
    return scaled.gather(1, ids[:, None]).squeeze(1) - among.logsumexp(1)


def policy_loss(
    now: torch.Tensor,
    before: torch.Tensor,
    sampled: torch.Tensor,
    advantage: torch.Tensor,
    config: PolicyLossConfig,
    reference: torch.Tensor | None = None,
) -> PolicyTerms:
    """The loss of each token `[N]`.

    Args:
        now: log-probabilities, with gradient.
        before: the same before the rollout's first update.
        sampled: what the sampler said.
        advantage: of each token's answer.
        reference: log-probabilities of where the run began; needed with `kl`.
    """
    ratio = (now - before).exp()
    bounded = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
    gain = torch.minimum(ratio * advantage, bounded * advantage)
    weight = (before - sampled).exp().clamp(max=config.tis_cap).detach()
    loss = -weight * gain
    if config.kl and reference is not None:
        apart = reference - now
        loss = loss + config.kl * (apart.exp() - apart - 1)
    clipped = (ratio * advantage > bounded * advantage).detach()
    return PolicyTerms(loss, ratio.detach(), weight, clipped)
