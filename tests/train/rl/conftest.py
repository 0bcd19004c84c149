"""A tiny model whose answers vary, and a reward that they differ in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from moss_audio.data.example import Example
from moss_audio.model.nano import parts as nano
from moss_audio.model.nano.quantize import load_packed, save_packed
from moss_audio.train import dapo
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


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """The tiny model, less sure of its words: else all of its answers would be one."""
    folder = write_model(tmp_path / "model")
    weights = load_packed(folder / nano.DECODER_FILE, torch.float32)
    weights["language_model.norm.weight"] *= 0.08
    save_packed(folder / nano.DECODER_FILE, {n: (t, 16) for n, t in weights.items()})
    return folder


ONLY = RewardConfig(1, 0, 0, 0)


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
