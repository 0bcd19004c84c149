"""The loss is a policy gradient, its bounds stop what they should, and truncation is replayed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from moss_audio.errors import MossAudioError
from moss_audio.train.rl.advantage import advantages, overlong
from moss_audio.train.rl.loss import PolicyLossConfig, kept_logprobs, policy_loss

CONFIG = PolicyLossConfig()


def _terms(now: list[float], before: list[float], advantage: list[float], sampled=None):
    logprobs = torch.tensor(now, dtype=torch.float64, requires_grad=True)
    old = torch.tensor(before, dtype=torch.float64)
    said = old if sampled is None else torch.tensor(sampled, dtype=torch.float64)
    terms = policy_loss(logprobs, old, said, torch.tensor(advantage, dtype=torch.float64), CONFIG)
    terms.loss.sum().backward()
    return terms, logprobs.grad


def test_the_gradient_stops_beyond_the_bounds_and_only_there() -> None:
    ratios, signs = [0.5, 0.81, 1.0, 1.27, 1.5], [1.0, -1.0]
    cases = list(itertools.product(ratios, signs))
    terms, grad = _terms(
        [math.log(r) for r, _ in cases], [0.0] * len(cases), [sign for _, sign in cases]
    )
    for (ratio, sign), slope, clipped in zip(cases, grad, terms.clipped, strict=True):
        stopped = (sign > 0 and ratio > 1.28) or (sign < 0 and ratio < 0.8)
        assert float(slope) == pytest.approx(0.0 if stopped else -sign * ratio)
        assert bool(clipped) is stopped


def test_without_an_update_it_is_the_mean_of_reinforce() -> None:
    now = torch.randn(30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    now = now.requires_grad_()
    advantage = torch.linspace(-2, 2, 30, dtype=torch.float64)
    old = now.detach()
    terms = policy_loss(now, old, old, advantage, CONFIG)
    assert torch.equal(terms.ratio, torch.ones(30, dtype=torch.float64))
    assert torch.equal(terms.weight, torch.ones(30, dtype=torch.float64))
    (terms.loss.sum() / 30).backward()
    assert now.grad is not None
    torch.testing.assert_close(now.grad, -advantage / 30)


def test_weights_of_the_sampler_are_capped_and_have_no_gradient() -> None:
    sampled = [-9.0, -2.0, -1.0]
    terms, grad = _terms([-1.0] * 3, [-1.0] * 3, [1.0] * 3, sampled)
    assert terms.weight.tolist() == pytest.approx([2.0, 2.0, 1.0])
    assert not terms.weight.requires_grad
    assert grad.tolist() == pytest.approx([-2.0, -2.0, -1.0])


def test_probabilities_among_the_kept_ids_sum_to_one() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 20, generator=generator) * 3
    kept = torch.stack([torch.randperm(20, generator=generator)[:6] for _ in range(4)])
    kept[2, 4:] = -1
    for temperature in (1.0, 0.6):
        each = [kept_logprobs(logits, kept[:, k].clamp(min=0), kept, temperature) for k in range(6)]
        sums = torch.stack(each).exp()
        sums[4:, 2] = 0
        torch.testing.assert_close(sums.sum(0), torch.ones(4))
    # over the whole vocabulary a token is less likely by the share that was kept
    everything = torch.arange(20).expand(4, 20)
    share = logits.softmax(1).gather(1, kept.clamp(min=0)).masked_fill(kept < 0, 0).sum(1)
    apart = kept_logprobs(logits, kept[:, 0], everything, 1.0) - kept_logprobs(
        logits, kept[:, 0], kept, 1.0
    )
    torch.testing.assert_close(apart.exp(), share)


def test_it_is_the_gradient_of_the_expected_reward() -> None:
    """All answers of three tokens out of six, each as often as it is likely."""
    n, length = 6, 3
    answers = list(itertools.product(range(n), repeat=length))
    reward = torch.tensor([float(len(set(a)) == 2) + 0.3 * (a[0] == 1) for a in answers]).double()
    torch.manual_seed(0)
    table = torch.randn(length, n, n, dtype=torch.float64).requires_grad_()  # by the token before

    def logprobs(answer: tuple[int, ...]) -> torch.Tensor:
        before = [0, *answer[:-1]]
        return torch.stack(
            [table[i, before[i]].log_softmax(0)[token] for i, token in enumerate(answer)]
        )

    each = torch.stack([logprobs(answer) for answer in answers])
    likely = each.sum(1).exp()
    (exact,) = torch.autograd.grad((likely * reward).sum(), table, retain_graph=True)
    mean = float((likely.detach() * reward).sum())
    old = each.detach()
    advantage = (reward - mean)[:, None].expand_as(old)
    terms = policy_loss(each, old, old, advantage, CONFIG)
    (ours,) = torch.autograd.grad((terms.loss * likely.detach()[:, None]).sum(), table)
    torch.testing.assert_close(-ours, exact, rtol=1e-9, atol=1e-12)


def test_sampled_groups_converge_to_it() -> None:
    logits = torch.tensor([0.2, -0.3, 0.5], dtype=torch.float64, requires_grad=True)
    reward = np.array([0.0, 1.0, 0.4])
    expected = (logits.softmax(0) * torch.from_numpy(reward)).sum()
    (exact,) = torch.autograd.grad(expected, logits)
    rng, total, groups, size = np.random.default_rng(0), torch.zeros(3).double(), 4000, 8
    likely = logits.softmax(0).detach().numpy()
    for _ in range(groups):
        tokens = rng.choice(3, size, p=likely)
        gain = torch.from_numpy(advantages(reward[tokens], "none"))
        now = logits.log_softmax(0)[torch.from_numpy(tokens)]
        loss = policy_loss(now, now.detach(), now.detach(), gain, CONFIG).loss.mean()
        (slope,) = torch.autograd.grad(loss, logits)
        total -= slope
    # the mean of the group takes a part of each answer's own reward away: 1 - 1/size is left
    torch.testing.assert_close(total / groups * size / (size - 1), exact, rtol=0.05, atol=0.005)


def test_advantages_of_a_group() -> None:
    values = advantages([1.0, 0.0, 0.0, 1.0])
    assert values == pytest.approx(np.array([0.5, -0.5, -0.5, 0.5]) / (3**-0.5 + 1e-4))
    assert advantages([0.4] * 5) == pytest.approx([0.0] * 5)
    assert advantages([1.0, 0.0], "none") == pytest.approx([0.5, -0.5])


def test_long_answers_are_punished_softly() -> None:
    found = [overlong(n, 100, 20) for n in (1, 80, 85, 90, 100, 101)]
    assert found == pytest.approx([0.0, 0.0, -0.25, -0.5, -1.0, -1.0])


def test_the_distance_from_the_reference_is_nought_at_the_reference() -> None:
    config = PolicyLossConfig(kl=0.5)
    now = torch.tensor([-1.0, -2.0], requires_grad=True)
    nothing = torch.zeros(2)
    old = now.detach()
    terms = policy_loss(now, old, old, nothing, config, reference=old)
    terms.loss.sum().backward()
    assert torch.equal(terms.loss.detach(), nothing)
    assert now.grad is not None
    assert not now.grad.any()
    apart = policy_loss(now, old, old, nothing, config, reference=old - 1).loss
    assert apart.tolist() == pytest.approx([0.5 * (math.exp(-1) + 1 - 1)] * 2)


def test_bounds_that_are_none_are_refused() -> None:
    with pytest.raises(MossAudioError, match=r"clip_low 1\.5 must be in"):
        PolicyLossConfig(clip_low=1.5, tis_cap=0)
