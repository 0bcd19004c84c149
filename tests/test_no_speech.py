"""Where nobody speaks nothing is written, with times as without: heard with the real nano."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moss_audio.recordings import load_audio
from tests.embedded import NEEDS_NANO

pytestmark = NEEDS_NANO
RATE = 16_000


def _noise(seconds: float, db: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (10 ** (db / 20) * rng.standard_normal(round(RATE * seconds))).astype(np.float32)


def _hum(seconds: float) -> np.ndarray:
    t = np.arange(round(RATE * seconds)) / RATE
    return (0.05 * sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3))).astype(np.float32)


def _click() -> np.ndarray:
    click = np.zeros(3 * RATE, np.float32)
    click[RATE : RATE + 8] = 0.8
    return click


CLIPS = {
    "noise": _noise(5.0, -34),
    "loud noise": _noise(3.0, -20),
    "hum": _hum(3.0),
    "click": _click(),
    "dc": np.full(2 * RATE, 0.2, np.float32),
    "10 ms": _noise(0.01, -20),
    "50 ms": _noise(0.05, -20),
    "100 ms": _noise(0.1, -20),
}


@pytest.mark.parametrize("timestamps", [None, "sentence", "word"])
def test_nothing_is_written_where_nobody_speaks(nano: Any, timestamps: str | None) -> None:
    found = nano.transcribe([(clip, RATE) for clip in CLIPS.values()], timestamps)
    heard = dict(zip(CLIPS, found, strict=True))
    assert not any("[" in one.text for one in found)
    del heard["click"]  # of which nano makes words with word times; but never a stamp
    assert not {name: one.text for name, one in heard.items() if one.text}
    assert not any(one.words or one.segments for one in heard.values())


def test_what_is_no_speech_is_held_for_none(nano: Any) -> None:
    """What the model says of an end before the first word, which it has to write here."""
    folder = Path(__file__).parents[1] / "examples"
    speech = load_audio(folder / "speech.wav", end=6.0)
    (said,) = nano.transcribe([speech], "sentence", logprobs=0)
    assert said.segments
    assert all(one.no_speech_prob < 1e-6 for one in said.segments)
    knocks = load_audio(folder / "events.wav", end=8.0)  # of which nano makes words
    (made_up,) = nano.transcribe([knocks], "sentence", logprobs=0)
    assert all(one.no_speech_prob > 0.01 for one in made_up.segments)
