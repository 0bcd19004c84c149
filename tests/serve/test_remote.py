"""This package's own client of servers, before this package's own server."""

from __future__ import annotations

from typing import Any

import moss_audio
from moss_audio.engine import Request
from tests.serve.conftest import FakeEngine, serving, wav


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
