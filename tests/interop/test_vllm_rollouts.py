"""Rollouts by vLLM's server: our prompt ids, our log-probabilities, and the newest weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from moss_audio.data.collate import Collator
from moss_audio.data.example import Example
from moss_audio.engine.served import ServedCheckpoint
from moss_audio.errors import MossAudioError
from moss_audio.train.rl.groups import AnswerGroup
from moss_audio.train.rl.loss import PolicyLossConfig
from moss_audio.train.rl.pack import RolloutPacker
from moss_audio.train.rl.policy import DapoObjective, PolicyWeights, RolloutBatch
from moss_audio.train.rl.rollout import AskedPrompt, SamplingConfig
from moss_audio.train.rl.rollout_vllm import VllmRollouts
from moss_audio.train.setup import load_for_training
from tests.interop import checkpoints
from tests.interop.conftest import running_vllm

pytestmark = pytest.mark.interop

_ANSWERS, _TOP_K = 3, 20
_OPTIONS = ("--logprobs-mode", "processed_logprobs", "--max-logprobs", str(_TOP_K))
_LORA = ("--enable-lora", "--max-lora-rank", "8")
_VARIABLES = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}


class _Adapted(nn.Module):
    """A linear layer with a LoRA; its parameters are named as peft names them."""

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        n, k = layer.weight.shape
        self.base_layer = layer
        self.lora_A = nn.ModuleDict({"default": nn.Linear(k, rank, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(rank, n, bias=False)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.base_layer(x)
        return out + self.lora_B["default"](self.lora_A["default"](x))


class _Policy:
    """A policy in training on a checkpoint that a server serves, and who samples from it."""

    def __init__(
        self, folder: Path, served: ServedCheckpoint, work: Path, how: str, **sampling: object
    ) -> None:
        self.model, tokenizer, spec = load_for_training(folder)
        if how == "lora":
            for layer in self.model.language_model.layers:
                for owner, names in (
                    (layer.self_attn, ("q_proj", "k_proj", "v_proj", "o_proj")),
                    (layer.mlp, ("gate_proj", "up_proj", "down_proj")),
                ):
                    for name in names:
                        setattr(owner, name, _Adapted(getattr(owner, name), 4))
        else:
            self.model.requires_grad_(True)
        self.objective = DapoObjective(
            self.model, spec, torch.float32, {"model.": 1e-3}, rows=False,
            loss=PolicyLossConfig(), temperature=1.0,
        )  # fmt: skip
        config = SamplingConfig(
            **{"max_new_tokens": 12, "top_k": _TOP_K, "thinking": None, **sampling}  # type: ignore[arg-type]
        )
        self.rollouts = VllmRollouts(
            served.endpoint, self.model, tokenizer, spec, config, folder=work, concurrency=1
        )
        collator = Collator(tokenizer, spec, self.model.config.audio_config.num_mel_bins)
        self.packer = RolloutPacker(collator, thinking=config.thinking, mask_truncated=False)

    def move(self, part: str, seed: int) -> None:
        """Change what learns of a part of the model, and have the server take it."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, one in self.objective.trained().items():
                if name.startswith(f"model.{part}"):
                    size = 0.05 if one.ndim > 1 else 0.02
                    one.add_(torch.randn(one.shape, generator=generator) * size)
        self.rollouts.update(PolicyWeights(self.objective, 1.0))

    def batch(self, *examples: Example) -> RolloutBatch:
        found = self.rollouts.sample([AskedPrompt(one, 7) for one in examples], _ANSWERS)
        nothing = np.zeros(_ANSWERS)
        groups = [
            AnswerGroup(example, answers, [{}] * _ANSWERS, nothing, nothing, spread=True)
            for example, answers in zip(examples, found, strict=True)
        ]
        (batch,) = self.packer.batches(groups, 1)
        return batch

    @torch.no_grad()
    def off(self, batch: RolloutBatch) -> float:
        """By how much the server's log-probabilities are apart from those of training."""
        return float((self.objective.logprobs(batch)[0] - batch.sampled).abs().max())


def _example(*seconds: float) -> Example:
    clips = tuple(checkpoints.clip(one, seed) for seed, one in enumerate(seconds))
    content = [*({"type": "audio"} for _ in clips), {"type": "text", "text": "What is it?"}]
    said = [{"role": "user", "content": content}, {"role": "assistant", "content": "?"}]
    return Example(f"{seconds}", said, clips)


EXAMPLES = (_example(5.5), _example(4.5, 7.0), _example())


@pytest.fixture(scope="module", params=["lora", "full"])
def policies(
    request: pytest.FixtureRequest,
    folders: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., _Policy]]:
    """Makes policies; each kind of update has a server of its own."""
    pytest.importorskip("vllm", reason="run `make test-interop`")
    folder, work = folders("plain"), tmp_path_factory.mktemp("vllm-rollouts")
    options = [*_OPTIONS, *(_LORA if request.param == "lora" else ())]
    with running_vllm(folder, work, *options, **_VARIABLES) as served:
        number = iter(range(100))
        yield lambda **how: _Policy(folder, served, work / str(next(number)), request.param, **how)


def test_log_probabilities_are_those_of_training_after_every_update(
    policies: Callable[..., _Policy],
) -> None:
    """The second time what was prefilled with the first weights must not be used again."""
    policy = policies()
    policy.move("language_model", 1)
    first = policy.batch(*EXAMPLES)
    assert len(first.sampled) > 60
    assert policy.off(first) < 1e-3
    policy.move("language_model", 2)
    assert policy.off(first) > 1e-2
    assert policy.off(policy.batch(*EXAMPLES)) < 1e-3


def test_a_clip_is_encoded_with_the_newest_weights(policies: Callable[..., _Policy]) -> None:
    policy = policies()
    parts = [name for name in policy.objective.trained() if name.startswith("model.audio_encoder")]
    if not parts:
        pytest.skip("nothing but a LoRA of the decoder learns")
    policy.move("audio_encoder", 3)
    first = policy.batch(EXAMPLES[0])
    policy.move("audio_encoder", 4)
    assert policy.off(first) > 1e-2
    assert policy.off(policy.batch(EXAMPLES[0])) < 1e-3


@pytest.mark.parametrize("thinking", [True, False])
def test_prompts_are_ours_with_and_without_a_thought(
    policies: Callable[..., _Policy], thinking: bool
) -> None:
    """`VllmRollouts` refuses ids that are not those of our renderer."""
    policy = policies(thinking=thinking)
    policy.move("language_model", 5)
    batch = policy.batch(EXAMPLES[0])
    assert policy.off(batch) < 1e-3
    silent = replace(batch, audio_data=torch.zeros_like(batch.audio_data))
    assert policy.off(silent) > 1e-2


def test_another_prompt_on_the_server_is_told(policies: Callable[..., _Policy]) -> None:
    policy = policies()
    policy.move("language_model", 6)
    policy.rollouts._spec = replace(policy.rollouts._spec, time_markers=False)
    with pytest.raises(MossAudioError, match="the server's prompt has other ids than ours"):
        policy.batch(EXAMPLES[0])
