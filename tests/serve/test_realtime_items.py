"""Conversations without a socket: items, what is kept, and what a response is about."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from moss_audio.serve.config import Limits
from moss_audio.serve.realtime.audio import AppendedAudio, encoded
from moss_audio.serve.realtime.config import AudioFormat
from moss_audio.serve.realtime.replies import Reply, StoppedReply
from moss_audio.serve.realtime.session import CommittedTurn, RealtimeSession
from tests.serve.realtime_sound import append, send, session, speech, update

TONE = speech((0.5, 0.1))
TURN = speech((0.5, 0), (0.6, 0.1), (0.8, 0))


def text(said: str, role: str = "user", **more: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": said}], **more}


def sound(data: bytes = TONE, **more: Any) -> dict[str, Any]:
    part = {"type": "input_audio", "audio": base64.b64encode(data).decode()}
    return {"type": "message", "role": "user", "content": [part], **more}


def create(live: RealtimeSession, item: dict[str, Any], **more: Any) -> list[Any]:
    return send(live, "conversation.item.create", item=item, **more)


def respond(live: RealtimeSession, **response: Any) -> list[Any]:
    return send(live, "response.create", response=response)


def reply_to(found: list[Any]) -> Reply:
    (reply,) = [one for one in found if isinstance(one, Reply)]
    return reply


def kinds(found: list[Any]) -> list[str]:
    return [one["type"] if isinstance(one, dict) else type(one).__name__ for one in found]


def code(found: list[Any]) -> str:
    (told,) = found
    assert told["type"] == "error"
    return str(told["error"]["code"])


def order(live: RealtimeSession) -> list[str]:
    return [item.id for item in live._conversation.items.all()]


def test_items_go_where_they_are_said_to_go() -> None:
    live = session("realtime")
    for item_id, after in (("b", None), ("d", "b"), ("a", "root"), ("c", "b"), ("e", None)):
        added, done = create(live, text(item_id, id=item_id), previous_item_id=after)
        assert (added["type"], done["type"]) == (
            "conversation.item.added", "conversation.item.done")  # fmt: skip
        assert added["item"]["id"] == item_id
    assert order(live) == ["a", "b", "c", "d", "e"]
    assert create(live, text("x"))[0]["previous_item_id"] == "e"
    assert code(create(live, text("x", id="a"))) == "item_create_duplicate_id"
    assert code(create(live, text("x"), previous_item_id="z")) == "item_create_invalid_item_id"
    (deleted,) = send(live, "conversation.item.delete", item_id="c")
    assert deleted["item_id"] == "c"
    for what in ("delete", "retrieve", "truncate"):
        found = send(live, f"conversation.item.{what}", item_id="c", event_id="mine")
        assert code(found) == f"item_{what}_invalid_item_id"
        assert found[0]["error"]["event_id"] == "mine"
    truncated = send(live, "conversation.item.truncate", item_id="a", content_index=0)
    assert "spoken" in truncated[0]["error"]["message"]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call_output", "call_id": "1", "output": "x"},
        {"type": "item_reference", "id": "a"},
        text("x", role="tool"),
        {"type": "message", "role": "user", "content": []},
        {"type": "message", "role": "user", "content": [{"type": "output_text", "text": "x"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_audio"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_image"}]},
        text("\ud800"),
        sound(b"\0\0" * 100),
        sound(bytes(48_000 * 3)),
        {**sound(), "content": 2 * sound(bytes(48_000 * 3 // 2))["content"]},
        text("x" * 101),
        text("x", id=""),
    ],
)
def test_what_is_no_item_is_told(item: dict[str, Any]) -> None:
    live = session("realtime", turn_s=2.0, item_chars=100)
    assert code(create(live, item)) == "invalid_value"
    assert not order(live)


def test_all_sound_of_a_response_has_one_bound() -> None:
    live = session("realtime", turn_s=2.0)
    create(live, sound(bytes(48_000 * 2), id="a"))
    kept = {"type": "item_reference", "id": "a"}  # which is not sent again
    found = respond(live, conversation="none", input=[kept, *[sound(bytes(48_000))] * 2])
    assert reply_to(found)
    found = respond(live, conversation="none", input=[sound(bytes(48_000))] * 3)
    assert code(found) == "invalid_value"
    assert found[0]["error"]["param"] == "response.input.2.content.0.audio"


def retrieved(live: RealtimeSession) -> dict[str, Any]:
    """The part of an item of sound."""
    create(live, sound(id="b"))
    (found,) = send(live, "conversation.item.retrieve", item_id="b")
    part: dict[str, Any] = found["item"]["content"][0]
    return part


def test_sound_comes_back_as_it_was_sent() -> None:
    live = session("realtime")
    update(live, format={"type": "audio/pcm", "rate": 16_000})
    added, _ = create(live, sound(id="a"))
    assert "audio" not in added["item"]["content"][0]
    (found,) = send(live, "conversation.item.retrieve", item_id="a")
    assert base64.b64decode(found["item"]["content"][0]["audio"]) == TONE
    assert "audio" not in retrieved(session("realtime", message_bytes=1000))
    live.transcribed("a", "boom")
    (found,) = send(live, "conversation.item.retrieve", item_id="a")
    assert found["item"]["content"][0]["transcript"] == "boom"


@pytest.mark.parametrize("form", ["audio/pcmu", "audio/pcma"])
def test_telephone_codes_are_those_that_are_nearest(form: Any) -> None:
    kind = AudioFormat(type=form)
    table = AppendedAudio(kind)._table
    assert table is not None
    codes = np.arange(256, dtype=np.uint8)
    values = np.repeat(table[codes], 2)  # at 16 kHz
    again = np.frombuffer(encoded(values, kind), np.uint8)
    assert len(again) == 256
    middle = table[again[64:-64]] - table[codes[64:-64]]
    assert np.isfinite(middle).all()
    tone = (0.5 * np.sin(np.arange(16_000) / 20)).astype(np.float32)
    heard = AppendedAudio(kind)
    back = np.concatenate([heard.push(encoded(tone, kind)), heard.finish()])
    assert np.abs(back[200:-200] - tone[200:-200]).max() < 0.02


def test_what_is_kept_has_bounds_and_the_client_knows_what_went() -> None:
    live = session("realtime", items=3, item_chars=10, kept_s=1.2)
    for name in "abc":
        create(live, sound(id=name))
    first = live._conversation.items.all()[0]
    assert first.parts[0].clip is None  # 1.5 s are more than 1.2
    assert live._conversation.items.all()[1].parts[0].clip is not None
    found = create(live, text("12345678", id="d"))
    assert kinds(found) == ["conversation.item.deleted", "conversation.item.added",
                            "conversation.item.done"]  # fmt: skip
    assert found[0]["item_id"] == "a"
    deleted = [one["item_id"] for one in create(live, text("abc", id="e"))[:-2]]
    assert deleted == ["b", "c", "d"]
    assert order(live) == ["e"]
    gone = respond(session("realtime"), input=[{"type": "item_reference", "id": "a"}])
    assert code(gone) == "item_reference_invalid_item_id"


def test_a_session_for_transcripts_keeps_no_sound_and_gives_no_answers() -> None:
    live = session()
    update(live, turn_detection=None)
    append(live, TONE)
    found = send(live, "input_audio_buffer.commit")
    assert kinds(found)[-1] == "CommittedTurn"
    assert found[-1].transcribe
    assert live._conversation.items.all()[0].parts[0].clip is None
    for kind in ("response.create", "response.cancel", "conversation.item.create"):
        assert code(send(live, kind)) == "invalid_event_for_session"


def test_a_turn_is_answered_where_the_client_wants_that() -> None:
    live = session("realtime")
    found = append(live, TURN)
    assert kinds(found) == [
        "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done",
        "CommittedTurn", "response.created", "Reply",
    ]  # fmt: skip
    turn = next(one for one in found if isinstance(one, CommittedTurn))
    assert not turn.transcribe
    messages, clips = reply_to(found).plan.messages()
    assert messages == [{"role": "user", "content": [{"type": "audio"}]}]
    assert clips[0].clip is turn.samples
    update(live, turn_detection={"create_response": False})
    assert "Reply" not in kinds(append(live, TURN))
    manual = session("realtime")
    update(manual, turn_detection=None, transcription={"model": "whisper-1"})
    append(manual, TONE)
    found = send(manual, "input_audio_buffer.commit")
    assert kinds(found)[-1] == "CommittedTurn"
    assert found[-1].transcribe


def test_the_id_of_an_open_turn_is_taken() -> None:
    live = session("realtime")
    update(live, turn_detection={"create_response": False})
    (started,) = append(live, speech((0.5, 0), (0.6, 0.1)))
    assert code(create(live, text("x", id=started["item_id"]))) == "item_create_duplicate_id"
    found = append(live, speech((0.8, 0)))
    assert kinds(found)[-1] == "CommittedTurn"


def test_speech_interrupts_an_answer_unless_the_client_does_not_want_that() -> None:
    live = session("realtime")
    reply = reply_to(append(live, TURN))
    reply.push("I was just")
    found = append(live, TURN)
    (stopped,) = [one for one in found if isinstance(one, StoppedReply)]
    assert (stopped.reply, stopped.reason) == (reply, "turn_detected")
    events = reply.end("cancelled", reason=stopped.reason)
    done = events[-1]["response"]
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["output"][0]["status"] == "incomplete"
    second = reply_to(found)
    assert not live.ended(reply)
    update(live, turn_detection={"interrupt_response": False})
    assert "Reply" not in kinds(append(live, TURN))  # it waits for its turn
    created, third = live.ended(second)
    assert created["type"] == "response.created"  # type: ignore[index]
    assert isinstance(third, Reply)
    assert not live.ended(third)


def test_one_response_of_the_conversation_and_some_beside_it() -> None:
    live = session("realtime", beside=2)
    create(live, text("hi"))
    reply = reply_to(respond(live))
    assert code(respond(live)) == "conversation_already_has_active_response"
    beside = [reply_to(respond(live, conversation="none")) for _ in range(2)]
    assert code(respond(live, conversation="none")) == "too_many_responses"
    (stopped,) = send(live, "response.cancel", response_id=beside[0].id)
    assert stopped.reply is beside[0]
    (stopped,) = send(live, "response.cancel")
    assert stopped.reply is reply
    for more in ({}, {"response_id": reply.id}, {"response_id": [1]}):
        assert code(send(live, "response.cancel", **more)) == "response_cancel_not_active"
    live.ended(beside[1])
    reply_to(respond(live, conversation="none"))
    assert len(order(live)) == 1


def test_a_response_is_told_from_its_beginning_to_its_end() -> None:
    live = session("realtime")
    create(live, text("hi", id="a"))
    created, reply = respond(live, metadata={"topic": "x"})
    assert created["response"]["status"] == "in_progress"
    found = [*reply.push("Good"), *reply.push(" day"), *reply.end("completed", {"total_tokens": 7})]
    assert [one["type"].removeprefix("response.") for one in found] == [
        "output_item.added", "conversation.item.added", "content_part.added", "output_text.delta",
        "output_text.delta", "output_text.done", "content_part.done", "conversation.item.done",
        "output_item.done", "done",
    ]  # fmt: skip
    done = found[-1]["response"]
    assert done["metadata"] == {"topic": "x"}
    assert done["usage"] == {"total_tokens": 7}
    (item,) = done["output"]
    assert item["content"] == [{"type": "output_text", "text": "Good day"}]
    assert found[1]["previous_item_id"] == "a"
    assert order(live) == ["a", item["id"]]
    assert found[2]["part"] == {"type": "text", "text": ""}
    assert reply.push("more") == reply.end("completed") == []
    live.ended(reply)
    empty = reply_to(respond(live))
    (failed,) = empty.end("failed", error={"message": "no"})
    assert failed["response"]["output"] == []
    assert failed["response"]["status_details"] == {"type": "failed", "error": {"message": "no"}}


def test_what_is_put_before_the_model() -> None:
    live = session("realtime")
    send(live, "session.update", session={"instructions": "Be brief."})
    create(live, text("You are in Rome.", role="system"))
    create(live, sound(id="clip"))
    create(live, text("A bell.", role="assistant"))
    create(live, text("How often?"))
    messages, clips = reply_to(respond(live)).plan.messages()
    assert messages == [
        {"role": "system", "content": "Be brief.\n\nYou are in Rome."},
        {"role": "user", "content": [{"type": "audio"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A bell."}]},
        {"role": "user", "content": [{"type": "text", "text": "How often?"}]},
    ]
    assert len(clips) == 1
    referenced = {"conversation": "none", "input": [{"type": "item_reference", "id": "clip"}]}
    asked = reply_to(respond(live, **referenced, instructions="Who speaks?")).plan
    assert asked.messages()[0] == [
        {"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": "Who speaks?"}]}
    ]
    clip = next(item for item in live._conversation.items.all() if item.id == "clip").parts[0]
    clip.clip, clip.text = None, "ding"  # as where there was no room for its sound
    messages, clips = asked.messages()
    assert messages[-1]["content"][0] == {"type": "text", "text": "ding"}
    assert not clips
    nothing = reply_to(respond(live, conversation="none", input=[], instructions="Say hello."))
    assert nothing.plan.messages()[0] == [{"role": "user", "content": "Say hello."}]


def test_tasks_are_about_clips() -> None:
    live = session("realtime", beside=9)
    clip, words = {"type": "item_reference", "id": "clip"}, text("Is it loud?")
    assert code(respond(live, metadata={"task": "events"})) == "invalid_value"
    create(live, sound(id="clip"))
    create(live, sound(id="other"))
    create(live, text("hm"))
    for task in ("transcribe", "events", "caption"):
        plan = reply_to(
            respond(live, conversation="none", input=[clip], metadata={"task": task})
        ).plan
        assert (plan.task, len(plan.clips)) == (task, 1)
        assert code(respond(live, input=[clip, sound()], metadata={"task": task}))
    newest = reply_to(respond(live, conversation="none", metadata={"task": "caption"})).plan
    assert [item.id for item in newest.items] == ["other"]
    ask = {"conversation": "none", "metadata": {"task": "ask"}}
    assert reply_to(respond(live, **ask, input=[clip, words])).plan.question == "Is it loud?"
    both = respond(live, **ask, input=[clip, words], instructions="In a word:")
    assert reply_to(both).plan.question == "In a word:\nIs it loud?"
    send(live, "session.update", session={"instructions": "Be brief."})
    assert code(respond(live, **ask, input=[clip])) == "invalid_value"
    assert code(respond(live, metadata={"task": "sing"})) == "invalid_value"


@pytest.mark.parametrize(
    "session_fields",
    [
        {"output_modalities": ["audio"]},
        {"output_modalities": ["text", "audio"]},
        {"max_output_tokens": 0},
        {"max_output_tokens": "some"},
        {"instructions": 3},
        {"tools": [{"type": "function", "name": "f"}]},
        {"reasoning": {"effort": "extreme"}},
        {"model": "gpt-9"},
        {"type": "translation"},
    ],
)
def test_what_a_session_cannot_be_is_told_and_changes_nothing(session_fields: Any) -> None:
    live = session("realtime")
    before = live.created()["session"]
    (told,) = send(live, "session.update", session={"instructions": "x", **session_fields})
    assert told["type"] == "error"
    assert live.created()["session"] == before


@pytest.mark.parametrize(
    ("fields", "said", "param"),
    [
        ({"max_output_tokens": -1},
         "session.max_output_tokens: -1 must be at least 1 (or inf)", "session.max_output_tokens"),
        ({"instructions": "Be \ud800."},
         "session.instructions: it holds a lone surrogate, half of a character, and is no text: "
         "send UTF-8, or both halves", "session"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_in_one_clear_line(fields: Any, said: str, param: str) -> None:
    (told,) = send(session("realtime"), "session.update", session=fields)
    assert (told["error"]["message"], told["error"]["param"]) == (said, param)


def test_sessions_are_told_in_their_own_shapes() -> None:
    live = session("realtime")
    told = live.created()["session"]
    assert (told["object"], told["type"]) == ("realtime.session", "realtime")
    assert told["audio"]["input"]["transcription"] is None
    assert told["audio"]["input"]["turn_detection"]["create_response"] is True
    given = {"instructions": "Be brief.", "max_output_tokens": 7, "temperature": 0.8, "tools": []}
    (updated,) = send(live, "session.update", session=given)
    assert updated["session"]["instructions"] == "Be brief."
    assert updated["session"]["max_output_tokens"] == 7
    assert reply_to(respond(live, conversation="none")).plan.max_output_tokens == 7
    (updated,) = send(live, "session.update", session={"instructions": None})
    assert updated["session"]["instructions"] == ""
    (updated,) = send(live, "session.update", session={"type": "transcription"})
    told = updated["session"]
    assert (told["object"], told["type"]) == ("realtime.transcription_session", "transcription")
    assert told["audio"]["input"]["transcription"] == {"model": "moss"}
    assert "create_response" not in told["audio"]["input"]["turn_detection"]
    assert json.dumps(told)


def test_a_key_brings_its_session_with_it() -> None:
    setup = {"type": "realtime", "instructions": "Be brief.",
             "audio": {"input": {"turn_detection": None}}}  # fmt: skip
    live = RealtimeSession(lambda name: name or "moss", "", Limits(), "transcription", setup)
    told = live.created()["session"]
    assert told["instructions"] == "Be brief."
    assert told["audio"]["input"]["turn_detection"] is None
    create(live, text("hi"))
