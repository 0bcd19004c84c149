"""DAPO: a checkpoint learns from the worth of its own answers.

Source: DAPO (arXiv 2503.14476) and section 5.3 of the MOSS-Audio report (arXiv 2606.01802): groups
of 16 answers at temperature 1 and top-k 50, clipping at 0.2 and 0.28, a loss averaged over the
tokens of a step, importance weights of the sampler up to 2.0, groups whose answers are all worth
the same replaced by others, long answers punished softly, no distance from a reference.

The truths are those of any mixture (docs/data.md): the last message of a conversation is kept from
the model and given to the reward.

Deviations: probabilities are those of the truncated distribution on both sides
(`rl.loss.kept_logprobs`); which of "batch 128" the report means, prompts or answers, is not known:
`groups.prompts_per_step` counts prompts. Groups beyond that number, which a refill may bring, are
learnt at once and not kept for the next step: they were drawn with the weights of now, and there
they would be one update old. LoRA is the default, as in `sft`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from moss_audio.data.collate import Collator
from moss_audio.endpoint import Endpoint
from moss_audio.errors import MossAudioError
from moss_audio.model.modeling import MossAudioModel
from moss_audio.prompt import PromptSpec
from moss_audio.settings import AtLeastOne, load_config
from moss_audio.train.loop import run
from moss_audio.train.progress import log_to
from moss_audio.train.rl.groups import GroupConfig
from moss_audio.train.rl.loader import RolloutLoader, RolloutPlan
from moss_audio.train.rl.loss import PolicyLossConfig
from moss_audio.train.rl.pack import RolloutPacker
from moss_audio.train.rl.policy import DapoObjective
from moss_audio.train.rl.prompts import PromptStream
from moss_audio.train.rl.rewards import RewardConfig, Rewards
from moss_audio.train.rl.rollout import Rollouts, SamplingConfig
from moss_audio.train.rl.rollout_engine import EngineRollouts
from moss_audio.train.rl.rollout_vllm import VllmRollouts
from moss_audio.train.rl.runners import onnx_runners, torch_runners
from moss_audio.train.setup import load_for_training, sharded, source_folder, trained_millions
from moss_audio.train.sft import SftConfig, check_form, export, learns_rows, prepare, rates_of
from moss_audio.train.stage import BatchSource, Stage


@dataclass(frozen=True)
class RolloutConfig:
    """Who samples."""

    # torch: a copy of the policy, in what it is trained in; onnx: the folder's stored codes on this
    # CPU, with what learns beside them; vllm: a server
    kind: Literal["torch", "onnx", "vllm"] = "torch"
    # torch, onnx: answers decoded at once; default: what suits the device
    batch_size: AtLeastOne | None = None
    endpoint: Endpoint = field(default_factory=Endpoint)  # vllm: its server
    concurrency: AtLeastOne = 32  # vllm: prompts under way at once


@dataclass(frozen=True, kw_only=True)
class DapoConfig(SftConfig):
    """The stage. Of the fields of `sft`, `align_weight` and `drills` play no part."""

    adapter: bool = False
    mergers: bool = False
    lora_lr: float = 2e-5
    align_weight: float = 0.0
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    groups: GroupConfig = field(default_factory=GroupConfig)
    updates_per_rollout: AtLeastOne = 1
    loss: PolicyLossConfig = field(default_factory=PolicyLossConfig)
    rewards: RewardConfig = field(default_factory=RewardConfig)
    rollouts: RolloutConfig = field(default_factory=RolloutConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.align_weight:
            raise MossAudioError("align_weight: the policy has no alignment loss; leave it out")
        if any(source.begin_s is not None for source in self.data.sources):
            raise MossAudioError("begin_s: answers are sampled about whole clips; leave it out")
        if any(source.kind == "drills" for source in self.data.sources):
            raise MossAudioError("data: reader drills belong to sft; leave that source out")
        if self.data.augment is not None and self.data.augment.spec_mask_share:
            raise MossAudioError(
                "data.augment.spec_mask_share: what samples hears no masks; leave it out"
            )
        if self.lora_dropout:
            raise MossAudioError("lora_dropout: the policy that samples has none; leave it out")
        if self.loss.kl and not self._only_new_lora():
            raise MossAudioError(
                "loss.kl: the reference is the policy without its LoRA, so nothing else may learn: "
                "decoder: lora, encoder: frozen or lora, adapter and mergers false, lora_start: new"
            )

    def settings(self) -> dict[str, Any]:
        """What decides rollouts and their loss, by the names of the fields."""
        found: dict[str, Any] = {"updates_per_rollout": self.updates_per_rollout}
        for name in ("sampling", "groups", "loss", "rewards"):
            fields = asdict(getattr(self, name)).items()
            found |= {f"{name}.{field}": value for field, value in fields}
        return found

    def _only_new_lora(self) -> bool:
        whole = "full" in (self.decoder, self.encoder) or self.adapter or self.mergers
        return not whole and self.lora_start == "new"


def main(config_path: Path, overrides: dict[str, Any] | None = None) -> bool:
    """Run or resume the stage that `config_path` describes; True when it is complete."""
    config = load_config(config_path, DapoConfig, overrides)
    if sharded():
        raise MossAudioError("dapo: sharded weights (FSDP) cannot be sampled in this process")
    source, folder = source_folder(config.model), Path(config.loop.output_dir)
    log = log_to(folder / "log.txt")
    torch.manual_seed(config.seed)
    model, tokenizer, spec = load_for_training(source)
    drawn = model.config.language_config.vocab_size - len(spec.audio_ids)
    if config.sampling.top_k > drawn:
        raise MossAudioError(
            f"sampling.top_k {config.sampling.top_k}: {config.model} has {drawn} tokens to draw "
            "from; give no more"
        )
    longest = model.config.language_config.max_position_embeddings - config.sampling.max_new_tokens
    if longest < 1:
        raise MossAudioError(
            f"sampling.max_new_tokens {config.sampling.max_new_tokens}: no position of "
            f"{config.model} is left for a prompt; give less"
        )
    dtype = prepare(model, config, source)
    objective = DapoObjective(
        model, spec, dtype, rates_of(config), rows=learns_rows(config) and config.adapter,
        loss=config.loss, temperature=config.sampling.temperature,
    )  # fmt: skip
    check_form(config, source, objective)
    log(f"dapo: {trained_millions(objective):.2f} M trained parameters")
    thinks = config.sampling.thinking is True
    rewards = Rewards(config.rewards, thinks)
    collator = Collator(
        tokenizer, spec, model.config.audio_config.num_mel_bins,
        max_tokens=min(longest, config.data.max_tokens or longest),
        over_long=config.data.over_long,
    )  # fmt: skip
    packer = RolloutPacker(
        collator,
        thinking=config.sampling.thinking,
        mask_truncated=config.groups.truncated == "mask",
        shared=objective.shares_prompts,
    )
    rollouts = _rollouts(config, source, model, tokenizer, spec, dtype)
    plan = RolloutPlan(
        config.groups, config.updates_per_rollout, config.loop.accumulate,
        config.sampling.max_new_tokens, config.lora.scaling, folder / "rollouts",
        config.loop.keep, config.settings(),
    )  # fmt: skip

    def loader(state: Any, rank: int, world_size: int) -> BatchSource:
        place = None if state is None else state["prompts"]
        prompts = PromptStream(config.data, rank, world_size, place, collator.fitted)
        return RolloutLoader(
            plan, objective, prompts, rollouts, rewards, packer, log,
            rank=rank, world_size=world_size, state=state,
        )  # fmt: skip

    def finish(weights: Mapping[str, torch.Tensor]) -> None:
        log(f"dapo: wrote {export(config, source, weights)}")

    return run(Stage(objective, loader, finish), config.loop, log, config.seed)


def _rollouts(
    config: DapoConfig,
    source: Path,
    model: MossAudioModel,
    tokenizer: Any,
    spec: PromptSpec,
    dtype: torch.dtype,
) -> Rollouts:
    """Who samples."""
    how = config.rollouts
    if how.kind == "vllm":
        return VllmRollouts(
            how.endpoint, model, tokenizer, spec, config.sampling,
            folder=Path(config.loop.output_dir) / "weights", concurrency=how.concurrency,
        )  # fmt: skip
    if how.kind == "onnx":
        runners = onnx_runners(source, continued=config.lora_start == "stored")
    else:
        runners = torch_runners(model, spec, dtype)
    return EngineRollouts(runners, tokenizer, spec, config.sampling, batch_size=how.batch_size)
