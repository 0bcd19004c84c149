"""The policy in training: log-probabilities of sampled tokens, and a copy of it that samples.

Shapes: N sampled tokens, K kept ids, R rows of L positions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from moss_audio.data.batch import Batch
from moss_audio.model.features import AudioFeatures
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano.parts import EMBEDDING
from moss_audio.train.answers import AnswerObjective
from moss_audio.train.attention import NAME as PACKED
from moss_audio.train.export import model_weights
from moss_audio.train.lora import is_lora, pairs, plain_name
from moss_audio.train.objective import mixed_precision
from moss_audio.train.rl.loss import PolicyLossConfig, PolicyTerms, kept_logprobs, policy_loss


@dataclass(kw_only=True)
class RolloutBatch(Batch):
    """A batch of sampled answers; its labels are the N tokens that were drawn. In its one row an
    answer stands behind a prompt of its own, or (`follows`) behind other answers to the same one.

    Attributes:
        targets: int64 `[N]`, the tokens that were drawn.
        places: int64 `[N]`, the position after which each was drawn.
        kept: int64 `[N, K]`, the ids that each token was drawn from, -1 beyond them.
        sampled: float32 `[N]`, the sampler's log-probabilities.
        advantage: float32 `[N]`, of each token's answer.
        before: float32 `[N]`, log-probabilities before the rollout's first update; None where this
            batch belongs to the first.
        follows: of each of the `segments` the place of the one that it goes on from, -1: none.
        clips_of: of each sample, the first and the number of the audio tokens that it hears, where
            answers with prompts of their own share them.
    """

    targets: torch.Tensor
    places: torch.Tensor
    kept: torch.Tensor
    sampled: torch.Tensor
    advantage: torch.Tensor
    before: torch.Tensor | None = None
    follows: list[int] = field(default_factory=list)
    clips_of: list[tuple[int, int]] = field(default_factory=list)


class DapoObjective(AnswerObjective):
    """The clipped policy gradient of sampled answers.

    Args:
        loss: bounds and weights.
        temperature: at which answers are sampled.
    """

    terms = ("policy",)

    def __init__(self, *args: Any, loss: PolicyLossConfig, temperature: float, **kw: Any) -> None:
        super().__init__(*args, **kw)
        _drop_nothing(self.model)
        self.loss, self.temperature = loss, temperature
        self.figures: list[PolicyTerms] = []  # since they were last taken

    def logprobs(self, batch: RolloutBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities `[N]` of the sampled tokens among those that were kept, and a nought
        that has to be added to the loss."""
        encoded, heard = self.encode(batch)
        with mixed_precision(batch.input_ids.device, self.dtype):
            features = self.model.adapt(encoded)
            hidden, unused = self.decoded(batch, _shared(features, batch), heard)
            logits = self.logits(hidden[0, batch.places])
        return kept_logprobs(logits, batch.targets, batch.kept, self.temperature), unused

    def borders(self, batch: Batch) -> dict[str, Any]:
        """With what the segments of a row go on from."""
        found = super().borders(batch)
        if isinstance(batch, RolloutBatch) and any(place >= 0 for place in batch.follows):
            if not found:
                raise ValueError("answers share a prompt in packed attention alone")
            found["follows"] = [batch.follows]
        return found

    @property
    def shares_prompts(self) -> bool:
        """Whether answers to a prompt can stand behind it together."""
        name: str = self.model.language_model.config._attn_implementation
        return name == PACKED

    def forward(self, batch: RolloutBatch, counts: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        now, unused = self.logprobs(batch)
        before = now.detach() if batch.before is None else batch.before
        reference = None
        if self.loss.kl:
            with torch.no_grad(), without_lora(self.model):
                reference, _ = self.logprobs(batch)
        terms = policy_loss(now, before, batch.sampled, batch.advantage, self.loss, reference)
        self.figures.append(terms)
        return (terms.loss.sum() / counts[0] + unused).reshape(1)

    def take_figures(self) -> dict[str, float]:
        """Means over the tokens since the last call: ratio, weight, and the share clipped."""
        found, self.figures = self.figures, []
        means = {}
        for name in ("ratio", "weight", "clipped"):
            values = torch.cat([getattr(one, name).float() for one in found] or [torch.ones(0)])
            means[name] = float(values.mean()) if len(values) else 0.0
        return means


def _drop_nothing(model: torch.nn.Module) -> None:
    """No dropout, which released checkpoints ask for in their encoder: what samples has none, and
    a probability would be another one at each look. (Evaluation mode would do as well, but for
    gradient checkpointing.)"""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "attention_dropout", "activation_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def _shared(features: AudioFeatures, batch: RolloutBatch) -> AudioFeatures:
    """The audio tokens that the samples hear, one after the other."""
    if not batch.clips_of:
        return features
    places = [torch.arange(first, first + count) for first, count in batch.clips_of]
    return features.rows(torch.cat(places).to(features.embeds.device))


@contextmanager
def without_lora(model: torch.nn.Module) -> Iterator[None]:
    """The model as it was before its adapters."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    try:
        for layer in layers:
            layer.enable_adapters(False)
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


@dataclass(frozen=True)
class PolicyWeights:
    """The policy's weights as they are.

    Attributes:
        objective: holds them.
        scaling: of its LoRA.
    """

    objective: AnswerObjective
    scaling: float

    def merged(self) -> dict[str, torch.Tensor]:
        """All that the policy computes with, by the model's own names: LoRA merged, appended
        rows in their places. What does not learn is not copied."""
        objective = self.objective
        state = {n: t.detach() for n, t in objective.model.state_dict().items()}
        weights = {plain_name(name): tensor for name, tensor in state.items() if not is_lora(name)}
        with torch.no_grad():
            for name, down, up in pairs(state, self.scaling):
                merged = weights[name].float() + up @ down
                weights[name] = merged.to(weights[name].dtype)
            weights[EMBEDDING] = objective.in_place(weights[EMBEDDING])
        return weights

    def learnt(self) -> dict[str, torch.Tensor]:
        """What learns alone, by the model's own names: LoRA factors as such, appended rows as
        `AUDIO_ROWS` and `THINK_ROWS`."""
        return model_weights({n: p.detach() for n, p in self.objective.trained().items()})

    def decoder_lora(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]] | None:
        """`down` and `up` of each adapted layer, by its name; None where something else learns."""
        trained = self.objective.trained()
        prefix = "model.language_model."
        if not trained or not all(is_lora(n) and n.startswith(prefix) for n in trained):
            return None
        state = {n.removeprefix("model."): p.detach() for n, p in trained.items()}
        return {name.removesuffix(".weight"): (down, up) for name, down, up in pairs(state, 1.0)}


def sampling_model(
    model: MossAudioModel, weights: Mapping[str, torch.Tensor], dtype: torch.dtype
) -> MossAudioModel:
    """A model that computes with `weights`, in evaluation mode; tensors of that type are shared."""
    config = copy.deepcopy(model.config)
    config.language_config._attn_implementation = "sdpa"  # not that of packed rows
    with torch.device("meta"):
        made = MossAudioModel(config)
    state = {name: tensor.to(dtype) for name, tensor in weights.items()}
    made.load_state_dict(state, strict=False, assign=True)
    made.tie_weights()
    # the rotary table is in no state: it is made anew, off the meta device
    decoder: Any = made.language_model
    device = state[EMBEDDING].device
    decoder.rotary_emb = type(decoder.rotary_emb)(config=config.language_config).to(device)
    made.generation_config = model.generation_config
    return made.requires_grad_(False).eval()
