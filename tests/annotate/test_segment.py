"""Segments: they tile the recording, cut no event, and keep the bounds or say so."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.annotate.cuts import Candidates, choose
from moss_audio.annotate.detectors.base import Vocabulary, unexplained, union
from moss_audio.annotate.detectors.make import DetectorConfig
from moss_audio.annotate.records import AudioSegment, Recording, Span
from moss_audio.annotate.segment import LONG, SHORT, SegmentConfig, Segmenter, levels
from moss_audio.errors import MossAudioError

RATE = 16_000


class Planted:
    """A detector that finds what it was given."""

    name = "planted"
    version = "1"

    def __init__(self, spans: list[Span], vocabulary: Vocabulary = "text") -> None:
        self.spans = spans
        self.vocabulary: Vocabulary = vocabulary

    def setup(self) -> None:
        pass

    def detect(self, samples: np.ndarray) -> list[Span]:
        return self.spans


def cut(
    duration_s: float, spans: list[Span], samples: np.ndarray | None = None
) -> list[AudioSegment]:
    config = SegmentConfig(detectors=(DetectorConfig("activity"),))
    if samples is None:
        samples = np.zeros(round(duration_s * RATE), np.float32)
    recording = Recording("rec", "a.wav", duration_s, RATE, 1)
    return Segmenter(config, [Planted(spans)]).segment(recording, samples)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[float, list[Span]]:
    duration = draw(st.integers(1, 240_000)) / 1000
    spans = []
    for _ in range(draw(st.integers(0, 25))):
        start = draw(st.integers(0, int(duration * 1000))) / 1000
        length = draw(st.one_of(st.integers(1, 4000), st.integers(1, 90_000))) / 1000
        label = draw(st.sampled_from(["a man talking", "rain", "a dog barking"]))
        if min(duration, start + length) > start:
            spans.append(Span(label, start, min(duration, start + length)))
    return duration, spans


@settings(max_examples=60)
@given(recordings())
def test_segments_tile_cut_no_event_and_keep_the_bounds_or_are_flagged(
    case: tuple[float, list[Span]],
) -> None:
    duration, spans = case
    segments = cut(duration, spans)
    assert segments[0].start_s == 0
    assert segments[-1].end_s == round(duration * RATE) / RATE
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(segments))
    assert len({s.id for s in segments}) == len(segments)
    config = SegmentConfig()
    for edge in (s.end_s for s in segments[:-1]):
        for span in spans:
            blocks = "talking" in span.label or span.end_s - span.start_s <= 60
            assert not (blocks and span.start_s < edge < span.end_s), (edge, span)
    for segment in segments:
        assert (LONG in segment.flags) == (segment.duration_s > config.longest_s + 5e-4)
        assert (SHORT in segment.flags) == (segment.duration_s < config.shortest_s - 5e-4)
        if LONG in segment.flags:  # only what leaves no choice is long
            assert any(
                b - a > config.longest_s - 2 * config.shortest_s - 2
                for a, b in union(spans)
                if a < segment.end_s and b > segment.start_s
            )


@settings(max_examples=40)
@given(st.lists(st.integers(1, 12_000), min_size=1, max_size=9), st.randoms())
def test_no_other_tiling_is_better(steps: list[int], random: object) -> None:
    times = np.cumsum([0, *steps]) / 1000
    costs = np.array([0.0, *(random.random() for _ in steps[1:]), 0.0])  # type: ignore[attr-defined]
    bounds = {"shortest_s": 5.0, "wanted_s": 12.0, "longest_s": 20.0}

    def price(places: tuple[int, ...]) -> float:
        total = 0.0
        for a, b in itertools.pairwise(places):
            length = times[b] - times[a]
            side = 7.0 if length < 12 else 8.0
            total += costs[b] + 0.5 * min(1.0, abs(length - 12) / side) ** 2
            outside = max(5 - length, length - 20)
            total += 1000 * (1 + min(1.0, outside / 20)) if outside > 5e-4 else 0.0
        return total

    inner = range(1, len(times) - 1)
    every = [
        (0, *chosen, len(times) - 1)
        for n in range(len(times) - 1)
        for chosen in itertools.combinations(inner, n)
    ]
    got = choose(Candidates(times, costs), **bounds)
    places = tuple(int(np.flatnonzero(times == t)[0]) for t in got)
    assert price(places) == pytest.approx(min(map(price, every)))


def test_background_of_over_a_minute_does_not_block_but_speech_does() -> None:
    assert len(cut(150, [Span("rain", 5, 145)])) > 4
    whole = cut(150, [Span("a man talking", 5, 145)])
    assert [s.flags for s in whole] in ([(LONG,)], [(), (LONG,)], [(), (LONG,), ()])
    # At exactly a minute it is an event still.
    assert max(s.duration_s for s in cut(150, [Span("rain", 20, 80)])) >= 60


def test_the_longer_and_quieter_pause_is_taken() -> None:
    spans = [Span("a dog barking", 0, 14), Span("rain", 14.2, 17), Span("rain", 19, 32)]
    edges = [s.end_s for s in cut(32, spans)]
    assert len(edges) == 2
    assert 17 < edges[0] < 19
    samples = np.full(32 * RATE, 0.1, np.float32)
    samples[round(18.2 * RATE) : round(18.6 * RATE)] = 0
    assert next(s.end_s for s in cut(32, spans, samples)) == pytest.approx(18.4, abs=0.1)


def test_events_that_touch_may_be_parted_where_they_touch() -> None:
    spans = [Span("a dog barking", 0, 20.005), Span("rain", 20.005, 40)]
    assert [s.end_s for s in cut(40, spans)] == [20.005, 40]


def test_activity_is_clipped_and_counts_from_the_segment() -> None:
    segments = cut(60, [Span("rain", 3, 20, 0.7), Span("a dog barking", 30, 45)])
    rows = [(s.start_s, r) for s in segments for r in s.find("activity", "segment")]
    assert len(rows) == len(segments)
    back = [(sp.label, sp.start_s + at, sp.end_s + at) for at, r in rows for sp in r.spans]
    assert back == [("rain", 3, 20), ("a dog barking", 30, 45)]
    assert all(0 <= sp.start_s < sp.end_s for _, r in rows for sp in r.spans)
    assert rows[0][1].values == {"vocabulary": "text"}
    assert AudioSegment.from_dict(segments[0].to_dict()) == segments[0]


def test_an_unnamed_sound_inside_speech_is_the_speech() -> None:
    speech = [Span("speech", 1, 3), Span("speech", 4, 6)]
    left = unexplained([Span("sound", 0.9, 6.2), Span("sound", 8, 8.05)], speech, margin_s=0.3)
    assert [(s.start_s, s.end_s) for s in left] == [(3.3, 3.7), (8, 8.05)]
    assert unexplained([Span("sound", 2, 5)], [Span("speech", 0, 9)]) == []


def test_a_detector_that_only_listens_blocks_nothing() -> None:
    config = SegmentConfig(detectors=(DetectorConfig("activity", blocks=False),))
    segmenter = Segmenter(config, [Planted([Span("rain", 0, 50)])])
    found = segmenter.segment(
        Recording("rec", "a.wav", 50, RATE, 1), np.zeros(50 * RATE, np.float32)
    )
    assert len(found) > 1
    assert all(r.spans for s in found for r in s.results)


def test_empty_and_wrong_input() -> None:
    assert cut(0, []) == []
    assert cut(0.001, [])[0].flags == (SHORT,)
    segmenter = Segmenter(SegmentConfig(detectors=(DetectorConfig("activity"),)), [Planted([])])
    with pytest.raises(MossAudioError, match="mono float"):
        segmenter.segment(Recording("r", "", 1, RATE, 1), np.zeros((2, RATE), np.float32))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"shortest_s": 16.0}, "at least twice"),
        ({"wanted_s": 40.0}, "wanted_s 40"),
        ({"background_s": 0.0}, "background_s"),
        ({"detectors": ()}, "at least one"),
    ],
)
def test_settings_that_cannot_be_kept_are_named(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(MossAudioError, match=says):
        SegmentConfig(**wrong)  # type: ignore[arg-type]


def test_the_fingerprint_follows_settings_and_detectors() -> None:
    config = SegmentConfig(detectors=(DetectorConfig("activity"),))
    base = Segmenter(config, [Planted([])])
    newer = Planted([])
    newer.version = "2"
    longer = SegmentConfig(longest_s=40.0, detectors=config.detectors)
    marks = [
        base.fingerprint,
        Segmenter(config, [newer]).fingerprint,
        Segmenter(longer, [Planted([])]).fingerprint,
    ]
    assert len(set(marks)) == 3
    assert Segmenter(config, [Planted([])]).fingerprint == marks[0]


def test_levels_by_blocks_are_those_of_the_whole() -> None:
    noise = np.random.default_rng(1).standard_normal(RATE * 130 + 77).astype(np.float32)
    whole = noise[: RATE * 130].reshape(-1, 160)
    assert np.allclose(levels(noise), 10 * np.log10((whole**2).mean(axis=1)), atol=1e-3)
