import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.text import (
    align,
    detect_repetition,
    join_words,
    normalize_words,
    number_to_words,
    single_line,
    split_thinking,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don\u2019t PANIC, it's the dogs' bone.", "don't panic it's the dogs bone"),
        ("Press 1, then 42!", "press one then forty two"),
        ("twenty-one 21 1,999", "twenty one twenty one one thousand nine hundred ninety nine"),
        ("007 and 12345", "zero zero seven and one two three four five"),
        (
            "3.5% on the 21st, 12th, 30th",
            "three point five percent on the twenty first twelfth thirtieth",
        ),
        ("\u4eca\u65e5\u306f3\u500b", "\u4eca \u65e5 \u306f 3 \u500b"),
        ("\uff21\uff22\uff23 caf\u00e9", "abc caf\u00e9"),
        ("'quoted' \u2014 _x_", "quoted x"),
    ],
)
def test_normalize_words(text, words):
    assert normalize_words(text) == words.split()


@given(st.text())
def test_normalize_is_idempotent(text):
    words = normalize_words(text)
    assert normalize_words(" ".join(words)) == words


def test_number_to_words_range():
    assert number_to_words(9999) == "nine thousand nine hundred ninety nine"
    assert number_to_words(100) == "one hundred"
    assert number_to_words(20_001_300) == "twenty million one thousand three hundred"
    for bad in (-1, 10**9):
        with pytest.raises(ValueError, match=str(bad)):
            number_to_words(bad)


def _distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_align_is_complete_and_least(a, b):
    pairs = align(a, b)
    assert [i for i, _ in pairs if i is not None] == list(range(len(a)))
    assert [j for _, j in pairs if j is not None] == list(range(len(b)))
    errors = sum(1 for i, j in pairs if i is None or j is None or a[i] != b[j])
    assert errors == _distance(a, b)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("so " + "thank you very much " * 7, "so thank you very much"),
        ("one two three " + "no, " * 20, "one two three no,"),
        ("a b a b a b a b a b a", "a b"),
        ("\u4f60\u597d" + "\u8c22\u8c22\u5927\u5bb6" * 8, "\u4f60\u597d\u8c22\u8c22\u5927\u5bb6"),
        ("wow" + "." * 60, "wow."),
    ],
)
def test_runaway_is_cut_to_one(text, clean):
    assert detect_repetition(text) == (clean, True)


@pytest.mark.parametrize(
    "text", ["", "no no no no", "\u54c8\u54c8\u54c8\u54c8\u54c8", "well...", "a b c"]
)
def test_ordinary_repetition_stays(text):
    assert detect_repetition(text) == (text, False)


@given(st.text(alphabet="ab .", max_size=80))
def test_what_is_left_holds_no_loop(text):
    clean, _ = detect_repetition(text)
    assert text.startswith(clean)
    assert detect_repetition(clean) == (clean, False)


def test_split_thinking():
    assert split_thinking("<think>\nhm\n</think>\n\nyes") == ("hm", "yes", True)
    assert split_thinking("hm\n</think>\n\nyes") == ("hm", "yes", True)
    assert split_thinking("<think>hm") == ("hm", "", False)
    assert split_thinking(" yes ") == (None, "yes", True)


def test_join_words():
    assert join_words(["hello", "there", "!"]) == "hello there!"
    assert (
        join_words(["\u4f60", "\u597d", "\uff0c", "\u4e16\u754c"])
        == "\u4f60\u597d\uff0c\u4e16\u754c"
    )
    assert join_words(["\uc548\ub155", "\uc138\uacc4"]) == "\uc548\ub155 \uc138\uacc4"


@given(st.text())
def test_single_line(text):
    line = single_line(text)
    assert len(line.splitlines()) <= 1
    line.encode("utf-8")
