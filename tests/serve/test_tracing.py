"""Spans of requests and of live turns, as OpenTelemetry's own exporter sees them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import pytest
from websockets.sync.client import connect

from moss_audio.serve.tracing import Tracing, export_spans
from tests.serve.conftest import FakeEngine, Running, wait_for, wav
from tests.serve.realtime_sound import speech

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FILES = {"file": ("platypus.wav", wav())}


@pytest.fixture
def spans(running: Running) -> Any:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    running.service.tracing = Tracing(provider)
    return exporter.get_finished_spans


def finished(spans: Any, count: int) -> list[Any]:
    wait_for(lambda: len(spans()) >= count)
    return list(spans())


def test_a_request_is_one_span_below_its_clients(running: Running, spans: Any) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "authorization": "Bearer crocodile"}
    form = {"prompt": "platypus", "language": "platypus"}
    path = "/v1/audio/transcriptions"
    assert running.post(f"{path}?x=platypus", files=FILES, data=form,
                        headers=headers).status_code == 200  # fmt: skip
    (span,) = finished(spans, 1)
    assert span.name == f"POST {path}"
    assert span.kind.name == "SERVER"
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    told = dict(span.attributes)
    assert told.pop("moss.time_to_first.seconds") >= 0
    assert told == {
        "http.request.method": "POST",
        "http.route": path,
        "http.response.status_code": 200,
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "moss_audio",
        "gen_ai.request.model": "moss",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.response.finish_reasons": ("stop",),
        "moss.task": "transcribe",
        "moss.audio.seconds": 1.0,
        "moss.audio.tokens": 13,
    }
    for secret in ("platypus", "crocodile", "hello"):
        assert secret not in span.to_json()


def test_what_is_refused_or_fails_is_told_without_its_text(
    running: Running, spans: Any, engine: FakeEngine
) -> None:
    def fail(_: Any) -> str:
        raise RuntimeError("platypus")

    broken = {"traceparent": "platypus"}
    assert running.get("/v1/platypus", headers=broken).status_code == 404
    engine.answer = fail
    assert running.post("/v1/audio/transcriptions", files=FILES).status_code == 500
    running.get("/health")  # not worth a span
    lost, failed = finished(spans, 2)
    assert (lost.name, lost.status.status_code.name) == ("GET other", "UNSET")
    assert failed.status.status_code.name == "ERROR"
    assert not failed.events
    assert "platypus" not in lost.to_json() + failed.to_json()


def test_a_live_turn_is_a_span_below_its_sessions(running: Running, spans: Any) -> None:
    url = running.url.replace("http:", "ws:") + "/v1/realtime?intent=transcription"
    sound = base64.b64encode(speech((1.0, 0.1))).decode()
    with connect(url, additional_headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}) as socket:
        for message in (
            {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}},
            {"type": "input_audio_buffer.append", "audio": sound},
            {"type": "input_audio_buffer.commit"},
        ):
            socket.send(json.dumps(message))
        while not json.loads(socket.recv(20))["type"].endswith("transcription.completed"):
            pass
    turn, session = finished(spans, 2)
    assert (turn.name, session.name) == ("transcribe turn", "GET /v1/realtime")
    assert turn.parent.span_id == session.context.span_id
    assert f"{turn.context.trace_id:032x}" == TRACE
    assert turn.attributes["gen_ai.usage.output_tokens"] == 2
    assert session.attributes["http.response.status_code"] == 101
    assert sound[:40] not in turn.to_json() + session.to_json()


def test_nothing_breaks_without_it() -> None:
    """In a process that cannot import it."""
    code = """
import sys
sys.modules["opentelemetry"] = None
from tests.serve.conftest import FakeEngine, serving, wav
with serving(FakeEngine()) as running:
    assert running.service.tracing.current() is None
    files = {"file": ("a.wav", wav())}
    assert running.post("/v1/audio/transcriptions", files=files).json()["text"] == "hello there"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_address_for_spans_without_the_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    export_spans()  # no address
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match="install the extra 'otel'"):
        export_spans()
