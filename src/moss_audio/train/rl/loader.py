"""A loader whose batches are sampled with the weights as they are when they are asked for.

The loop collects the micro-batches of a step before its first forward pass, so that with one
update a rollout every token is learnt with the weights that it was sampled with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from moss_audio.errors import MossAudioError
from moss_audio.train.checkpoint import changes_line
from moss_audio.train.rl import store
from moss_audio.train.rl.groups import AnswerGroup, GroupConfig, judged, summary
from moss_audio.train.rl.pack import RolloutPacker
from moss_audio.train.rl.policy import DapoObjective, PolicyWeights, RolloutBatch
from moss_audio.train.rl.prompts import PromptStream
from moss_audio.train.rl.rewards import Rewards
from moss_audio.train.rl.rollout import Rollouts


@dataclass(frozen=True)
class RolloutPlan:
    """What a rollout is for.

    Attributes:
        groups: how many answers, and which of them teach.
        updates: steps of the optimiser on one rollout.
        accumulate: micro-batches of a step.
        longest: tokens of an answer.
        scaling: of the policy's LoRA.
        folder: where a rollout is kept that a run has stopped in.
        keep: how many are, which is how many checkpoints there may be.
        settings: by name, in plain JSON types: a run that resumes under others says so.
    """

    groups: GroupConfig
    updates: int
    accumulate: int
    longest: int
    scaling: float
    folder: Path
    keep: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def batches(self) -> int:
        return self.updates * self.accumulate


class RolloutLoader:
    """Batches of rollouts, without end.

    Args:
        plan, objective, prompts, rollouts, rewards, packer: of this process.
        log: takes a line for each rollout.
        rank, world_size: this process among those that train together. All of them sample until
            they have enough groups together.
        state: what `state_dict` gave, to go on from there.
    """

    def __init__(
        self,
        plan: RolloutPlan,
        objective: DapoObjective,
        prompts: PromptStream,
        rollouts: Rollouts,
        rewards: Rewards,
        packer: RolloutPacker,
        log: Callable[[str], None],
        *,
        rank: int = 0,
        world_size: int = 1,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.plan, self.objective, self.prompts = plan, objective, prompts
        self._rollouts, self._rewards, self._packer, self._log = rollouts, rewards, packer, log
        self._rank, self._world = rank, world_size
        self._rollout, self._given = 0, 0  # rollouts begun, batches of the last one given
        self._batches: list[RolloutBatch] = []
        self.history: list[dict[str, float]] = []
        if state is not None:
            self._rollout, self._given = state["rollout"], state["given"]
            line = changes_line(
                f"rollout {self._rollout}", state.get("settings", {}), plan.settings
            )
            if line and rank == 0:
                log(line)
            if self._given:
                self._batches = store.load(self._file())

    def __iter__(self) -> Iterator[RolloutBatch]:
        while True:
            if not self._batches:
                self._rollout, self._given = self._rollout + 1, 0
                self._batches = self._sampled()
            while self._batches and self._given < len(self._batches):
                batch = self._batches[self._given]
                self._given += 1
                if self._given == len(self._batches):
                    self._batches, self._given = [], 0
                yield batch

    def state_dict(self) -> dict[str, Any]:
        """The place after the last batch that was given; between two updates on a rollout this
        writes the rollout beside the checkpoints."""
        if self._given:
            store.save(self._file(), self._batches, self.plan.keep + 1)
        return {
            "prompts": self.prompts.state_dict(), "rollout": self._rollout, "given": self._given,
            "settings": dict(self.plan.settings),
        }  # fmt: skip

    def _file(self) -> Path:
        return store.path_of(self.plan.folder, self._rollout, self._rank)

    def _sampled(self) -> list[RolloutBatch]:
        """The batches of a new rollout."""
        self._rollouts.update(PolicyWeights(self.objective, self.plan.scaling))
        groups, asked = self._groups()
        kept = [group for group in groups if group.spread]
        self._report(groups, asked)
        shares: list[list[AnswerGroup]] = [[] for _ in range(self.plan.updates)]
        for number, group in enumerate(kept):
            # an update is left empty by few groups, but not the same one by all processes
            shares[(number + self._rank) % self.plan.updates].append(group)
        batches = [
            batch for share in shares for batch in self._packer.batches(share, self.plan.accumulate)
        ]
        if self.plan.updates > 1:
            for batch in batches:
                batch.before = self._before(batch)
        return batches

    def _groups(self) -> tuple[list[AnswerGroup], int]:
        """This process's groups, and how many all of them have asked for together."""
        config = self.plan.groups
        groups: list[AnswerGroup] = []
        missing, asked, refills = float(config.prompts_per_step), 0, 0
        while True:
            share = missing * (config.over_sample if refills else 1.0) / self._world
            prompts = self.prompts.take(math.ceil(share))
            asked += len(prompts) * self._world
            answers = self._rollouts.sample(prompts, config.answers)
            groups += [
                judged(prompt, found, self._rewards, config, self.plan.longest)
                for prompt, found in zip(prompts, answers, strict=True)
            ]
            # one number, so that all processes do the same
            kept = self._summed(float(sum(group.spread for group in groups)))
            missing = config.prompts_per_step - kept
            if missing <= 0:
                return groups, asked
            if refills >= config.max_refills:
                break
            refills += 1
        if config.when_short == "error":
            raise MossAudioError(
                f"rollout {self._rollout}: {kept:.0f} of {config.prompts_per_step} groups have "
                f"answers of different worth after {config.max_refills} refills; choose prompts "
                "that are neither too easy nor too hard, or set when_short: train"
            )
        return groups, asked

    def _before(self, batch: RolloutBatch) -> torch.Tensor:
        """Log-probabilities `[N]` of a batch before the first update."""
        device = next(self.objective.parameters()).device
        with torch.no_grad():
            return self.objective.logprobs(batch.to(device))[0].cpu()  # type: ignore[arg-type]

    def _summed(self, value: float) -> float:
        """The sum over all processes."""
        if self._world == 1:
            return value
        device = next(self.objective.parameters()).device
        total = torch.tensor([value], dtype=torch.float64, device=device)
        torch.distributed.all_reduce(total)
        return float(total)

    def _report(self, groups: Sequence[AnswerGroup], asked: int) -> None:
        figures = summary(groups)
        figures |= {f"{name} before": v for name, v in self.objective.take_figures().items()}
        self.history.append(figures)
        if self._rank == 0:
            told = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
            self._log(f"rollout {self._rollout}: {asked} prompts, {told}")
