"""The loss and its gradient against TRL's `GRPOTrainer`, which is no dependency of the package."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from moss_audio.train.rl.advantage import overlong
from moss_audio.train.rl.loss import PolicyLossConfig, kept_logprobs, policy_loss

pytestmark = pytest.mark.interop


class _Stub:
    """As much of a trainer as its loss asks for; what it does not name is off."""

    def __init__(self, logprobs: torch.Tensor, beta: float) -> None:
        self.logprobs, self.beta = logprobs, beta
        self.args = SimpleNamespace(
            delta=None, steps_per_generation=1, use_bias_correction_kl=False
        )
        self.accelerator = SimpleNamespace(
            num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x
        )
        self.model = SimpleNamespace(training=True)
        self.current_gradient_accumulation_steps = 1
        self.loss_type, self.importance_sampling_level = "dapo", "token"
        self.epsilon_low, self.epsilon_high, self.top_entropy_quantile = 0.2, 0.28, 1.0
        self.use_vllm = self.vllm_importance_sampling_correction = True
        self.off_policy_mask_threshold = None
        self._metrics: Any = {"train": _Lists()}

    def __getattr__(self, name: str) -> Any:
        return False

    def _get_per_token_logps_and_entropies(self, *_: Any, **__: Any) -> Any:
        return self.logprobs, torch.zeros_like(self.logprobs), None


class _Lists(dict):  # type: ignore[type-arg]
    def __missing__(self, key: str) -> list[float]:
        return self.setdefault(key, [])


@pytest.mark.parametrize("kl", [0.0, 0.3])
def test_loss_and_gradient_are_trls(kl: float) -> None:
    trainer = pytest.importorskip("trl.trainer.grpo_trainer").GRPOTrainer
    generator = torch.Generator().manual_seed(0)

    def values(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    rows, length, vocabulary = 6, 9, 30
    mask = torch.ones(rows, length, dtype=torch.long)
    for row, end in enumerate((9, 4, 7, 1, 9, 5)):
        mask[row, end:] = 0
    ids = torch.randint(vocabulary, (rows, length), generator=generator)
    logits = values(rows, length, vocabulary).requires_grad_()
    everything = torch.arange(vocabulary).expand(rows * length, vocabulary)
    flat = kept_logprobs(logits.reshape(-1, vocabulary), ids.reshape(-1), everything, 1.0)
    now = flat.double().reshape(rows, length)
    before = now.detach() + 0.3 * values(rows, length)
    sampled = before + 0.5 * values(rows, length)
    reference = now.detach() + 0.2 * values(rows, length)
    advantage = values(rows)
    inputs = {
        "prompt_ids": ids[:, :1], "prompt_mask": mask[:, :1],
        "completion_ids": ids, "completion_mask": mask, "advantages": advantage,
        "old_per_token_logps": before, "ref_per_token_logps": reference,
        "importance_sampling_ratio": (before - sampled).exp().clamp(max=2.0),
        "num_items_in_batch": mask.sum(),
    }  # fmt: skip
    theirs = trainer._compute_loss(_Stub(now, kl), None, inputs)
    (their_slope,) = torch.autograd.grad(theirs, logits, retain_graph=True)
    learnt = mask.bool()
    terms = policy_loss(
        now[learnt], before[learnt], sampled[learnt],
        advantage[:, None].expand(rows, length)[learnt],
        PolicyLossConfig(kl=kl), reference[learnt],
    )  # fmt: skip
    ours = terms.loss.sum() / mask.sum()
    (our_slope,) = torch.autograd.grad(ours, logits)
    assert float(terms.clipped.sum()) > 3  # the bounds take part
    assert float((terms.weight == 2.0).sum()) > 1
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(our_slope, their_slope, rtol=1e-6, atol=1e-6)


def test_the_punishment_of_length_is_trls() -> None:
    made = pytest.importorskip("trl.rewards").get_soft_overlong_punishment(
        max_completion_len=100, soft_punish_cache=20
    )
    lengths = [1, 80, 81, 90, 99, 100, 101, 150]
    theirs = made(completion_ids=[[0] * n for n in lengths])
    assert [overlong(n, 100, 20) for n in lengths] == pytest.approx(theirs)
