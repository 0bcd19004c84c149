"""The grounding check on planted errors of five kinds and on correct captions of many wordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from moss_audio.annotate.merge import MergeStage
from moss_audio.annotate.merging.grounding import check
from moss_audio.annotate.records import Segment
from moss_audio.scenes.reader import load_scenes
from tests.annotate.merge_cases import from_chance, from_scene
from tests.annotate.merge_errors import (
    CORRECT,
    CORRECT_HELD_OUT,
    HOUSE,
    PLANTS,
    SONG,
    STREET,
    TALK,
    planted,
)
from tests.annotate.merge_last import CORRECT_LAST

_SCENES = Path(__file__).parent / "merge_scenes"
_STAGE = MergeStage()


@pytest.fixture(scope="module")
def captioned() -> list[tuple[str, Segment]]:
    scenes = [from_scene(s) for s in load_scenes(_SCENES, "test-unseen") if s.kind != "speech"]
    segments = [*scenes, *(from_chance(seed) for seed in range(9000, 9100))]
    return [(_STAGE.caption(one).text, one) for one in segments]


def test_planted_errors_are_caught(captioned: list[tuple[str, Segment]]) -> None:
    caught: dict[str, int] = {}
    passed = []
    for kind in PLANTS:
        for text, one in planted(kind, captioned, 60, seed=31):
            right = bool(check(text, _STAGE.evidence(one)))
            caught[kind] = caught.get(kind, 0) + right
            passed += [] if right else [(kind, text)]
    assert sum(caught.values()) >= 0.95 * 300, (caught, passed[:3])
    assert all(count >= 54 for count in caught.values()), (caught, passed[:3])


def test_correct_captions_are_accepted() -> None:
    texts = (*CORRECT, *CORRECT_HELD_OUT, *CORRECT_LAST)
    refused = [(t, faults) for one, t in texts if (faults := check(t, _STAGE.evidence(one)))]
    assert len(texts) >= 90
    assert len(refused) <= 0.02 * len(texts), refused


_WRONG = (
    (STREET, "time", "A dog barks at 3.0 seconds, a siren wails from 5.5 seconds, and it rains."),
    (STREET, "event", "A cat meows at 1.2 seconds. Dogs bark, a siren passes and it rains."),
    (STREET, "event", "It rains, a siren wails and a dog barks. No dog is near."),
    (STREET, "order", "It rains. A siren is heard, followed by a dog barking."),
    (STREET, "number", "Three dog barks and a siren are heard in the rain."),
    (STREET, "missing", "A dog barks in the rain."),
    (STREET, "time", "The rain, a dog barking and a siren fill these 14.0 seconds of audio."),
    (HOUSE, "word", "“Who was there?” asks speaker 1. Knocking, steps, a door closing, a phone."),
    (HOUSE, "word", "Speaker 2 asks “Who is there?” Knocking, steps, a door closing, a phone."),
    (HOUSE, "time", "From 7.6 to 8.8 seconds speaker 1 says “Who is there?”"),
    (HOUSE, "number", "Three speakers talk, with knocking, footsteps, a door and a phone."),
    (SONG, "attribute", "Piano music in F sharp major with applause."),
    (SONG, "attribute", "The music is slow; applause is heard."),
    (SONG, "number", "The music has a tempo of 90 bpm, and there is applause."),
    (SONG, "time", "In the music, section B runs from 20.0 to 30.0 seconds. Applause follows."),
    (TALK, "attribute", "A man says “The meeting starts at nine.”"),
    (TALK, "attribute", "A low-pitched voice says “The meeting starts at nine.”"),
    (TALK, "attribute", "An angry voice says “The meeting starts at nine.”"),
    (TALK, "number", "The voice speaks at 120 words per minute."),
    (TALK, "event", "Speaker 3 says “The meeting starts at nine.”"),
)  # fmt: skip


@pytest.mark.parametrize(("one", "kind", "text"), _WRONG, ids=lambda v: str(v)[:40])
def test_each_kind_of_fault_is_named(one: Segment, kind: str, text: str) -> None:
    assert kind in {fault.kind for fault in check(text, _STAGE.evidence(one))}
