"""Conversations over real sockets, with OpenAI's client as it is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

import moss_audio
from moss_audio.engine.base import Request
from moss_audio.errors import PromptError
from moss_audio.recordings import load_audio
from moss_audio.serve.config import Limits
from tests.embedded import NEEDS_NANO
from tests.serve.conftest import FakeEngine, Running, serving, serving_model, wait_for
from tests.serve.realtime_sound import speech
from tests.serve.test_realtime import (
    STOP,
    TRANSCRIPTION,
    TURN,
    append,
    encoded,
    manual,
    message,
    receive,
    socket,
)

SPEECH = Path(__file__).parents[2] / "examples" / "speech.wav"
QUESTION = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "Who speaks?"}],
}


def until(events: Iterator[Any], kind: str) -> list[Any]:
    """Events up to one of a kind."""
    found = []
    for one in events:
        found.append(one)
        if one.type == kind:
            return found
    raise AssertionError("the connection was closed")


def asked(request: Request) -> str:
    """Answers with the last words of a prompt, so that a test sees what it was."""
    content = request.messages[-1]["content"]
    return content if isinstance(content, str) else str(content[-1].get("text", "sound alone"))


def of_kind(found: list[Any], kind: str) -> Any:
    (one,) = [one for one in found if one.type == kind]
    return one


def test_openais_client_talks() -> None:
    engine = FakeEngine(asked)
    with serving(engine) as running, running.client().realtime.connect(model="moss") as live:
        assert live.recv().session.type == "realtime"  # type: ignore[union-attr]
        live.session.update(session={"type": "realtime", "instructions": "Be brief.",
                                     "output_modalities": ["text"]})  # fmt: skip
        live.conversation.item.create(item=QUESTION)  # type: ignore[arg-type]
        live.response.create()
        found = until(iter(live), "response.done")
    assert [one.type for one in found] == [
        "session.updated", "conversation.item.added", "conversation.item.done", "response.created",
        "response.output_item.added", "conversation.item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.delta", "response.output_text.done",
        "response.content_part.done", "conversation.item.done", "response.output_item.done",
        "response.done",
    ]  # fmt: skip
    assert of_kind(found, "response.output_text.done").text == "Who speaks?"
    done = found[-1].response
    assert done.status == "completed"
    assert done.output[0].content[0].text == "Who speaks?"
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (
        100, 2, 102)  # fmt: skip
    (request,) = engine.requests
    assert [one["role"] for one in request.messages] == ["system", "user"]


def test_a_spoken_turn_is_transcribed_and_answered() -> None:
    with serving(FakeEngine(), cost=0.001) as running, socket(running, "") as client:
        client.send(message("session.update", session={
            "audio": {"input": {"transcription": {"model": "whisper-1"}}}}))  # fmt: skip
        client.send(append(TURN))
        told = set()
        item = ""
        while not {"response.done", f"{TRANSCRIPTION}.completed"} <= told:
            found = receive(client)
            told.add(found["type"])
            if found["type"] == STOP + "ted":
                item = found["item_id"]
            if found["type"] == "response.done":
                assert found["response"]["output"][0]["content"][0]["text"] == "hello there"
        client.send(message("conversation.item.retrieve", item_id=item))
        kept = receive(client, "conversation.item.retrieved")["item"]["content"][0]
    assert kept["transcript"] == "hello there"
    assert len(kept["audio"]) > 30_000


def test_openais_client_asks_about_an_item() -> None:
    engine = FakeEngine(asked)
    with serving(engine) as running, running.client().realtime.connect(model="moss") as live:
        live.send(json.loads(manual()))
        live.input_audio_buffer.append(audio=encoded(TURN))
        live.input_audio_buffer.commit()
        item = of_kind(until(iter(live), "conversation.item.done"), STOP + "ted").item_id
        for instructions in ("Is it loud?", "Is it far?"):
            live.response.create(response={
                "conversation": "none", "input": [{"type": "item_reference", "id": item}],
                "instructions": instructions, "metadata": {"task": "ask"},
            })  # fmt: skip
            done: Any = until(iter(live), "response.done")[-1]
            assert done.response.conversation_id is None
            assert done.response.metadata == {"task": "ask"}
            assert done.response.output[0].content[0].text == instructions
            assert done.response.result["text"] == instructions
            assert done.response.result["type"] == "answer"
        live.conversation.item.retrieve(item_id=item)
        kept: Any = live.recv()
        assert kept.item.id == item
    clips = [request.clips[0] for request in engine.requests]
    assert (clips[0] == clips[1]).all()
    assert all(request.reuse for request in engine.requests)


@pytest.mark.parametrize(
    ("task", "answer", "text", "kind"),
    [
        ("transcribe", "hello there", "hello there", "transcript"),
        ("caption", "A tone.", "A tone.", "caption"),
        ("events", "0.10 - 0.50: beep", "0.10", "timeline"),
    ],
)
def test_tasks_give_text_and_a_result(task: str, answer: str, text: str, kind: str) -> None:
    item = {"type": "message", "role": "user",
            "content": [{"type": "input_audio", "audio": encoded(TURN)}]}  # fmt: skip
    with serving(FakeEngine(lambda _: answer)) as running, socket(running, "") as client:
        client.send(message("response.create", response={
            "conversation": "none", "input": [item], "metadata": {"task": task}}))  # fmt: skip
        done = receive(client, "response.done")["response"]
    assert done["status"] == "completed"
    assert text in done["output"][0]["content"][0]["text"]
    assert done["result"]["type"] == kind
    assert done["usage"]["output_tokens"] == len(answer.split())


def test_every_event_is_as_openais_types_say(running: Running) -> None:
    kinds = set()
    with socket(running, "") as client:
        for sent in (
            message("session.update", session={"instructions": "Be brief."}),
            append(TURN),
            message("conversation.item.create", item={**QUESTION, "id": "mine"}),
            message("conversation.item.retrieve", item_id="mine"),
            message("conversation.item.delete", item_id="mine"),
            message("response.cancel", response_id="none"),
            message("response.create", response={"conversation": "none", "input": [QUESTION]}),
        ):
            client.send(sent)
        dones = 0
        while dones < 2:
            found = receive(client)
            kinds.add(found["type"])
            dones += found["type"] == "response.done"
            told: Any = TypeAdapter(RealtimeServerEvent).validate_python(found)
            assert told.to_dict().items() <= found.items()
    assert len(kinds) >= 18
    assert "error" in kinds


def test_a_cancelled_response_frees_the_model_and_is_told() -> None:
    engine = FakeEngine(lambda _: " ".join(["word"] * 10_000), pace=0.001)
    with serving(engine) as running, running.client().realtime.connect(model="moss") as live:
        live.recv()
        live.conversation.item.create(item=QUESTION)  # type: ignore[arg-type]
        live.response.create()
        until(iter(live), "response.output_text.delta")
        live.response.cancel()
        found = until(iter(live), "response.done")
        wait_for(lambda: running.service.admission.idle)
        steps = engine.steps
        done = found[-1].response
        assert done.status == "cancelled"
        assert done.status_details.reason == "client_cancelled"
        assert done.usage.output_tokens > 0
        assert done.output[0].status == "incomplete"
        assert len(done.output[0].content[0].text.split()) <= steps < 5000
        engine.answer = lambda _: "short"
        live.response.create()  # the conversation is free again
        assert until(iter(live), "response.done")[-1].response.status == "completed"


def test_speech_interrupts_and_the_new_turn_is_answered() -> None:
    engine = FakeEngine(lambda _: " ".join(["word"] * 10_000), pace=0.001)
    with serving(engine) as running, socket(running, "") as client:
        client.send(append(TURN))
        receive(client, "response.output_text.delta")
        client.send(append(speech((0.5, 0.1))))
        done = receive(client, "response.done")["response"]
        assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        engine.answer = lambda _: "fine"
        client.send(append(speech((1.0, 0))))
        again = receive(client, "response.done")["response"]
        assert again["output"][0]["content"][0]["text"] == "fine"


def test_the_oldest_items_go_where_not_all_fit() -> None:
    class Small(FakeEngine):
        """A prompt of three messages at most."""

        def check(self, request: Request) -> int:
            if len(request.messages) > 3:
                raise PromptError("the prompt is too long")
            return 10

    engine = Small(asked)
    with serving(engine) as running, socket(running, "") as client:
        client.send(message("session.update", session={"instructions": "Be brief."}))
        for number in range(9):
            said = [{"type": "input_text", "text": f"{number}"}]
            client.send(message("conversation.item.create", item={**QUESTION, "content": said}))
        client.send(message("response.create"))
        assert receive(client, "response.done")["response"]["status"] == "completed"
        (request,) = engine.requests
        texts = [one["content"] for one in request.messages]
        assert texts == ["Be brief.", *([{"type": "text", "text": text}] for text in "78")]
        items = [{**QUESTION} for _ in range(4)]
        client.send(message("response.create", response={"conversation": "none", "input": items}))
        assert receive(client, "response.done")["response"]["status"] == "failed"


def test_a_response_that_is_too_long_is_incomplete() -> None:
    with serving(FakeEngine(reason="length")) as running, socket(running, "") as client:
        client.send(message("conversation.item.create", item=QUESTION))
        client.send(message("response.create", response={"max_output_tokens": 2}))
        done = receive(client, "response.done")["response"]
    assert done["status"] == "incomplete"
    assert done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}


def test_a_response_that_fails_is_told_and_the_session_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said: Iterator[Any] = iter([RuntimeError("private"), "fine"])

    def answer(_: Any) -> str:
        now = next(said)
        if isinstance(now, str):
            return now
        raise now

    with serving(FakeEngine(answer)) as running, socket(running, "") as client:
        client.send(message("conversation.item.create", item=QUESTION))
        for status in ("failed", "completed"):
            client.send(message("response.create"))
            found = receive(client, "response.done")["response"]
            assert found["status"] == status
            assert "private" not in json.dumps(found)


def test_what_is_asked_beside_the_conversation_may_be_refused() -> None:
    engine = FakeEngine()
    with serving(engine, limits=Limits(waiting=1)) as running, socket(running, "") as client:
        engine.hold.clear()
        beside = message("response.create", response={"conversation": "none", "input": [QUESTION]})
        for _ in range(3):
            client.send(beside)
        done = receive(client, "response.done")["response"]
        assert done["status"] == "failed"
        assert done["status_details"]["error"]["code"] == "server_overloaded"
        client.send(message("conversation.item.create", item=QUESTION))
        client.send(message("response.create"))
        wait_for(lambda: len(engine.requests) == 2)  # that of the conversation is not
        engine.hold.set()
        for _ in range(3):
            assert receive(client, "response.done")["response"]["status"] == "completed"


def test_who_leaves_in_the_middle_of_a_response_frees_the_model() -> None:
    engine = FakeEngine(lambda _: " ".join(["word"] * 10_000), pace=0.001)
    with serving(engine) as running:
        with socket(running, "") as client:
            client.send(message("conversation.item.create", item=QUESTION))
            client.send(message("response.create"))
            receive(client, "response.output_text.delta")
        wait_for(lambda: running.service.admission.idle)
        assert engine.steps < 5000


class TestNano:
    pytestmark = NEEDS_NANO

    def test_questions_about_what_was_said(self) -> None:
        model = moss_audio.load("nano", engine="onnx")
        pcm = (load_audio(SPEECH).samples * 32767).astype("<i2")
        clip = (pcm.astype("float32") / 32768, 16_000)
        found = {}
        with serving_model(model) as running:
            with running.client().realtime.connect(model="moss") as live:
                live.send(json.loads(manual(format={"type": "audio/pcm", "rate": 16_000})))
                live.input_audio_buffer.append(audio=encoded(pcm.tobytes()))
                live.input_audio_buffer.commit()
                item = of_kind(until(iter(live), "conversation.item.done"), STOP + "ted").item_id
                for task in ("transcribe", "events", "ask"):
                    live.response.create(response={
                        "conversation": "none", "input": [{"type": "item_reference", "id": item}],
                        "metadata": {"task": task}, "instructions": "Is there speech?",
                    })  # fmt: skip
                    found[task] = until(iter(live), "response.done")[-1].response
            wait_for(lambda: running.service.admission.idle)
        assert found["transcribe"].output[0].content[0].text == model.transcribe(clip).text
        assert len(found["transcribe"].result["words"]) > 10
        assert found["events"].result["events"][0]["label"] == "speech"
        assert found["ask"].output[0].content[0].text == model.ask(clip, "Is there speech?").text
        for task in ("transcribe", "events", "ask"):  # the clip was computed as it came
            details = found[task].usage.input_token_details
            assert details.cached_tokens > 0.9 * details.audio_tokens

    def test_the_scheduler_is_free_within_a_step(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = moss_audio.load("nano", engine="onnx")
        engine: Any = model.engine
        scheduler, forward = engine.scheduler, engine.runner.forward

        def slowly(*arguments: Any) -> Any:
            time.sleep(0.1)
            return forward(*arguments)

        monkeypatch.setattr(engine.runner, "forward", slowly)
        with serving_model(model) as running, socket(running, "") as client:
            client.send(message("conversation.item.create", item=QUESTION))
            client.send(message("response.create"))
            receive(client, "response.created")
            wait_for(lambda: scheduler.stats().rows + scheduler.stats().filling > 0)
            client.send(message("response.cancel"))
            done = receive(client, "response.done")["response"]
            told = scheduler.stats()
            wait_for(lambda: running.service.admission.idle)
            last = scheduler.stats()
        assert done["status"] == "cancelled"
        assert (last.rows, last.filling, last.waiting) == (0, 0, 0)
        assert last.cancelled == 1
        assert last.steps - told.steps <= 2
