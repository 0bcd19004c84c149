"""A bandit of three arms: of the three likeliest first tokens only the third is worth something."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import moss_audio
from moss_audio.data.example import Example
from moss_audio.engine.base import GenerationOptions, Request
from moss_audio.train import dapo
from moss_audio.train.rl.rewards import Rewards
from tests.train.rl.conftest import ONLY

_QUESTION, _STEPS = "the user", 30


class Arm(Rewards):
    """One answer is worth 1, all others nothing."""

    wanted = ""

    def parts(self, text: str, example: Example) -> dict[str, float]:
        worth = float(text == self.wanted)
        return {"correct": worth, "reasoning": 0.0, "quality": 0.0, "format": 0.0}


def _arms(folder: Path, clip: np.ndarray) -> list[str]:
    """The three likeliest answers of one token, likeliest first."""
    model = moss_audio.load(folder, engine="torch", device="cpu", dtype="float32")
    options = GenerationOptions(max_new_tokens=1, logprobs=3)
    (answer,) = model.engine.generate([Request.question(_QUESTION, clip, options=options)])
    assert answer.logprobs is not None
    return [model.engine.tokenizer.decode([one]) for one, _ in answer.logprobs[0].top]


def test_the_arm_that_pays_is_found(
    write_dapo: Callable[..., Path],
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clip = (0.3 * np.random.default_rng(1).standard_normal(8000)).astype(np.float32)
    soundfile.write(tmp_path / "clip.wav", clip, 16_000, subtype="FLOAT")
    line = {"audio": "clip.wav", "question": _QUESTION, "text": "?", "duration": 0.5}
    data = tmp_path / "list.jsonl"
    data.write_text(json.dumps(line) + "\n")
    arms = _arms(model_folder, clip)
    assert len(set(arms)) == 3
    Arm.wanted = arms[2]
    lines: list[str] = []
    monkeypatch.setattr(dapo, "Rewards", lambda *_: Arm(ONLY, thinks=False))
    monkeypatch.setattr(dapo, "log_to", lambda path: lines.append)
    config: dict[str, Any] = {
        "data": {
            "sources": [{"kind": "jsonl", "path": str(data)}],
            "batch_audio_s": 10,
            "batch_tokens": None,
            "endless": True,
        },
        # (the model is unsure of its words: cooler, so that it can be sure of one)
        "sampling": {"max_new_tokens": 1, "temperature": 0.15, "top_k": 3, "thinking": None},
        "groups": {"prompts_per_step": 2, "answers": 16, "max_refills": 0},
        "lora_lr": 1e-2,
        "loop_steps": _STEPS,
        "loop_accumulate": 1,
    }
    assert dapo.main(write_dapo("bandit", **config))
    rewards = [
        float(found[1])
        for one in lines
        if (found := re.search(r"rollout .* reward ([0-9.]+)", one))
    ]
    assert len(rewards) == _STEPS
    assert rewards[0] < 0.6
    assert np.mean(rewards[-5:]) > 0.95
