"""The words and segments of a transcript know how certain the model was of their tokens."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.model.known_speech import KnownSpeech
from moss_audio.result import Event, Segment, Timeline, Transcript, Word, result_from_dict
from moss_audio.tasks import get_task
from moss_audio.tasks.confidence import FEWEST_TOKENS, SureTokens, with_no_speech
from moss_audio.writers import get_writer


def tokens_of(*parts: tuple[str, float]) -> tuple[str, list[tuple[int, float]]]:
    """A text from its tokens' texts, and what the engine says of them."""
    text, tokens = "", []
    for part, logprob in parts:
        text += part
        tokens.append((len(text), logprob))
    return text, tokens


def test_a_word_has_the_mean_probability_of_its_tokens_alone() -> None:
    text, tokens = tokens_of(
        ("[0.", -9.0), ("10", -9.0), ("]", -9.0), ("hel", -0.1), ("lo", -0.3), ("[", -9.0),
        ("0.42][0.42]", -9.0), ("there", -1.0), ("[0.80]", -9.0),
    )  # fmt: skip
    task = get_task("transcribe_word")
    found = task.with_confidence(task.parse(text, 1.0), tokens)
    hello, there = found.words
    assert hello.probability == pytest.approx((math.exp(-0.1) + math.exp(-0.3)) / 2)
    assert there.probability == pytest.approx(math.exp(-1.0))
    assert found.segments[0].words == found.words
    assert found.segments[0].avg_logprob == pytest.approx(-1.4 / 3)
    assert found.avg_logprob == pytest.approx(-1.4 / 3)


def test_thinking_and_numbers_in_stamps_are_not_taken_for_words() -> None:
    text, tokens = tokens_of(
        ("<think>\n", -9.0), ("one 1", -9.0), ("\n</think>\n\n", -9.0),
        ("[1.01]", -9.0), ("1", -0.5), ("[1.11]", -9.0), ("[1.11]", -9.0), ("one", -0.25),
        ("[1.50]", -9.0),
    )  # fmt: skip
    task = get_task("transcribe_sentence")
    found = task.with_confidence(task.parse(text, 2.0), tokens)
    assert [(one.text, one.avg_logprob) for one in found.segments] == [("1", -0.5), ("one", -0.25)]


def test_a_character_of_several_tokens_counts_them_all() -> None:
    """Bytes that are no whole character yet end where the text ended before them."""
    tokens = [(1, -1.0), (1, -2.0), (1, -3.0), (2, -4.0), (3, -9.0)]
    task = get_task("transcribe")
    found = task.with_confidence(task.parse("a\u65e5 b"[:3], 1.0), tokens)
    assert found.text == "a\u65e5"
    assert found.avg_logprob == pytest.approx((-1 - 2 - 3 - 4) / 4)


def test_windows_join_by_length_and_one_unknown_makes_all_unknown() -> None:
    task = get_task("transcribe")
    parts = [Transcript("aaa", duration=1.0, avg_logprob=-1.0),
             Transcript("b", duration=1.0, avg_logprob=-3.0)]  # fmt: skip
    silent = Transcript("", duration=1.0)
    assert task.join([(0.0, parts[0]), (1.0, parts[1]), (2.0, silent)]).avg_logprob == -1.5
    unknown = Transcript("c", duration=1.0)
    assert task.join([(0.0, parts[0]), (1.0, unknown)]).avg_logprob is None


def test_an_event_has_the_probability_of_its_label_and_not_of_its_times() -> None:
    text, tokens = tokens_of(
        ("1.00", -9.0), (" - ", -9.0), ("2.50", -9.0), (":", -9.0), (" dog", -0.7), (" bark", -0.1),
        ("\n0.10 - ", -9.0), ("0.60:", -9.0), (" rain", -0.2), ("\n", -9.0),
        ("3.00 - 4.00:", -9.0), (" 3", -0.4), (" dogs", -0.1),
    )  # fmt: skip
    task = get_task("events")
    found = task.with_confidence(task.parse(text, 10.0), tokens)
    rain, bark, dogs = found.events
    assert (rain.label, rain.probability) == ("rain", pytest.approx(math.exp(-0.2)))
    assert (bark.label, bark.probability) == ("dog bark", pytest.approx(math.exp(-0.8)))
    assert (dogs.label, dogs.probability) == ("3 dogs", pytest.approx(math.exp(-0.5)))
    assert result_from_dict(found.to_dict()) == found
    assert "probability" not in task.parse(text, 10.0).to_dict()["events"][0]


def test_an_event_that_a_cut_divided_is_as_sure_as_its_surer_half() -> None:
    task = get_task("events")

    def halves(first: float | None, second: float | None) -> Timeline:
        return task.join([
            (0.0, Timeline((Event("rain", 2.0, 5.0, probability=first),), 5.0)),
            (5.0, Timeline((Event("rain", 0.0, 3.0, probability=second),), 5.0)),
        ])  # fmt: skip

    assert halves(0.4, 0.9).events == (Event("rain", 2.0, 8.0, probability=0.9),)
    assert halves(0.4, None).events == (Event("rain", 2.0, 8.0),)


@given(st.text(max_size=30), st.data())
def test_any_text_and_any_tokens_give_probabilities_or_nothing(
    text: str, data: st.DataObject
) -> None:
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    tokens = [(end, -0.5) for end in ends]
    for name in ("transcribe", "transcribe_sentence", "transcribe_word"):
        task = get_task(name)
        plain = task.parse(text, 3.0)
        found = task.with_confidence(plain, tokens)
        assert found.avg_logprob is None or found.avg_logprob == pytest.approx(-0.5)
        assert (found.text, found.warnings) == (plain.text, plain.warnings)
        for word, before in zip(found.words, plain.words, strict=True):
            assert (word.text, word.start, word.end) == (before.text, before.start, before.end)
    events = get_task("events")
    heard = events.parse(text, 3.0)
    for event, before in zip(
        events.with_confidence(heard, tokens).events, heard.events, strict=True
    ):
        assert replace(event, probability=None) == before
        assert event.probability is None or 0 <= event.probability <= 1


def test_json_has_confidence_where_it_is_known_and_reads_it_back() -> None:
    word = Word("hi", 0.0, 1.0, probability=0.5)
    known = Transcript("hi", (Segment("hi", 0.0, 1.0, (word,), -0.25),), (word,), 1.0)
    data = json.loads(get_writer("json").render(known))
    assert data["words"][0]["probability"] == 0.5
    assert data["segments"][0]["avg_logprob"] == -0.25
    assert "avg_logprob" not in data  # of the whole nobody knows it
    assert result_from_dict(data) == known


def test_the_probability_of_no_speech_is_that_of_an_end_before_the_first_word() -> None:
    segments = (Segment("so it", 0.5, 1.0), Segment("is", 1.0, 2.0))
    raw = "<think>\nhm\n</think>\n\n[0.50]so it[1.00]is[2.00]"
    found = Transcript("so it is", segments, raw=raw)
    ends = [raw.index(mark) + len(mark) for mark in ("hm", "</think>\n\n", "0.50", "]so", " it")]
    tokens = [(end, math.log((place + 1) / 10)) for place, end in enumerate(ends)]
    told = with_no_speech(found, tokens)
    assert [one.no_speech_prob for one in told.segments] == pytest.approx([0.4, 0.4])
    assert with_no_speech(found, [(end, None) for end in ends]) == found
    assert result_from_dict(told.to_dict()) == told


def counted(level: str | None, *parts: tuple[str, float]) -> SureTokens:
    """How many of the tokens of an answer to `transcribe` with these times were sure."""
    text, tokens = tokens_of(*parts)
    found = SureTokens()
    found.add(get_task("transcribe", timestamps=level).parse(text, 9.0), tokens)
    return found


def test_sure_tokens_are_those_of_the_text_alone() -> None:
    found = counted(
        "word", ("[0.", -9.0), ("10]", 0.0), ("hel", -0.1), ("lo", -0.9), ("[0.42]", 0.0)
    )
    assert (found.sure, found.all) == (1, 2)


def test_a_token_counts_where_it_stands_first_and_a_sign_never() -> None:
    found = counted(None, ("azure", -2.0), (",", -0.1), (" Azure", -0.1), (" azure", -0.1))
    assert (found.sure, found.all) == (0, 1)


def words(sure: int, unsure: int) -> list[tuple[str, float]]:
    return [(f"{place:02d} ", -0.1 if place < sure else -2.0) for place in range(sure + unsure)]


def test_little_that_is_sure_gets_one_line_that_names_the_language() -> None:
    known = KnownSpeech("English", 0.5)
    assert counted(None, *words(10, 10)).warning(known) is None
    assert counted(None, *words(0, 21)).warning(KnownSpeech("English", 0.0)) is None
    assert counted(None, *words(8, 12)).warning(known) is None  # expected: 10, give or take 2.2
    line = counted(None, *words(7, 13)).warning(known)
    assert line is not None
    assert line.startswith("little of this reads like English speech")
    assert "\n" not in line


def test_nothing_is_said_of_a_word_or_two() -> None:
    known = KnownSpeech("English", 0.5)
    assert counted(None, *words(0, FEWEST_TOKENS - 1)).warning(known) is None
    assert counted(None, *words(0, FEWEST_TOKENS)).warning(known) is not None
    assert SureTokens().warning(known) is None
