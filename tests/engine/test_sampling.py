"""The sampler follows the distribution and its bounds."""

from __future__ import annotations

import numpy as np

from moss_audio.engine.base import GenerationOptions
from moss_audio.engine.sampling import TokenSampler

LOGITS = np.log(np.array([0.1, 0.4, 0.3, 0.2], np.float32))


def draws(n: int = 2000, **options: float) -> np.ndarray:
    sampler = TokenSampler(GenerationOptions(temperature=1.0).changed(**options), seed=0)
    picked = [sampler.pick(LOGITS) for _ in range(n)]
    return np.bincount(picked, minlength=4) / n


def test_the_shares_are_the_probabilities() -> None:
    assert np.allclose(draws(), np.exp(LOGITS), atol=0.04)


def test_top_k_and_top_p_leave_the_tail_out() -> None:
    assert draws(300, top_k=2)[[0, 3]].sum() == 0
    shares = draws(300, top_p=0.6)  # 0.4 + 0.3 crosses it
    assert shares[[0, 3]].sum() == 0
    assert shares[2] > 0
    assert draws(50, top_p=0.01)[1] == 1


def test_a_seed_gives_the_same_tokens_and_another_seed_others() -> None:
    options = GenerationOptions(temperature=1.0)
    runs = []
    for seed in (1, 1, 2):
        sampler = TokenSampler(options, seed)
        runs.append([sampler.pick(LOGITS) for _ in range(30)])
    assert runs[0] == runs[1] != runs[2]


def test_impossible_tokens_stay_impossible() -> None:
    logits = LOGITS.copy()
    logits[1] = float("-inf")
    sampler = TokenSampler(GenerationOptions(temperature=5.0), 0)
    assert 1 not in {sampler.pick(logits) for _ in range(300)}
