import json

import pytest

from moss_audio.errors import MossAudioError
from moss_audio.result import (
    Answer,
    Caption,
    Event,
    Segment,
    Timeline,
    Transcript,
    Word,
    result_from_dict,
)

WORD = Word("hello", 0.5, 1.0)
RESULTS = [
    Transcript("hello", (Segment("hello", 0.5, 1.0, (WORD,)),), (WORD,), 2.0, "en", "raw", ("w",)),
    Timeline((Event("dog", 0.0, 1.0),), 2.0, "raw", ("w",)),
    Caption("A dog.", 2.0, "raw", ("w",)),
    Answer("yes", "hm", "raw", ("w",)),
    Answer("yes"),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda r: type(r).__name__)
def test_dict_round_trip_through_json(result):
    data = json.loads(json.dumps(result.to_dict()))
    assert result_from_dict(data) == result
    assert type(result).from_dict(data) == result


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"type": "song"}, "song"),
        ({"type": "caption", "duration": 1.0}, "'text'"),
        ({"type": "caption", "text": "x", "duration": "1"}, "'duration'"),
        ({"type": "caption", "text": "x", "duration": float("nan")}, "finite"),
        ({"type": "caption", "text": "x", "duration": 10**400}, "at most 1e\\+08, got 1000"),
        ({"type": "caption", "text": "x", "duration": -1.1e8}, "at most 1e\\+08"),
        (
            {
                "type": "timeline",
                "duration": 1,
                "events": [{"label": "x", "start": 0, "end": 1, "probability": 10**400}],
            },
            "'probability' must be a finite number",
        ),
        ({"type": "caption", "text": "x", "duration": 1, "colour": 2}, "'colour'"),
        ({"type": "timeline", "duration": 1, "events": [3]}, "Event"),
        ({"type": "timeline", "duration": 1, "events": "x"}, "list"),
        ({"type": "answer", "text": "x", "warnings": [1]}, "'warnings'"),
    ],
)
def test_malformed_dict_is_one_clear_error(data, named):
    with pytest.raises(MossAudioError, match=named) as caught:
        result_from_dict(data)
    assert "\n" not in str(caught.value)


def test_wrong_type_entry():
    with pytest.raises(MossAudioError, match="answer"):
        Caption.from_dict(Answer("x").to_dict())


def test_shifted_moves_every_time_but_not_the_duration():
    moved = RESULTS[0].shifted(10.0)
    assert moved.words[0] == moved.segments[0].words[0] == Word("hello", 10.5, 11.0)
    assert (moved.segments[0].start, moved.duration) == (10.5, 2.0)
    assert RESULTS[1].shifted(1.5).events == (Event("dog", 1.5, 2.5),)


def test_entries_keep_their_order():
    keys = [list(result.to_dict()) for result in RESULTS[:4]]
    assert keys == [
        ["type", "text", "language", "duration", "segments", "words", "raw", "warnings"],
        ["type", "duration", "events", "raw", "warnings"],
        ["type", "text", "duration", "raw", "warnings"],
        ["type", "text", "thinking", "raw", "warnings"],
    ]
    assert list(RESULTS[0].to_dict()["segments"][0]) == ["text", "start", "end", "words"]
