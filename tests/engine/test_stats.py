"""What a scheduler counts is what it did."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.engine import GenerationOptions, Request
from moss_audio.engine.local import LocalEngine
from moss_audio.engine.stats import PowerCounts
from moss_audio.testing.tokenizer import tiny_prompt_spec
from tests.engine.conftest import build_engine, noise
from tests.engine.fake_runner import TOKENIZER, FakeRunner, question_with_long_answer

CLIP = noise(2.0, 0)


@given(st.lists(st.floats(0, 1e6), max_size=50))
def test_a_histogram_counts_what_is_no_larger(values: list[float]) -> None:
    counts = PowerCounts(0.5, places=8)
    for value in values:
        counts.add(value)
    for bound, count in counts.up_to():
        assert count == sum(value <= bound for value in values)
    assert bound == math.inf
    assert math.isclose(counts.total, math.fsum(values), rel_tol=1e-9)


def test_what_is_kept_of_a_clip_counts_as_cached() -> None:
    engine = build_engine()
    options = GenerationOptions(max_new_tokens=6)
    first, second = (
        engine.generate([Request.question(text, CLIP, options=options)])[0]
        for text in ("What is it?", "How long?")
    )
    (other,) = engine.generate([Request.question("What?", noise(1.0, 1), options=options)])
    length = engine.prompts.prompt(Request.question("How long?", CLIP)).prefix_length
    assert (first.cached_tokens, second.cached_tokens, other.cached_tokens) == (0, length, 0)
    state = engine.scheduler.stats()
    answers = (first, second, other)
    assert state.asked_tokens == sum(answer.prompt_tokens for answer in answers)
    assert state.cached_tokens == length
    assert state.prompt_tokens == state.asked_tokens - length
    gaps = sum(max(0, len(answer.token_ids) - 1) for answer in answers)
    assert [count for _, count in state.token_gaps.up_to()][-1] >= gaps > 0
    in_steps = state.prompt_tokens + gaps
    assert in_steps <= state.step_tokens.total <= in_steps + len(answers)
    assert (state.positions, state.rows) == (0, 0)
    assert state.room == engine.scheduler.batch_tokens
    engine.forget()
    again = engine.generate([Request.question("How long?", CLIP, options=options)])[0]
    assert again.cached_tokens == 0
    assert again == second


@pytest.mark.parametrize("right", [True, False])
def test_a_guess_is_counted_and_what_was_right_of_it(right: bool) -> None:
    runner = FakeRunner()
    runner.prefill_tokens = 100  # all of the guess is in one pass
    engine = LocalEngine(runner, TOKENIZER, tiny_prompt_spec())
    plain, answer = question_with_long_answer(engine, CLIP, GenerationOptions(max_new_tokens=20))
    n = len(answer.text) - 2  # the prompt gives the first token, the pass gives the last
    draft = answer.text if right else answer.text[0] + "".join(map(_other, answer.text[1:]))
    request = Request(plain.messages, plain.clips, plain.options, draft=draft)
    assert engine.generate([request]) == [answer]
    state = engine.scheduler.stats()
    assert (state.draft_tokens, state.accepted_tokens) == (n, n if right else 0)


def _other(letter: str) -> str:
    return "b" if letter == "a" else "a"
