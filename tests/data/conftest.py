"""Manifests of every kind over a few tones, and our scenes in miniature, on disk."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.prompt import PromptSpec
from moss_audio.testing.tokenizer import tiny_prompt_spec, tiny_tokenizer
from tests.scene_files import EVENTS, MIXED, MUSIC, RATE, SILENCE, SPEECH, write_shard


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def spec() -> PromptSpec:
    return tiny_prompt_spec()


def tone(seconds: float, hz: float) -> np.ndarray:
    """int16 [n]"""
    time_s = np.arange(round(seconds * RATE)) / RATE
    return (8000 * np.sin(2 * np.pi * hz * time_s)).astype("<i2")


def write_wav(path: Path, seconds: float, hz: float = 300.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(tone(seconds, hz).tobytes())
    return path


def write_lines(path: Path, lines: list[Any]) -> Path:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def released(audio: str, answer: str, ask: str = "What is heard?") -> dict[str, Any]:
    """A line as the released fine-tuning script reads it."""
    return {
        "conversation": [
            {"role": "user", "message_type": "audio", "content": audio},
            {"role": "user", "message_type": "text", "content": ask},
            {"role": "assistant", "message_type": "text", "content": answer},
        ]
    }


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve wav files, 0.4 to 1.5 s."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(12):
        write_wav(folder / "wav" / f"{number}.wav", 0.4 + 0.1 * number, 200 + 50 * number)
    return folder


@pytest.fixture(scope="session")
def jsonl(clips: Path) -> Path:
    lines = [released(f"wav/{n}.wav", "the " * (n + 1)) for n in range(12)]
    return write_lines(clips / "train.jsonl", lines)


@pytest.fixture(scope="session")
def text_jsonl(clips: Path) -> Path:
    lines = [{"text": f"the document {n} " * 3} for n in range(8)]
    answer = {"role": "assistant", "content": "x"}
    lines += [{"messages": [{"role": "user", "content": f"say {n}"}, answer]} for n in range(4)]
    return write_lines(clips / "text.jsonl", lines)


@pytest.fixture(scope="session")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"))


def write_scenes(root: Path) -> Path:
    """Five clips of 0.5 to 1.6 s in one completed shard, one of each kind, and one for test."""
    scenes = [
        ("speech", 1.0, SPEECH), EVENTS, MIXED, MUSIC, SILENCE,
        ("speech", 1.1, {**SPEECH, "split": "test"}),
    ]  # fmt: skip
    return write_shard(root, scenes, lambda number, _, seconds: tone(seconds, 200 + 150 * number))


@pytest.fixture
def one_source() -> Callable[..., Any]:
    """Opens one source; keyword arguments are fields of its config."""
    from moss_audio.data.sources import open_source
    from tests.data_config import data_config

    def make(kind: str, path: Path, bad_lines: str = "error", **fields: Any) -> Any:
        source = {"kind": kind, "path": str(path), **fields}
        config = data_config({"sources": [source], "batch_audio_s": 4, "bad_lines": bad_lines})
        return open_source(config.sources[0], config)

    return make
