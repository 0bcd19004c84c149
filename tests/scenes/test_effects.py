"""Effects keep the truth exact: what sounds at a time still sounds there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.result import Word
from moss_audio.scenes.composition import Composition
from moss_audio.scenes.effects import EffectsConfig, after_levelling, before_levelling
from moss_audio.scenes.records import MusicFacts, SpokenSentence
from moss_audio.settings import build

SR = 16_000
STARTS_S = (0.4, 1.3, 2.1)
LENGTH_S = 0.3


def _clip(pitch_hz: float = 140.0) -> np.ndarray:
    """Three voiced bursts of 0.3 s on silence."""
    x = np.zeros(3 * SR, np.float32)
    t = np.arange(int(LENGTH_S * SR)) / SR
    tone = sum(np.sin(2 * np.pi * pitch_hz * k * t) / k for k in range(1, 16))
    for start in STARTS_S:
        at = int(start * SR)
        x[at : at + t.size] = 0.2 * tone * np.minimum(1, 60 * np.minimum(t, LENGTH_S - t))
    return x


def _scene() -> Composition:
    words = tuple(Word(f"w{i}", at, at + LENGTH_S) for i, at in enumerate(STARTS_S))
    return Composition(_clip(), voice="x/1", sentences=(SpokenSentence.of(words),))


ALL = EffectsConfig(speed=0.7, pitch=0.5, room=0.6, noise=0.6, gain=0.6, codec=0.7)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_chain_keeps_words_inside_in_order_and_repeats(seed: int) -> None:
    outcomes = []
    for _ in range(2):
        rng = np.random.default_rng(seed)
        scene = before_levelling(_scene(), ALL, rng)
        samples = scene.samples / np.abs(scene.samples).max() * np.float32(0.5)
        scene = after_levelling(replace(scene, samples=samples), ALL, rng)
        outcomes.append((scene.samples.tobytes(), scene.truth()))
    assert outcomes[0] == outcomes[1]
    truth = outcomes[0][1]
    assert np.isfinite(scene.samples).all()
    last = 0.0
    for word in truth["words"]:
        assert last <= word["start"] < word["end"] <= scene.duration_s
        last = word["end"]
    speed = truth.get("effects", {}).get("speed", 1.0)
    assert truth["words"][0]["start"] == pytest.approx(0.4 / speed, abs=1e-3)


def test_no_shares_change_nothing() -> None:
    rng = np.random.default_rng(0)
    assert not EffectsConfig().active
    scene = after_levelling(before_levelling(_scene(), EffectsConfig(), rng), EffectsConfig(), rng)
    assert np.array_equal(scene.samples, _clip())
    assert "effects" not in scene.truth()


def test_music_keeps_tempo_and_key() -> None:
    facts = MusicFacts("piano", "medium", 120, "C major", "4/4", False)
    rng = np.random.default_rng(0)
    scene = before_levelling(
        Composition(_clip(), music=facts), EffectsConfig(speed=1, pitch=1), rng
    )
    assert np.array_equal(scene.samples, _clip())


def test_noise_is_at_the_ratio_that_the_truth_names() -> None:
    config = EffectsConfig(noise=1, snr_db=(12, 12))
    scene = before_levelling(_scene(), config, np.random.default_rng(0))
    x = _clip()
    speech = np.concatenate([x[int(s * SR) : int((s + LENGTH_S) * SR)] for s in STARTS_S])
    noise = scene.samples - x
    ratio = 10 * np.log10(np.mean(speech**2) / np.mean(noise**2))
    assert ratio == pytest.approx(12, abs=0.3)
    assert scene.truth()["snr_db"] == 12.0


def test_every_wrong_entry_is_named() -> None:
    bad = {"room": 2, "speed_range": [2, 1], "codecs": {"gsm": 1}, "colour": 1, "gain": True}
    wrong: list[str] = []
    assert build(EffectsConfig, bad, "effects", wrong) is None
    assert len(wrong) == 5
    for name in ("room", "speed_range", "codecs", "gain"):
        assert any(line.startswith(f"effects.{name}: ") for line in wrong)
    assert "unknown field effects.colour" in wrong
