"""The music tools on sounds whose music is known by construction."""

import warnings

import numpy as np
import pytest

from moss_audio.annotate.records import AudioSegment, Recording, Span, ToolResult
from moss_audio.annotate.tools.music.dynamics import DynamicsConfig, DynamicsTool
from moss_audio.annotate.tools.music.features import MusicFeatureCache
from moss_audio.annotate.tools.music.harmony import (
    CHORDS,
    ChordsConfig,
    ChordsTool,
    KeyTool,
    estimate_key,
)
from moss_audio.annotate.tools.music.instruments import InstrumentsConfig, InstrumentsTool
from moss_audio.annotate.tools.music.sections import SectionsConfig, SectionsTool
from moss_audio.annotate.tools.music.tempo import TempoConfig, TempoTool
from moss_audio.errors import MossAudioError

SR = 16_000


def segment(samples, *results, **profile):
    duration_s = samples.size / SR
    recording = Recording("r", "r.wav", duration_s, SR, 1)
    return AudioSegment("r-0", recording, 0.0, duration_s, profile=profile, results=results)


def tone(midi, seconds, partials=4, tuning=0.0):
    """A struck string, so to speak."""
    t = np.arange(round(seconds * SR)) / SR
    hz = 440.0 * 2 ** ((midi - 69 + tuning) / 12)
    wave = sum(np.sin(2 * np.pi * hz * k * t) / k**1.5 for k in range(1, partials + 1))
    return 0.1 * wave * np.exp(-2 * t) * np.minimum(1, t / 0.005)


def play(notes, duration_s, tuning=0.0, partials=4):
    """Notes (start, seconds, midi) as float32 samples."""
    out = np.zeros(round(duration_s * SR) + SR)
    for start_s, seconds, midi in notes:
        at, sound = round(start_s * SR), tone(midi, seconds, partials, tuning)
        out[at : at + sound.size] += sound
    return out[: round(duration_s * SR)].astype(np.float32)


def progression(chords, bar_s, times, beats=4):
    """Triads (root, third) struck on every beat, with their root below."""
    notes = []
    for bar, (root, third) in enumerate(chords * times):
        for beat in range(beats):
            at, length = bar * bar_s + beat * bar_s / beats, bar_s / beats
            notes += [(at, length, root + d) for d in (0, third, 7)]
        notes.append((bar * bar_s, bar_s, root - 12))
    return notes


# A minor: A minor, D minor, E major, A minor. E flat major: E flat, A flat, B flat, E flat.
A_MINOR = [(57, 3), (62, 3), (64, 4), (57, 3)]
E_FLAT = [(63, 4), (68, 4), (58, 4), (63, 4)]


@pytest.mark.parametrize("bpm", [76.0, 101.0, 132.0])
def test_tempo_and_beats_of_steady_playing(bpm):
    beat_s = 60.0 / bpm
    samples = play([(0.3 + i * beat_s, 0.3, 60 + i % 3) for i in range(int(14 / beat_s))], 15.0)
    [found] = TempoTool(TempoConfig(), MusicFeatureCache()).annotate(samples, segment(samples))
    assert found.values["bpm"] == pytest.approx(bpm, rel=0.01)
    assert found.score > 0.5
    starts_s = np.array([span.start_s for span in found.spans])
    late_s = (starts_s - 0.3 + beat_s / 2) % beat_s - beat_s / 2
    # Once all beats were 60 ms late: librosa shifted frames that were centred already.
    assert np.abs(np.median(late_s)) < 0.015
    assert np.mean(np.abs(late_s) < 0.04) > 0.9


def test_a_quiet_half_keeps_its_beats():
    samples = play([(i * 0.5, 0.3, 60) for i in range(32)], 16.0)
    samples[: 8 * SR] *= 0.15
    [found] = TempoTool(TempoConfig(), MusicFeatureCache()).annotate(samples, segment(samples))
    assert found.spans[0].start_s < 1.0


def test_no_music_no_facts():
    cache = MusicFeatureCache()
    silence = np.zeros(6 * SR, np.float32)
    tools = [
        TempoTool(TempoConfig(), cache),
        KeyTool(None, cache),
        ChordsTool(ChordsConfig(), cache),
        SectionsTool(SectionsConfig(), cache),
        DynamicsTool(DynamicsConfig()),
        InstrumentsTool(InstrumentsConfig()),
    ]
    for samples in (silence, silence[:500], silence[:0], np.full(6 * SR, np.nan, np.float32)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # librosa's, of clips shorter than its windows
            assert [one for t in tools for one in t.annotate(samples, segment(samples))] == []


def test_a_steady_noise_has_hardly_a_tempo():
    noise = 0.1 * np.random.default_rng(3).standard_normal(10 * SR).astype(np.float32)
    found = TempoTool(TempoConfig(), MusicFeatureCache()).annotate(noise, segment(noise))
    assert all(one.score < 0.5 for one in found)


@pytest.mark.parametrize(
    ("chords", "tuning", "tonic", "mode"),
    [(A_MINOR, 0.0, "A", "minor"), (E_FLAT, 0.0, "D#", "major"), (A_MINOR, 0.3, "A", "minor")],
)
def test_key_also_of_a_piece_tuned_higher(chords, tuning, tonic, mode):
    samples = play(progression(chords, 1.6, 2), 13.0, tuning)
    [found] = KeyTool(None, MusicFeatureCache()).annotate(samples, segment(samples))
    assert (found.values["tonic"], found.values["mode"]) == (tonic, mode)
    assert found.values["tuning_semitones"] == pytest.approx(tuning, abs=0.06)
    assert 0.5 < found.score <= 1


def test_pitches_that_are_all_alike_have_no_key():
    assert estimate_key(np.ones(12)) is None


def test_chords_with_their_times_and_nothing_in_a_rest():
    played = play(progression(A_MINOR[:3], 2.0, 1), 6.0)
    samples = np.concatenate([played, np.zeros(3 * SR, np.float32)])
    [found] = ChordsTool(ChordsConfig(), MusicFeatureCache()).annotate(samples, segment(samples))
    long = [span for span in found.spans if span.end_s - span.start_s > 0.6]
    assert [span.label for span in long] == ["A minor", "D minor", "E"]
    for span, start_s in zip(long, (0.0, 2.0, 4.0), strict=True):
        assert span.start_s == pytest.approx(start_s, abs=0.3)
    assert found.spans[-1].end_s < 7.5
    assert {span.label for span in found.spans} <= set(CHORDS)


def test_sections_that_come_back_have_the_letter_of_the_first():
    a = play(progression(A_MINOR, 2.0, 2), 16.0, partials=1)
    b = play(progression(E_FLAT, 1.0, 4, beats=8), 16.0, partials=12) * 1.5
    samples = np.concatenate([a, b, a]).astype(np.float32)
    tool = SectionsTool(SectionsConfig(), MusicFeatureCache())
    [found] = tool.annotate(samples, segment(samples))
    assert found.values["form"] == "A B A"
    assert [span.start_s for span in found.spans] == pytest.approx([0.0, 16.0, 32.0], abs=1.5)
    assert found.spans[-1].end_s == pytest.approx(48.0)
    [short] = tool.annotate(a[: 8 * SR], segment(a[: 8 * SR]))
    assert [(span.label, span.start_s, span.end_s) for span in short.spans] == [("A", 0.0, 8.0)]


def test_dynamics_against_the_piece_itself():
    t = np.arange(30 * SR) / SR
    samples = (0.05 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    [steady] = DynamicsTool(DynamicsConfig()).annotate(samples, segment(samples))
    assert [span.label for span in steady.spans] == ["medium"]
    assert steady.values["range_db"] < 0.5
    changing = samples.copy()
    changing[: 8 * SR] *= 0.25  # 12 dB below the middle
    changing[22 * SR :] *= 6.0
    [found] = DynamicsTool(DynamicsConfig()).annotate(changing, segment(changing))
    assert [span.label for span in found.spans] == ["quiet", "medium", "loud"]
    assert [span.start_s for span in found.spans] == pytest.approx([0.0, 8.0, 22.0], abs=1.6)
    assert found.values["range_db"] == pytest.approx(12.0 + 15.6, abs=2.0)
    assert found.values["energy"] == "high"
    quiet = [DynamicsTool(DynamicsConfig()).annotate(samples * 0.1, segment(samples))[0]]
    assert quiet[0].values["energy"] == "low"
    # A tenth of the strength is 20 dB less.
    assert steady.values["loudness_lufs"] - quiet[0].values["loudness_lufs"] == pytest.approx(20)


class Tagger:
    name, version = "tagger", "7"

    def __init__(self):
        self.ready = False

    def setup(self):
        self.ready = True

    def detect(self, samples):
        assert self.ready
        return [Span("Flute", 4.0, 9.0, 0.6), Span("Choir", 0.0, 9.0, 0.9)]


def test_instruments_only_where_a_detector_heard_them():
    samples = np.ones(10 * SR, np.float32)
    heard = (
        Span("Violin, fiddle", 0.0, 3.0, 0.4),
        Span("violin, fiddle", 2.9, 5.0, 0.5),
        Span("Piano", 0.0, 5.0, 0.1),
        Span("Dog", 1.0, 2.0, 0.9),
    )
    given = segment(samples, ToolResult("t", "1", "segment", "activity", spans=heard))
    [found] = InstrumentsTool(InstrumentsConfig()).annotate(samples, given)
    assert [(s.label, s.start_s, s.end_s, s.score) for s in found.spans] == [
        ("violin", 0.0, 5.0, 0.5)
    ]
    own = InstrumentsTool(InstrumentsConfig(), [Tagger()])
    own.setup()
    [found] = own.annotate(samples, segment(samples))
    assert [span.label for span in found.spans] == ["flute"]
    assert "tagger 7" in own.version


@pytest.mark.parametrize(
    "make",
    [
        lambda: TempoConfig(slowest_bpm=100, fastest_bpm=90),
        lambda: ChordsConfig(stay=1.0),
        lambda: SectionsConfig(reach_s=0.1),
        lambda: InstrumentsConfig(min_score=3),
    ],
)
def test_settings_that_cannot_be(make):
    with pytest.raises(MossAudioError):
        make()
