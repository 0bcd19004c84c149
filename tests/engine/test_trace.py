"""The record of an answer: every token, what it was drawn from, and which were put in."""

from __future__ import annotations

import numpy as np
import pytest

from moss_audio.engine.base import Generation, GenerationOptions, Request
from moss_audio.engine.torch_engine import TorchEngine
from moss_audio.errors import MossAudioError
from tests.engine.conftest import noise


def _answers(engine: TorchEngine, **options: object) -> list[Generation]:
    chosen = GenerationOptions(
        **{"max_new_tokens": 12, "temperature": 1.0, "top_k": 5, "trace": True, **options}  # type: ignore[arg-type]
    )
    (answer,) = engine.generate([Request.question("what", noise(0.5), options=chosen)])
    return [answer, *answer.alternatives]


def test_it_changes_nothing_and_holds_every_token(engine: TorchEngine) -> None:
    traced = _answers(engine, num_return_sequences=4)
    plain = _answers(engine, num_return_sequences=4, trace=False)
    assert traced == plain
    assert plain[0].trace is None
    for answer in traced:
        trace = answer.trace
        assert trace is not None
        ended = answer.finish_reason == "stop"
        assert tuple(trace.ids[:-1] if ended else trace.ids) == answer.token_ids
        assert trace.kept is not None
        assert trace.kept.shape == (len(trace.ids), 5)
        assert (trace.kept == trace.ids[:, None]).any(1).all()
        assert not trace.forced.any()
        assert (trace.logprobs < 0).all()


def test_tokens_of_the_engine_are_marked(engine: TorchEngine) -> None:
    answer = _answers(engine, thinking=True, thinking_budget=3, max_new_tokens=400)[0]
    trace, think = answer.trace, engine.prompts.think
    assert trace is not None
    assert think is not None
    opened, closed = len(think.opening), len(think.closing)
    own = 3  # tokens of thought, unless the model closes by itself
    assert trace.forced[:opened].all()
    assert not trace.forced[opened : opened + own].any()
    assert tuple(trace.ids[opened + own : opened + own + closed]) == think.closing
    assert trace.forced[opened + own : opened + own + closed].all()
    assert not trace.forced[opened + own + closed :].any()
    assert (trace.logprobs[trace.forced] == 0).all()


def test_all_possible_ids_need_no_list(engine: TorchEngine) -> None:
    trace = _answers(engine, top_k=0)[0].trace
    assert trace is not None
    assert trace.kept is None
    assert np.isfinite(trace.logprobs).all()


def test_a_greedy_answer_has_none() -> None:
    with pytest.raises(MossAudioError, match="trace=True: nothing is drawn at temperature 0"):
        GenerationOptions(trace=True)
