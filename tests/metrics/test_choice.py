import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.errors import MossAudioError
from moss_audio.metrics.choice import (
    mmau_official,
    mmsu_official,
    parse_choice,
    strict_choice,
)
from moss_audio.metrics.counts import AnswerCounts

SOUNDS = ["a dog barking", "a cat", "Both A and B", "3 bells"]


@pytest.mark.parametrize(
    ("output", "index"),
    [
        ("B", 1),
        ("(b).", 1),
        ("**B**", 1),
        ("B. a cat", 1),
        ("(B) because I hear purring", 1),
        ("A. a cat", None),  # letter and text disagree
        ("A cat.", 1),  # no letter A
        ("three bells", 3),
        ("The answer is (B).", 1),
        ("The answer is a dog barking", 0),
        ("Answer: C", 2),
        ("**Answer:** (C)", 2),
        ("\\boxed{C}", 2),
        ("I first thought the answer is A, but the answer is B", 1),
        ("A) is tempting. Answer: b)", 1),
        ("I choose option D", 3),
        ("It is not (A) but (B)", 1),
        ("it isn't a cat but a dog barking", 0),
        ("either (A) or (B)", None),
        ("a cat and a dog barking", None),
        ("both a and b", 2),
        ("The answer is not (A)", None),
        ("something else", None),
        ("E", None),
        ("<think>The answer is A.</think>B", 1),
        ("<think>The answer is A", None),
        ("", None),
    ],
)
def test_parse_choice(output, index):
    assert parse_choice(output, SOUNDS) == index


def test_a_longer_choice_hides_the_shorter_one_inside_it():
    assert parse_choice("I heard a red car go by", ["car", "red car", "bus"]) == 1
    assert parse_choice("Dog", ["(A) Cat", "(B) Dog"]) == 1


def test_strict_counts_unparsed_as_wrong():
    results = [strict_choice(o, SOUNDS, "a cat") for o in ("B", "A", "hm", "")]
    assert sum(results) == AnswerCounts(correct=1, total=4, unparsed=2)
    assert strict_choice("a cat", SOUNDS, "B").correct == 1
    with pytest.raises(MossAudioError, match="'a bird'"):
        strict_choice("A", SOUNDS, "a bird")


@pytest.mark.parametrize(
    ("output", "correct"),
    [
        ("it is a small red car", 1),  # other words are free
        ("car, red", 1),  # and so is their order
        ("red", 0),
        ("a red car, not the bus", 0),  # a word that only a distractor has
        ("A", 1),  # the letter stands for its text
        ("(A) red car", 1),
        ("B", 0),
    ],
)
def test_mmau_rule(output, correct):
    assert mmau_official(output, ["red car", "blue car", "bus"], "red car").correct == correct


def test_missing_predictions_leave_the_denominator_of_mmau():
    choices = ["red car", "bus"]
    total = sum(mmau_official(o, choices, "red car") for o in ("red car", None, "..."))
    assert total == AnswerCounts(correct=1, total=2, unparsed=1)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("B", AnswerCounts(1, 1)),
        ("B. dog", AnswerCounts(1, 1)),
        ("Because it is", AnswerCounts(1, 1)),  # the first character, whatever the word
        ("The answer is B.", AnswerCounts(1, 1)),
        ("The answer is B", AnswerCounts(unparsed=1)),
        ("b", AnswerCounts(unparsed=1)),
        ("A", AnswerCounts(0, 1)),
        ("", AnswerCounts(unparsed=1)),
        (None, AnswerCounts(unparsed=1)),
    ],
)
def test_mmsu_rule(output, expected):
    assert mmsu_official(output, ["cat", "dog", "cow", "pig"], "dog") == expected


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.integers(0, 3))
def test_any_output_is_scored_and_a_perfect_one_is_right(output, right):
    for rule in (strict_choice, mmau_official, mmsu_official):
        counts = rule(output, SOUNDS, SOUNDS[right])
        assert 0 <= counts.correct <= counts.total <= 1
    assert strict_choice(SOUNDS[right], SOUNDS, SOUNDS[right]).correct == 1
    assert strict_choice("ABCD"[right], SOUNDS, SOUNDS[right]).correct == 1
    assert mmsu_official("ABCD"[right], SOUNDS, SOUNDS[right]).correct == 1
