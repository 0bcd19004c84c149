"""Composed scenes with a voice made of tones, so that no speech package is needed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moss_audio.errors import MossAudioError
from moss_audio.result import Word
from moss_audio.scenes import speech
from moss_audio.scenes.compose import Composer
from moss_audio.scenes.config import ScenesConfig
from moss_audio.scenes.effects import EffectsConfig
from moss_audio.scenes.records import place
from moss_audio.scenes.voices.base import SynthesisedSpeech
from moss_audio.scenes.voices.people import person_of

SR = 16_000
SPLITS = ("train", "val", "test", "test-unseen")


class ToneVoice:
    """Every word is a tone of 0.2 s, the pitch that of its speaker."""

    def speakers(self) -> tuple[str, ...]:
        return tuple(f"flite/{n}-0" for n in ("slt", "awb", "rms", "kal16"))

    def speak(self, text: str, speaker: str, rng: np.random.Generator) -> SynthesisedSpeech:
        parts, words, at = [np.zeros(1600, np.float32)], [], 0.1
        for word in text.split():
            t = np.arange(3200) / SR
            hz = 200 + 150 * self.speakers().index(speaker) + rng.uniform(-5, 5)
            parts += [(0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32), np.zeros(800)]
            words.append(Word(word, at, at + 0.2))
            at += 0.25
        return SynthesisedSpeech(np.concatenate(parts).astype(np.float32), tuple(words), speaker)


TEXTS = {
    split: {"word": [f"{split}."], "template": [f"One two {split} {i}." for i in range(5)]}
    for split in SPLITS
}


def _config(**more: object) -> ScenesConfig:
    values: dict[str, object] = {
        "seed": 1,
        "hours": {"train": 1.0, "val": 1.0, "test": 1.0, "test-unseen": 1.0},
        "kinds": {"speech": 0.5, "mixed": 0.3, "events": 0.1, "silence": 0.1},
        "engines": {"flite": 1.0},
        "texts": {"template": 1.0},
        "held_out_speakers": ("flite/rms",),
        "sounds": (),
    }
    return ScenesConfig(**{**values, **more})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def tones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "open_voice", lambda engine, seed, kokoro: ToneVoice())


EFFECTS = EffectsConfig(speed=0.4, pitch=0.2, room=0.4, noise=0.4, gain=0.4, codec=0.4)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    speakers=st.sampled_from([0.0, 1.0]),
    events=st.sampled_from([0.0, 1.0]),
    effects=st.sampled_from([EffectsConfig(), EFFECTS]),
)
def test_whatever_is_drawn_the_truth_holds(
    seed: int, speakers: float, events: float, effects: EffectsConfig
) -> None:
    config = _config(overlap_speakers=speakers, overlap_events=events, effects=effects, levels=True)
    first, second = Composer(config, TEXTS, seed), Composer(config, TEXTS, seed)
    for _ in range(3):
        split, kind, scene = first.draw()
        again = second.draw()
        truth = scene.truth()
        assert (split, kind, scene.samples.tobytes(), truth) == (
            again[0], again[1], again[2].samples.tobytes(), again[2].truth(),
        )  # fmt: skip
        limit = scene.samples.size / SR + 1e-3
        assert np.isfinite(scene.samples).all()
        assert limit <= 15.0 / effects.speed_range[0] + 8
        for item in [*truth["words"], *truth["sentences"], *truth["events"]]:
            assert 0 <= item["start"] < item["end"] <= limit
        _words_hold(truth)
        assert all(s["text"].find(split) >= 0 for s in truth["sentences"])
        voices = {s.get("voice", truth["voice"]) for s in truth["sentences"]}
        assert all((person_of(v) == "cmu rms") == (split == "test-unseen") for v in voices)
        assert (kind == "silence") == (not truth["sentences"] and not truth["events"])


def _words_hold(truth: dict) -> None:  # type: ignore[type-arg]
    """Words are those of the sentences, inside them, in order and apart within a voice."""
    at, last = 0, {}
    for sentence in truth["sentences"]:
        pieces = sentence["text"].split()
        words = truth["words"][at : at + len(pieces)]
        at += len(pieces)
        assert [w["text"] for w in words] == pieces
        voice = sentence.get("voice", truth["voice"])
        for word in words:
            assert sentence["start"] <= word["start"] < word["end"] <= sentence["end"]
            assert last.get(voice, 0.0) <= word["start"]
            last[voice] = word["end"]
    assert at == len(truth["words"])
    starts = [s["start"] for s in truth["sentences"]]
    assert starts == sorted(starts)


def test_a_second_speaker_is_somebody_else_and_heard_where_it_is_said() -> None:
    config = _config(kinds={"speech": 1.0}, hours={"train": 1.0}, overlap_speakers=1.0)
    composer = Composer(config, TEXTS, 3)
    both = 0
    for _ in range(12):
        _, _, scene = composer.draw()
        voices = {s.voice for s in scene.sentences if s.voice}
        if not voices:
            continue
        both += 1
        assert len(voices) == 2
        if scene.snr_db is not None:
            continue
        names = ToneVoice().speakers()
        for sentence in scene.sentences:
            for word in sentence.words:
                part = scene.samples[place(word)]
                spectrum = np.abs(np.fft.rfft(part * np.hanning(part.size), SR))
                hz = 200 + 150 * names.index(str(sentence.voice))
                own = spectrum[hz - 12 : hz + 13].max()
                assert own > 0.15 * spectrum.max()
    assert both >= 8


def test_what_is_off_does_not_move_the_draws() -> None:
    """With an option on, the others' scenes keep their split, kind, voices and words."""
    plain, changed = (
        Composer(_config(**more), TEXTS, 5)
        for more in ({}, {"effects": EffectsConfig(room=1, gain=1), "levels": True})
    )
    for _ in range(8):
        split, kind, scene = plain.draw()
        other = changed.draw()
        assert (split, kind) == other[:2]
        assert scene.words == other[2].words
        assert scene.samples.size == other[2].samples.size


def test_long_lines_are_one_voice_up_to_the_length_that_was_asked(tones: None) -> None:
    config = _config(kinds={"speech": 1.0}, long_share=1.0, long_s=(12.0, 20.0), clean_share=1.0)
    composer = Composer(config, TEXTS, 3)
    ends = []
    for _ in range(20):
        _, _, scene = composer.draw()
        assert len({s.voice for s in scene.sentences}) == 1
        assert len(scene.sentences) > 4
        ends.append(scene.words[-1].end)
        starts = [w.start for w in scene.words]
        assert starts == sorted(starts)
    assert min(ends) > 8
    assert 13 < max(ends) < 20
    with pytest.raises(MossAudioError, match="long_s"):
        _config(long_s=(12.0, 40.0))
