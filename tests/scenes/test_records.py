"""A scene's records own their times: what moves the sound moves all of them, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.result import Event, Segment, Word
from moss_audio.scenes.composition import Composition
from moss_audio.scenes.records import (
    MusicFacts,
    MusicSection,
    SceneEvent,
    SpokenSentence,
)

SR = 16_000
PAUSE_S = 0.1


@st.composite
def compositions(draw: st.DrawFn) -> Composition:
    """One to three sentences, an event and a section, somewhere in five seconds of noise."""
    sentences, at = [], 0.0
    for count in draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)):
        words = []
        for i in range(count):
            length = draw(st.floats(0.05, 0.3))
            words.append(Word(f"w{i}", at + PAUSE_S, at + PAUSE_S + length))
            at += PAUSE_S + length
        sentences.append(SpokenSentence.of(tuple(words)))
    start = draw(st.floats(0, 4))
    facts = MusicFacts("piano", "slow", 60, "C major", "4/4", False, "A",
                       (MusicSection("A", start, start + 1, "piano"),), ("piano",))  # fmt: skip
    samples = np.random.default_rng(0).standard_normal(5 * SR).astype(np.float32)
    event = SceneEvent("bell", start, start + 0.5, "made")
    return Composition(samples, "x/1", tuple(sentences), (event,), facts)


def _timed(scene: Composition) -> Iterator[Word | Segment | Event]:
    yield from scene.words
    yield from scene.sentences
    yield from scene.events
    assert scene.music is not None
    yield from scene.music.sections


@given(scene=compositions(), before=st.integers(0, 3 * SR), after=st.integers(0, SR))
def test_silence_around_a_scene_leaves_every_record_on_its_own_sound(
    scene: Composition, before: int, after: int
) -> None:
    padded = scene.padded(before, after)
    assert padded.samples.size == scene.samples.size + before + after
    for old, new in zip(_timed(scene), _timed(padded), strict=True):
        assert new.start == pytest.approx(old.start + before / SR, abs=1e-9)
        assert new.end - new.start == pytest.approx(old.end - old.start, abs=1e-9)
    assert np.array_equal(padded.samples[before : before + scene.samples.size], scene.samples)


@given(scene=compositions(), speed=st.floats(0.5, 2.0))
def test_speed_divides_every_time(scene: Composition, speed: float) -> None:
    for old, new in zip(_timed(scene), _timed(scene.sped_up(speed)), strict=True):
        assert (new.start, new.end) == (old.start / speed, old.end / speed)


@given(scene=compositions(), seed=st.integers(0, 100))
def test_nothing_changes_the_scene_it_was_made_from(scene: Composition, seed: int) -> None:
    samples, truth = scene.samples.copy(), scene.truth()
    scene.with_sound(np.ones(100, np.float32), 50, SceneEvent("click", 0.1, 0.2, "made"))
    scene.with_noise(10.0, np.random.default_rng(seed)).padded(10, 10).sped_up(1.1).measured()
    scene.with_effect(samples * 2, gain_db=6.0)
    assert np.array_equal(scene.samples, samples)
    assert scene.truth() == truth


def test_the_truth_is_inside_the_clip_in_order_and_says_only_what_is_known() -> None:
    words = (Word("two", 0.50004, 0.9), Word("three.", 0.9, 1.2))
    late, early = SpokenSentence.of(words), SpokenSentence("One.", -0.01, 0.4)
    scene = Composition(np.zeros(SR, np.float32), "x/1", (late, early))
    truth = scene.truth()
    assert truth["sentences"] == [
        {"text": "One.", "start": 0.0, "end": 0.4},
        {"text": "two three.", "start": 0.5, "end": 1.0},
    ]
    assert [w["end"] for w in truth["words"]] == [0.9, 1.0]
    assert truth["music"] is None
    assert "effects" not in truth
    # Of several voices, sentences stay in the order that their words have.
    spoken = tuple(replace(s, voice=f"x/{i}") for i, s in enumerate((late, early)))
    both = replace(scene, sentences=spoken).truth()
    assert [s["voice"] for s in both["sentences"]] == ["x/0", "x/1"]
