"""Which groups of a rollout are learnt in which update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moss_audio.data.example import Example
from moss_audio.train.rl.groups import GroupConfig
from moss_audio.train.rl.loader import RolloutLoader, RolloutPlan
from moss_audio.train.rl.rewards import Rewards
from moss_audio.train.rl.rollout import AskedPrompt, SampledAnswer
from tests.train.rl.conftest import ONLY, Letters


class _Parts:
    """What a loader is made of, of one process: each prompt has a good and a bad answer."""

    def __init__(self) -> None:
        self.shares: list[list[str]] = []

    def take(self, count: int) -> list[AskedPrompt]:
        return [AskedPrompt(Example(f"{number}", [], ()), 0) for number in range(count)]

    def update(self, weights: Any) -> None:
        pass

    def sample(self, prompts: Any, answers: int) -> list[list[SampledAnswer]]:
        trace: Any = type("Trace", (), {"ids": [1, 2]})
        pair = [SampledAnswer(text, trace, "stop") for text in ("aaaaaaaa", "AAAAAAAA")]
        return [pair for _ in prompts]

    def batches(self, groups: Any, count: int) -> list[Any]:
        self.shares.append([group.example.id for group in groups])
        return [type("Batch", (), {"before": None})() for _ in range(count)]

    def take_figures(self) -> dict[str, float]:
        return {}


def _shares(groups: int, rank: int, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The groups of each of three updates, where each of two processes has so many."""
    monkeypatch.setattr(RolloutLoader, "_summed", lambda self, value: 2 * value)
    monkeypatch.setattr(RolloutLoader, "_before", lambda self, batch: None)
    config = GroupConfig(prompts_per_step=2 * groups, answers=2)
    plan = RolloutPlan(config, 3, 1, 8, 1.0, Path(), 2)
    parts: Any = _Parts()
    rewards: Rewards = Letters(ONLY, thinks=False)
    loader = RolloutLoader(
        plan, parts, parts, parts, rewards, parts, lambda line: None, rank=rank, world_size=2
    )
    next(iter(loader))
    return list(parts.shares)


def test_processes_leave_different_updates_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many groups as processes the last update of a rollout had nothing to learn."""
    assert _shares(1, 0, monkeypatch) == [["0"], [], []]
    assert _shares(1, 1, monkeypatch) == [[], ["0"], []]
    assert _shares(4, 1, monkeypatch) == [["2"], ["0", "3"], ["1"]]
