import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.errors import MossAudioError
from moss_audio.result import Answer, Caption
from moss_audio.tasks.ask import Ask
from moss_audio.tasks.base import WARN_LOOP, WARN_THINKING_OPEN
from moss_audio.tasks.caption import Describe

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
    assert CAPTION.score(caption, caption)["score"] == 1
    answer = ASK.parse(text, duration)
    assert answer.raw == text
    assert ASK.score(answer, answer)["exact"] == 1


def test_caption_round_trip_and_loop():
    truth = Caption("Two men talk.\nRain falls.", 3.0)
    assert CAPTION.parse(CAPTION.render_answer(truth), 3.0).text == truth.text
    looped = CAPTION.parse("Rain falls. " * 40, 3.0)
    assert looped.text == "Rain falls."
    assert looped.warnings == (WARN_LOOP,)


def test_caption_score():
    truth = Caption("A dog barks in the rain")
    scores = CAPTION.score(Caption("the dog barks"), truth)
    assert scores["token_precision"] == 1
    assert scores["token_recall"] == 0.5
    assert scores["score"] == scores["token_f1"] == pytest.approx(2 / 3)
    scores = CAPTION.score(Caption("the dog barks"), truth, facts=["dog barks|barking dog", "rain"])
    assert scores["score"] == scores["facts_named"] == 0.5
    assert CAPTION.score(Caption(""), truth)["score"] == 0


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
    ("found", "wanted", "exact", "contains"),
    [
        ("The dog.", "dog", 1, 1),
        ("It is a big dog, I think", "big dog", 0, 1),
        ("a dog that is big", "big dog", 0, 0),
        ("dogma", "dog", 0, 0),
        ("No, though one might say yes", "yes", 0, 0),
        ("Yes, it does", "yes", 0, 1),
        ("3", "three", 1, 1),
        ("A", "a", 1, 1),
        ("B", "a", 0, 0),
        ("anything", "", 0, 0),
    ],
)
def test_ask_score(found, wanted, exact, contains):
    scores = ASK.score(Answer(found), Answer(wanted))
    assert (scores["exact"], scores["contains"], scores["score"]) == (exact, contains, contains)
