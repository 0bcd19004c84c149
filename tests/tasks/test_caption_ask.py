from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.errors import MossAudioError
from moss_audio.result import Answer, Caption, Event
from moss_audio.tasks.ask import Ask
from moss_audio.tasks.base import WARN_LOOP, WARN_THINKING_OPEN
from moss_audio.tasks.caption import Describe
from moss_audio.tasks.choices import Choose

CAPTION, ASK = Describe(), Ask("What is heard?")


def test_wording():
    assert CAPTION.prompt == "Describe this audio."
    assert ASK.prompt == "What is heard?"
    with pytest.raises(MossAudioError, match="question is empty"):
        _ = Ask(" ").prompt


@given(st.text(), st.floats(0, 100))
def test_any_text_parses(text, duration):
    caption = CAPTION.parse(text, duration)
    assert caption.raw == text
    assert CAPTION.score(caption, caption).reward == 1
    answer = ASK.parse(text, duration)
    assert answer.raw == text
    assert ASK.score(answer, answer).reward == 1


def test_caption_round_trip_and_loop():
    truth = Caption("Two men talk.\nRain falls.", 3.0)
    assert CAPTION.parse(CAPTION.render_answer(truth), 3.0).text == truth.text
    looped = CAPTION.parse("Rain falls. " * 40, 3.0)
    assert looped.text == "Rain falls."
    assert looped.warnings == (WARN_LOOP,)


def test_a_caption_of_nothing_but_stamps_is_empty():
    for answer in ("[6.72]", "[0.10][0.20]", "[0.10]\n[0.20]."):
        assert CAPTION.parse(answer, 3.0).text == ""
    assert CAPTION.parse("[0.10] A dog.", 3.0).text == "[0.10] A dog."


def test_caption_score():
    truth = Caption("A dog barks in the rain")
    score = CAPTION.score(Caption("the dog barks"), truth)
    words = score.counts["words"]
    assert (words.precision, words.recall) == (1, 0.5)
    assert score.reward == pytest.approx(2 / 3)
    assert CAPTION.score(Caption(""), truth).reward == 0


def test_caption_score_against_a_scene():
    scene = SimpleNamespace(events=(Event("dog barking", 0.0, 1.0),), sentences=(), music=None)
    score = CAPTION.score(Caption("A dog barks, a cat meows."), scene, vocabulary=["cat meowing"])
    facts = score.counts["facts"]
    assert (facts.count("named", "label"), facts.invented) == (1, 1)
    # the time of the barking is a fact, too, and is missed
    assert score.reward == pytest.approx(2 / (2 + 1 + 1))
    assert CAPTION.score(Caption("Dog barking from 0.0 to 1.0 s."), scene).reward == 1


@pytest.mark.parametrize("thinking", [None, "It barks.\nSo a dog."])
def test_ask_round_trip(thinking):
    truth = Answer("a dog", thinking)
    result = ASK.parse(ASK.render_answer(truth), 1.0)
    assert (result.text, result.thinking, result.warnings) == ("a dog", thinking, ())


def test_thinking_never_closed():
    result = ASK.parse("<think>\nhm, so", 1.0)
    assert (result.text, result.thinking) == ("", "hm, so")
    assert result.warnings == (WARN_THINKING_OPEN,)


@pytest.mark.parametrize(
    ("found", "wanted", "right"),
    [
        ("The dog.", "dog", 1),
        ("It is a big dog, I think", "big dog", 1),
        ("a dog that is big", "big dog", 0),
        ("dogma", "dog", 0),
        ("No, though one might say yes", "yes", 0),
        ("Yes, it does", "yes", 1),
        ("3", "three", 1),
        ("A", "a", 1),
        ("B", "a", 0),
        ("anything", "", 0),
    ],
)
def test_ask_score(found, wanted, right):
    score = ASK.score(Answer(found), Answer(wanted))
    assert (score.reward, score.counts["answers"].correct) == (right, right)


def test_a_choice_is_asked_by_letters_and_scored_by_the_strict_rule():
    task = Choose("What barks?", ("a cat", "a dog"))
    assert task.prompt.splitlines()[:3] == ["What barks?", "A. a cat", "B. a dog"]
    assert task.score(Answer("B. a dog"), Answer("a dog")).reward == 1
    assert task.score(Answer("A"), Answer("a dog")).reward == 0
    unread = task.score(Answer("both"), Answer("a dog"))
    assert unread.counts["choices"].unparsed == 1
