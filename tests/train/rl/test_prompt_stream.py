"""What is asked at once is mixed, however long the true answers are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from moss_audio.data.config import DataConfig, SourceConfig
from moss_audio.train.rl.prompts import PromptStream


def test_questions_with_short_and_long_answers_come_mixed(tmp_path: Path) -> None:
    """In the order of training batches they would come apart: a rollout would know one answer."""
    soundfile.write(tmp_path / "clip.wav", np.zeros(16_000, np.float32), 16_000)
    answers = ("no", "yes, as far as I can hear")
    lines = [
        {"audio": "clip.wav", "question": "?", "text": answers[i % 2], "duration": 1.0}
        for i in range(400)
    ]
    path = tmp_path / "list.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = SourceConfig("jsonl", str(path))
    stream = PromptStream(DataConfig((source,), batch_audio_s=5.0, endless=True, seed=1))
    for _ in range(8):
        truths = [str(one.example.messages[-1]["content"]) for one in stream.take(40)]
        # half of 40 on average; beyond these once in 5,000 times
        assert 8 < truths.count("no") < 32
