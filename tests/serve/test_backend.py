"""Our front before another server: one of ours, or one that behaves as vLLM does."""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from websockets.exceptions import InvalidStatus

from moss_audio.engine import Request
from moss_audio.errors import CheckpointError, MossAudioError
from moss_audio.serve import backend as backend_module
from moss_audio.serve.backend import Backend
from tests.embedded import NEEDS_NANO
from tests.serve.conftest import FakeEngine, Running, serving, serving_model, wait_for, wav
from tests.served_engine import EngineServer, engine_server

STAMPED = "[0.10]Good[0.40][0.45]day[0.80]"


def said(request: Request) -> str:
    content: Any = request.messages[-1]["content"]
    question = content if isinstance(content, str) else content[-1]["text"]
    return STAMPED if "timestamp" in question.lower() else f"heard {len(request.clips)} clips"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_module, "_EVERY_S", 0.05)
    monkeypatch.setattr("moss_audio.endpoint.http._FIRST_PAUSE_S", 0.0)


@contextmanager
def fronting(url: str, **how: Any) -> Iterator[Running]:
    with serving_model(Backend(url, **how).load()) as front:
        yield front


def transcribe(running: Running, **fields: Any) -> Any:
    return running.post(
        "/v1/audio/transcriptions", files={"file": ("a.wav", wav(1.0))}, data=fields
    )


def chat(running: Running, **fields: Any) -> Any:
    sound = {"data": base64.b64encode(wav(1.0)).decode(), "format": "wav"}
    content = [{"type": "input_audio", "input_audio": sound}, {"type": "text", "text": "So?"}]
    body = {"messages": [{"role": "user", "content": content}], **fields}
    return running.post("/v1/chat/completions", json=body)


def without_ids(answer: Any) -> Any:
    return {key: value for key, value in answer.items() if key not in ("id", "created")}


class TestBeforeOneOfOurs:
    """What the front says is what the backend would have said."""

    @pytest.fixture
    def both(self) -> Iterator[tuple[Running, Running, FakeEngine]]:
        engine = FakeEngine(said, batch_size=4)
        with serving(engine) as behind, fronting(f"{behind.url}/v1#moss") as front:
            yield behind, front, engine

    @pytest.mark.parametrize(
        "fields",
        [
            {}, {"response_format": "text"}, {"response_format": "srt"},
            {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]},
            {"temperature": "0.5"},
        ],
    )  # fmt: skip
    def test_transcriptions(
        self, both: tuple[Running, Running, FakeEngine], fields: dict[str, Any]
    ) -> None:
        behind, front, _ = both
        there, here = transcribe(behind, **fields), transcribe(front, **fields)
        assert (here.status_code, here.headers["content-type"]) == (
            200, there.headers["content-type"],
        )  # fmt: skip
        if fields.get("response_format", "json") not in ("json", "verbose_json"):
            assert here.text == there.text
            return
        theirs, ours = there.json(), here.json()
        for segment in theirs.get("segments", ()):
            assert segment.pop("tokens")
        for segment in ours.get("segments", ()):
            assert segment.pop("tokens") == []  # the backend keeps its tokenizer to itself
        assert ours == theirs

    def test_log_probabilities_streams_and_other_tasks(
        self, both: tuple[Running, Running, FakeEngine]
    ) -> None:
        behind, front, _ = both
        there, here = (transcribe(one, include="logprobs").json() for one in (behind, front))
        assert here == there
        assert len(here["logprobs"]) == 3
        there, here = (transcribe(one, stream="true").text for one in (behind, front))
        assert here == there
        assert here.count("transcript.text.delta") == 3
        for path in ("events", "captions"):
            there, here = (
                one.post(f"/v1/audio/{path}", files={"file": ("a.wav", wav(1.0))}).json()
                for one in (behind, front)
            )
            assert here == there

    def test_conversations(self, both: tuple[Running, Running, FakeEngine]) -> None:
        behind, front, engine = both
        for fields in ({}, {"n": 2, "seed": 3}, {"logprobs": True, "top_logprobs": 2, "stop": "x"}):
            there, here = (without_ids(chat(one, **fields).json()) for one in (behind, front))
            if "logprobs" in fields:  # what else was likely is known by its number alone
                for choice in (*there["choices"], *here["choices"]):
                    for token in choice["logprobs"]["content"]:
                        assert len(token.pop("top_logprobs")) == 2
            assert here == there
        options = engine.requests[-1].options
        assert (options.stop, options.logprobs) == (("x",), 2)

    def test_a_live_turn_is_asked_about(self, both: tuple[Running, Running, FakeEngine]) -> None:
        _, front, engine = both
        with front.client().realtime.connect(extra_query={"intent": "transcription"}) as live:
            pcm = {"type": "audio/pcm", "rate": 16_000}
            sound: Any = {"format": pcm, "turn_detection": None}
            live.session.update(session={"type": "transcription", "audio": {"input": sound}})
            data = base64.b64encode(wav(1.0)[44:]).decode()
            live.input_audio_buffer.append(audio=data)
            live.input_audio_buffer.commit()
            for event in live:
                assert not event.type.endswith("failed"), event
                if event.type.endswith("completed"):
                    break
        assert event.transcript == "heard 1 clips"
        assert len(engine.requests[-1].clips[0]) == 16_000


def test_a_client_that_goes_away_is_gone_at_the_backend_too() -> None:
    engine = FakeEngine(lambda _: "word " * 500)
    engine.hold.clear()
    with serving(engine) as behind, fronting(f"{behind.url}/v1#moss") as front:
        quick_client = front.client(timeout=0.3)
        create: Any = quick_client.audio.transcriptions.create
        with pytest.raises(openai.APITimeoutError):
            create(file=("a.wav", wav(1.0)), model="moss")
        wait_for(lambda: len(set(engine.cancelled)) == 1)
        engine.hold.set()
        engine.pace = 0.01
        with create(file=("a.wav", wav(1.0)), model="moss", stream=True) as events:
            next(iter(events))
        wait_for(lambda: len(set(engine.cancelled)) == 2)
        assert engine.steps < 400
        engine.answer, engine.pace = said, 0.0
        assert transcribe(front).json()["text"] == "heard 1 clips"


def test_a_backend_that_is_gone_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    with engine_server(None) as behind, fronting(behind.url) as front:
        assert front.get("/health/ready").status_code == 200
        models, behind.models = behind.models, []
        wait_for(lambda: front.get("/health/ready").status_code == 503)
        assert "does not serve the model" in front.get("/health/ready").json()["message"]
        assert front.get("/health/live").status_code == 200
        for refused in (transcribe(front), chat(front)):
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "5"
            assert refused.json()["error"]["code"] == "backend_unavailable"
        assert front.metric("moss:backend_up") == 0
        behind.models = models
        wait_for(lambda: front.get("/health/ready").status_code == 200)
        assert front.metric("moss:backend_up") == 1
        behind.close()
        wait_for(lambda: front.get("/health/ready").status_code == 503)
        assert front.get("/health/ready").json()["message"] == "the backend cannot be reached"
        with (
            pytest.raises(InvalidStatus) as refusal,
            front.client().realtime.connect(extra_query={"intent": "transcription"}),
        ):
            pass
        assert refusal.value.response.status_code == 503
    assert [record.message for record in caplog.records if "backend" in record.message] == [
        "the backend does not serve the model any more",
        "the backend answers again",
        "the backend cannot be reached",
    ]


@pytest.mark.parametrize(
    ("faults", "status", "code", "message"),
    [
        ([400], 400, "invalid_request", "the backend refuses the request (400: status 400)"),
        ([401], 503, "backend_unavailable", "does not take the key of this server"),
        ([404], 503, "backend_unavailable", "does not have the model"),
        ([429] * 2, 503, "server_overloaded", "more work than it can do"),
        ([500] * 2, 503, "backend_unavailable", "the backend fails (500)"),
        ([b"data: nonsense\n\n"], 503, "backend_unavailable", "no OpenAI-compatible server"),
        ([b"data: [DONE]\n\n"], 503, "backend_unavailable", "cannot be used"),
        ([b""] * 2, 503, "backend_unavailable", "broke its answer off"),
        ([1.0], 503, "server_overloaded", "does not answer in time"),
    ],
)
def test_failures_of_the_backend(
    faults: list[Any], status: int, code: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with engine_server(None) as behind, fronting(behind.url, timeout_s=0.3) as front:
        caplog.set_level(logging.INFO, "moss_audio.serve")
        behind.faults += faults
        answer = transcribe(front, model="moss")
    assert not behind.faults
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert message in answer.json()["error"]["message"]
    assert behind.url not in answer.text
    assert ("retry-after" in answer.headers) is (status == 503)
    assert behind.url not in caplog.text
    assert not any(record.exc_info for record in caplog.records)


def test_a_dead_backend_is_not_asked_about_the_other_windows_of_a_recording() -> None:
    with (
        engine_server(None, max_model_len=700) as behind,  # room for windows of 27 s
        fronting(behind.url, concurrency=2) as front,
    ):
        behind.faults += [500] * 40
        files = {"file": ("a.wav", wav(200.0, rate=4000))}
        answer = front.post("/v1/audio/transcriptions", files=files)
        assert answer.status_code == 503
        assert len(behind.asked) <= 4


def told(*tokens: str, **last: Any) -> Any:
    """A server that sends these tokens."""

    def chunks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for token in tokens:
            yield {"choices": [{"delta": {"content": token}}]}
        yield {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        yield {"choices": [], **last}

    return chunks


def vllm_server() -> Any:
    """`EngineServer` without an engine: its `chunks` are set by the test."""
    return engine_server(None)


def test_what_the_backend_counted_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    details = {"cached_tokens": 33}
    usage = {"prompt_tokens": 77, "completion_tokens": 5, "prompt_tokens_details": details}
    with vllm_server() as behind, fronting(behind.url) as front:
        monkeypatch.setattr(behind, "chunks", told("so ", "it is", usage=usage))
        found = chat(front).json()["usage"]
        heard = transcribe(front).json()
    assert found == {
        "prompt_tokens": 77, "completion_tokens": 5, "total_tokens": 82,
        "prompt_tokens_details": {"audio_tokens": 13, "text_tokens": 64, "cached_tokens": 33},
    }  # fmt: skip
    assert heard["usage"]["output_tokens"] == 5
    assert heard["text"] == "so it is"


def test_requests_at_once_are_as_many_as_the_backend_may_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with vllm_server() as behind, fronting(behind.url, concurrency=3) as front:
        monkeypatch.setattr(behind, "chunks", told("so"))
        behind.faults += [0.1] * 8
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(transcribe(front).status_code))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 8
        assert behind.most_open == 3


def test_keys_of_the_backend_and_of_clients_are_different_ones(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("MOSS_AUDIO_BACKEND_API_KEY", "for-the-backend")
    monkeypatch.setenv("OPENAI_API_KEY", "for-others")
    engine = FakeEngine(said)
    with serving(engine, keys=("for-the-backend",)) as behind:
        with fronting(f"{behind.url}/v1#moss") as front:
            assert transcribe(front).json()["text"] == "heard 1 clips"
        monkeypatch.setenv("MOSS_AUDIO_BACKEND_API_KEY", "wrong-one")
        with pytest.raises(MossAudioError, match="key in MOSS_AUDIO_BACKEND_API_KEY"):
            Backend(f"{behind.url}/v1#moss").load()
    for secret in ("for-the-backend", "wrong-one", "for-others", "heard"):
        assert secret not in caplog.text


def test_it_waits_for_a_backend_that_still_loads(caplog: pytest.LogCaptureFixture) -> None:
    first = EngineServer(None)
    url, port = first.url, first.url.rpartition(":")[2].partition("/")[0]
    first.close()
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(Backend(url).load()), daemon=True)
    waiting.start()
    wait_for(lambda: "cannot be reached: waiting for it" in caplog.text)
    assert not found
    with engine_server(None, port=int(port)):
        waiting.join(5)
    assert found[0].engine.endpoint.model == "moss"


def test_a_model_that_the_backend_does_not_have() -> None:
    with engine_server(None) as behind, pytest.raises(CheckpointError, match="served: 'moss'"):
        Backend(f"{behind.url}#other").load()


class TestNano:
    pytestmark = NEEDS_NANO

    def test_with_the_checkpoint_words_have_times_and_segments_have_ids(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from tests.serve.test_command import SPEECH

        words = "I have a good idea."
        with vllm_server() as behind, fronting(behind.url, checkpoint="nano") as front:
            monkeypatch.setattr(behind, "chunks", ids_of(words))
            fields = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
            file = ("speech.wav", SPEECH.read_bytes())
            path = "/v1/audio/transcriptions"
            timed = front.post(path, files={"file": file}, data=fields).json()
            fields = {"response_format": "verbose_json"}
            segments = front.post(path, files={"file": file}, data=fields).json()["segments"]
        assert [word["word"] for word in timed["words"]] == words.split()
        times = [word[name] for word in timed["words"] for name in ("start", "end")]
        assert times == sorted(times)
        assert times[-1] > times[0]
        assert all(segment["tokens"] for segment in segments)


def ids_of(text: str) -> Any:
    """A server that writes a text, a token a word, and says what it is asked to say of tokens."""

    def chunks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number, word in enumerate(text.split()):
            piece = f" {word}" if number else word
            entry = {"token": f"token_id:{number}", "logprob": -0.1, "bytes": list(piece.encode())}
            yield {"choices": [{"delta": {"content": piece}, "token_ids": [number],
                                "logprobs": {"content": [entry]}}]}  # fmt: skip
        yield {"choices": [{"delta": {}, "finish_reason": "length", "token_ids": []}]}

    return chunks
