"""What is counted: what is reused of earlier prompts, and the engine's own numbers."""

from __future__ import annotations

import base64
from typing import Any

import moss_audio
from tests.embedded import NEEDS_NANO
from tests.serve.conftest import FakeEngine, serving, serving_model, wav

CHAT = "/v1/chat/completions"


def test_names_and_labels_are_those_of_the_page() -> None:
    with serving(FakeEngine()) as running:
        assert running.get("/v1/nothing").status_code == 404
        text = running.get("/metrics").text
    for name in ("kv_cache_usage_perc", "iteration_tokens_total"):
        assert name not in text  # this engine has none
    assert 'moss:http_responses_total{endpoint="other",model="moss",status="404"} 1.0' in text


class TestNano:
    pytestmark = NEEDS_NANO

    def test_what_was_computed_before_is_counted(self) -> None:
        data = base64.b64encode(wav(3)).decode()
        part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}

        def body(question: str, **more: Any) -> dict[str, Any]:
            content = [part, {"type": "text", "text": question}]
            return {"messages": [{"role": "user", "content": content}], "max_tokens": 4, **more}

        with serving_model(moss_audio.load("nano", engine="onnx")) as running:
            first, second = (
                running.post(CHAT, json=body(question)).json()["usage"]
                for question in ("What is it?", "How long is it?")
            )
            several = {
                "n": 2,
                "temperature": 1,
                "stream": True,
                "stream_options": {"include_usage": 1},
            }
            lines = running.post(CHAT, json=body("Where?", **several)).text.split("\n\n")
            form = {"response_format": (None, "json"), "file": ("a.wav", wav(3))}
            heard = running.post("/v1/audio/transcriptions", files=form).json()["usage"]
            text = running.get("/metrics").text
        assert first["prompt_tokens_details"]["cached_tokens"] == 0
        cached = second["prompt_tokens_details"]["cached_tokens"]
        assert second["prompt_tokens_details"]["audio_tokens"] < cached < second["prompt_tokens"]
        assert f'"cached_tokens": {cached}' in lines[-3]
        assert heard["input_token_details"]["cached_tokens"] == cached
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        own = {name.partition("{")[0].removeprefix("moss:"): float(n) for name, n in values.items()}
        assert own["prefix_cache_hits_total"] == 4 * cached
        assert own["prefix_cache_queries_total"] > own["prefix_cache_hits_total"]
        assert own["prefix_cache_entries"] == 1
        assert 0 < own["prefix_cache_bytes"] < own["prefix_cache_limit_bytes"] == 512 * 2**20
        assert 0 < own["encoder_cache_bytes"] < own["encoder_cache_limit_bytes"] == 128 * 2**20
        assert own["iteration_tokens_total_count"] > 4
        assert own["iteration_tokens_total_sum"] > first["prompt_tokens"]
        assert own["inter_token_latency_seconds_count"] > 4
        assert own["inter_token_latency_seconds_sum"] > 0
        assert own["kv_cache_usage_perc"] == 0
        assert 'moss:iteration_tokens_total_bucket{le="+Inf",model="moss"}' in text
