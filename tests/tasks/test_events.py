import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moss_audio.errors import MossAudioError
from moss_audio.result import Event, Timeline
from moss_audio.tasks.base import WARN_LOOP
from moss_audio.tasks.events import (
    WARN_MISSING_END,
    WARN_NO_EVENTS,
    Events,
)
from moss_audio.tasks.times import WARN_ORDER

TASK = Events()


def parsed(text, duration=100.0):
    return [(e.start, e.end, e.label) for e in TASK.parse(text, duration).events]


def timeline(*events, duration=100.0):
    return Timeline(tuple(Event(label, s, e) for s, e, label in events), duration)


def test_wording_to_the_letter():
    assert TASK.prompt == (
        "Analyze the audio and describe the main sound events in chronological order. Output one"
        " event per line using this format:\nstart_sec - end_sec: event description\nUse plain"
        " decimal seconds for start_sec and end_sec. Cover the full timeline from beginning to end"
        " when possible."
    )


TWO = [(0.0, 2.5, "birds chirping"), (2.5, 4.0, "water running")]


@pytest.mark.parametrize(
    "text",
    [
        "0.00 - 2.50: birds chirping\n2.50 - 4.00: water running",
        "- 0.0 - 2.5: birds chirping\n\n- 2.5 - 4: water running\n",
        "1. 0.00\u20132.50: birds chirping\n2. 2.50\u20144.00: water running",
        "[0.00 - 2.50]: birds chirping\n[2.50 - 4.00] water running",
        "**0.00 - 2.50**: birds chirping\n**2.50 - 4.00:** water running",
        "0.0s to 2.5s: birds chirping\n2.5s ~ 4.0s: water running",
        "00:00 - 00:02.5: birds chirping\n00:02.50 - 00:04.00: water running",
        "0.00 - 2.50: birds chirping 2.50 - 4.00: water running",
        "0.00 - 2.50:\nbirds chirping\n2.50 - 4.00:\nwater running",
        "birds chirping (0.00 - 2.50)\n* water running [2.5s - 4.0s].",
        "0.00 - 2.50 - birds chirping\r\n2.50 - 4.00 - water running",
        "2.50 - 4.00: water running\n0.00 - 2.50: birds chirping",
        "<think>hm</think>0.00 - 2.50: birds chirping\n2.50 - 4.00: water running",
    ],
)
def test_forms_that_mean_the_same(text):
    assert [(s, e, label.strip("*: ")) for s, e, label in parsed(text)] == TWO


def test_what_is_no_event_is_counted_and_kept():
    text = "Here you go:\n0.00 - 2.50: birds\nThat is all."
    result = TASK.parse(text, 5.0)
    assert len(result.events) == 1
    assert result.raw == text
    assert result.warnings == ("2 lines could not be read as an event",)
    assert WARN_NO_EVENTS in TASK.parse("I hear nothing.", 5.0).warnings
    assert TASK.parse("", 5.0) == Timeline((), 5.0)


def test_missing_ends_and_times_outside():
    result = TASK.parse("1.0: dog\n3.0 - : cat", 5.0)
    assert [(e.start, e.end) for e in result.events] == [(1, 3), (3, 5)]
    assert WARN_MISSING_END in result.warnings
    result = TASK.parse("1.0 - 9.0: dog\n4.0 - 3.0: cat\n8.0 - 9.0: cow", 5.0)
    assert [(e.start, e.end) for e in result.events] == [(1, 5), (4, 4), (5, 5)]
    assert WARN_ORDER in result.warnings


def test_numbers_in_a_description_are_no_events():
    text = "0.00 - 2.00: 3-4 people, a 1.5 - 2.5 kHz tone"
    assert parsed(text) == [(0, 2, "3-4 people, a 1.5 - 2.5 kHz tone")]


def test_a_dog_may_bark_ten_times_but_a_loop_is_cut():
    barks = "\n".join(f"{k}.00 - {k}.50: dog barking" for k in range(10))
    assert len(parsed(barks, 10.0)) == 10
    result = TASK.parse(barks, 4.0)  # six of them beyond the end of the clip
    assert len(result.events) == 5
    assert WARN_LOOP in result.warnings
    assert len(parsed("0.00 - 1.00: cat\n" + "1.00 - 2.00: dog\n" * 50)) == 2


@settings(max_examples=300)
@given(
    st.one_of(st.text(), st.text(alphabet="0123456789.: -ab\n[]()*to\u2013s", max_size=150)),
    st.floats(0, 100),
)
def test_any_text_parses_into_order(text, duration):
    result = TASK.parse(text, duration)
    assert result.raw == text
    starts = [e.start for e in result.events]
    assert starts == sorted(starts)
    assert all(0 <= e.start <= e.end <= duration and e.label for e in result.events)
    assert TASK.score(result, result).reward == 1
    if text.strip() and not result.events:
        assert result.warnings


label = st.text(alphabet="abcdef 0123.,:-()'\u4f60", min_size=1, max_size=20).filter(
    lambda text: text.strip(" :")
)
event = st.tuples(st.floats(0, 30), st.floats(0, 30), label).map(
    lambda t: (min(t[:2]), max(t[:2]), t[2])
)


@given(st.lists(event, max_size=6, unique_by=lambda e: e[2]))
def test_round_trip(events):
    answer = TASK.render_answer(timeline(*events))
    result = TASK.parse(answer, 30.01)
    assert TASK.render_answer(result) == answer
    assert len(result.events) == len(events)
    for got, (start, end, _) in zip(result.events, sorted(events, key=lambda e: e[0]), strict=True):
        assert (f"{got.start:.2f}", f"{got.end:.2f}") == (f"{start:.2f}", f"{end:.2f}")


def test_event_without_label_is_refused():
    with pytest.raises(MossAudioError, match=r"1\.00 s"):
        TASK.render_answer(timeline((1.0, 2.0, " \n")))


def test_a_stamp_is_no_event():
    result = TASK.parse("0.00 - 1.00: [0.98]\n1.00 - 2.00: dog [1.50] barking\n[0.50]", 3.0)
    assert [e.label for e in result.events] == ["dog barking"]
    assert "2 lines" in result.warnings[0]
    assert TASK.parse("[6.72]", 3.0).events == ()


def test_score_is_the_event_based_f1():
    truth = timeline((1.0, 2.0, "The dog barking"), (5.0, 15.0, "rain"))
    near = timeline((1.2, 2.5, "dog barking"), (4.8, 10.0, "sound of rain"))
    assert TASK.score(near, truth).reward == 1.0
    far = timeline((1.21, 2.0, "dog barking"), (5.0, 10.0, "rain"))
    score = TASK.score(far, truth)
    assert (score.reward, score.counts["events"].hits) == (0.5, 1)
    assert TASK.score(timeline(), timeline()).reward == 1.0
    assert TASK.score(timeline(), truth).reward == 0.0
