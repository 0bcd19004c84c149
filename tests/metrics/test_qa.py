import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.metrics.counts import AnswerCounts
from moss_audio.metrics.numbers import find_numbers, find_times
from moss_audio.metrics.qa import (
    constant_hits,
    count_correct,
    hit_by_constant,
    interval_iou,
    order_correct,
    parse_count,
    time_correct,
)
from moss_audio.text import number_to_words


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("one hundred and five, twenty-one", [(105, ""), (21, "")]),
        ("two point five seconds", [(2.5, "s")]),
        ("from 2.3 to 5 seconds", [(2.3, "s"), (5, "s")]),
        ("1 minute 5 seconds", [(65, "s")]),
        ("at 1:05 and 0:01:05.5", [(65, "s"), (65.5, "s")]),
        ("twice, 1,200 at 120 bpm", [(2, "times"), (1200, ""), (120, "bpm")]),
        ("the 3rd of one and two", [(1, ""), (2, "")]),
        ("250 ms", [(0.25, "s")]),
        ("one and a half, 2 and a half minutes", [(1.5, ""), (150, "s")]),
        ("half a second, a half-minute", [(0.5, "s"), (30, "s")]),
        ("the second half, half the time, one and a halfway", [(1, "")]),
        ("someone often", []),
    ],
)
def test_find_numbers(text, values):
    assert [(n.value, n.unit) for n in find_numbers(text)] == values


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 9999))
def test_spelled_numbers_are_read_back(number):
    assert [n.value for n in find_numbers(number_to_words(number))] == [number]
    assert parse_count(f"I count {number} of them.") == number


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80))
def test_any_text_can_be_read(text):
    for number in find_times(text):
        assert number.value >= 0
        assert 0 <= number.start < number.end <= len(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Two.", 2),
        ("It beeps twice between 1.0 and 4.5 seconds", 2),
        ("2 times, at 3 s and 5 s", 2),
        ("two or three", None),
        ("It is never heard.", 0),
        ("<think>maybe 3</think>2", 2),
        ("no idea about 3.5", None),
        ("several", None),
        ("", None),
    ],
)
def test_parse_count(text, count):
    assert parse_count(text) == count


def test_count_and_time_sum_over_a_corpus():
    total = sum(count_correct(text, 2) for text in ("two", "3", "many"))
    assert total == AnswerCounts(correct=1, total=3, unparsed=1)
    assert time_correct("At 2.2 seconds.", 2.0, 0.2).correct == 1
    assert time_correct("At 2.21 seconds.", 2.0, 0.2).correct == 0
    assert time_correct("at 9 s, or at 2 s", 2.0, 0.2).correct == 0  # only the first one counts
    assert time_correct("soon", 2.0, 0.2).unparsed == 1


def test_interval_iou():
    assert interval_iou("from 1.0 to 3.0 seconds", 2.0, 4.0) == pytest.approx(1 / 3)
    assert interval_iou("3.0 - 1.0 s", 1.0, 3.0) == 1.0
    assert interval_iou("2.0 - 2.0 s", 2.0, 2.0) == 1.0
    assert interval_iou("1.0 - 2.0 s", 3.0, 4.0) == 0.0
    assert interval_iou("at 2 s", 1.0, 3.0) is None


@pytest.mark.parametrize(
    ("text", "correct", "unparsed"),
    [
        ("A dog barks, then bells.", 1, 0),
        ("The bell rings after the dog barking", 1, 0),
        ("After the dog barking, a bell", 1, 0),
        ("Before the bell there is dog barking", 1, 0),
        ("bell, dog barking", 0, 0),
        ("dog barking, a cat, a bell", 0, 0),
        ("only the bell", 0, 0),
        ("dog barking after the bell after the cat", 0, 1),
        ("First dog barking, and after that the bell", 1, 0),
        ("Dog barking, after it bell", 1, 0),
        ("Dog barking, following this bell", 1, 0),
        ("Dog barking; the bell comes after that", 1, 0),
        ("The bell comes after that dog barking", 1, 0),
        ("I cannot tell", 0, 1),
    ],
)
def test_order(text, correct, unparsed):
    result = order_correct(text, ["dog barking", "bell"], vocabulary=["cat"])
    assert result == AnswerCounts(correct, 1, unparsed)


def test_the_order_of_three_is_told_with_after_that():
    text = "First the bell, then the rain, and after that the hum."
    assert order_correct(text, ["bell", "rain", "hum"]).correct == 1
    assert order_correct("Bell, after it rain, then hum.", ["bell", "rain", "hum"]).correct == 1
    assert order_correct(text, ["bell", "hum", "rain"]) == AnswerCounts(0, 1, 0)


def test_constant_answers():
    assert constant_hits([2, 1, 1, 3], 0.5) == 2
    assert constant_hits(["b", "a"], 0.5) == 1
    assert constant_hits([1.0, 1.2, 5.0, 1.4], 0.2) == 3
    assert constant_hits([], 0.5) == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 40).map(lambda n: n / 10), min_size=1, max_size=12))
def test_some_time_scores_what_the_constant_promises_and_none_scores_more(truths):
    def score(answer):
        return sum(time_correct(f"{answer:.6f} seconds", t, 0.3).correct for t in truths)

    middles = [(a + b) / 2 for a in truths for b in truths]
    assert max(map(score, middles)) == constant_hits(truths, 0.3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 200).map(lambda n: n / 10), min_size=1, max_size=12))
def test_the_best_constant_may_be_near_to_a_share_of_long_times(truths):
    def near(answer):
        return [i for i, t in enumerate(truths) if abs(answer - t) <= max(0.3, 0.1 * t) + 1e-9]

    edges = [t + sign * max(0.3, 0.1 * t) for t in truths for sign in (-1, 1)]
    hit = hit_by_constant(truths, 0.3, 0.1)
    assert len(hit) == max(len(near(one)) for one in edges)
    assert hit in [near(one) for one in edges]
