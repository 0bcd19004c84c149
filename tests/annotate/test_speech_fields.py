from __future__ import annotations

import math

import numpy as np
import pytest

from moss_audio.annotate.records import AudioSegment, Recording, Span, ToolResult
from moss_audio.annotate.tools.speech.speech_fields import (
    ASKED_FIELDS,
    MEASURED_FIELDS,
    FieldsConfig,
    SpeechFieldsTool,
    in_words,
)
from moss_audio.annotate.tools.speech.speech_measures import (
    loudness,
    noise,
    pace,
    pitch,
    speech_regions,
)
from moss_audio.metrics.judge import FIELDS
from moss_audio.result import Word

RATE = 16_000


def voice(hz: float, seconds: float, rms: float = 0.1) -> np.ndarray:
    """A steady vowel: ten harmonics, falling by 1/k."""
    t = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 11))
    return (wave * rms / np.sqrt(np.mean(np.square(wave)))).astype(np.float32)


def words_at(*times: tuple[str, float, float]) -> list[Word]:
    return [Word(*one) for one in times]


@pytest.mark.parametrize("hz", [95.0, 210.0])
def test_the_pitch_is_that_of_the_voice(hz: float) -> None:
    found = pitch(voice(hz, 0.8))

    assert found["pitch_hz"] == pytest.approx(hz, rel=0.01)
    assert found["pitch_range_semitones"] < 0.5


def test_a_voice_that_moves_an_octave_has_a_wide_range() -> None:
    # Nine steps: the tenth and the ninetieth percentile are the lowest and the highest.
    steps = [voice(120 * 2 ** (k / 8), 0.25) for k in range(9)]

    assert pitch(np.concatenate(steps))["pitch_range_semitones"] == pytest.approx(12, abs=0.6)


def test_noise_has_no_pitch() -> None:
    assert pitch(np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)) == {}


def test_ten_decibels_are_ten_loudness_units() -> None:
    loud, quiet = loudness(voice(200, 1.0, 0.1)), loudness(voice(200, 1.0, 0.1 / math.sqrt(10)))

    assert loud["loudness_lufs"] - quiet["loudness_lufs"] == pytest.approx(10, abs=0.11)
    assert loudness(np.zeros(RATE)) == {}
    assert loudness(np.zeros(100)) == {}


@pytest.mark.parametrize("ratio_db", [0.0, 10.0, 30.0])
def test_the_ratio_of_speech_to_noise_is_what_was_mixed(ratio_db: float) -> None:
    level = 0.1 / 10 ** (ratio_db / 20)
    sound = np.random.default_rng(0).normal(0, level, 3 * RATE).astype(np.float32)
    sound[RATE : 2 * RATE] += voice(150, 1.0)

    assert noise(sound, [(1.0, 2.0)])["snr_db"] == pytest.approx(ratio_db, abs=0.6)


def test_what_sounds_after_speech_does_not_cover_it() -> None:
    sound = np.random.default_rng(0).normal(0, 0.001, 10 * RATE).astype(np.float32)
    sound[RATE : 2 * RATE] += voice(150, 1.0)
    sound[5 * RATE :] += voice(300, 5.0, 0.3)
    sound[round(2.5 * RATE) : 3 * RATE] += voice(300, 0.5, 0.3)  # a door beside it

    assert noise(sound, [(1.0, 2.0)])["snr_db"] == pytest.approx(40, abs=0.6)


def test_without_words_speech_is_what_is_loud_where_detectors_hear_it() -> None:
    """Noises were speakers of their own: three voices were counted where one was heard."""
    sound = np.random.default_rng(0).normal(0, 0.0001, 9 * RATE).astype(np.float32)
    for second in (1, 4, 7):
        sound[second * RATE : (second + 1) * RATE] += voice(150, 1.0)

    def regions(*heard: Span) -> list[tuple[float, float]]:
        told = ToolResult("vad", "1", "segment", "activity", spans=heard)
        return [
            (round(a, 1), round(b, 1)) for a, b in speech_regions(sound, segment_of(sound, told))
        ]

    assert regions() == [(1.0, 2.0), (4.0, 5.0), (7.0, 8.0)]
    music = Span("music", 0.5, 2.5)
    assert regions(music, Span("speech", 3.5, 4.6, 0.6)) == [(4.0, 4.6)]
    assert regions(Span("speech", 2.5, 3.5)) == [(2.5, 3.5)]  # too soft to be measured by level


def test_without_a_rest_there_is_no_ratio() -> None:
    assert noise(voice(150, 1.0), [(0.0, 1.0)]) == {}


def test_the_pace_counts_pauses_out_and_fillers_in() -> None:
    words = words_at(("I", 0.0, 0.2), ("uh", 0.2, 0.5), ("saw", 1.5, 1.8), ("saw", 1.9, 2.0),
                     ("23", 2.0, 2.5))  # fmt: skip

    found = pace(words)

    # "23" is two words; 0.5 + 1.0 s of speech in 2.5 s; the gap of 0.1 s is no pause.
    assert found["words_per_minute"] == pytest.approx(6 / 1.5 * 60)
    assert found["pause_share"] == pytest.approx(0.4)
    assert found["pauses_per_minute"] == pytest.approx(24)
    assert found["longest_pause_s"] == pytest.approx(1.0)
    assert found["fillers_per_100_words"] == pytest.approx(16.7)
    assert found["repeats_per_100_words"] == pytest.approx(16.7)
    assert pace(words[:2]) == {}


def test_bands_turn_numbers_into_words() -> None:
    measured = {
        "pitch_hz": 240.0, "pitch_range_semitones": 2.0, "loudness_lufs": -23.0,
        "words_per_minute": 100.0, "pause_share": 0.5, "fillers_per_100_words": 5.0,
        "repeats_per_100_words": 0.0, "snr_db": 3.0,
    }  # fmt: skip

    assert in_words(measured) == {
        "pitch": "high, nearly monotone (median 240 Hz)",
        "volume": "moderate (-23 LUFS)",
        "speed": "slow (100 words a minute)",
        "fluency": "halting, pauses take much of the time, with fillers",
        "clarity": "hard to hear in loud background noise (signal-to-noise ratio 3 dB)",
    }
    lively = FieldsConfig(words_per_minute=((50, "a"), (math.inf, "b")))
    assert in_words(measured, lively)["speed"] == "b (100 words a minute)"


class _Model:
    name, version = "model", "1"

    def setup(self) -> None:
        pass

    def describe(self, samples: np.ndarray) -> dict[str, str]:
        return {"gender": "male", "pitch": "low", "height": "tall"}


def segment_of(samples: np.ndarray, *results: ToolResult) -> AudioSegment:
    seconds = len(samples) / RATE
    recording = Recording("r", "r.wav", seconds, RATE, 1)
    return AudioSegment("s", recording, 0.0, seconds, results=results)


def test_what_is_not_measured_is_left_out_unless_a_model_is_asked() -> None:
    sound = np.random.default_rng(0).normal(0, 0.001, 3 * RATE).astype(np.float32)
    sound[RATE : 2 * RATE] += voice(200, 1.0)
    two = ToolResult("d", "1", "speech", "speakers", values={"count": 2},
                     spans=(Span("speaker 1", 1.0, 1.5), Span("speaker 2", 1.5, 2.0)))  # fmt: skip

    (alone,) = SpeechFieldsTool().annotate(sound, segment_of(sound))
    (asked,) = SpeechFieldsTool(describer=_Model()).annotate(sound, segment_of(sound, two))

    # Without words there is neither speed nor fluency.
    assert set(alone.values) == {"pitch", "volume", "clarity", "measured", "sources"}
    assert alone.values["measured"]["pitch_hz"] == pytest.approx(200, rel=0.01)
    assert alone.warnings == ()
    # A model neither overrules a measure nor adds fields of its own.
    assert asked.values["pitch"] == alone.values["pitch"]
    assert asked.values["gender"] == "male"
    assert "height" not in asked.values
    assert asked.values["sources"] == {
        "gender": "model", "pitch": "measured", "volume": "measured", "clarity": "measured",
    }  # fmt: skip
    assert len(asked.warnings) == 1


def test_the_fields_are_those_of_the_judge() -> None:
    assert sorted((*MEASURED_FIELDS, *ASKED_FIELDS)) == sorted(FIELDS)
