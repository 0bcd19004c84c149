"""A real server on 127.0.0.1 over an engine that only counts, and clients for it."""

from __future__ import annotations

import io
import re
import threading
import time
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import httpx2
import numpy as np
import openai
import pytest

from moss_audio.api import MossAudio
from moss_audio.engine import Generation, Request
from moss_audio.engine.base import TokenLogprob
from moss_audio.engine.handle import Handle
from moss_audio.serve.config import ServerConfig
from moss_audio.serve.run import Server, bind
from moss_audio.serve.service import Service

RATE = 16_000


class FakeTokenizer:
    """A token a word."""

    def encode(self, text: str, **_: Any) -> list[int]:
        return list(range(len(text.split())))

    def decode(self, ids: list[int], **_: Any) -> str:
        return " ".join(f"t{i}" for i in ids)


@dataclass
class FakeEngine:
    """Answers with what `answer` makes of a request, word by word and `pace` seconds a word. `hold`
    keeps it from writing on; `steps` counts the words written, `cancelled` the answers given up."""

    answer: Callable[[Request], str] = lambda request: "hello there"
    reason: str = "stop"
    pace: float = 0.0
    hold: threading.Event = field(default_factory=threading.Event)
    requests: list[Request] = field(default_factory=list)
    steps: int = 0
    cancelled: list[Handle] = field(default_factory=list)
    batch_size: int = 1
    max_positions: int | None = None
    window_s: float | None = 15.0
    task_windows_s: dict[str, float] = field(default_factory=dict)
    thinks: bool = False
    description: str = "fake"
    precision: str = "none"

    def __post_init__(self) -> None:
        self.hold.set()
        self.tokenizer = FakeTokenizer()

    def check(self, request: Request) -> int:
        return 10

    def submit(self, request: Request, *, pieces: bool = False) -> Handle:
        self.requests.append(request)
        handle = Handle(self.cancelled.append, pieces=pieces)
        threading.Thread(target=self._write, args=(request, handle), daemon=True).start()
        return handle

    def _write(self, request: Request, handle: Handle) -> None:
        try:
            whole = self.generation(request)
            for place, word in enumerate(whole.text.split(" ")):
                while handle not in self.cancelled and not self.hold.wait(0.005):
                    pass
                time.sleep(self.pace)
                if handle in self.cancelled:
                    raise CancelledError
                self.steps += 1
                text = word if place == 0 else f" {word}"
                handle.put(SimpleNamespace(take_text=lambda text=text: text))  # type: ignore[arg-type]
        except Exception as error:
            handle.end(error)
        else:
            handle.end(whole)

    def generation(self, request: Request) -> Generation:
        text = self.answer(request)
        tokens = tuple(range(len(text.split())))
        logprobs = None
        if (n := request.options.logprobs) is not None:
            logprobs = tuple(
                TokenLogprob(token, -0.5, tuple((i, -1.0) for i in range(n)), match.end())
                for token, match in zip(tokens, re.finditer(r"\S+", text), strict=True)
            )
        one = Generation(text, tokens, self.reason, 100, logprobs=logprobs)  # type: ignore[arg-type]
        others = (one,) * (request.options.num_return_sequences - 1)
        return replace(one, alternatives=others)


@dataclass
class Running:
    """A server in a thread of this process."""

    service: Service
    server: Server
    url: str

    def client(self, key: str = "none", **options: Any) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=key, **{"max_retries": 0, "timeout": 20, **options}
        )

    # (verify=False: certificates would be loaded for each request, and none is looked at)
    def post(self, path: str, **options: Any) -> httpx2.Response:
        return httpx2.post(f"{self.url}{path}", timeout=20, verify=False, **options)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return httpx2.get(f"{self.url}{path}", timeout=20, verify=False, **options)

    def metric(self, name: str, **labels: str) -> float:
        found = self.service.metrics.registry.get_sample_value(name, {"model": "moss", **labels})
        return found or 0.0


def model_of(engine: Any) -> MossAudio:
    checkpoint: Any = SimpleNamespace(times="written", knows=None, name="fake")
    return MossAudio(engine, checkpoint)


@contextmanager
def serving(engine: FakeEngine, cost: float = 0.001, **config: Any) -> Iterator[Running]:
    """A running server; `config` as of `ServerConfig`."""
    with serving_model(model_of(engine), cost, **config) as running:
        try:
            yield running
        finally:
            engine.hold.set()


@contextmanager
def serving_model(model: MossAudio, cost: float = 0.001, **config: Any) -> Iterator[Running]:
    """The same with any model."""
    settings = ServerConfig(**{"names": ("moss", "whisper-1"), **config})
    service = Service(model, settings, cost)
    server = Server(service)
    with bind("127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        wait_for(lambda: server.started)
        try:
            yield Running(service, server, url)
        finally:
            server.should_exit = True
            thread.join(10)
            service.threads.close(5)


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def wav(seconds: float = 1.0, level: float = 0.1, rate: int = RATE) -> bytes:
    """A tone as a file."""
    t = np.arange(round(rate * seconds)) / rate
    samples = (32767 * level * np.sin(2 * np.pi * 440 * t)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return file.getvalue()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def running(engine: FakeEngine) -> Iterator[Running]:
    with serving(engine) as server:
        yield server
