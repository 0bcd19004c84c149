"""A completed shard of composed scenes on disk, from tones: what several folders of tests read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RATE = 16_000
SPEECH: dict[str, Any] = {
    "words": [
        {"text": "the", "start": 0.1, "end": 0.3},
        {"text": "user.", "start": 0.35, "end": 0.8},
    ],
    "sentences": [{"text": "the user.", "start": 0.1, "end": 0.8}],
}
BELL = {"label": "bell", "start": 0.2, "end": 0.5, "source": "made"}
# (kind, seconds, what is true of it): one of each kind
EVENTS: tuple[str, float, dict[str, Any]] = ("events", 0.8, {"events": [BELL]})
MIXED: tuple[str, float, dict[str, Any]] = (
    "mixed", 1.6, {**SPEECH, "events": [{**BELL, "start": 1.0, "end": 1.3}]},
)  # fmt: skip
MUSIC: tuple[str, float, dict[str, Any]] = (
    "music", 0.9,
    {"music": {"tempo": "slow", "key": "C major", "instrument": "piano"},
     "events": [{**BELL, "label": "piano music"}]},
)  # fmt: skip
SILENCE: tuple[str, float, dict[str, Any]] = ("silence", 0.5, {})
_UNKNOWN: dict[str, Any] = {
    "split": "train", "snr_db": None, "voice": None,
    "words": [], "sentences": [], "events": [], "music": None,
}  # fmt: skip


def write_shard(
    root: Path,
    scenes: Sequence[tuple[str, float, dict[str, Any]]],
    sound: Callable[[int, str, float], np.ndarray],
) -> Path:
    """Writes `scenes` into `root`; `sound` gives a scene's int16 samples from its number, kind and
    seconds."""
    shard = root / "shard-00000"
    shard.mkdir(parents=True)
    audio, lines, offset = [], [], 0
    for number, (kind, seconds, truth) in enumerate(scenes):
        samples = sound(number, kind, seconds).astype("<i2")
        place = {"offset_samples": offset, "num_samples": len(samples)}
        lines.append(
            {"id": f"s-{number}", "kind": kind, "seed": number, **_UNKNOWN, **place, **truth}
        )
        audio.append(samples)
        offset += len(samples)
    (shard / "audio.i16").write_bytes(np.concatenate(audio).tobytes())
    (shard / "scenes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (shard / ".completed").touch()
    return root
