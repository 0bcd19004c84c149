"""Spans for OpenTelemetry, where that is installed: counts and durations, never a text, a sound, a
file's name or a key. (The ASGI instrumentation there is tells the query of addresses, too.)

Names are those of OpenTelemetry's semantic conventions for HTTP and generative AI; what these have
no name for is under `moss.`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from moss_audio.errors import MissingDependencyError
from moss_audio.serve.work import Usage

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_CONTEXT = ("traceparent", "tracestate")  # of W3C


class Tracing:
    """Makes the spans of one server; without OpenTelemetry none.

    Args:
        provider: of tracers; None: the one of this process, which makes nothing unless somebody
            has set it up.
    """

    def __init__(self, provider: Any = None) -> None:
        self._tracer: Any = None
        try:
            from opentelemetry import trace
            from opentelemetry.trace.propagation import tracecontext
        except ImportError:
            return
        self._trace = trace
        self._context = tracecontext.TraceContextTextMapPropagator()
        self._tracer = trace.get_tracer("moss_audio.serve", tracer_provider=provider)

    @contextmanager
    def request(
        self, method: str, route: str, headers: Mapping[str, str]
    ) -> Iterator[Callable[[int], None]]:
        """The span of a request, or of a live session, below that of the client where it names one;
        what is given takes the status of the answer."""
        if self._tracer is None:
            yield lambda _: None
            return
        method = method if method in _METHODS else "_OTHER"  # it may be any text
        sent = {name: headers[name] for name in _CONTEXT if name in headers}
        with self._tracer.start_as_current_span(
            f"{method} {route}",
            context=self._context.extract(sent),
            kind=self._trace.SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": route},
            record_exception=False,  # its message may quote what was sent
            set_status_on_exception=False,
        ) as span:

            def answered(status: int) -> None:
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.set_status(self._trace.StatusCode.ERROR)

            yield answered

    def current(self) -> Any:
        """The span of the request that is being answered; None without one."""
        return None if self._tracer is None else self._trace.get_current_span()

    def turn(self, task: str) -> Any:
        """A span for what is asked about a live session's turn, below that of its session."""
        return None if self._tracer is None else self._tracer.start_span(f"{task} turn")

    def end(self, span: Any) -> None:
        """A turn's span is over."""
        if span is not None:
            span.end()

    def answered(
        self, span: Any, model: str, task: str, usage: Usage, first_s: float | None
    ) -> None:
        """What the model did.

        Args:
            first_s: seconds from the request to the first of its answer, if there was one.
        """
        if span is None or not span.is_recording():
            return
        told = {
            "gen_ai.operation.name": "chat" if task in ("chat", "ask") else "generate_content",
            "gen_ai.provider.name": "moss_audio",
            "gen_ai.request.model": model,
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            "gen_ai.response.finish_reasons": tuple(usage.reasons),
            "moss.task": task,
            "moss.audio.seconds": usage.audio_s,
            "moss.audio.tokens": usage.audio_tokens,
            "moss.time_to_first.seconds": first_s,
        }
        span.set_attributes({name: value for name, value in told.items() if value is not None})


def export_spans() -> None:
    """Send this process's spans to where OpenTelemetry's own variables say; nothing where they say
    nothing.

    Raises:
        MissingDependencyError: if they do and the exporter is not installed.
    """
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingDependencyError(
            "opentelemetry-exporter-otlp-proto-http", "otel", _ENDPOINTS[-1]
        ) from error
    # a name in OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES goes before this one
    named = Resource.create()
    if str(named.attributes.get("service.name", "")).startswith("unknown_service"):
        named = Resource.create({"service.name": "moss-audio"})
    provider = TracerProvider(resource=named)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
