"""The score of answers that follow from a timeline: each kind of fact, and answers that hedge."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from moss_audio.result import Event, Timeline
from moss_audio.tasks import get_task
from moss_audio.tasks.reason import Derived, Fact, Reason, thought_timeline, told
from moss_audio.text import number_to_words

HEARD = Timeline((Event("dog barking", 0.4, 1.0), Event("bell", 2.0, 4.0)), 5.0)
THOUGHT = "0.4 - 1.0: dog barking\n2.0 - 4.0: bell\nends 1.0, starts 2.0: 2.0 - 1.0 = 1.0"


def _reward(text: str, fact: Fact, heard: Timeline = HEARD, labels: Sequence[str] = ()) -> float:
    task = Reason()
    return task.score(task.parse(text, 5.0), Derived(fact, heard), labels=labels).reward


@pytest.mark.parametrize(
    "fact",
    ["dog barking", ("bell", "dog barking"), '"bell"', "before", 1.9, 12.0, 3, 1, 0, True, False],
)
def test_what_is_told_is_right_with_and_without_a_thought(fact: Fact) -> None:
    assert _reward(told(fact), fact) == 1.0
    assert _reward(f"<think>\n{THOUGHT}\n</think>\n\n{told(fact)}", fact) == 1.0


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("Bell.", "dog barking"),
        ("The bell or the dog barking.", "bell"),
        ("Dog barking, bell.", ("bell", "dog barking")),
        ("Bell.", ("bell", "dog barking")),
        ("Before, during or after.", "during"),
        ("River, stone.", '"river"'),
        ("Not river.", '"river"'),
        ("1 to 9 seconds.", 1.9),
        ("1.9 or 4.0 seconds.", 1.9),
        ("1.1 seconds.", 1.9),
        ("How long is the pause between the two?", 1.9),
        ("Some time.", 1.9),
        ("1.0 or 2.0 seconds.", 2.0),
        ("1.0, 2.0, 3.0, 4.0, 5.0 seconds", 5.0),
        ("2 seconds or 3", 2.0),
        ("the two or three seconds", 3.0),
        ("from 3.0 to 4.9, so 1.9 seconds", 1.9),
        ("1,9 seconds", 9.0),
        ("-1.9 seconds", 1.9),
        ("About (\u22121.9 s)", 1.9),
        ("not 2.0 seconds", 2.0),
        ("It doesn't last 2.0 seconds.", 2.0),
        ("2.0 times", 2.0),
        ("How long is the pause between the two?", 2.0),
        ("Two or three.", 3),
        ("2 or 3 times", 3),
        ("2 or 3 times", 2),
        ("Three, I think one of them twice", 2),
        ("not 2", 2),
        ("Never two times.", 2),
        ("The two.", 2),
        ("-3", 3),
        ("Yes and no.", True),
        ("No, yes.", True),
        ("Not sure, yes.", True),
        ("", True),
        ("", "bell"),
        (f"<think>\n{THOUGHT}\nyes\n", True),  # never closed
        (f"<think>\n{THOUGHT}\nthe bell\n</think>\n\n", "bell"),  # in the thought alone
    ],
)
def test_hedging_and_silence_are_worth_nothing(text: str, fact: Fact) -> None:
    assert _reward(text, fact) == 0.0


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("1.9", 1.9),
        ("1.9 s", 1.9),
        ("About 1.9.", 1.9),
        ("The pause lasts 1.9.", 1.9),
        ("It lasts 1.9 seconds.", 1.9),
        ("The pause between the two lasts 1.9 seconds.", 1.9),
        ("The first one lasts 1.9 seconds, not more.", 1.9),
        ("No other sound is near. Pause \u2013 1.9 seconds", 1.9),
        ("One and a half seconds", 1.5),
        ("half a second", 0.5),
        ("3 times", 3),
        ("The bell rings three times, the first one loudly.", 3),
        ("Twice, between 1.0 and 4.5 seconds.", 2),
        ("None.", 0),
    ],
)
def test_one_number_is_right_in_many_words(text: str, fact: Fact) -> None:
    assert _reward(text, fact) == 1.0


def test_of_many_labels_the_longest_is_named_and_of_equal_ones_the_true_one() -> None:
    heard = Timeline((Event("beep", 0.0, 1.0), Event("whistle", 1.0, 2.0)), 5.0)
    labels = [f"sound of machine {number_to_words(number)}" for number in range(400)]
    labels += ["double beep", "referee whistle", "beeping", "Beeps", "the sound of a beep", '"two"']
    for text, fact, reward in (
        ("Beep.", "beep", 1.0),
        ("Beeping.", "beep", 1.0),
        ("The two beeps.", "beep", 1.0),  # a word that is said is no sound
        ("Double beep.", "beep", 0.0),
        ("Double beep.", "double beep", 1.0),
        ("Referee whistle.", "whistle", 0.0),
        ("Beep, referee whistle.", ("beep", "whistle"), 0.0),
        ("Beep, whistle.", ("beep", "whistle"), 1.0),
        ("Beep, machine seven.", "beep", 0.0),
    ):
        assert _reward(text, fact, heard, labels) == reward, text
    assert _reward("Double beep.", "beep", heard) == 1.0  # of what nobody knows, it is a beep


def test_seconds_are_worth_less_from_the_tolerance_on_and_nothing_at_twice_of_it() -> None:
    rewards = [_reward(f"{t:.2f} s", 2.0) for t in (2.3, 1.7, 2.45, 2.6)]
    assert rewards == pytest.approx([1, 1, 0.5, 0], abs=1e-6)
    assert _reward("21 seconds", 20.0) == _reward("22 s", 20.0) == 1.0  # a tenth of it


def test_the_thoughts_timeline_is_counted_beside_the_answer() -> None:
    task = get_task("reason")
    right = task.parse(f"<think>\n{THOUGHT}\n</think>\n\nBell.", 5.0)
    score = task.score(right, Derived("dog barking", HEARD))
    assert (score.reward, score.counts["events"].f1) == (0.0, 1.0)
    unheard = task.score(task.parse("Bell.", 5.0), Derived("bell", HEARD))
    assert (unheard.reward, unheard.counts["events"].f1) == (1.0, 0.0)
    assert thought_timeline(THOUGHT, 5.0).events == HEARD.events
