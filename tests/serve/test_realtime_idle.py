"""`idle_timeout_ms`: who says nothing after a response is answered once more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from openai.types.realtime import InputAudioBufferTimeoutTriggered

from moss_audio.serve.realtime.replies import Reply
from moss_audio.serve.realtime.session import CommittedTurn, RealtimeSession
from tests.serve.conftest import FakeEngine, serving
from tests.serve.realtime_sound import RATE, append, send, session, speech, update
from tests.serve.test_realtime import append as appended
from tests.serve.test_realtime import message, receive, socket

TRIGGERED = "input_audio_buffer.timeout_triggered"
WAITS = {"type": "server_vad", "idle_timeout_ms": 5000}
QUESTION = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "And now?"}],
}


def talking(**turns: Any) -> RealtimeSession:
    live = session("realtime")
    update(live, turn_detection=WAITS | turns)
    return live


def kinds(found: list[Any]) -> list[str]:
    return [type(one).__name__ if not isinstance(one, dict) else one["type"] for one in found]


def reply_of(found: list[Any]) -> Reply:
    (reply,) = [one for one in found if isinstance(one, Reply)]
    return reply


def answer(live: RealtimeSession, reply: Reply) -> list[Any]:
    reply.end("completed")
    return live.ended(reply)


def quiet(seconds: float) -> bytes:
    return speech((seconds, 0))


def test_a_long_silence_after_a_response_is_committed_and_answered() -> None:
    live = talking()
    assert append(live, quiet(6)) == []  # nobody has said anything yet
    begun = append(live, speech((1, 0.1), (1, 0)))
    assert append(live, quiet(6)) == []  # the answer is not there
    answer(live, reply_of(begun))
    before_ms = 1000 * (6 + 2 + 6)
    assert append(live, quiet(4)) == []
    found = append(live, quiet(2))
    assert kinds(found) == [
        TRIGGERED, "input_audio_buffer.committed", "conversation.item.added",
        "conversation.item.done", "CommittedTurn", "response.created", "Reply",
    ]  # fmt: skip
    told, committed, turn = found[0], found[1], found[4]
    InputAudioBufferTimeoutTriggered.model_validate(told)
    assert told["audio_start_ms"] == pytest.approx(before_ms, abs=80)
    assert told["audio_end_ms"] - told["audio_start_ms"] == pytest.approx(5000, abs=40)
    assert told["item_id"] == committed["item_id"] == turn.item_id
    assert isinstance(turn, CommittedTurn)
    assert len(turn.samples) == pytest.approx(5 * 16_000, abs=640)
    assert turn.item_id in {item.id for item in reply_of(found).plan.items}
    assert append(live, quiet(6)) == []  # that response is not there yet
    answer(live, reply_of(found))
    assert kinds(append(live, quiet(6)))[0] == TRIGGERED


@pytest.mark.parametrize("cut", [1600, 7777, 10**6])
def test_it_does_not_matter_where_appends_are_cut(cut: int) -> None:
    live = talking()
    answer(live, reply_of(append(live, speech((1, 0.1), (1, 0)))))
    data = quiet(6)
    found = [one for first in range(0, len(data), cut) for one in append(live, data[first:][:cut])]
    assert kinds(found)[0] == TRIGGERED
    assert len(found[4].samples) == pytest.approx(5 * 16_000, abs=640)


def test_who_speaks_in_time_is_heard_with_no_more_than_the_padding_before_it() -> None:
    live = talking(silence_duration_ms=500)
    answer(live, reply_of(append(live, speech((1, 0.1), (1, 0)))))
    append(live, quiet(4.5))
    found = append(live, speech((1, 0.1), (1, 0)))
    assert TRIGGERED not in kinds(found)
    (turn,) = [one for one in found if isinstance(one, CommittedTurn)]
    assert len(turn.samples) < 2.1 * 16_000
    assert append(live, quiet(6)) == []  # it waits for the answer to that turn


def test_a_response_that_is_cancelled_ends_too_and_one_beside_does_not_count() -> None:
    live = talking()
    beside = send(live, "response.create", response={"conversation": "none", "input": [QUESTION]})
    answer(live, reply_of(beside))
    assert append(live, quiet(6)) == []
    append(live, speech((1, 0.1), (1, 0)))
    assert kinds(send(live, "response.cancel")) == ["StoppedReply"]
    assert kinds(append(live, quiet(6)))[0] == TRIGGERED


def test_a_question_in_writing_ends_the_waiting_and_clearing_begins_it_again() -> None:
    live = talking()
    answer(live, reply_of(append(live, speech((1, 0.1), (1, 0)))))
    append(live, quiet(4))
    send(live, "conversation.item.create", item=QUESTION)
    begun = send(live, "response.create")
    assert append(live, quiet(6)) == []
    answer(live, reply_of(begun))
    append(live, quiet(4))
    send(live, "input_audio_buffer.clear")
    assert append(live, quiet(4)) == []
    (told, *_) = append(live, quiet(2))
    assert told["type"] == TRIGGERED
    assert told["audio_end_ms"] - told["audio_start_ms"] == pytest.approx(5000, abs=40)


def test_without_answers_of_its_own_it_only_tells() -> None:
    live = talking(create_response=False)
    append(live, speech((1, 0.1), (1, 0)))
    assert append(live, quiet(6)) == []
    answer(live, reply_of(send(live, "response.create")))
    found = append(live, quiet(12))
    assert kinds(found)[0] == TRIGGERED
    assert "Reply" not in kinds(found)
    assert kinds(found).count(TRIGGERED) == 1


def test_nothing_is_kept_where_there_is_no_bound() -> None:
    live = session("realtime")
    answer(live, reply_of(append(live, speech((1, 0.1), (1, 0)))))
    for _ in range(10):
        assert append(live, quiet(4)) == []
    assert live._buffer.n_samples < 16_000


@pytest.mark.parametrize(
    ("kind", "turns", "problem"),
    [
        ("transcription", WAITS, "it is for sessions of type realtime"),
        ("realtime", {"type": "semantic_vad", "idle_timeout_ms": 6000}, "only server_vad has it"),
        ("realtime", WAITS | {"idle_timeout_ms": 100}, "5000"),
        ("realtime", WAITS | {"idle_timeout_ms": "soon"}, "idle_timeout_ms"),
    ],
)
def test_where_it_has_no_place_that_is_said(kind: Any, turns: Any, problem: str) -> None:
    live = session(kind)
    (told,) = update(live, turn_detection=turns)
    assert told["type"] == "error"
    assert problem in told["error"]["message"]
    assert told["error"]["param"].startswith("session.audio.input.turn_detection")


def test_it_is_told_and_can_be_taken_back() -> None:
    live = talking()
    for given, expected in (({}, 5000), ({"idle_timeout_ms": None}, None)):
        (told,) = update(live, turn_detection=given)
        assert told["session"]["audio"]["input"]["turn_detection"]["idle_timeout_ms"] == expected
    assert "idle_timeout_ms" not in str(update(session(), turn_detection={"type": "server_vad"}))


def test_over_a_socket_the_silence_is_transcribed_as_empty_and_answered() -> None:
    def said(request: Any) -> str:
        return "Are you still there?" if len(request.messages) > 2 else "Hello."

    with serving(FakeEngine(said), cost=0.001) as running, socket(running, "") as client:
        heard = {"turn_detection": WAITS, "transcription": {"model": "moss"}}
        client.send(message("session.update", session={"audio": {"input": heard}}))
        client.send(appended(speech((1, 0.1), (1, 0))))
        receive(client, "response.done")
        client.send(appended(np.zeros(6 * RATE, "<i2").tobytes()))
        item = receive(client, TRIGGERED)["item_id"]
        told: dict[str, Any] = {}
        while not {"response.done", "conversation.item.input_audio_transcription.completed"} <= set(
            told
        ):
            one = receive(client)
            told[one["type"]] = one
        done = told["conversation.item.input_audio_transcription.completed"]
        assert (done["item_id"], done["transcript"]) == (item, "")
        output = told["response.done"]["response"]["output"][0]
        assert output["content"][0]["text"] == "Are you still there?"
