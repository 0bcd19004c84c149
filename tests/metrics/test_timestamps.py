import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.metrics.timestamps import AasResult, aas
from moss_audio.result import Word

TEXT = ["The", "cat", "sat", "on", "the", "mat"]
WORDS = tuple(Word(text, 0.5 * i, 0.5 * i + 0.4) for i, text in enumerate(TEXT))


@settings(max_examples=40, deadline=None)
@given(st.integers(-400, 400))
def test_a_constant_shift_is_measured_exactly(shift_ms):
    result = aas(WORDS, [word.shifted(shift_ms / 1000) for word in WORDS])
    assert result.mean_ms == pytest.approx(abs(shift_ms), abs=1e-6)
    assert result.sum_ms == pytest.approx(2 * abs(shift_ms), abs=1e-6)
    assert result.start_shifts_ms == pytest.approx([shift_ms] * len(WORDS), abs=1e-6)
    assert result.match_rate == 1.0
    assert result.percentile_ms(50) == pytest.approx(abs(shift_ms), abs=1e-6)


def test_only_equal_words_carry_a_shift_and_the_match_rate_tells():
    found = [Word("the", 0.1, 0.4), Word("dog", 0.5, 0.9), Word("SAT,", 1.0, 1.7)]
    result = aas(WORDS[:3], [*found, Word("...", 2.0, 2.1)])
    assert (result.matched, result.references, result.hypotheses) == (2, 3, 3)
    # "the" starts 100 ms late, "sat" ends 300 ms late.
    assert result.sum_ms == pytest.approx(200.0)
    assert result.mean_ms == pytest.approx(100.0)
    assert result.start_shifts_ms == pytest.approx([100.0, 0.0])
    assert result.end_shifts_ms == pytest.approx([0.0, 300.0])


def test_unreadable_answers_are_failures_with_no_shift_at_all():
    failed, silent = aas(WORDS, None), aas(WORDS, [])
    assert (failed.parse_failures, silent.parse_failures) == (1, 0)
    for result in (failed, silent):
        assert result.sum_ms is None
        assert (result.matched, result.references) == (0, len(WORDS))
        assert result.percentile_ms(50) is None
    both = failed + aas(WORDS, WORDS)
    assert (both.mean_ms, both.parse_failures) == (0.0, 1)
    assert 2 * both.matched == both.references


def test_a_corpus_weighs_words_not_clips():
    one = aas(WORDS[:1], [WORDS[0].shifted(0.4)])
    five = aas(WORDS[1:], WORDS[1:])
    assert sum([one, five]).mean_ms == pytest.approx(400 / 6)
    assert AasResult.merge([one, five]) == one + five
