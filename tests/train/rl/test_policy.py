"""The engine's log-probabilities are those of training, with all that a policy is made of; packed
answers are separate ones; forced tokens, prompts and padding teach nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import moss_audio
from moss_audio.data.collate import Collator
from moss_audio.data.example import Example
from moss_audio.engine.base import GenerationOptions, Request
from moss_audio.engine.torch_runner import TorchRunner
from moss_audio.model.checkpoint import Checkpoint
from moss_audio.model.nano import parts as nano
from moss_audio.model.nano.quantize import load_packed, save_packed
from moss_audio.model.nano.thinking import add_think_tokens
from moss_audio.settings import load_config
from moss_audio.train import dapo
from moss_audio.train.rl.groups import AnswerGroup, GroupConfig, judged
from moss_audio.train.rl.loss import PolicyLossConfig
from moss_audio.train.rl.pack import RolloutPacker
from moss_audio.train.rl.policy import DapoObjective, PolicyWeights, RolloutBatch, without_lora
from moss_audio.train.rl.rollout import AskedPrompt, SamplingConfig
from moss_audio.train.rl.rollout_engine import EngineRollouts
from moss_audio.train.rl.runners import onnx_runners, torch_runners
from moss_audio.train.setup import load_for_training
from moss_audio.train.sft import export, learns_rows, prepare, rates_of
from tests.train.rl.conftest import ONLY, Letters, soft_model


class Policy:
    """A policy whose every trained part has moved, its sampler and its packer."""

    def __init__(
        self,
        config: dapo.DapoConfig,
        *,
        moved: bool = True,
        kind: str = "torch",
        **sampling: object,
    ) -> None:
        source = Path(config.model)
        self.model, tokenizer, spec = load_for_training(source)
        dtype = prepare(self.model, config, source)
        self.objective = DapoObjective(
            self.model, spec, dtype, rates_of(config), rows=learns_rows(config),
            loss=PolicyLossConfig(), temperature=float(sampling.get("temperature", 1.0)),
        )  # fmt: skip
        if moved:
            generator = torch.Generator().manual_seed(9)
            with torch.no_grad():
                for parameter in self.objective.trained().values():
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        self.sampling = SamplingConfig(
            **{"max_new_tokens": 10, "top_k": 5, "thinking": None, **sampling}  # type: ignore[arg-type]
        )
        self._scaling = config.lora.scaling
        if kind == "onnx":
            runners = onnx_runners(source, continued=config.lora_start == "stored", threads=1)
        else:
            runners = torch_runners(self.model, spec, dtype)
        self._made = lambda: EngineRollouts(runners, tokenizer, spec, self.sampling)
        self.renew()
        collator = Collator(tokenizer, spec, self.model.config.audio_config.num_mel_bins)
        how: Any = {"thinking": self.sampling.thinking, "mask_truncated": False}
        self.packer = RolloutPacker(collator, **how, shared=True)
        self.apart = RolloutPacker(collator, **how)  # each answer with a prompt of its own

    def renew(self) -> None:
        """Another sampler, with the weights as they are."""
        self.rollouts = self._made()
        self.update()

    def update(self) -> None:
        """The sampler's weights are those of the policy."""
        self.rollouts.update(PolicyWeights(self.objective, self._scaling))

    def weights(self) -> dict[str, torch.Tensor]:
        """What a checkpoint would keep."""
        return {name: p.detach().clone() for name, p in self.objective.kept().items()}

    def traces(self, example: Example) -> list[tuple[list[int], list[float]]]:
        """Ids and log-probabilities of the answers to an example."""
        (group,) = self.groups(example)
        return [(one.trace.ids.tolist(), one.trace.logprobs.tolist()) for one in group.answers]

    def groups(self, *examples: Example, answers: int = 4) -> list[AnswerGroup]:
        prompts = [AskedPrompt(one, seed) for seed, one in enumerate(examples)]
        found = self.rollouts.sample(prompts, answers)
        rewards, config = Letters(ONLY, thinks=False), GroupConfig(answers=answers)
        return [
            judged(prompt, answers, rewards, config, self.sampling.max_new_tokens)
            for prompt, answers in zip(prompts, found, strict=True)
        ]

    def gradients(self, batches: list[RolloutBatch]) -> dict[str, torch.Tensor]:
        counts = torch.tensor([self.objective.counts(one) for one in batches]).sum(0)
        self.objective.zero_grad()
        for batch in batches:
            self.objective(batch, counts).sum().backward()
        return {
            n: p.grad.clone() for n, p in self.objective.trained().items() if p.grad is not None
        }


def _example(seconds: float, seed: int, question: str = "the user") -> Example:
    rng = np.random.default_rng(seed)
    samples = (0.3 * rng.standard_normal(round(seconds * 16_000))).astype(np.float32)
    content = [{"type": "audio"}, {"type": "text", "text": question}]
    said = [{"role": "user", "content": content}, {"role": "assistant", "content": "the"}]
    return Example(f"{seed}", said, (samples,))


def _text() -> Example:
    said = [{"role": "user", "content": "the user"}, {"role": "assistant", "content": "the"}]
    return Example("text", said, ())


@pytest.fixture
def config(write_dapo: Callable[..., Path]) -> dapo.DapoConfig:
    return load_config(write_dapo("policy", encoder="lora"), dapo.DapoConfig)


# Six seconds have time markers among their audio tokens.
CLIPS = (_example(1.0, 1), _example(6.0, 2), _text())


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("torch", {}),
        ("torch", {"temperature": 0.7}),
        ("torch", {"top_p": 0.8}),
        ("onnx", {}),
    ],
)
def test_the_engine_and_training_say_the_same(
    config: dapo.DapoConfig, kind: str, how: dict[str, float]
) -> None:
    policy = Policy(config, kind=kind, **how)
    groups = policy.groups(*CLIPS)
    (batch,) = policy.packer.batches(groups, 1)
    with torch.no_grad():
        now, _ = policy.objective.logprobs(batch)
    assert len(now) > 60
    torch.testing.assert_close(now, batch.sampled, rtol=0, atol=1e-5)
    # without what was heard they are others
    silent = replace(batch, audio_data=torch.zeros_like(batch.audio_data))
    with torch.no_grad():
        deaf, _ = policy.objective.logprobs(silent)
    assert float((deaf - batch.sampled).abs().max()) > 1e-2


@pytest.mark.parametrize("start", ["new", "stored"])
def test_a_lora_beside_a_stored_one_and_one_that_goes_on_from_it(
    config: dapo.DapoConfig, start: str, tmp_path: Path
) -> None:
    first = Policy(config)
    export(replace(config, output=str(tmp_path / "second")), Path(config.model), first.weights())
    config = replace(config, model=str(tmp_path / "second"), lora_start=start)
    policy = Policy(config, kind="onnx")
    (batch,) = policy.packer.batches(policy.groups(*CLIPS), 1)
    with torch.no_grad():
        now, _ = policy.objective.logprobs(batch)
    torch.testing.assert_close(now, batch.sampled, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_a_checkpoint_that_was_given_think_marks(
    config: dapo.DapoConfig, kind: str, tmp_path: Path
) -> None:
    """Their rows lie behind all others, and are among those that are drawn from."""
    plain = soft_model(tmp_path / "unmarked", think_tokens=False)
    source = add_think_tokens(plain, tmp_path / "marked", 0)
    most = Checkpoint.open(source).sizes.decoder.vocab_size - 3  # all but the audio ids
    policy = Policy(replace(config, model=str(source)), kind=kind, thinking=True, top_k=most)
    (batch,) = policy.packer.batches(policy.groups(*CLIPS), 1)
    with torch.no_grad():
        now, _ = policy.objective.logprobs(batch)
    torch.testing.assert_close(now, batch.sampled, rtol=0, atol=1e-5)
    assert (batch.kept == most + 2).any()


def test_codes_are_multiplied_as_they_are_stored(config: dapo.DapoConfig) -> None:
    """In 4 bits and int8: what is then apart is rounding alone, and no trained part is missing."""
    path = Path(config.model) / nano.DECODER_FILE
    weights = load_packed(path, torch.float32)
    bits = {name: 16 if tensor.ndim == 1 else 4 for name, tensor in weights.items()}
    save_packed(path, {name: (tensor, bits[name]) for name, tensor in weights.items()})
    policy = Policy(config, kind="onnx")
    (batch,) = policy.packer.batches(policy.groups(*CLIPS, answers=8), 1)
    with torch.no_grad():
        now, _ = policy.objective.logprobs(batch)
    off = (now - batch.sampled).abs()
    assert len(off) > 100
    assert 1e-6 < float(off.mean()) < 0.005
    assert float(off.max()) < 0.05


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_the_same_clip_gets_another_answer_only_through_new_weights(
    config: dapo.DapoConfig, kind: str
) -> None:
    """Of the encoder alone: what was encoded and prefilled with older ones is not used again."""
    policy = Policy(config, kind=kind)
    before = policy.traces(CLIPS[1])
    with torch.no_grad():
        for name, parameter in policy.objective.trained().items():
            if name.startswith("model.audio_encoder"):
                parameter.mul_(3.0)
    assert policy.traces(CLIPS[1]) == before  # the sampler has a copy
    policy.update()
    after = policy.traces(CLIPS[1])
    assert after != before
    policy.renew()  # a sampler that has never seen the older ones
    assert policy.traces(CLIPS[1]) == after
    (batch,) = policy.packer.batches(policy.groups(CLIPS[1]), 1)
    with torch.no_grad():
        now, _ = policy.objective.logprobs(batch)
    torch.testing.assert_close(now, batch.sampled, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("thinking", "marks"), [(None, True), (True, True), (False, True), (False, False)]
)
def test_prompts_in_training_are_those_of_inference(
    config: dapo.DapoConfig,
    thinking: bool | None,
    marks: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ids as the model is given them, up to the answer's first token that is drawn; also of a
    checkpoint that has no marks of thoughts."""
    if not marks:
        model = soft_model(tmp_path / "unmarked", think_tokens=False)
        config = replace(config, model=str(model))
    given: list[int] = []
    forward = TorchRunner.forward

    def recorded(runner: TorchRunner, batch: Any) -> Any:
        given.extend(id for _, piece in batch for id in piece.ids)
        return forward(runner, batch)

    for example in CLIPS:
        policy = Policy(config, thinking=thinking)
        (batch,) = policy.packer.batches(policy.groups(example, answers=2), 1)
        first = int((batch.labels[0] != -100).nonzero()[0])
        model = moss_audio.load(config.model, engine="torch", device="cpu", dtype="float32")
        options = GenerationOptions(max_new_tokens=4, thinking=thinking)
        with monkeypatch.context() as patch:
            patch.setattr(TorchRunner, "forward", recorded)
            given.clear()
            model.engine.generate([Request(example.messages[:-1], example.clips, options)])
        asked = batch.input_ids[0, :first].tolist()
        assert given[: len(asked)] == asked


def test_without_an_update_the_ratio_is_one(config: dapo.DapoConfig) -> None:
    policy = Policy(config)
    (batch,) = policy.packer.batches(policy.groups(*CLIPS), 1)
    with torch.no_grad():
        batch.before = policy.objective.logprobs(batch)[0]
    policy.gradients([batch])
    (terms,) = policy.objective.figures
    assert torch.equal(terms.ratio, torch.ones_like(terms.ratio))
    assert not terms.clipped.any()


def test_however_answers_are_packed_the_gradient_is_the_same(config: dapo.DapoConfig) -> None:
    policy = Policy(config)
    groups = policy.groups(*CLIPS)
    expected = policy.gradients(policy.packer.batches(groups, 1))
    assert any(float(g.abs().max()) > 1e-4 for g in expected.values())
    alone = [
        replace(group, answers=[answer], advantages=group.advantages[i : i + 1])
        for group in groups
        for i, answer in enumerate(group.answers)
    ]
    apart = policy.apart.batches(groups, 1)
    assert apart[0].num_tokens > 2 * policy.packer.batches(groups, 1)[0].num_tokens
    for batches in (
        apart,
        policy.packer.batches(groups, 5),
        policy.apart.batches(groups, 5),
        policy.packer.batches(alone, len(alone)),
    ):
        found = policy.gradients(batches)
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=2e-6)


def test_what_the_engine_put_in_teaches_nothing(config: dapo.DapoConfig) -> None:
    policy = Policy(config, thinking=True, thinking_budget=2, max_new_tokens=100)
    groups = policy.groups(CLIPS[0], answers=2)
    (batch,) = policy.packer.batches(groups, 1)
    drawn = sum(int((~one.trace.forced).sum()) for one in groups[0].answers)
    forced = sum(int(one.trace.forced.sum()) for one in groups[0].answers)
    assert forced > 20
    assert policy.objective.counts(batch) == [float(drawn)]
    assert len(batch.sampled) == len(batch.kept) == len(batch.advantage) == drawn
    with torch.no_grad():
        now, _ = policy.objective.logprobs(batch)
    torch.testing.assert_close(now, batch.sampled, rtol=0, atol=1e-5)


def test_answers_that_were_cut_off_can_be_left_out(config: dapo.DapoConfig) -> None:
    policy = Policy(config, max_new_tokens=3)
    groups = policy.groups(*CLIPS)
    cut = [one for group in groups for one in group.answers if one.finish_reason == "length"]
    assert cut
    policy.packer = RolloutPacker(policy.packer._collator, thinking=None, mask_truncated=True)
    (batch,) = policy.packer.batches(groups, 1)
    every = sum(len(one.trace.ids) for group in groups for one in group.answers)
    assert len(batch.sampled) == every - 3 * len(cut)


def test_the_reference_is_the_policy_before_its_lora(write_dapo: Callable[..., Path]) -> None:
    path = write_dapo("new", adapter=False, mergers=False)
    config = load_config(path, dapo.DapoConfig)
    policy, start = Policy(config), Policy(config, moved=False)
    policy.objective.rows = start.objective.rows
    (batch,) = start.packer.batches(start.groups(*CLIPS), 1)
    with torch.no_grad():
        begun, _ = start.objective.logprobs(batch)
        with without_lora(policy.model):
            reference, _ = policy.objective.logprobs(batch)
        moved, _ = policy.objective.logprobs(batch)
    assert torch.equal(reference, begun)
    assert not torch.allclose(moved, begun, atol=1e-3)


def test_the_distance_from_where_the_run_began_is_in_the_loss(
    write_dapo: Callable[..., Path],
) -> None:
    """Nought while the LoRA is untouched; where all answers are worth the same, the whole loss."""
    config = load_config(write_dapo("kl", adapter=False, mergers=False), dapo.DapoConfig)
    found = []
    for moved in (False, True):
        policy = Policy(config, moved=moved)
        (batch,) = policy.packer.batches(policy.groups(*CLIPS), 1)
        batch = replace(batch, advantage=torch.zeros_like(batch.advantage))
        counts = torch.tensor(policy.objective.counts(batch))
        for kl in (0.0, 0.5):
            policy.objective.loss = PolicyLossConfig(kl=kl)
            loss = policy.objective(batch, counts)
            loss.sum().backward()
            found.append(float(loss.detach()))
    unmoved, moved_off, moved_on = found[:2], found[2], found[3]
    assert unmoved == [0.0, 0.0]
    assert moved_off == 0.0
    assert moved_on > 1e-4
    slopes = [p.grad for p in policy.objective.trained().values() if p.grad is not None]
    assert max(float(slope.abs().max()) for slope in slopes) > 1e-5
