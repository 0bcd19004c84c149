"""This package's own client of servers, before this package's own server."""

from __future__ import annotations

from typing import Any

import moss_audio
from moss_audio.engine import Request
from tests.serve.conftest import FakeEngine, serving, serving_model, wav


def said(request: Request) -> str:
    content: Any = request.messages[-1]["content"]
    question = content if isinstance(content, str) else content[-1]["text"]
    return f"{question.split()[0].lower()} {len(request.clips[0]) if request.clips else 0}"


def test_it_hears_and_asks_as_beside_the_model() -> None:
    engine = FakeEngine(said)
    with serving(engine) as running:
        model = moss_audio.load(f"{running.url}/v1#moss")
        assert model.transcribe(wav(2)).text == "transcribe 32000"
        assert model.ask(wav(1), "Who speaks?").text == "who 16000"
        assert "".join(model.stream(wav(1), "Who speaks?")) == "who 16000"
        model.ask(wav(1), "Why?", thinking=False)
    assert engine.requests[-1].options.thinking is False
    assert all(request.options.top_k == 0 for request in engine.requests)


def test_a_thought_goes_from_server_to_server() -> None:
    """It begins an answer and has it continued, also where the other is a front to a third."""

    def thought(request: Request) -> str:
        assert request.continues
        assert request.messages[-1]["content"] == "<think>\n"
        assert request.options.thinking_budget == 5
        return "It barks.\n</think>\n\nA dog."

    engine = FakeEngine(thought)
    with (
        serving(engine) as behind,
        serving_model(moss_audio.load(f"{behind.url}/v1#moss")) as front,
    ):
        for url in (behind.url, front.url):
            model = moss_audio.load(f"{url}/v1#moss")
            heard = model.ask(wav(1), "Who?", thinking=True, thinking_budget=5)
            assert (heard.thinking, heard.text) == ("It barks.", "A dog.")
    assert len(engine.requests) == 2
