"""What `/metrics` shows: vLLM's names with our prefix. Labels are never keys or texts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self, model: str) -> None:
        self.registry = CollectorRegistry()
        self._model = model
        self._running = self._gauge("num_requests_running", "Requests in the model.")
        self._waiting = self._gauge("num_requests_waiting", "Requests that wait for their turn.")
        self._backend = self._gauge("backend_up", "Whether the backend answers.")
        self._lag = self._gauge("event_loop_lag_seconds", "How late the event loop is.")
        self._prompt = self._counter("prompt_tokens", "Tokens of prompts, audio included.")
        self._generated = self._counter("generation_tokens", "Tokens of answers.")
        self._audio = self._counter("audio_seconds", "Seconds of sound put before the model.",
                                    "endpoint")  # fmt: skip
        self._success = self._counter("request_success", "Answers by how they ended.",
                                      "finished_reason")  # fmt: skip
        self._rejections = self._counter("admission_rejections", "Refused requests.", "reason")
        self._responses = self._counter("http_responses", "Responses.", "endpoint", "status")
        self._live = self._gauge("websocket_connections_active", "Live sessions.")
        self._first = self._histogram("time_to_first_token_seconds", "Arrival to first text.")
        self._whole = self._histogram("e2e_request_latency_seconds", "Arrival to the whole answer.")
        self._queued = self._histogram("request_queue_time_seconds", "Wait for a turn.")
        self._final = Histogram("moss:time_to_final_seconds", "Commit to the whole transcript.",
                                ("model",), registry=self.registry, buckets=_SECONDS)  # fmt: skip

    def text(self) -> bytes:
        """All of it in Prometheus' text form."""
        return generate_latest(self.registry)

    def load(self, running: int, waiting: int) -> None:
        self._running.labels(self._model).set(running)
        self._waiting.labels(self._model).set(waiting)

    def backend(self, up: bool) -> None:
        self._backend.labels(self._model).set(up)

    def live(self, sessions: int) -> None:
        self._live.labels(self._model).set(sessions)

    def final(self, seconds: float) -> None:
        self._final.labels(self._model).observe(seconds)

    def lag(self, seconds: float) -> None:
        self._lag.labels(self._model).set(seconds)

    def queued(self, endpoint: str, seconds: float) -> None:
        self._queued.labels(self._model, endpoint).observe(seconds)

    def refused(self, reason: str) -> None:
        self._rejections.labels(self._model, reason).inc()

    def first(self, endpoint: str, seconds: float) -> None:
        self._first.labels(self._model, endpoint).observe(seconds)

    def responded(self, endpoint: str, status: int, seconds: float) -> None:
        self._responses.labels(self._model, endpoint, str(status)).inc()
        self._whole.labels(self._model, endpoint).observe(seconds)

    def answered(self, endpoint: str, prompt_tokens: int, tokens: int, audio_s: float) -> None:
        self._prompt.labels(self._model).inc(prompt_tokens)
        self._generated.labels(self._model).inc(tokens)
        self._audio.labels(self._model, endpoint).inc(audio_s)

    def finished(self, reason: str) -> None:
        self._success.labels(self._model, reason).inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"moss:{name}", text, ("model", *labels), registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"moss:{name}", text, ("model",), registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"moss:{name}", text, ("model", "endpoint"), registry=self.registry,
                         buckets=_SECONDS)  # fmt: skip
