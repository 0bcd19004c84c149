"""Recordings, runs of the data engine over tiny steps, and what they leave."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.annotate.config import load_config
from moss_audio.annotate.finish import Summary
from moss_audio.annotate.run import annotate
from tests.annotate import tiny


def record(path: Path, seconds: float = 1.2, seed: int = 0, rate: int = 16_000) -> Path:
    """Noise of a level of its own for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=round(seconds * rate)) * (500 + 300 * seed)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.clip(samples, -32768, 32767).astype("<i2").tobytes())
    return path


def contents(out: Path) -> dict[str, bytes]:
    """Everything that a user opens: path -> bytes. Work files and times are not."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and "work" not in path.relative_to(out).parts[:1]
    }


def results(out: Path) -> dict[str, int]:
    """Every step's file of results -> the moment it was made. What stays was not redone."""
    return {
        path.relative_to(out / "work").as_posix(): path.stat().st_mtime_ns
        for path in sorted((out / "work").glob("*/*-*.jsonl"))
        if path.parent.name != "recordings"
    }


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Six recordings."""
    for seed in range(6):
        record(tmp_path / "in" / f"{seed}.wav", 1.0 + 0.1 * seed, seed)
    return tmp_path / "in"


@pytest.fixture
def engine(tmp_path: Path) -> Callable[..., Summary]:
    """Run the tiny steps: `engine(folder, **{"speech.version": "2"})`, into tmp_path / "out"."""

    def call(
        *inputs: Path | str, out: Path | None = None, retry: bool = False, **changes: Any
    ) -> Summary:
        changes = {"ingest.shard_files": 2} | {k.replace("__", "."): v for k, v in changes.items()}
        config = load_config(None, changes, tiny.PARTS)
        return annotate(inputs, out or tmp_path / "out", config, parts=tiny.PARTS, retry=retry)

    return call
