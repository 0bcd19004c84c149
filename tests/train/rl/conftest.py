"""A tiny model whose answers vary, and a reward that they differ in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from moss_audio.data.example import Example
from moss_audio.model.nano import parts as nano
from moss_audio.model.nano.quantize import load_packed, save_packed
from moss_audio.settings import load_config
from moss_audio.train import dapo
from moss_audio.train.rl.prompts import PromptStream
from moss_audio.train.rl.rewards import RewardConfig, Rewards
from tests.train.conftest import (  # noqa: F401
    _exact_arithmetic,
    scenes_folder,
    write_config,
    write_model,
)


class Letters(Rewards):
    """An answer is worth the share of its first letters that are small ones."""

    def parts(self, text: str, example: Example) -> dict[str, float]:
        share = sum(letter.islower() for letter in text[:8]) / 8
        return {"correct": share, "reasoning": 0.0, "quality": 0.0, "format": 0.0}


def soft_model(folder: Path, *, think_tokens: bool = True) -> Path:
    """The tiny model, less sure of its words: else all of its answers would be one; with dropout in
    its encoder, as released ones."""
    write_model(folder, think_tokens=think_tokens, heads=2)
    config = folder / "config.json"
    values = json.loads(config.read_text())
    values["audio_config"] |= {"dropout": 0.1, "attention_dropout": 0.1, "activation_dropout": 0.1}
    config.write_text(json.dumps(values))
    weights = load_packed(folder / nano.DECODER_FILE, torch.float32)
    weights["language_model.norm.weight"] *= 0.08
    save_packed(folder / nano.DECODER_FILE, {n: (t, 16) for n, t in weights.items()})
    return folder


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return soft_model(tmp_path / "model")


class Useful(Letters):
    """The same; of examples that are not among the useful ones all answers are worth as much."""

    def __init__(self, examples: set[str]) -> None:
        super().__init__(ONLY, thinks=False)
        object.__setattr__(self, "examples", examples)

    def parts(self, text: str, example: Example) -> dict[str, float]:
        return super().parts(text if example.id in self.examples else "", example)


ONLY = RewardConfig(1, 0, 0, 0)


def share_of(config: Path, rank: int) -> set[str]:
    """The examples that one of two processes asks about in the first step."""
    loaded = load_config(config, dapo.DapoConfig)
    prompts = PromptStream(loaded.data, rank, 2).take(loaded.groups.prompts_per_step // 2)
    return {one.example.id for one in prompts}


@pytest.fixture
def by_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dapo, "Rewards", lambda *_: Letters(ONLY, thinks=False))


@pytest.fixture
def write_dapo(write_config: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:  # noqa: F811
    """The configuration of a short run; keyword arguments as for `write_config`."""

    def write(name: str, **fields: Any) -> Path:
        values = {
            "output": str(tmp_path / f"out-{name}"),
            "lora_rank": 4,
            "lora_lr": 3e-3,
            "adapter": True,
            "mergers": True,
            "sampling": {"max_new_tokens": 8, "top_k": 5, "thinking": None},
            "groups": {"prompts_per_step": 2, "answers": 4},
            "loop_steps": 4,
            "loop_accumulate": 2,
            **fields,
        }
        return write_config(name, **values)

    return write
