import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.errors import MossAudioError
from moss_audio.result import Segment, Transcript, Word
from moss_audio.tasks.base import WARN_LOOP, WARN_THINKING_OPEN
from moss_audio.tasks.times import WARN_LAST, WARN_LEADING, WARN_NO_STAMPS, WARN_ORDER, WARN_OVERLAP
from moss_audio.tasks.transcribe import (
    PROMPT_SENTENCE,
    PROMPT_WORD,
    WARN_PHRASES,
    WARN_RATE,
    WARN_STAMPS,
    Transcribe,
)
from moss_audio.writers import get_writer

PLAIN, SENTENCE, WORD = Transcribe(), Transcribe("sentence"), Transcribe("word")


def words(text, duration=5.0):
    return [(w.text, w.start, w.end) for w in WORD.parse(text, duration).words]


def segments(text, duration=5.0):
    return [(s.text, s.start, s.end) for s in SENTENCE.parse(text, duration).segments]


def test_wording_to_the_letter():
    assert PLAIN.prompt == "Transcribe the audio."
    assert PROMPT_SENTENCE == (
        "Transcribe the audio into sentence-level timestamps using the format [xx.xx]text[yy.yy],"
        " where xx.xx and yy.yy are timestamps with centisecond precision rounded to two decimal"
        " places. Concatenate consecutive segments without breaks. For example: [0.00]hello there"
        "[2.01][2.01]the weather is nice today[4.32]. Do not include any additional content such"
        " as explanations, headings, or annotations."
    )
    assert "word-level" in PROMPT_WORD
    assert "sentence" not in PROMPT_WORD
    assert "For example: [0.00]hello[0.42][0.42]there[0.80]. Do not" in PROMPT_WORD


HELLO = [("hello", 0.32, 0.71), ("there", 0.8, 1.2)]


@pytest.mark.parametrize(
    "text",
    [
        "[0.32]hello[0.71][0.80]there[1.20]",
        " [0.32] hello [0.71]\n[0.80] there\n[1.20] ",
        "[ 0.32 ]hello[0.71s], [0.80]there[1.20].",
        "[0.32hello[0.71][0.80]there[1.20]",
        "[0.32]hello 0.71][0.80there[1.20",
        "[0.32-0.71]hello[0.80 - 1.20] there",
        "0.32 hello 0.71 0.80 there 1.20",
        "[0.32]hello 0.71[0.80]there[1.20]",
        "[00:00.32]hello[00:00.71][00:00.80]there[00:01.20]",
        "\u30100.32\u3011hello\u30100.71\u3011\u30100.80\u3011there\u30101.20\u3011",
        "<think>\nwords\n</think>\n\n[0.32]hello[0.71][0.80]there[1.20]",
        "Here is the transcript:\n[0.32]hello[0.71][0.80]there[1.20]",
    ],
)
def test_forms_that_mean_the_same(text):
    assert words(text)[:2] == HELLO


def test_overlaps_and_gaps_are_kept():
    text = "[0.00]a b[2.00][1.50]c d[3.00][4.00]e[4.50]"
    assert segments(text) == [("a b", 0, 2), ("c d", 1.5, 3), ("e", 4, 4.5)]
    assert SENTENCE.parse(text, 5).warnings == ()


def test_shared_stamps():
    assert words("[0.00]a[0.40]b[0.80]") == [("a", 0.0, 0.4), ("b", 0.4, 0.8)]


@pytest.mark.parametrize("tail", ["", "[", "[1", "[1.", "[1.2"])
def test_last_stamp_cut_off(tail):
    result = WORD.parse("[0.32]hello[0.71][0.80]there" + tail, 5.0)
    assert [w.text for w in result.words] == ["hello", "there"]
    assert result.words[1].start == 0.8 < result.words[1].end <= 5.0
    assert WARN_LAST in result.warnings


def test_text_before_the_first_stamp_is_kept():
    result = WORD.parse("hello[0.71][0.80]there[1.20]", 5.0)
    assert [(w.text, w.start, w.end) for w in result.words] == [("hello", 0, 0.71), HELLO[1]]
    assert WARN_LEADING in result.warnings


def test_one_wild_stamp_does_not_move_the_rest():
    result = WORD.parse("[0.00]a[0.40][90.00]b[0.80][0.80]c[1.20][1.20]d[1.50]", 5.0)
    assert [w.start for w in result.words] == [0.0, 0.8, 0.8, 1.2]
    assert WARN_ORDER in result.warnings


def test_a_word_ends_where_the_next_one_starts():
    result = WORD.parse("[0.32]Hello.[5.00][0.71]There[1.02][1.00]you[1.30]", 10.0)
    times = [(w.start, w.end) for w in result.words]
    assert times == [(0.32, 0.71), (0.71, 1.02), (1.0, 1.3)]  # a hundredth or two is no overlap
    assert [(s.start, s.end) for s in result.segments] == [(0.32, 0.71), (0.71, 1.3)]
    assert result.warnings == (WARN_OVERLAP,)
    assert "00:00:00,320 --> 00:00:00,710" in get_writer("srt").render(result)


def test_words_that_start_together_stay_as_they_are():
    result = WORD.parse("[1.00]yes[2.00][1.00]no[2.00][1.50]maybe[2.50]", 10.0)
    assert [(w.start, w.end) for w in result.words] == [(1.0, 2.0), (1.0, 1.5), (1.5, 2.5)]


def test_no_stamps_leaves_the_text_over_the_clip():
    result = WORD.parse("it costs 3.50 today", 5.0)
    assert result.text == "it costs 3.50 today"
    assert result.words == ()
    assert result.segments == (Segment(result.text, 0.0, 5.0),)
    assert result.warnings == (WARN_NO_STAMPS,)


def test_silence_is_empty():
    for task in (PLAIN, SENTENCE, WORD):
        assert task.parse("", 3.0) == Transcript("", duration=3.0)
        assert task.render_answer(Transcript("", duration=3.0)) == ""


@pytest.mark.parametrize("task", [PLAIN, SENTENCE, WORD])
@pytest.mark.parametrize(
    "answer",
    ["[6.72]", "[6.72][6.72]", "[0.10][0.20]", "[0.10]\n[0.20]", "[4.90", "[4.9", "[", "[0:05]",
     "[0.10] [0.20] [", "\u30100.32\u3011", "<think>hm</think>[6.72]", "[1]", "[0.\x0010]"],
)  # fmt: skip
def test_an_answer_of_nothing_but_stamps_says_nothing(task, answer):
    # Noise, hum and pauses get such answers; the stamp is not a word that somebody said.
    result = task.parse(answer, 1.0)
    assert (result.text, result.segments, result.words) == ("", (), ())
    assert result.raw == answer


def test_nobody_says_six_words_in_a_fifth_of_a_second():
    answer = "[0.00]I[0.05][0.05]do[0.10][0.10]not[0.15][0.15]know[0.20][0.20]why[0.20]"
    for task in (PLAIN, SENTENCE, WORD):
        result = task.parse(answer, 0.2)
        assert (result.text, result.words, result.warnings) == ("", (), (WARN_RATE,))
        assert task.parse("[0.00]I[0.05][0.05]do[0.10]", 0.2).text == "I do"
    assert PLAIN.parse("Provide a solution.", 0.05).text == ""
    assert PLAIN.parse("Provide a solution.", 0.3).text == "Provide a solution."


def test_a_plain_transcript_has_no_stamps():
    assert PLAIN.parse("[0.10]hello", 1.0).text == "hello"
    assert PLAIN.parse("hello [0.10] there", 1.0).text == "hello there"
    assert WARN_STAMPS in PLAIN.parse("[0.10]hello", 1.0).warnings


def test_phrase_where_words_were_asked_is_divided():
    result = WORD.parse("[1.00]ab cdef[2.20]", 5.0)
    assert [(w.text, w.start, pytest.approx(w.end)) for w in result.words] == [
        ("ab", 1.0, 1.4),
        ("cdef", pytest.approx(1.4), 2.2),
    ]
    assert WARN_PHRASES in result.warnings


def test_words_gather_into_segments():
    text = "[0.00]Hi.[0.30][0.40]how[0.60][0.60]are[0.80][2.00]you?[2.30]"
    result = WORD.parse(text, 5.0)
    assert [s.text for s in result.segments] == ["Hi.", "how are", "you?"]
    assert result.segments[1].words == result.words[1:3]
    assert result.text == "Hi. how are you?"


def test_runaway_words_are_cut_though_their_stamps_go_on():
    text = "[0.00]so[0.10]" + "".join(
        f"[{k / 10:.2f}]thank[{k / 10 + 0.05:.2f}][{k / 10 + 0.05:.2f}]you[{k / 10 + 0.1:.2f}]"
        for k in range(1, 100)
    )
    result = WORD.parse(text, 5.0)
    assert result.text == "so thank you"
    assert WARN_LOOP in result.warnings
    assert result.raw == text


def test_plain():
    assert PLAIN.parse(" hello\nthere ", 2.0).text == "hello there"
    assert PLAIN.parse("[0.00]hello[0.4][0.4]there[0.8]", 2.0).text == "hello there"
    assert PLAIN.parse("press [1] now", 2.0).text == "press [1] now"
    assert WARN_THINKING_OPEN in PLAIN.parse("<think>hm", 2.0).warnings


def test_bad_duration_is_the_callers_mistake():
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(MossAudioError, match="duration"):
            PLAIN.parse("x", bad)


def test_truth_without_times_is_refused():
    with pytest.raises(MossAudioError, match="no word times"):
        WORD.render_answer(Transcript("hello"))


stampish = st.text(alphabet="[]0123456789.: -ab\n\u4f60<think>/", max_size=120)


@settings(max_examples=300)
@given(st.one_of(st.text(), stampish), st.floats(0, 100))
def test_any_text_parses_into_order(text, duration):
    for task in (PLAIN, SENTENCE, WORD):
        result = task.parse(text, duration)
        assert result.raw == text
        for items in (result.segments, result.words):
            starts = [item.start for item in items]
            assert starts == sorted(starts)
            assert all(0 <= i.start <= i.end <= duration and i.text.strip() for i in items)
        assert 0 <= task.score(result, result).reward <= 1
        if result.words or task is not WORD:
            assert task.parse(task.render_answer(result), duration).raw is not None


stamped = st.lists(
    st.one_of(
        st.floats(0, 99).map(lambda s: f"[{s:.2f}]"),
        st.integers(0, 99).map(lambda n: f"[{n}]"),
        st.sampled_from(
            ["[", "]", "[0", "0.10]", " ", "\n", "\x00", ".", "\uff3b1.00\uff3d", "1:"]
        ),
        st.sampled_from(["hello", "3", "\u4f60", "a b"]),
    ),
    max_size=12,
).map("".join)


@settings(max_examples=500)
@given(stamped, st.floats(0, 100))
def test_no_stamp_survives_in_the_text(text, duration):
    time = re.compile(r"[\[\uff3b]\s*\d+[.:][\d.:]*\s*s?\s*[\]\uff3d]")
    number = re.compile(r"[\[\uff3b]\s*[\d.:]+\s*s?\s*[\]\uff3d]")
    for task in (PLAIN, SENTENCE, WORD):
        result = task.parse(text, duration)
        stamp = time if task is PLAIN else number
        for item in (result, *result.segments, *result.words):
            assert not stamp.search(item.text)
        assert not number.fullmatch(result.text)


@pytest.mark.parametrize("task", [PLAIN, SENTENCE, WORD])
def test_a_damaged_stamp_is_no_word_either(task):
    """`[1:]` and `[.]` alone were taken for what was said."""
    for text in ("[1:]", "[.]", "[0.]", "[:][1.2.3]"):
        assert task.parse(text, 3.0).text == ""
    assert task.parse("hello [1:] you", 3.0).text == "hello you"


token = st.text(alphabet="abcdefgh,.'!-3\u4f60\u00e9\"", min_size=1, max_size=7)


@st.composite
def timed(draw, unit):
    n = draw(st.integers(0, 8))
    times = sorted(draw(st.lists(st.floats(0, 30), min_size=2 * n, max_size=2 * n)))
    texts = draw(st.lists(unit, min_size=n, max_size=n, unique=True))
    return [(t, times[2 * k], times[2 * k + 1]) for k, t in enumerate(texts)]


def close(items, truth):
    return [(i.text, f"{i.start:.2f}", f"{i.end:.2f}") for i in items] == [
        (t, f"{s:.2f}", f"{e:.2f}") for t, s, e in truth
    ]


@given(timed(token))
def test_words_round_trip(truth):
    made = tuple(Word(*item) for item in truth)
    answer = WORD.render_answer(Transcript(" ".join(w.text for w in made), words=made))
    result = WORD.parse(answer, 30.01)
    assert close(result.words, truth)
    assert result.warnings == ()


@given(timed(st.lists(token, min_size=1, max_size=4, unique=True).map(" ".join)))
def test_sentences_round_trip(truth):
    made = tuple(Segment(*item) for item in truth)
    answer = SENTENCE.render_answer(Transcript("x", made) if made else Transcript(""))
    assert close(SENTENCE.parse(answer, 30.01).segments, truth)


def test_brackets_in_the_text_cannot_break_the_answer():
    truth = Transcript("a", words=(Word("[1.00]", 0.1, 0.2), Word("b c", 0.2, 0.3)))
    answer = WORD.render_answer(truth)
    assert words(answer) == [("(1.00)", 0.1, 0.2), ("bc", 0.2, 0.3)]


def test_score():
    truth = WORD.parse("[0.00]Red[0.50][0.50]dog[1.00][1.00]barks[1.50]", 2.0)
    perfect = WORD.score(truth, truth)
    assert perfect.reward == 1
    assert perfect.counts["errors"].rate == 0
    found = WORD.parse("[0.10]red[0.60][0.60]cat[1.00][1.00]barks[1.40]", 2.0)
    score = WORD.score(found, truth)
    assert score.counts["errors"].rate == pytest.approx(1 / 3)
    times = score.counts["times"]
    assert (times.matched, times.references) == (2, 3)
    assert times.sum_ms == pytest.approx(150.0)
    # two of three words are right, and their four stamps are 0.1, 0.1, 0 and 0.1 s off, of six
    assert score.reward == pytest.approx((2 / 3 + 3.7 / 6) / 2)
    empty = WORD.score(Transcript(""), truth)
    assert empty.counts["errors"].rate == 1
    assert empty.reward == 0
    assert WORD.score(Transcript(""), Transcript("")).reward == 1
    unread = WORD.score(Transcript("red dog barks"), truth)
    assert unread.counts["times"].parse_failures == 1
    assert PLAIN.score(found, truth).counts.keys() == {"errors"}


def test_score_of_sentences_looks_at_whole_segments():
    truth = SENTENCE.parse("[0.00]one two[1.00][1.00]three four[2.00]", 3.0)
    found = SENTENCE.parse("[0.00]one two three[1.20][1.20]four[2.10]", 3.0)
    assert SENTENCE.score(found, truth).counts["times"].matched == 0
    later = SENTENCE.parse("[0.00]one two[1.00][1.10]three four[2.00]", 3.0)
    score = SENTENCE.score(later, truth)
    assert score.counts["times"].matched == 2
    assert score.reward == pytest.approx((1 + 3.9 / 4) / 2)


def test_chinese_is_scored_by_characters():
    score = PLAIN.score(Transcript("\u4f60\u597d\u5417"), Transcript("\u4f60\u597d\u5440"))
    assert score.counts["errors"].references == 3
    assert score.reward == pytest.approx(2 / 3)
