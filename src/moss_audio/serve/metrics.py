"""What `/metrics` shows: vLLM's names with our prefix. Labels are never keys or texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from moss_audio.engine.clips import KEPT_BYTES
from moss_audio.engine.stats import PowerCounts, SchedulerStats
from moss_audio.serve.work import Usage

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)
_SESSION_S = (1, 10, 60, 300, 600, 1800, 3600)
_OF = ("endpoint", "task")


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self, model: str) -> None:
        self.registry = CollectorRegistry()
        self._model = model
        self._running = self._gauge("num_requests_running", "Requests in the model.")
        self._waiting = self._gauge("num_requests_waiting", "Requests that wait for their turn.")
        self._backend = self._gauge("backend_up", "Whether the backend answers.")
        self._lag = self._gauge("event_loop_lag_seconds", "How late the event loop is.")
        self._prompt = self._counter("prompt_tokens", "Tokens of prompts, audio included.", *_OF)
        self._generated = self._counter("generation_tokens", "Tokens of answers.", *_OF)
        self._audio = self._counter("audio_seconds", "Seconds of sound put before the model.", *_OF)
        self._success = self._counter("request_success", "Answers by how they ended.",
                                      *_OF, "finished_reason")  # fmt: skip
        self._rejections = self._counter("admission_rejections", "Refused requests.", "reason")
        self._responses = self._counter("http_responses", "Responses.", "endpoint", "status")
        self._live = self._gauge("websocket_connections_active", "Live sessions.")
        self._sessions = self._counter("websocket_connections", "Live sessions so far.")
        self._lasted = self._histogram(
            "websocket_connection_duration_seconds", "How long they lasted.", buckets=_SESSION_S
        )
        self._first = self._histogram("time_to_first_token_seconds", "Arrival to first text.", *_OF)
        self._whole = self._histogram("e2e_request_latency_seconds",
                                      "Arrival to the whole answer.", "endpoint")  # fmt: skip
        self._queued = self._histogram("request_queue_time_seconds", "Wait for a turn.", "endpoint")
        self._final = self._histogram("time_to_final_seconds", "Commit to the whole transcript.")
        self._contradicted = self._counter(
            "deltas_contradicted", "Words told while somebody spoke that the transcript has not."
        )
        self._partial = self._histogram(
            "partial_lag_seconds", "From sound to the text about it, while somebody speaks."
        )

    def text(self) -> bytes:
        """All of it in Prometheus' text form."""
        return generate_latest(self.registry)

    def watch(self, stats: Callable[[], SchedulerStats]) -> None:
        """Show what the engine counts, too, as it is when somebody looks."""
        self.registry.register(_EngineMetrics(self._model, stats))

    def load(self, running: int, waiting: int) -> None:
        self._running.labels(self._model).set(running)
        self._waiting.labels(self._model).set(waiting)

    def backend(self, up: bool) -> None:
        self._backend.labels(self._model).set(up)

    def session_began(self) -> None:
        self._live.labels(self._model).inc()
        self._sessions.labels(self._model).inc()

    def session_ended(self, seconds: float) -> None:
        self._live.labels(self._model).dec()
        self._lasted.labels(self._model).observe(seconds)

    def final(self, seconds: float) -> None:
        self._final.labels(self._model).observe(seconds)

    def partial(self, seconds: float) -> None:
        self._partial.labels(self._model).observe(seconds)

    def contradicted(self, n_words: int) -> None:
        self._contradicted.labels(self._model).inc(n_words)

    def lag(self, seconds: float) -> None:
        self._lag.labels(self._model).set(seconds)

    def queued(self, endpoint: str, seconds: float) -> None:
        self._queued.labels(self._model, endpoint).observe(seconds)

    def refused(self, reason: str) -> None:
        self._rejections.labels(self._model, reason).inc()

    def first(self, endpoint: str, task: str, seconds: float) -> None:
        self._first.labels(self._model, endpoint, task).observe(seconds)

    def responded(self, endpoint: str, status: int, seconds: float) -> None:
        self._responses.labels(self._model, endpoint, str(status)).inc()
        self._whole.labels(self._model, endpoint).observe(seconds)

    def answered(self, endpoint: str, task: str, usage: Usage) -> None:
        of = (self._model, endpoint, task)
        self._prompt.labels(*of).inc(usage.prompt_tokens)
        self._generated.labels(*of).inc(usage.output_tokens)
        self._audio.labels(*of).inc(usage.audio_s)
        for reason in usage.reasons:
            self._success.labels(*of, reason).inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"moss:{name}", text, ("model", *labels), registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"moss:{name}", text, ("model",), registry=self.registry)

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(f"moss:{name}", text, ("model", *labels), registry=self.registry,
                         buckets=buckets)  # fmt: skip


class _EngineMetrics(Collector):
    """The counts of a scheduler in Prometheus' form."""

    def __init__(self, model: str, stats: Callable[[], SchedulerStats]) -> None:
        self._model = model
        self._stats = stats

    def describe(self) -> list[Metric]:
        return []  # else they would be collected to find their names

    def collect(self) -> Iterator[Metric]:
        now = self._stats()
        used = now.positions / now.room if now.room else 0.0
        for name, text, value in (
            ("kv_cache_usage_perc", "Share of the room for sequences that is taken.", used),
            ("prefix_cache_entries", "Beginnings of prompts that are kept.", now.prefixes),
            ("prefix_cache_bytes", "Memory that they take.", now.prefix_bytes),
            (
                "prefix_cache_limit_bytes",
                "Beyond it those that nobody needs go.",
                now.prefix_bytes_most,
            ),
            (
                "encoder_cache_bytes",
                "Memory of clips whose encodings are kept.",
                now.encoding_bytes,
            ),
            ("encoder_cache_limit_bytes", "It is never more than that.", KEPT_BYTES),
        ):
            gauge = GaugeMetricFamily(f"moss:{name}", text, labels=["model"])
            gauge.add_metric([self._model], value)
            yield gauge
        for name, text, value in (
            (
                "prefix_cache_queries",
                "Tokens of prompts that were looked for.",
                now.asked_tokens,
            ),
            ("prefix_cache_hits", "Of them, found computed.", now.cached_tokens),
            ("draft_tokens_proposed", "Tokens that were guessed.", now.draft_tokens),
            ("draft_tokens_accepted", "Of them, right.", now.accepted_tokens),
            ("chunks_heard", "Chunks of 4 s computed while their sound came.", now.live_chunks),
            (
                "chunks_repaired",
                "Of them, computed again at the end of their turn.",
                now.repaired_chunks,
            ),
            ("requests_cancelled", "Requests that nobody waited for any more.", now.cancelled),
            ("engine_busy_seconds", "Time that the engine's steps took.", now.busy_s),
        ):
            counter = CounterMetricFamily(f"moss:{name}", text, labels=["model"])
            counter.add_metric([self._model], value)
            yield counter
        for name, text, tally in (
            ("iteration_tokens_total", "Positions in a step.", now.step_tokens),
            ("inter_token_latency_seconds", "One token to the next.", now.token_gaps),
        ):
            yield self._histogram(f"moss:{name}", text, tally)

    def _histogram(self, name: str, text: str, tally: PowerCounts) -> HistogramMetricFamily:
        counts = [(f"{bound:g}".replace("inf", "+Inf"), float(n)) for bound, n in tally.up_to()]
        family = HistogramMetricFamily(name, text, labels=["model"])
        family.add_metric([self._model], counts, tally.total)
        return family
