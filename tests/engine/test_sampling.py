"""The sampler follows the distribution and its bounds."""

from __future__ import annotations

import numpy as np
import pytest

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


def _softmax(values: np.ndarray) -> np.ndarray:
    weights = np.exp(values - values.max())
    return weights / weights.sum()


def test_traced_draws_are_the_untraced_ones_and_follow_the_truncated_softmax() -> None:
    logits = np.random.default_rng(3).standard_normal(12).astype(np.float32) * 2
    logits[4] = -np.inf
    for changes in ({}, {"top_k": 5}, {"top_p": 0.8}, {"top_k": 6, "top_p": 0.9}):
        options = GenerationOptions(temperature=0.7, **changes)
        plain, traced = TokenSampler(options, 1), TokenSampler(options, 1)
        counts = np.zeros(12)
        for _ in range(20_000):
            token, logprob, kept = traced.pick_traced(logits)
            assert token == plain.pick(logits)
            counts[token] += 1
        ids = np.arange(12) if kept is None else kept
        expected = np.zeros(12)
        expected[ids] = _softmax(logits[ids].astype(np.float64) / 0.7)
        assert logprob == pytest.approx(np.log(expected[token]))
        drawn = expected > 0
        assert not counts[~drawn].any()
        chi2 = ((counts - 20_000 * expected)[drawn] ** 2 / (20_000 * expected)[drawn]).sum()
        # of up to 10 degrees of freedom: beyond 35 once in 10,000 tries
        assert chi2 < 35
        assert ("top_k" in changes or "top_p" in changes) is (kept is not None)


@pytest.mark.parametrize("levels", [3, 40, 100_000])
def test_the_highest_of_many_are_kept_and_the_first_of_equal_ones(levels: int) -> None:
    """Against a stable sort; with few levels most scores are equal, and some are impossible."""
    rng = np.random.default_rng(levels)
    for size in (60, 1000, 5000, 49_155):
        logits = rng.integers(0, levels, size).astype(np.float32)
        logits[rng.random(size) < 0.3] = -np.inf
        for k in (2, 20, 50):
            sampler = TokenSampler(GenerationOptions(temperature=1.0, top_k=k), 0)
            _, _, kept = sampler.pick_traced(logits)
            assert kept is not None
            expected = np.argsort(-logits, kind="stable")[:k]
            assert sorted(kept) == sorted(expected)
