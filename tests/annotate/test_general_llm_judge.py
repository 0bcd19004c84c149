"""A language model as judge, behind a local endpoint."""

import numpy as np
import pytest

from moss_audio.annotate.branches.general import GeneralConfig, general_branch
from moss_audio.annotate.records import AudioSegment, Recording, Span, ToolResult
from moss_audio.annotate.tools.general.judge import LlmJudge, LlmJudgeConfig, parse_verdict
from moss_audio.errors import MossAudioError
from tests.openai_server import chat_server

GOOD = '{"score": 4, "reason": "One time is late."}'


@pytest.fixture
def server():
    replies = []
    with chat_server(lambda request: replies.pop(0)) as server:
        server.replies = replies
        yield server


def judge(server, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "secret")
    return LlmJudge(LlmJudgeConfig(server.url, "m", key_env="JUDGE_KEY"))


def described(text="Dog bark from 1.0 to 2.0 s."):
    results = (
        ToolResult("e", "1", "general", "events", spans=(Span("dog bark", 1.0, 2.0, 0.8),)),
        ToolResult("d", "1", "general", "description", text=text),
    )
    return AudioSegment("r-0", Recording("r", "r", 4.0, 16_000, 1), 0.0, 4.0, results=results)


SAMPLES = np.zeros(4 * 16_000, np.float32)


def test_a_verdict(server, monkeypatch):
    server.replies += [f"<think>hm</think>```json\n{GOOD}\n```"]
    [found] = judge(server, monkeypatch).annotate(SAMPLES, described())
    assert (found.kind, found.score) == ("judge", 0.75)
    assert found.values == {"reason": "One time is late.", "of": "d"}
    [key], [body] = server.keys, server.requests
    assert (key, body["model"], body["temperature"]) == ("Bearer secret", "m", 0.0)
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["score", "reason"]
    assert "- dog bark: 1.0 to 2.0 s, sure 0.80" in body["messages"][1]["content"]
    assert body["messages"][1]["content"].endswith("Dog bark from 1.0 to 2.0 s.")


def test_a_server_that_knows_no_schema_is_asked_in_words(server, monkeypatch):
    server.replies += [400, GOOD]
    [found] = judge(server, monkeypatch).annotate(SAMPLES, described())
    assert (found.score, "response_format" in server.requests[1]) == (0.75, False)
    assert "JSON object" in server.requests[1]["messages"][0]["content"]


def test_one_retry_that_says_what_was_wrong(server, monkeypatch):
    server.replies += ["4 of 5", GOOD]
    [found] = judge(server, monkeypatch).annotate(SAMPLES, described())
    assert found.score == 0.75
    assert "not JSON" in server.requests[1]["messages"][-1]["content"]


def test_a_second_bad_reply_is_a_failure_and_no_number(server, monkeypatch):
    server.replies += ["fine", '{"score": 9, "reason": "great"}']
    [found] = judge(server, monkeypatch).annotate(SAMPLES, described())
    assert found.score is None
    assert "from 1 to 5" in found.values["failure"]
    assert found.warnings
    assert len(server.requests) == 2


def test_an_endpoint_that_refuses_stops_the_run(server, monkeypatch):
    server.replies += [401]
    with pytest.raises(MossAudioError, match="is missing or refused"):
        judge(server, monkeypatch).annotate(SAMPLES, described())


def test_nothing_to_judge_asks_nobody(server, monkeypatch):
    empty = AudioSegment("r-0", Recording("r", "r", 4.0, 16_000, 1), 0.0, 4.0)
    assert judge(server, monkeypatch).annotate(SAMPLES, empty) == []
    assert server.requests == []


@pytest.mark.parametrize(
    "reply",
    ["", "[4]", '{"score": 4}', '{"score": true, "reason": ""}', '{"score": 3.5, "reason": ""}',
     '{"score": 0, "reason": ""}', '{"score": 4, "reason": 4}', f"Sure: {GOOD}"],
)  # fmt: skip
def test_replies_that_are_no_verdict(reply):
    with pytest.raises(MossAudioError):
        parse_verdict(reply)


def test_a_server_that_moves_redoes_nothing():
    def stage(model, port):
        return general_branch(GeneralConfig(llm_judge=LlmJudgeConfig(f"http://h:{port}/v1", model)))

    assert stage("m", 1).fingerprint == stage("m", 2).fingerprint
    assert stage("m", 1).fingerprint != stage("n", 1).fingerprint
    assert stage("m", 1).fingerprint != general_branch().fingerprint
