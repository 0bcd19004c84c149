"""Answers to questions of one fact, and what can be reached without listening."""

from __future__ import annotations

from typing import Any

import pytest

from moss_audio.evaluate.item import Item
from moss_audio.evaluate.plan import Outcome
from moss_audio.evaluate.suites.questions import best_constant, right_share, uniform_chance
from moss_audio.result import Answer

LABELS = ("bell", "dog barking", "dog", "rain")


def _item(truth: Any, kind: str = "at", choices: tuple[str, ...] = LABELS) -> Item:
    return Item("i", (), truth=truth, category=kind, choices=choices)


@pytest.mark.parametrize(
    ("truth", "answer", "expected"),
    [
        ("bell", "Bell.", True),
        ("bell", "A bell is heard.", True),
        ("bell", "Rain.", False),
        ("bell", "A bell or rain.", False),
        ("dog", "Dog barking.", False),
        ("dog barking", "It is a dog barking.", True),
        (3, "Three.", True),
        (3, "3 times", True),
        (3, "Four.", False),
        (3, "Many.", False),
        (1, "Once.", True),
        (3.2, "At 3.4 seconds.", True),
        (3.2, "At 3.8 seconds.", False),
        (3.2, "At 3.70 s", True),
        (62.0, "At 1:02.", True),
        (3.0, "three seconds", True),
        (3.0, "", False),
        (3.0, "soon", False),
    ],
)
def test_right(truth: Any, answer: str, expected: bool) -> None:
    assert right_share(Outcome(_item(truth), Answer(answer))) == (expected, 1)


def test_no_answer_is_a_wrong_one() -> None:
    assert right_share(Outcome(_item("bell"), None, "cannot be read")) == (0, 1)


def test_the_best_constant_is_found_for_each_kind() -> None:
    items = [_item(t) for t in ("bell", "bell", "rain")]
    items += [_item(t, "when") for t in (1.0, 1.9, 2.1, 7.0)]
    items += [_item(t, "count") for t in (1, 2, 2)]
    # bell: 2 of 3; 1.5 s meets 1.0 and 1.9, or 2.0 meets 1.9 and 2.1: 2 of 4; two: 2 of 3
    assert best_constant(items) == pytest.approx(100 * 6 / 10)
    assert best_constant([_item(t, "when") for t in (1.0, 1.5, 2.0, 2.01)]) == 75


def test_chance_is_one_of_the_labels_of_a_kind() -> None:
    items = [_item("slow", "tempo", ("fast", "slow")), _item("piano", "instrument")]
    assert uniform_chance(items) == pytest.approx(100 * (1 / 2 + 1 / 4) / 2)
