"""A beam search finds what transformers finds; leaving out beginnings is another matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from moss_audio.engine import GenerationOptions, Request
from moss_audio.engine.beams import BeamSearch
from moss_audio.engine.torch_engine import TorchEngine
from moss_audio.errors import MossAudioError
from tests.engine.conftest import noise
from tests.engine.fake_runner import END, LETTERS
from tests.engine.test_scheduler import build


def asked(seed: int = 0, **options: Any) -> Request:
    """A question about a clip, by a search of four beams."""
    made = GenerationOptions(**{"max_new_tokens": 12, "num_beams": 4, **options})
    return Request.question("what" + " so" * seed, noise(0.3 + 0.4 * seed, seed), options=made)


def by_transformers(engine: TorchEngine, request: Request, ends: set[int]) -> list[list[int]]:
    """The ids that `generate` finds, up to the end token."""
    options, (clip,) = request.options, request.clips
    question = request.messages[0]["content"][1]["text"]
    inputs = engine.processor(text=question, audio=[clip])
    found = engine.model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=options.max_new_tokens,
        num_beams=options.num_beams,
        num_return_sequences=options.num_return_sequences,
        length_penalty=options.length_penalty,
        early_stopping=options.early_stopping,
        suppress_tokens=sorted(engine.processor.prompt_spec.audio_ids),
        renormalize_logits=True,  # over those that are left
        eos_token_id=sorted(ends),
        pad_token_id=next(iter(ends)),
    )
    answers = [ids[inputs["input_ids"].shape[1] :].tolist() for ids in found]
    return [ids[: next((i for i, one in enumerate(ids) if one in ends), None)] for ids in answers]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_beams": 2, "num_return_sequences": 2},
        {"num_return_sequences": 4, "length_penalty": 0.0},
        {"num_return_sequences": 4, "length_penalty": 2.0},
        {"num_return_sequences": 3, "early_stopping": True},
    ],
    ids=str,
)
def test_a_search_finds_what_transformers_generate_finds(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    requests = [asked(seed, **options) for seed in range(4)]
    common = [answer.token_ids for answer in engine.generate([asked(0), asked(1)])]
    ends = {common[0][4], common[1][7]}  # so that answers end, at many lengths
    monkeypatch.setattr(engine, "_eos_ids", frozenset(ends))
    lengths = set()
    for request, answer in zip(requests, engine.generate(requests), strict=True):
        found = [list(one.token_ids) for one in (answer, *answer.alternatives)]
        assert found == by_transformers(engine, request, ends)
        lengths |= {len(one) for one in found}
    assert len(lengths) > 1


def test_the_score_is_the_mean_log_probability_of_an_answer(engine: TorchEngine) -> None:
    (answer,) = engine.generate([asked(1, num_return_sequences=4, logprobs=2)])
    for one in (answer, *answer.alternatives):
        assert one.finish_reason == "length"
        assert one.logprobs is not None
        assert [token.token_id for token in one.logprobs] == list(one.token_ids)
        mean = float(np.mean([token.logprob for token in one.logprobs]))
        assert one.score == pytest.approx(mean, abs=1e-5)
        assert [token.end for token in one.logprobs][-1] == len(one.text)
    scores = [one.score or 0.0 for one in (answer, *answer.alternatives)]
    assert scores == sorted(scores, reverse=True)
    assert len({one.token_ids for one in (answer, *answer.alternatives)}) == 4


def test_a_search_that_never_forks_is_greedy(engine: TorchEngine) -> None:
    greedy, kept, narrow = engine.generate(
        [asked(2, num_beams=1), asked(2, fork_below=0.0), asked(2, beam_margin=0.0)]
    )
    assert kept.token_ids == narrow.token_ids == greedy.token_ids


def logits(**likely: float) -> np.ndarray:
    """Log-probabilities of letters, and of the end as `end`; all others are impossible."""
    row = np.full(END + 20, -np.inf, np.float32)
    for name, probability in likely.items():
        row[END if name == "end" else LETTERS["abcdefghijkl".index(name)]] = np.log(probability)
    return row


def search(**options: Any) -> BeamSearch:
    return BeamSearch(GenerationOptions(num_beams=2, **options), frozenset([END]), 9)


def test_only_an_unsure_beginning_forks() -> None:
    one = search(fork_below=0.9)
    assert one.advance([logits(a=0.95, b=0.05)]) == [0]
    assert one.advance([logits(a=0.6, b=0.4)]) == [0, 0]
    assert one.advance([logits(a=0.99, b=0.01), logits(c=0.95, d=0.05)]) == [0, 1]


def test_a_beginning_far_behind_is_dropped_and_a_finished_answer_counts() -> None:
    one = search(beam_margin=1.0)
    assert one.advance([logits(a=0.6, b=0.4)]) == [0, 0]
    assert one.advance([logits(a=1.0), logits(c=0.4, d=0.3, e=0.3)]) == [0]
    assert one.advance([logits(end=0.9, a=0.1)]) == []
    assert one.done
    ((score, beam),) = one.best()
    assert beam.tokens == (LETTERS[0], LETTERS[0], END)
    assert score == pytest.approx(np.log(0.6 * 0.9) / 3, abs=1e-6)


def test_a_search_takes_the_places_of_its_beams_and_leaves_nothing() -> None:
    engine, runner = build()  # four rows at once
    requests = [asked(seed % 3, num_beams=1 + seed % 3) for seed in range(9)]
    alone = [build()[0].generate([one])[0] for one in requests]
    assert engine.generate(requests) == alone
    assert max(len(one) for one in runner.passes if max(one) == 1) <= runner.max_rows
    engine.forget()
    assert not runner.caches


def test_a_search_wider_than_the_engine_runs_alone() -> None:
    engine, runner = build()
    (answer,) = engine.generate([asked(num_beams=7, num_return_sequences=7)])
    assert len(answer.alternatives) == 6
    assert max(map(len, runner.passes)) == 7


def test_the_text_of_a_search_comes_whole() -> None:
    engine, _ = build()
    pieces = list(engine.stream(asked()))
    assert [piece for piece in pieces if piece] == [engine.generate([asked()])[0].text]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"num_beams": 0}, "num_beams=0"),
        ({"length_penalty": "1"}, "length_penalty='1'"),
        ({"early_stopping": "never"}, "early_stopping='never': give True or False"),
        ({"fork_below": 1.5}, r"fork_below=1\.5"),
        ({"beam_margin": -1}, "beam_margin=-1"),
        ({"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences=3: a search of 2"),
        ({"num_beams": 2, "temperature": 0.5}, r"temperature=0\.5: not with num_beams=2"),
        ({"num_beams": 2, "thinking": True}, "thinking=True: not with num_beams=2"),
    ],
)
def test_an_impossible_search_is_named(options: dict[str, Any], match: str) -> None:
    with pytest.raises(MossAudioError, match=match):
        GenerationOptions(**options)
