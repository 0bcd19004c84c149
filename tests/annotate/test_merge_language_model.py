"""The language-model writer against a local endpoint: slots filled in, a retry, replacement."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from moss_audio.annotate.merge import MergeConfig, MergeStage
from moss_audio.annotate.merging.llm_writer import LlmConfig
from moss_audio.annotate.stage import StageItem
from moss_audio.errors import MossAudioError
from tests.annotate.merge_drafts import reply
from tests.annotate.merge_errors import QUIET, STREET, TALK
from tests.openai_server import ChatServer, chat_server

GOOD = reply(
    "{sound1} falls {sound1.when}.",
    "{sound2} is heard {sound2.when}, and {then} {sound3} sounds {sound3.when}.",
)
GOOD_TEXT = (
    "Rain falls from 0.0 to 12.0 seconds. A dog barking is heard from 1.2 to 2.0 and from 4.1 to "
    "4.9 seconds, and then a siren sounds from 5.5 to 9.8 seconds."
)
BAD = GOOD.replace("sounds", "drowns out a chainsaw")


@pytest.fixture
def endpoint() -> Iterator[ChatServer]:
    with chat_server(lambda request: GOOD) as server:
        yield server


def written(endpoint: ChatServer, **changes: Any) -> MergeConfig:
    llm = LlmConfig(endpoint.url, "writer-1", retries=0, workers=2)
    return MergeConfig("llm", llm=replace(llm, **changes))


def test_slots_become_the_caption(endpoint: ChatServer) -> None:
    endpoint.answer = lambda request: f"<think>rain first</think>\n{GOOD}"
    caption = MergeStage(written(endpoint)).caption(STREET)
    assert (caption.text, caption.writer, caption.rejected) == (GOOD_TEXT, "writer-1", 0)
    (request,) = endpoint.requests
    assert (request["temperature"], request["seed"], request["model"]) == (0, 0, "writer-1")
    shown = request["messages"][1]["content"]
    assert '"sound3": "a siren"' in shown
    assert "MUST\nsound1, sound2, sound3" in shown
    schema = json.dumps(request["response_format"]["json_schema"]["schema"])
    assert '"sound3.when"' in schema


def test_a_server_without_structured_output_is_asked_in_words(endpoint: ChatServer) -> None:
    endpoint.answer = lambda request: 400 if "response_format" in request else GOOD
    stage = MergeStage(written(endpoint))
    assert [stage.caption(STREET).text for _ in range(2)] == [GOOD_TEXT] * 2
    assert len(endpoint.requests) == 3
    assert '{"sentences"' in endpoint.requests[1]["messages"][0]["content"]


def test_faults_are_told_and_the_second_answer_is_taken(endpoint: ChatServer) -> None:
    endpoint.answer = lambda request: GOOD if len(request["messages"]) > 2 else BAD
    caption = MergeStage(written(endpoint)).caption(STREET)
    assert (caption.text, caption.rejected, caption.warnings) == (GOOD_TEXT, 1, ())
    assert "'chainsaw' is not in the evidence" in endpoint.requests[1]["messages"][3]["content"]


@pytest.mark.parametrize("answer", [BAD, "It rains.", "", reply("{sound1} falls.")])
def test_a_writer_that_never_learns_is_replaced_and_counted(
    endpoint: ChatServer, answer: str
) -> None:
    endpoint.answer = lambda request: answer
    caption = MergeStage(written(endpoint)).caption(STREET)
    assert caption.writer == "grounded"
    assert caption.text == MergeStage().caption(STREET).text
    assert caption.rejected == len(endpoint.requests) == 2
    assert "not grounded" in caption.warnings[0]


def test_without_evidence_there_is_nothing_to_ask_about(endpoint: ChatServer) -> None:
    assert MergeStage(written(endpoint)).caption(QUIET) == MergeStage().caption(QUIET)
    assert endpoint.requests == []


def test_an_endpoint_that_fails_costs_one_segment_not_the_run(endpoint: ChatServer) -> None:
    endpoint.answer = lambda request: 500 if "siren" in request["messages"][1]["content"] else BAD
    stage = MergeStage(written(endpoint))
    stage.setup()
    done = stage.process_batch([StageItem(s, lambda: None) for s in (STREET, TALK)])  # type: ignore[arg-type, return-value]
    first, second = (one.caption for one in done)
    assert first
    assert second
    assert "the server failed (500" in first.warnings[0]
    assert (first.writer, first.rejected) == ("grounded", 0)
    assert (second.writer, second.rejected) == ("grounded", 2)


def test_an_answer_that_never_comes_is_not_waited_for(endpoint: ChatServer) -> None:
    released = threading.Event()

    def late(request: dict[str, Any]) -> str:
        released.wait(5)
        return GOOD

    endpoint.answer = late
    caption = MergeStage(written(endpoint, timeout_s=0.3)).caption(STREET)
    released.set()
    assert (caption.writer, caption.rejected) == ("grounded", 0)
    assert "no answer within 0.3 s" in caption.warnings[0]


def test_a_refused_key_ends_the_run(endpoint: ChatServer) -> None:
    endpoint.answer = lambda request: 401
    with pytest.raises(MossAudioError, match="the key in OPENAI_API_KEY is missing or refused"):
        MergeStage(written(endpoint)).caption(STREET)


def test_address_and_model_may_come_from_the_environment(
    endpoint: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(MossAudioError, match="OPENAI_BASE_URL"):
        MergeStage(MergeConfig("llm")).setup()
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    monkeypatch.setenv("OPENAI_MODEL", "writer-2")
    caption = MergeStage(MergeConfig("llm")).caption(STREET)
    assert (caption.writer, endpoint.requests[0]["model"]) == ("writer-2", "writer-2")
    plain = MergeStage(MergeConfig()).fingerprint
    assert MergeStage(MergeConfig("llm")).fingerprint != plain
