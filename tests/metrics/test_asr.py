import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.errors import MossAudioError
from moss_audio.metrics.asr import ErrorCounts, normalize, text_errors, word_errors

SENTENCES = st.lists(st.sampled_from(["a", "bee", "sea", "d", "eh"]), max_size=8).map(" ".join)


def test_english_is_normalised_before_counting():
    counts = word_errors("Mister Brown isn't here, okay?", "mr. brown is not HERE okay")
    assert counts == ErrorCounts(0, 0, 0, 6, 6)
    assert word_errors("the colour", "the color").errors == 0
    assert word_errors("the colour", "the color", normalizer="basic").substitutions == 1


def test_counts_by_kind():
    counts = word_errors("one big red dog", "one red cat dog barks", normalizer="none")
    assert counts.errors == 3
    assert counts.references == 4
    assert counts.hits + counts.substitutions + counts.deletions == counts.references
    assert counts.rate == 0.75


def test_empty_reference_counts_insertions_and_joins_the_corpus():
    empty = word_errors("", "so many words")
    assert empty == ErrorCounts(insertions=3)
    assert empty.rate == 3.0
    assert word_errors("", "").rate == 0.0
    corpus = sum([empty, word_errors("a b c", "a b c", normalizer="none")])
    assert corpus.rate == 1.0
    assert ErrorCounts.merge([]).rate == 0.0


def test_chinese_script_width_and_punctuation_do_not_count():
    assert text_errors("裡面有ＡＢＣ！", "里面有 abc", characters=True) == ErrorCounts(
        hits=6, references=6
    )
    assert normalize("後宮，頭髮。", "chinese") == "后宫 头发"
    assert normalize("５＋１～", "chinese") == "5 1"
    mixed = word_errors("我愛 Python，很多", "我爱python很少", normalizer="chinese")
    assert (mixed.references, mixed.substitutions) == (5, 1)


def test_the_script_of_the_reference_says_what_is_counted():
    assert text_errors("我愛你", "我爱她") == ErrorCounts(substitutions=1, hits=2, references=3)
    assert text_errors("a red dog", "a red cat") == ErrorCounts(1, 0, 0, 2, 3)
    assert text_errors("a red dog", "a red cat", characters=True).references == 7


@pytest.mark.parametrize("dots", ["..", "...", "....", " ...", "\u2026", "\u2026.", ".\u2026"])
def test_an_ellipsis_is_no_word(dots):
    """Prompts such as "Press..." were counted as two words, "press" and ".", of which whoever
    heard "press" had missed one: half wrong with every word right."""
    assert word_errors(f"Press{dots}", "press") == ErrorCounts(hits=1, references=1)
    assert word_errors("press", f"Press{dots}") == ErrorCounts(hits=1, references=1)
    assert word_errors(f"wait{dots}what", f"{dots} wait what").errors == 0
    assert normalize(f"Press{dots}", "basic") == "press"


def test_periods_inside_numbers_and_after_them_stay_what_they_were():
    assert normalize("It weighs 3.5 tons. Really.", "english") == "it weighs 3.5 tons really"
    assert normalize("9...", "english") == "9"
    assert normalize("3.5...", "english") == "3.5"


def test_unknown_normaliser_is_named():
    with pytest.raises(MossAudioError, match="'klingon'"):
        word_errors("a", "a", normalizer="klingon")


@settings(max_examples=60, deadline=None)
@given(SENTENCES, SENTENCES)
def test_swapping_the_sides_swaps_deletions_and_insertions(a, b):
    there, back = (word_errors(*p, normalizer="none") for p in ((a, b), (b, a)))
    assert there.errors == back.errors
    assert there.deletions - there.insertions == back.insertions - back.deletions
    assert there.rate >= 0
    assert word_errors(a, a, normalizer="none").errors == 0
    assert there.references == len(a.split())
