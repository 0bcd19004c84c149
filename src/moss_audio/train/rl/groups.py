"""Groups of answers to one prompt: what they are worth, and which of them teach anything.

Source: DAPO (arXiv 2503.14476), dynamic sampling: a group whose answers are all worth the same has
no gradient, and other prompts are asked in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from moss_audio.data.example import Example
from moss_audio.settings import AtLeastOne, Between, Weight, check
from moss_audio.train.rl.advantage import Scale, advantages, overlong
from moss_audio.train.rl.rewards import Rewards
from moss_audio.train.rl.rollout import AskedPrompt, SampledAnswer

_SAME = 1e-9  # rewards that differ by less do not differ


@dataclass(frozen=True)
class OverlongConfig:
    """The soft punishment of long answers."""

    margin: AtLeastOne = 128  # tokens before the limit at which it begins
    weight: Weight = 0.0  # 0: none


@dataclass(frozen=True)
class GroupConfig:
    """How groups are made and judged."""

    prompts_per_step: AtLeastOne = 128  # groups with a spread, of all processes together
    answers: Annotated[int, Between(2)] = 16  # to each prompt
    scale: Scale = "group"
    # by the reward before or after length is punished; after it, groups that are all right but of
    # different lengths teach nothing but length
    filter: Literal["before_length", "after_length"] = "before_length"
    # prompts asked in a refill for each group that is missing
    over_sample: Annotated[float, Between(1)] = 1.5
    max_refills: Annotated[int, Between(0)] = 4
    when_short: Literal["train", "error"] = "train"  # of too few groups after the last refill
    overlong: OverlongConfig = OverlongConfig()
    truncated: Literal["punish", "mask"] = "punish"  # answers that ran into the limit

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, eq=False)
class AnswerGroup:
    """The answers to one prompt.

    Attributes:
        parts: figures of each answer, by name.
        rewards: `[G]`, before length is punished.
        advantages: `[G]`.
        spread: whether it teaches anything.
    """

    example: Example
    answers: Sequence[SampledAnswer]
    parts: Sequence[dict[str, float]]
    rewards: np.ndarray
    advantages: np.ndarray
    spread: bool


def judged(
    prompt: AskedPrompt,
    answers: Sequence[SampledAnswer],
    rewards: Rewards,
    config: GroupConfig,
    longest: int,
) -> AnswerGroup:
    """A group with its rewards and advantages; `longest` tokens are the limit of an answer."""
    parts = [rewards.parts(one.text, prompt.example) for one in answers]
    plain = np.array([rewards.total(one) for one in parts])
    weight = config.overlong.weight
    margin = min(config.overlong.margin, longest)
    lengths = [len(one.trace.ids) for one in answers]
    shaped = plain + [weight * overlong(n, longest, margin) if weight else 0.0 for n in lengths]
    if weight and config.truncated == "punish":
        cut = np.array([one.finish_reason == "length" for one in answers])
        shaped = np.where(cut, plain - weight, shaped)
    decisive = plain if config.filter == "before_length" else shaped
    spread = bool(np.ptp(decisive) > _SAME)
    return AnswerGroup(
        prompt.example, answers, parts, plain, advantages(shaped.tolist(), config.scale), spread
    )


def summary(groups: Sequence[AnswerGroup]) -> dict[str, Any]:
    """Means over all answers of groups, dropped ones included."""
    every = [one for group in groups for one in group.parts]
    answers = [one for group in groups for one in group.answers]
    if not answers:
        return {}
    found = {
        "reward": float(np.mean([group.rewards.mean() for group in groups])),
        "tokens": float(np.mean([len(one.trace.ids) for one in answers])),
        "truncated": float(np.mean([one.finish_reason == "length" for one in answers])),
        "kept": float(np.mean([group.spread for group in groups])),
    }
    return found | {name: float(np.mean([one[name] for one in every])) for name in every[0]}
