"""The engine over a runner that is no model at all: what it asks of one, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from moss_audio.engine import GenerationOptions, Request
from moss_audio.engine.local import LocalEngine
from moss_audio.engine.prompts import EncodedClip, HashedClip, Prompt
from moss_audio.testing.tokenizer import tiny_prompt_spec, tiny_tokenizer
from tests.engine.conftest import noise

TOKENIZER = tiny_tokenizer()


class Counting:
    """Rows that write "a" as often as their prompt has clips, then end. Keeps a log of calls."""

    def __init__(self, log: list[Any], prompts: Sequence[Prompt], end: int) -> None:
        (self._letter,) = TOKENIZER.encode("a", add_special_tokens=False)
        self._log, self._end = log, end
        self._left = [len(prompt.clips) for prompt in prompts]

    def likeliest(self) -> list[int]:
        return [self._letter if left else self._end for left in self._left]

    def logits(self, row: int) -> torch.Tensor:
        raise AssertionError("a greedy row needs no logits")

    def advance(self, tokens: Sequence[int]) -> None:
        assert list(tokens) == [self._letter] * len(self._left)
        self._left = [left - 1 for left in self._left]

    def keep(self, rows: Sequence[int]) -> None:
        self._log.append(("keep", list(rows)))
        self._left = [self._left[row] for row in rows]


class CountingRunner:
    batch_size, batch_tokens = 3, 1000
    max_positions, chunk_frames = 500, 400
    eos_ids: frozenset[int] = frozenset()

    def __init__(self) -> None:
        self.log: list[Any] = []

    def encode(self, clips: Sequence[HashedClip], *, keep: bool) -> list[EncodedClip]:
        return [
            EncodedClip(c.key, c.n_tokens, None, 0, c.n_frames, c.longest, c.samples) for c in clips
        ]

    def start(self, prompts: Sequence[Prompt]) -> Counting:
        self.log.append(("start", len(prompts)))
        return Counting(self.log, prompts, TOKENIZER.convert_tokens_to_ids("<|im_end|>"))

    def hold(self, prompt: Prompt) -> Callable[[], None]:
        self.log.append(("hold", len(prompt.clips)))
        return lambda: self.log.append(("release", len(prompt.clips)))

    def piece_scores(self, clip: EncodedClip, scale: float) -> np.ndarray:
        return np.full((clip.n_tokens, 2), scale)

    def forget(self) -> None:
        self.log.append("forget")


def build() -> tuple[LocalEngine, CountingRunner]:
    runner = CountingRunner()
    return LocalEngine(runner, TOKENIZER, tiny_prompt_spec()), runner


def ask(n_clips: int, **options: Any) -> Request:
    clips = [noise(0.8, seed) for seed in range(n_clips)]
    return Request.question("x", *clips, options=GenerationOptions(**options))


def test_rows_leave_their_batch_as_they_finish() -> None:
    engine, runner = build()
    done: list[int] = []
    answers = engine.generate([ask(0), ask(2), ask(1), ask(3)], lambda i, _: done.append(i))
    assert [one.text for one in answers] == ["", "aa", "a", "aaa"]
    assert {one.finish_reason for one in answers} == {"stop"}
    # the three longest prompts first, each leaving before a longer answer; then the rest
    assert runner.log == [("start", 3), ("keep", [0, 1]), ("keep", [0]), ("start", 1)]
    assert done == [2, 1, 3, 0]


def test_a_stream_returns_the_whole_answer() -> None:
    engine, _ = build()
    stream = engine.stream(ask(5, max_new_tokens=3))
    assert [next(stream), next(stream), next(stream)] == ["a", "a", "a"]
    with pytest.raises(StopIteration) as end:
        next(stream)
    assert end.value.value.text == "aaa"
    assert end.value.value.finish_reason == "length"


def test_a_session_holds_its_clip_until_it_is_closed_or_dropped() -> None:
    engine, runner = build()
    with engine.open(noise(0.1)) as session:
        assert session.ask("x").text == "a"
    engine.open(noise(0.1))  # nobody keeps it
    assert [entry for entry in runner.log if entry[0] in ("hold", "release")] == [
        ("hold", 1), ("release", 1), ("hold", 1), ("release", 1),
    ]  # fmt: skip


def test_thinking_needs_a_tokenizer_that_can() -> None:
    runner = CountingRunner()
    assert LocalEngine(runner, TOKENIZER, tiny_prompt_spec(), thinks=True).thinks
    assert not LocalEngine(runner, TOKENIZER, tiny_prompt_spec()).thinks
