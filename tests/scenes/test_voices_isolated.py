"""A voice in a process of its own says what it says at home, and outlives a crash."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from moss_audio.errors import MossAudioError
from moss_audio.result import Word
from moss_audio.scenes.voices.base import SynthesisedSpeech, UnalignedError
from moss_audio.scenes.voices.isolated import IsolatedVoice


class NoiseVoice:
    """Noise; the text may be a command: to be refused, to die once or always, or to stall once."""

    def __init__(self, seed: int = 0) -> None:
        if seed < 0:
            raise MossAudioError("nothing here to speak with")

    def speakers(self) -> tuple[str, ...]:
        return ("noise/1",)

    def speak(self, text: str, speaker: str, rng: np.random.Generator) -> SynthesisedSpeech:
        if text == "refuse":
            raise UnalignedError("does not fit")
        if text == "die" or (text.startswith("/") and not Path(text).exists()):
            Path(text if text != "die" else os.devnull).touch()
            os._exit(9)
        if text.startswith("stall:") and not (marker := Path(text[len("stall:") :])).exists():
            marker.touch()
            time.sleep(3600)
        samples = rng.standard_normal(200).astype(np.float32)
        return SynthesisedSpeech(samples, (Word(text, 0.0, 0.01),), speaker)


def test_isolated_is_the_same_and_outlives_a_crash(tmp_path: Path) -> None:
    voice = IsolatedVoice(NoiseVoice, "noise", 0)
    try:
        assert voice.speakers() == ("noise/1",)
        here, there = np.random.default_rng(1), np.random.default_rng(1)
        for _ in range(2):
            wanted = NoiseVoice().speak("one", "noise/1", here)
            said = voice.speak("one", "noise/1", there)
            assert np.array_equal(said.samples, wanted.samples)
            assert said.words == wanted.words
        assert here.bit_generator.state == there.bit_generator.state
        with pytest.raises(UnalignedError, match="does not fit"):
            voice.speak("refuse", "noise/1", there)
        once = str(tmp_path / "died")
        said = voice.speak(once, "noise/1", there)
        assert np.array_equal(said.samples, NoiseVoice().speak(once, "noise/1", here).samples)
        with pytest.raises(MossAudioError, match="ended or stalled 2 times"):
            voice.speak("die", "noise/1", there)
        assert voice.speak("one", "noise/1", there).words
    finally:
        voice.close()


def test_a_stalled_voice_is_replaced_and_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moss_audio.scenes.voices.isolated._SPEAK_S", 3.0)
    monkeypatch.setattr("moss_audio.scenes.voices.isolated._LEAVE_S", 0.1)
    voice = IsolatedVoice(NoiseVoice, "noise", 0)
    try:
        once = f"stall:{tmp_path / 'once'}"
        here, there = np.random.default_rng(2), np.random.default_rng(2)
        said = voice.speak(once, "noise/1", there)
        assert np.array_equal(said.samples, NoiseVoice().speak(once, "noise/1", here).samples)
    finally:
        voice.close()


def test_a_voice_that_cannot_be_opened_says_why() -> None:
    with pytest.raises(MossAudioError, match="nothing here"):
        IsolatedVoice(NoiseVoice, "noise", -1)
