from pathlib import Path

import pytest

from moss_audio.errors import MossAudioError
from moss_audio.metrics.caption import CaptionFacts, caption_facts
from moss_audio.result import Segment
from moss_audio.scenes.answers import caption
from moss_audio.scenes.reader import Scene, SceneEvent

VOCABULARY = ("dog barking", "beep", "rain", "bell", "choir", "piano music", "flute music")
MUSIC = {"instrument": "piano", "tempo": "slow", "tempo_bpm": 72, "key": "C minor", "meter": "4/4"}


def scene(*events, said=(), music=None):
    return Scene(
        id="0", kind="mixed", split="test", audio=Path("none"), offset_samples=0,
        num_samples=160_000, voice=None, words=(), snr_db=None, seed=0, music=music,
        sentences=tuple(Segment(*sentence) for sentence in said),
        events=tuple(SceneEvent(*event, "made") for event in events),
    )  # fmt: skip


DOG_BELL = scene(("dog barking", 1.0, 2.0), ("bell", 4.0, 5.0))
BEEPS = scene(("beep", 1.0, 1.2), ("beep", 3.0, 3.2), ("beep", 5.0, 5.2))
SPEECH = scene(("rain", 0.0, 2.0), said=[("Open the door.", 3.0, 4.0), ("It rains.", 5.0, 6.0)])
PIANO = scene(("piano music", 0.5, 8.0), music=MUSIC)
SCENES = [DOG_BELL, BEEPS, SPEECH, PIANO, scene()]


def facts(text, truth, outcome=None, **options):
    result = caption_facts(text, truth, vocabulary=VOCABULARY, **options)
    return {(f.kind, f.statement) for f in result.details if outcome in (None, f.outcome)}


@pytest.mark.parametrize("truth", SCENES)
def test_the_true_caption_names_everything_and_invents_nothing(truth):
    result = caption_facts(caption(truth), truth, vocabulary=VOCABULARY)
    assert (result.recall, result.invented) == (1.0, 0), result.details


@pytest.mark.parametrize("truth", SCENES)
def test_an_empty_caption_misses_everything_and_invents_nothing(truth):
    result = caption_facts("", truth, vocabulary=VOCABULARY)
    assert (result.recall, result.invented) == (0.0, 0)


def test_labels_in_any_inflection():
    named = facts("Dogs barking near bells.", DOG_BELL, "named")
    assert named == {("label", "dog barking"), ("label", "bell")}


def test_wrong_and_denied_sounds_are_invented():
    assert facts("Rain and no dog barking.", DOG_BELL, "invented") == {
        ("label", "rain"),
        ("label", "no dog barking"),
    }
    assert facts("No rain, without any speech.", DOG_BELL, "invented") == set()


def test_order_is_claimed_by_words_of_sequence_or_by_times():
    right, wrong = ("order", "dog barking before bell"), ("order", "bell before dog barking")
    assert right in facts("A dog barking, then a bell.", DOG_BELL, "named")
    assert right in facts("A bell after dog barking.", DOG_BELL, "named")
    assert wrong in facts("A bell, then dog barking.", DOG_BELL, "invented")
    listed = "A bell and dog barking."  # a list claims no order
    assert right in facts(listed, DOG_BELL, "missed")
    assert not facts(listed, DOG_BELL, "invented")
    assert right in facts("Bell at 4.0 s; dog barking at 1.0 s.", DOG_BELL, "named")


def test_times_within_the_tolerance():
    dog = ("time", "dog barking from 1.00 to 2.00 s")
    assert dog in facts("Dog barking from 1.4 to 2.3 seconds.", DOG_BELL, "named")
    assert dog in facts("From 1.0 to 2.0 seconds dog barking.", DOG_BELL, "named")
    assert dog in facts("Dog barking at 1.4 s.", DOG_BELL, "named")
    far = "Dog barking from 1.0 to 2.6 seconds."
    assert dog in facts(far, DOG_BELL, "missed")
    assert ("time", "dog barking at 1.00 to 2.60 s") in facts(far, DOG_BELL, "invented")
    assert dog in facts(far, DOG_BELL, "named", tolerance_s=0.7)
    inside = facts("Dog barking at 1.8 s.", DOG_BELL)  # true, if not when it starts
    assert dog in inside
    assert not any(kind == "time" and " at " in said for kind, said in inside)


def test_counts():
    assert ("count", "beep x 3") in facts("Three beeps.", BEEPS, "named")
    assert ("count", "beep x 3") in facts("It beeps 3 times.", BEEPS, "named")
    assert ("count", "beep x 2") in facts("A beep is heard twice.", BEEPS, "invented")
    assert ("count", "beep x 3") in facts("A beep.", BEEPS, "missed")


def test_quoted_words():
    first, second = ("words", "Open the door."), ("words", "It rains.")
    partly = 'Someone says "open the door".'
    assert first in facts(partly, SPEECH, "named")
    assert second in facts(partly, SPEECH, "missed")
    assert facts('A voice says "close all windows".', SPEECH, "invented") == {
        ("words", "close all windows")
    }
    # 4 of 5 words name a sentence; a quotation is invented below half.
    long = scene(said=[("One two three four five.", 0.0, 2.0)])
    sentence = ("words", "One two three four five.")
    assert sentence in facts('A voice: "one two three four six"', long, "named")
    assert facts('A voice: "one two three six seven"', long, "invented") == set()
    assert sentence in facts('A voice: "one two three six seven"', long, "missed")
    assert facts('A voice: "one two six seven eight"', long, "invented") != set()
    # What is said is not what is heard.
    assert ("label", "rain") in facts('A voice: "It rains."', SPEECH, "missed")


def test_music():
    text = "Quick music at 120 bpm in a minor key, played on flute."
    assert ("music", "mode: minor") in facts(text, PIANO, "named")
    assert facts(text, PIANO, "invented") == {
        ("music", "tempo: fast"),
        ("music", "tempo: 120 bpm"),
        ("music", "instrument: flute"),
    }
    assert ("music", "tempo: slow") in facts("Music at 75 bpm.", PIANO, "named")
    # Fast knocking is no tempo.
    assert facts("Fast beeps.", BEEPS, "invented") == set()


def test_results_add_up():
    results = [caption_facts("A bell.", truth, vocabulary=VOCABULARY) for truth in SCENES]
    total = sum(results)
    assert total == CaptionFacts.merge(results)
    assert total.named == sum(r.named for r in results)
    outcomes = ("named", "missed", "invented")
    assert [total.count(outcome, "label") for outcome in outcomes] == [1, 5, 4]


def test_an_impossible_tolerance_is_refused():
    with pytest.raises(MossAudioError, match="tolerance_s"):
        caption_facts("", DOG_BELL, tolerance_s=-1)
