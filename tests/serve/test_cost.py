"""How many live sessions a machine can promise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.engine import Generation, Request
from moss_audio.serve.config import Limits, ServerConfig
from moss_audio.serve.cost import PROMISED, ListeningCost, listening_cost
from moss_audio.serve.service import Service
from tests.serve.conftest import FakeEngine, model_of


class Clock:
    """Time that only the engine takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class TimedEngine:
    """Takes 0.2 s for four seconds of sound, 0.01 s for a token, now and then more."""

    batch_size = 1

    def __init__(self, clock: Clock, n_tokens: int = 99) -> None:
        self.clock, self.n_tokens, self.calls = clock, n_tokens, 0

    def generate(self, requests: list[Request], *_: Any) -> list[Generation]:
        self.calls += 1
        (request,) = requests
        n_tokens = min(self.n_tokens, request.options.max_new_tokens)
        disturbed = 1.0 if self.calls in (1, 2, 6) else 0.0
        self.clock.now += 0.05 * sum(len(clip) for clip in request.clips) / 16_000
        self.clock.now += 0.01 * (n_tokens - 1) + disturbed
        return [Generation("", tuple(range(n_tokens)), "length", 1)]


def measured(monkeypatch: pytest.MonkeyPatch, **engine: Any) -> ListeningCost:
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", clock)
    return listening_cost(TimedEngine(clock, **engine))  # type: ignore[arg-type]


def test_sound_and_tokens_are_told_apart_and_disturbances_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cost = measured(monkeypatch)
    assert cost.sound_s == pytest.approx(0.05)
    assert cost.token_s == pytest.approx(0.01)
    assert cost.speech_s == pytest.approx(0.09)
    assert cost.sessions == 6


def test_a_checkpoint_that_says_nothing_is_measured_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert measured(monkeypatch, n_tokens=1).sessions >= 1


@given(st.floats(1e-6, 10), st.floats(0, 10), st.integers(1, 64))
def test_no_more_is_promised_than_there_is(sound_s: float, token_s: float, places: int) -> None:
    cost = ListeningCost(sound_s, token_s, places)
    assert cost.sessions >= 1
    assert cost.sessions == 1 or cost.sessions * cost.speech_s <= places * PROMISED * 1.0001


def test_what_the_operator_says_goes_first() -> None:
    model = model_of(FakeEngine())
    for limit, most in ((None, 3), (20, 20)):
        service = Service(model, ServerConfig(limits=Limits(sessions=limit)), sessions=3)
        service.threads.close(1)
        assert service.sessions == most
