"""What tricks are worth: the table of ways to get a reward without being right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from moss_audio.data.example import Example
from moss_audio.errors import MossAudioError
from moss_audio.result import Answer, Event, Timeline
from moss_audio.scenes.reasoning.problem import Problem
from moss_audio.tasks.reason import Derived, Fact, Reason, told
from moss_audio.train.rl.rewards import RewardConfig, Rewards, agreement, chance, well_formed

TRUE = "0.50 - 1.50: dog barking\n3.40 - 5.00: siren"
LISTED = "0.00 - 1.00: siren\n1.00 - 2.00: dog barking\n2.00 - 3.00: rain\n3.00 - 4.00: phone"


def _asked(truth: str, task: str = "ask") -> Example:
    content = [{"type": "audio"}, {"type": "text", "text": "?"}]
    said = [{"role": "user", "content": content}, {"role": "assistant", "content": truth}]
    sounds = ((Event("dog barking", 0.5, 1.5), Event("siren", 3.4, 5.0)),)
    return Example("x", said, (np.zeros(96_000, np.float32),), (), sounds, task)


def _derived(kind: str, question: str, fact: Fact, *more: Event, **slots: str) -> Example:
    """An example with a derived question on the two sounds, and on what is heard beside them."""
    asked = _asked(told(fact), "reason")
    problem = Problem(kind, tuple(slots.items()), question, fact, (*asked.sounds[0], *more))  # type: ignore[misc]
    return replace(asked, problem=problem)


def _thought(thought: str, answer: str) -> str:
    return f"<think>\n{thought}\n</think>\n\n{answer}"


REWARDS = Rewards(RewardConfig(), thinks=True)
GAP = _derived("pause", "How long?", 1.9, a="dog barking", b="siren")
LABEL = _derived("nth", "What is the second sound?", "siren", nth="second")
YES = _derived("starts_before", "Is it earlier?", True, a="dog barking", b="siren")
THREE = _derived(
    "order_of_three", "In which order?", ("dog barking", "siren", "rain"), Event("rain", 5.2, 5.8),
    a="siren", b="rain", c="dog barking",
)  # fmt: skip
PLACE = _derived(
    "around_speech", "Before, during or after?", "before", Event("speech", 5.2, 5.8), a="siren"
)


def _worth(text: str, example: Example = GAP) -> float:
    return REWARDS.total(REWARDS.parts(text, example))


def test_a_right_answer_after_a_right_thought_is_worth_all() -> None:
    text = _thought(f"{TRUE}\n3.4 - 1.5 = 1.9", "1.9 seconds")
    parts = REWARDS.parts(text, GAP)
    assert {name: parts[name] for name in ("correct", "quality", "format")} == {
        "correct": 1.0, "quality": 1.0, "format": 1.0,
    }  # fmt: skip
    assert parts["reasoning"] == pytest.approx(1.0)
    assert _worth(text) == pytest.approx(1.0)


HACKS = {
    "two answers": (_thought(TRUE, "1.9 seconds or 2.9 seconds"), GAP),
    "a range": (_thought(TRUE, "1 to 9 seconds"), GAP),
    "digits to the limit": (_thought(TRUE, "1.9 1.9 1.9 1.9 " * 40), GAP),
    "digits in one number": (_thought(TRUE, "19" * 60), GAP),
    "all labels": (_thought(TRUE, "dog barking, siren, rain, phone"), LABEL),
    "both labels": (_thought(TRUE, "the siren and the dog barking"), LABEL),
    "labels that are absent": (_thought(TRUE, "siren, rain, phone, thunder"), LABEL),
    "labels with an or": (_thought(TRUE, "siren or ambulance or rain"), LABEL),
    "an order and more": (_thought(TRUE, "dog barking, siren, rain, phone, thunder"), THREE),
    "a place and a label": (_thought(TRUE, "before, phone"), PLACE),
    "not the label": (_thought(TRUE, "not the siren"), LABEL),
    "yes and no": (_thought(TRUE, "yes and no"), YES),
    "only in the thought": (_thought(f"{TRUE}\n1.9 seconds", ""), GAP),
    "the prompt again": (_thought(TRUE, "How long is the pause between the two?"), GAP),
    "unclosed": (f"<think>\n{TRUE}\n1.9 seconds", GAP),
}


@pytest.mark.parametrize("name", HACKS)
def test_a_trick_gets_nothing_for_being_correct(name: str) -> None:
    text, example = HACKS[name]
    assert REWARDS.parts(text, example)["correct"] == 0
    # less than half of what a true answer gets, whatever the thought holds
    assert _worth(text, example) < 0.35


def test_labels_may_stand_in_a_sentence() -> None:
    rain, speech = "5.20 - 5.80: rain", "5.20 - 5.80: speech"
    for answer, example, more in (
        ("Siren.", LABEL, ""),
        ("It is the siren.", LABEL, ""),
        ("That was the sound of a siren", LABEL, ""),
        ("sirens", LABEL, ""),
        ("First the dog barking, then the siren and the rain.", THREE, rain),
        ("Dog barking, followed by siren, followed by rain", THREE, rain),
        ("Before the speech.", PLACE, speech),
    ):
        text = _thought(f"{TRUE}\n{more}", answer)
        assert REWARDS.parts(text, example)["correct"] == 1, answer


def test_how_often_a_guess_is_right() -> None:
    word = _derived("first_word_after", "?", '"rain"', Event('"rain"', 5.2, 5.8), a="siren")
    count = _derived("how_often", "?", 1, a="siren")
    nth = replace(THREE.problem, kind="nth", fact="siren")  # type: ignore[type-var]
    found = [chance(one.problem) for one in (YES, LABEL, PLACE, THREE, GAP, word, count)]  # type: ignore[arg-type]
    assert found == pytest.approx([1 / 2, 1 / 2, 1 / 3, 1 / 6, 0, 0, 1 / 3])
    assert chance(nth) == pytest.approx(1 / 3)


def test_a_guess_is_not_paid_for() -> None:
    """A point that half of all guesses get would teach to guess: the thought has to lead to it."""
    count = _derived("how_often", "?", 1, a="siren")
    turned = "0.50 - 1.50: siren\n3.40 - 5.00: dog barking"  # of which the answer would be another
    for answer, example in (("Yes.", YES), ("Siren.", LABEL), ("One.", count), ("Before.", PLACE)):
        heard = f"{TRUE}\n5.20 - 5.80: speech" if example is PLACE else TRUE
        for thought in ("hm", "I think so", "" if example is count else turned):
            assert REWARDS.parts(_thought(thought, answer), example)["correct"] == 0, thought
        assert REWARDS.parts(_thought(heard, answer), example)["correct"] == 1
        # where no thought is asked for there is none to look at
        assert Rewards(RewardConfig(), thinks=False).parts(answer, example)["correct"] == 1
    # seconds and orders of three are seldom guessed
    assert REWARDS.parts(_thought("hm", "1.9 seconds"), GAP)["correct"] == 1
    answer = "Dog barking, siren, rain."
    assert REWARDS.parts(_thought("hm", answer), THREE)["correct"] == 1


def test_a_timeline_has_as_many_lines_as_events() -> None:
    events, told_apart = _asked(TRUE, "events"), TRUE.replace("\n", " ")
    assert _worth(_thought(TRUE, TRUE), events) >= _worth(_thought(TRUE, told_apart), events)
    assert REWARDS.parts(_thought(TRUE, TRUE), events)["format"] == 1
    plain = Rewards(RewardConfig(), thinks=False)
    assert plain.parts(TRUE, events)["format"] == 1
    for task in ("ask", "reason", "reason_direct", ""):
        assert plain.parts("yes\nno", _asked("yes", task))["format"] == 0, task


def test_a_question_in_text_alone_is_thought_about() -> None:
    """It has no clip, and so no length but that of its timeline."""
    text = replace(GAP, clips=(), sounds=())
    parts = REWARDS.parts(_thought(f"{TRUE}\n3.4 - 1.5 = 1.9", "1.9 seconds"), text)
    assert parts == pytest.approx({"correct": 1, "reasoning": 1, "quality": 1, "format": 1})


def test_a_thought_that_is_none_is_told_from_one() -> None:
    for text in (
        "1.9 seconds",
        _thought("", "1.9 seconds"),
        _thought(TRUE, _thought(TRUE, "1.9 seconds")),
        _thought(TRUE, "1.9 seconds</think>"),
        "1.9 seconds" + _thought(TRUE, "1.9 seconds"),
        _thought(TRUE, "1.9\nseconds"),
        f"<think>{TRUE}",
    ):
        assert REWARDS.parts(text, GAP)["format"] == 0, text
    assert well_formed("1.9 seconds", thinks=False)
    assert not well_formed(_thought(TRUE, "1.9 seconds"), thinks=False)


def test_a_timeline_from_a_template_is_no_thought() -> None:
    copied = REWARDS.parts(_thought(LISTED, "1.9 seconds"), GAP)
    assert copied["reasoning"] < 0.4
    assert copied["quality"] == 0  # the answer does not follow from it
    empty = REWARDS.parts(_thought("well, well", "1.9 seconds"), GAP)
    assert (empty["reasoning"], empty["quality"]) == (0, 0)


def test_ceremony_alone_hardly_pays() -> None:
    assert _worth(_thought("hm", "7.5 seconds")) == pytest.approx(0.1)


def test_times_are_graded_and_words_are_not() -> None:
    assert agreement("1.9", "1.9 seconds") == 1
    assert agreement("it lasts 1.9 seconds", "1.9 seconds") == 1
    graded = [agreement(f"{value} seconds", "5.0 seconds") for value in (5.4, 5.75, 6.0, 9.0)]
    assert graded == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert agreement("The siren.", "siren") == 1
    assert agreement("", "siren") == 0
    assert agreement("3", "3") == 1
    assert agreement("4", "3") == 0


def test_a_derived_question_is_scored_as_evaluation_scores_it() -> None:
    """It was scored by words and a tolerance of 0.5 s here, and by facts and 0.3 s there."""
    speech = Event("speech", 5.2, 5.8)
    gap = _derived("pause", "How long?", 1.9, speech, a="dog barking", b="siren")
    nth = _derived("nth", "What is the second sound?", "siren", speech, nth="second")
    heard = f"{TRUE}\n5.20 - 5.80: speech"
    for text, example, expected in (
        ("1.9 seconds", gap, 1.0),
        ("2.3 seconds", gap, 2 - 0.4 / 0.3),
        ("1.9 or 2.9 seconds", gap, 0.0),
        ("It is the siren.", nth, 1.0),
        ("the siren and the dog barking", nth, 0.0),
        ("siren, speech", nth, 0.0),
    ):
        parts = REWARDS.parts(_thought(heard, text), example)
        assert parts["correct"] == pytest.approx(expected), text
        assert parts["reasoning"] == pytest.approx(1.0)  # what is said is no invention
        truth = Derived(example.problem.fact, Timeline(example.problem.events, 6.0))  # type: ignore[union-attr]
        assert parts["correct"] == Reason().score(Answer(text), truth).reward
    # what follows from a wrong thought agrees with it, and is wrong
    other = _thought("0.50 - 1.50: dog barking\n4.40 - 5.00: siren", "2.9 seconds")
    parts = REWARDS.parts(other, gap)
    assert (parts["correct"], parts["quality"]) == (0.0, 1.0)


def test_a_task_is_scored_as_evaluation_scores_it() -> None:
    plain = Rewards(RewardConfig(correct=1, reasoning=0, quality=0, format=0), thinks=False)
    asked = _asked(TRUE, "events")
    assert plain.parts(TRUE, asked)["correct"] == 1
    assert plain.parts(TRUE.splitlines()[0], asked)["correct"] == pytest.approx(2 / 3)


def test_weights_of_nothing_are_refused() -> None:
    with pytest.raises(MossAudioError, match="rewards: all weights are 0"):
        RewardConfig(0, 0, 0, 0)


def test_a_guess_among_what_the_question_names_is_a_guess_however_many_sounds_there_are() -> None:
    others = (Event("rain", 5.2, 5.4), Event("bell", 5.5, 5.6), Event("hum", 5.7, 5.9))
    longer = _derived("longer", "Which?", "siren", *others, a="dog barking", b="siren")
    assert chance(longer.problem) == 1 / 2  # type: ignore[arg-type]
    assert REWARDS.parts(_thought("hm", "The siren."), longer)["correct"] == 0
    assert REWARDS.parts(_thought(TRUE, "The siren."), longer)["correct"] == 1
