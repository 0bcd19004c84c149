"""Realtime over real sockets: OpenAI's client, keys, limits, and the end."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import moss_audio
from moss_audio.serve.config import Limits
from tests.embedded import NEEDS_NANO
from tests.serve.conftest import FakeEngine, Running, serving, serving_model, wait_for
from tests.serve.realtime_sound import EVENTS, speech

SPEECH = Path(__file__).parents[2] / "examples" / "speech.wav"
STOP = "input_audio_buffer.commit"
TRANSCRIPTION = "conversation.item.input_audio_transcription"
TURN = speech((0.5, 0), (0.6, 0.1), (0.8, 0))


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def message(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def append(data: bytes) -> str:
    return message("input_audio_buffer.append", audio=encoded(data))


def manual(**given: Any) -> str:
    return message("session.update",
                   session={"audio": {"input": {"turn_detection": None, **given}}})  # fmt: skip


def socket(running: Running, query: str = "?intent=transcription", **options: Any) -> Any:
    url = running.url.replace("http", "ws") + "/v1/realtime" + query
    return connect(url, proxy=None, **options)


def receive(client: ClientConnection, kind: str | None = None) -> dict[str, Any]:
    """The next event, or the next of a kind."""
    while True:
        found: dict[str, Any] = json.loads(client.recv(timeout=20))
        if kind in (None, found["type"]):
            return found


def closed(client: ClientConnection) -> int | None:
    """The code with which the server closes."""
    with pytest.raises(ConnectionClosed) as caught:
        receive(client, "never")
    return None if caught.value.rcvd is None else caught.value.rcvd.code


def heard(events: Iterator[Any], turns: int) -> list[Any]:
    """Events until so many transcripts are complete."""
    found = []
    for one in events:
        found.append(one)
        turns -= one.type.endswith(("completed", "failed"))
        if not turns:
            return found
    raise AssertionError("the connection was closed")


def test_openais_client_with_turns_found_by_the_server(running: Running) -> None:
    client = running.client()
    with client.realtime.connect(extra_query={"intent": "transcription"}) as live:
        assert live.recv().type == "session.created"
        live.session.update(session={
            "type": "transcription",
            "audio": {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": {
                "type": "server_vad", "prefix_padding_ms": 200, "silence_duration_ms": 300}}},
        })  # fmt: skip
        for _ in range(2):
            for place in range(0, len(TURN), 4801):
                live.input_audio_buffer.append(audio=encoded(TURN[place : place + 4801]))
        found = heard(iter(live), 2)
    assert found[0].type == "session.updated"
    assert found[0].session.audio.input.turn_detection.silence_duration_ms == 300
    done = [one for one in found if one.type == f"{TRANSCRIPTION}.completed"]
    items = [one.item_id for one in found if one.type == "input_audio_buffer.speech_started"]
    assert [one.item_id for one in done] == items
    for one in done:
        assert one.transcript == "hello there"
        assert one.usage.type == "tokens"
        assert one.usage.total_tokens == one.usage.input_tokens + one.usage.output_tokens > 0
        deltas = [x.delta for x in found
                  if x.type == f"{TRANSCRIPTION}.delta" and x.item_id == one.item_id]  # fmt: skip
        assert deltas == ["hello", " there"]
    kinds = [one.type for one in found]
    assert kinds.index("input_audio_buffer.committed") < kinds.index("conversation.item.added")
    assert "error" not in kinds


def test_openais_client_that_commits_by_itself(running: Running) -> None:
    with running.client().realtime.connect(model="moss") as live:
        live.session.update(
            session={"type": "transcription", "audio": {"input": {"turn_detection": None}}}
        )
        live.input_audio_buffer.append(audio=encoded(TURN))
        live.input_audio_buffer.commit()
        found = heard(iter(live), 1)
        live.input_audio_buffer.commit()
        failed = live.recv()
    assert [one.type for one in found] == [
        "session.created", "session.updated", STOP + "ted", "conversation.item.added",
        "conversation.item.done", f"{TRANSCRIPTION}.delta", f"{TRANSCRIPTION}.delta",
        f"{TRANSCRIPTION}.completed",
    ]  # fmt: skip
    assert failed.type == "error"
    assert failed.error.code == "input_audio_buffer_commit_empty"


def test_silence_is_an_empty_transcript_and_the_model_is_not_asked(
    running: Running, engine: FakeEngine
) -> None:
    with socket(running) as client:
        for sent in (manual(), append(bytes(48_000)), message(STOP)):
            client.send(sent)
        done = receive(client, f"{TRANSCRIPTION}.completed")
    assert done["transcript"] == ""
    assert done["usage"]["total_tokens"] == 0
    assert done["words"] == []
    assert not engine.requests


def test_a_failure_is_told_of_its_turn_and_the_session_stays() -> None:
    said: Iterator[Any] = iter([RuntimeError("private"), "fine"])

    def answer(_: Any) -> str:
        now = next(said)
        if isinstance(now, str):
            return now
        raise now

    with serving(FakeEngine(answer)) as running, socket(running) as client:
        client.send(manual())
        for _ in range(2):
            client.send(append(TURN))
            client.send(message(STOP))
        failed = receive(client, f"{TRANSCRIPTION}.failed")
        assert failed["error"]["code"] == "internal"
        assert "private" not in json.dumps(failed)
        assert receive(client, f"{TRANSCRIPTION}.completed")["transcript"] == "fine"


@pytest.mark.parametrize(
    ("query", "options", "status"),
    [
        ("", {}, 401),
        ("", {"additional_headers": {"authorization": "Bearer wrong"}}, 401),
        ("", {"subprotocols": ["realtime", "openai-insecure-api-key.wrong"]}, 401),
        ("", {"subprotocols": ["realtime", "openai-insecure-api-key.sesame"]}, 101),
        ("", {"additional_headers": {"authorization": "Bearer sesame"}}, 101),
        ("?model=whisper-1", {"additional_headers": {"authorization": "Bearer sesame"}}, 101),
        ("?model=gpt-9", {"additional_headers": {"authorization": "Bearer sesame"}}, 404),
        ("", {"origin": "https://evil.example"}, 403),
    ],
)
def test_who_may_not_is_told_before_the_socket_is_open(
    query: str, options: dict[str, Any], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(FakeEngine(), keys=("sesame",)) as running:
        if status == 101:
            with socket(running, query, **options) as client:
                assert receive(client)["type"] == "session.created"
                offered = "subprotocols" in options
                assert client.subprotocol == ("realtime" if offered else None)
            return
        with pytest.raises(InvalidStatus) as caught:
            socket(running, query, **options)
        assert caught.value.response.status_code == status
        assert json.loads(caught.value.response.body or b"")["error"]["message"]
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_sessions_are_counted_at_the_handshake() -> None:
    with serving(FakeEngine(), limits=Limits(sessions=2)) as running:
        active = "moss:websocket_connections_active"
        with socket(running) as one, socket(running):
            assert running.metric(active) == 2
            began = time.monotonic()
            with pytest.raises(InvalidStatus) as caught:
                socket(running)
            assert time.monotonic() - began < 1
            assert caught.value.response.status_code == 503
            assert int(caught.value.response.headers["retry-after"]) <= 120
            one.send(message("session.update", session={}))
            assert receive(one, "session.updated")
        wait_for(lambda: running.metric(active) == 0)
        with socket(running):
            pass


def test_a_key_cannot_take_all_sessions() -> None:
    with serving(FakeEngine(), keys=("a", "b"), limits=Limits(sessions=4)) as running:
        a, b = ({"authorization": f"Bearer {key}"} for key in "ab")
        with socket(running, additional_headers=a), socket(running, additional_headers=a):
            with pytest.raises(InvalidStatus) as caught:
                socket(running, additional_headers=a)
            assert caught.value.response.status_code == 429
            with socket(running, additional_headers=b) as client:
                assert receive(client)["type"] == "session.created"


def test_hypotheses_come_while_somebody_speaks_if_they_are_asked_for() -> None:
    engine = FakeEngine(lambda request: " ".join("abcdefgh"[: len(request.clips[0]) // 8000]))
    include = ["item.input_audio_transcription.hypothesis"]
    with serving(engine) as running, socket(running) as client:
        client.send(manual())
        client.send(append(speech((2, 0.1))))
        time.sleep(0.5)
        assert not engine.requests
        client.send(message("session.update", session={"include": include}))
        one = receive(client, f"{TRANSCRIPTION}.hypothesis")
        client.send(append(speech((1, 0.1))))
        two = receive(client, f"{TRANSCRIPTION}.hypothesis")
        client.send(append(speech((0.1, 0.1))))  # too little for a further one
        client.send(message(STOP))
        done = receive(client, f"{TRANSCRIPTION}.completed")
    assert (one["text"], one["stable_chars"]) == ("a b c", 0)
    assert (two["text"], two["stable_chars"]) == ("a b c d e", 5)
    assert one["item_id"] == two["item_id"] == done["item_id"]
    assert done["transcript"] == "a b c d e f"
    assert [request.draft for request in engine.requests] == ["", one["text"], two["text"]]
    assert [request.priority for request in engine.requests] == [-2, -2, 1]


def test_a_commit_does_not_wait_for_a_hypothesis() -> None:
    engine = FakeEngine()
    with serving(engine) as running, socket(running) as client:
        include = ["item.input_audio_transcription.hypothesis"]
        client.send(manual())
        client.send(message("session.update", session={"include": include}))
        engine.hold.clear()
        client.send(append(speech((2, 0.1))))
        wait_for(lambda: len(engine.requests) == 1)
        client.send(message(STOP))
        receive(client, STOP + "ted")
        wait_for(lambda: len(engine.requests) == 2)
        assert len(engine.cancelled) == 1
        engine.hold.set()
        while (found := receive(client))["type"] != f"{TRANSCRIPTION}.completed":
            assert not found["type"].endswith("hypothesis")


def test_every_event_is_as_openais_types_say(running: Running) -> None:
    include = ["item.input_audio_transcription.logprobs"]
    kinds = set()
    with socket(running) as client:
        client.send(message("session.update", session={"include": include}))
        for sent in (append(TURN), message(STOP), append(TURN[:20_000]), message(STOP),
                     message("input_audio_buffer.clear"), message("response.create")):  # fmt: skip
            client.send(sent)
        while "error" not in kinds or f"{TRANSCRIPTION}.completed" not in kinds:
            found = receive(client)
            kinds.add(found["type"])
            event: Any = TypeAdapter(RealtimeServerEvent).validate_python(found)
            assert event.to_dict().items() <= found.items()
            if found["type"] == f"{TRANSCRIPTION}.completed" and event.transcript:
                assert [one.logprob for one in event.logprobs] == [-0.5, -0.5]
    assert len(kinds) >= 10


def test_sessions_do_not_hear_each_other() -> None:
    engine = FakeEngine(lambda request: f"{sum(map(len, request.clips))} samples", batch_size=2)

    def speak(index: int) -> None:
        with socket(running) as client:
            client.send(manual(format={"type": "audio/pcm", "rate": 16_000}))
            for turn in range(3):
                n = 4000 + 100 * index + turn
                client.send(append(speech((1, 0.1), rate=16_000)[: 2 * n]))
                client.send(message(STOP))
                item = receive(client, STOP + "ted")["item_id"]
                done = receive(client, f"{TRANSCRIPTION}.completed")
                assert (done["item_id"], done["transcript"]) == (item, f"{n} samples")

    with serving(engine) as running, ThreadPoolExecutor(8) as pool:
        list(pool.map(speak, range(8)))


def test_an_admitted_session_is_not_refused_when_requests_fill_the_server() -> None:
    engine = FakeEngine()
    with serving(engine, limits=Limits(waiting=1)) as running, socket(running) as client:
        engine.hold.clear()
        how = {"json": {"messages": [{"role": "user", "content": "hi"}]}}
        asked = [
            threading.Thread(target=running.post, args=("/v1/chat/completions",), kwargs=how)
            for _ in range(2)
        ]
        for one in asked:
            one.start()
        wait_for(lambda: running.service.admission.full)
        with pytest.raises(InvalidStatus):
            socket(running)
        for sent in (manual(), append(TURN), message(STOP)):
            client.send(sent)
        wait_for(lambda: len(engine.requests) == 2)  # its turn began beside the request
        assert engine.requests[1].priority > engine.requests[0].priority
        engine.hold.set()
        assert receive(client, f"{TRANSCRIPTION}.completed")["transcript"] == "hello there"
        for one in asked:
            one.join()


def test_who_leaves_frees_the_model() -> None:
    engine = FakeEngine(lambda _: " ".join(["word"] * 10_000), pace=0.001)
    with serving(engine) as running:
        with socket(running) as client:
            for sent in (manual(), append(TURN), message(STOP)):
                client.send(sent)
            receive(client, f"{TRANSCRIPTION}.delta")
        wait_for(lambda: running.metric("moss:num_requests_running") == 0)
        assert engine.steps < 5000


def test_nothing_is_left_of_clients_that_vanish(caplog: pytest.LogCaptureFixture) -> None:
    engine = FakeEngine(pace=0.002, batch_size=2)
    include = ["item.input_audio_transcription.hypothesis"]
    with serving(engine, limits=Limits(sessions=100)) as running:
        for cycle in range(100):
            client = socket(running).__enter__()
            client.send(manual())
            client.send(message("session.update", session={"include": include}))
            client.send(append(TURN))
            for _ in range(cycle % 4):
                client.send(append(TURN))
                client.send(message(STOP))
            if cycle % 3 == 0:
                receive(client, STOP + "ted" if cycle % 4 else "session.updated")
            client.socket.shutdown(SHUT_RDWR)  # without a word
        wait_for(lambda: running.metric("moss:websocket_connections_active") == 0)
        wait_for(lambda: running.service.admission.idle)
        wait_for(lambda: not running.server.server_state.tasks)
        assert not running.server.server_state.connections
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def transcribed(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": {"transcription": fields}}}


def test_who_does_not_read_is_let_go() -> None:
    with (
        serving(FakeEngine(), limits=Limits(write_s=1.0)) as running,
        socket(running, max_queue=1) as client,
    ):
        told = message("session.update", session=transcribed(prompt="x" * 200_000))
        try:
            for _ in range(200):
                client.send(told)
        except ConnectionClosed:
            pass
        wait_for(lambda: running.metric("moss:websocket_connections_active") == 0)
        assert closed(client) == 1013


def test_limits_of_a_message_and_of_a_session() -> None:
    limits = Limits(message_bytes=100_000, session_s=1.0)
    with serving(FakeEngine(), limits=limits) as running:
        with socket(running) as client:
            client.send(append(bytes(100_000)))
            assert closed(client) == 1009
        with socket(running) as client:
            assert closed(client) == 1001


def test_the_server_ends_when_what_was_said_is_transcribed() -> None:
    engine = FakeEngine()
    with serving(engine) as running, socket(running) as busy, socket(running) as idle:
        engine.hold.clear()
        for sent in (manual(), append(TURN), message(STOP)):
            busy.send(sent)
        wait_for(lambda: bool(engine.requests))
        running.server.should_exit = True
        assert closed(idle) == 1001
        engine.hold.set()
        assert receive(busy, f"{TRANSCRIPTION}.completed")["transcript"] == "hello there"
        assert closed(busy) == 1001


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(EVENTS, max_size=8), st.binary(max_size=9))
def test_no_events_close_the_socket(running: Running, events: list[Any], noise: bytes) -> None:
    with socket(running) as client:
        client.send(noise)
        for one in events:
            client.send(json.dumps(one))
        last = transcribed(prompt="the end")
        client.send(message("session.update", event_id="last", session=last))
        while "the end" not in str(receive(client, "session.updated")["session"]["audio"]):
            pass


def test_the_log_says_when_a_session_ended(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "moss_audio.serve"):
        with socket(running) as client:
            client.send(os.urandom(20))
            assert receive(client, "error")["error"]["code"] == "invalid_json"
        wait_for(lambda: "WS /v1/realtime 101" in caplog.text)
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


class TestNano:
    pytestmark = NEEDS_NANO

    def test_it_hears_what_the_file_says(self) -> None:
        with wave.open(str(SPEECH)) as file:
            data, rate = file.readframes(file.getnframes()), file.getframerate()
        model = moss_audio.load("nano", engine="onnx")
        expected = model.transcribe(SPEECH).text
        form = {"format": {"type": "audio/pcm", "rate": rate}}
        with serving_model(model) as running:
            client: openai.OpenAI = running.client()
            with client.realtime.connect(extra_query={"intent": "transcription"}) as live:
                live.send(json.loads(manual(**form)))
                for place in range(0, len(data), 6401):
                    live.input_audio_buffer.append(audio=encoded(data[place : place + 6401]))
                live.input_audio_buffer.commit()
                found = heard(iter(live), 1)
                turns = {"turn_detection": {"type": "server_vad"}}
                live.send(json.loads(manual(**form, **turns)))
                live.input_audio_buffer.append(audio=encoded(data + bytes(rate * 2)))
                by_turns = heard(iter(live), 2)
        done: Any = found[-1]
        assert done.transcript == expected
        deltas = [one.delta for one in found if one.type == f"{TRANSCRIPTION}.delta"]
        assert "".join(deltas) == expected
        assert len(deltas) > 5
        assert [word["word"] for word in done.words] == expected.split()
        assert done.words[-1]["end"] <= len(data) / 2 / rate
        assert done.usage.input_token_details.audio_tokens > 50
        two = [one.transcript for one in by_turns if one.type == f"{TRANSCRIPTION}.completed"]
        assert len(two) == 2
        assert all(two)
