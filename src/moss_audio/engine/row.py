"""The state of one answer while it is decoded: its tokens, its text, why it ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from moss_audio.engine.base import FinishReason, Generation, GenerationOptions, TokenLogprob
from moss_audio.engine.beams import Beam, BeamSearch
from moss_audio.engine.detokenize import Detokenizer
from moss_audio.engine.repetition import repeats
from moss_audio.engine.runner import Logits
from moss_audio.engine.sampling import TokenSampler, log_probs, token_logprob
from moss_audio.engine.stamps import StampIds
from moss_audio.engine.thinking import ThinkIds
from moss_audio.engine.trace import TraceRecorder


class AnswerRow:
    """One answer in the making.

    Args:
        options: of its request.
        member: which of `num_return_sequences` it is; shifts the seed.
        max_new_tokens: `options.max_new_tokens`, or fewer where the positions run out.
        eos_ids: tokens that end it.
        think: None for a checkpoint without think tokens.
        stamps: None for a tokenizer that has no ids for them.
        in_thought: it goes on within a think block that the prompt has opened.
    """

    def __init__(
        self,
        options: GenerationOptions,
        member: int,
        max_new_tokens: int,
        prompt_tokens: int,
        tokenizer: Any,
        eos_ids: frozenset[int],
        think: ThinkIds | None,
        stamps: StampIds | None,
        *,
        in_thought: bool = False,
    ) -> None:
        self._sampler = TokenSampler(options, options.seed + member)
        self.tokens: list[int] = []
        self.finish_reason: FinishReason | None = None
        self._options = options
        self._max_new_tokens = max_new_tokens
        self._prompt_tokens = prompt_tokens
        self._text = Detokenizer(tokenizer, options.stop)
        self._eos_ids = eos_ids
        self._think = think
        self._stamps = stamps
        self._thinking = in_thought
        self._thought_tokens = 0
        self._logprobs: list[TokenLogprob] | None = None if options.logprobs is None else []
        self._score: float | None = None
        self._trace = TraceRecorder() if options.trace else None
        self._forced: deque[int] = deque()
        if think is not None and options.thinking:
            self._forced.extend(think.opening)
        if think is not None and in_thought and options.thinking_budget == 0:
            self._forced.extend(think.closing)

    @property
    def greedy(self) -> bool:
        return self._sampler.greedy

    @property
    def tokens_left(self) -> int:
        """How many more there may be."""
        return self._max_new_tokens - len(self.tokens)

    def guess(self) -> list[int]:
        """Tokens that probably come next; mostly none."""
        return self._stamps.guess(self.tokens) if self._stamps is not None else []

    def take(self, logits: Logits, position: int) -> int:
        """Choose the next token from the logits at a position of a piece, and push it."""
        if self._forced:
            token_id = self._forced[0]
            if self._trace is not None:
                self._trace.put_in(token_id)
        elif self._trace is not None:
            token_id, logprob, kept = self._sampler.pick_traced(logits.row(position))
            self._trace.drawn(token_id, logprob, kept)
        elif self.greedy:
            token_id = logits.argmax()[position]
        else:
            token_id = self._sampler.pick(logits.row(position))
        self.push(token_id, logits.row(position) if self._logprobs is not None else None)
        return token_id

    def push(self, token_id: int, logits: np.ndarray | None = None) -> None:
        """Take the next token, chosen from `logits` `[V]` where log-probabilities are wanted."""
        was_forced = bool(self._forced)
        if was_forced:
            self._forced.popleft()
        elif token_id in self._eos_ids:
            self._finish("stop")
            return
        self.tokens.append(token_id)
        self._text.push(token_id)
        if self._logprobs is not None and logits is not None:
            n_top, end = self._options.logprobs or 0, len(self._text.text)
            told = token_logprob(log_probs(logits), token_id, n_top, self._eos_ids, end)
            self._logprobs.append(told)
        self._watch_thinking(token_id, counted=not was_forced)
        if self._text.stopped:
            self._finish("stop_string")
        elif len(self.tokens) >= self._max_new_tokens:
            self._finish("length")
        elif self._options.stop_repetition and repeats(self.tokens):
            self._finish("repetition")

    def search(self) -> BeamSearch:
        """A search for it, where several beams are wanted."""
        return BeamSearch(self._options, self._eos_ids, self._max_new_tokens)

    def retell(self, score: float, beam: Beam) -> None:
        """Become what a search has found."""
        self._score = score
        for place, token_id in enumerate(beam.tokens):
            self.push(token_id)
            if self._logprobs is not None and len(self.tokens) > len(self._logprobs):
                end = len(self._text.text)
                self._logprobs.append(replace(beam.told[place], end=end))
            if self.finish_reason is not None:
                return

    def take_text(self) -> str:
        """Text that is certain and was not taken before."""
        return self._text.take(final=self.finish_reason is not None)

    def generation(self) -> Generation:
        """The finished answer."""
        assert self.finish_reason is not None
        return Generation(
            self._text.text,
            tuple(self.tokens),
            self.finish_reason,
            self._prompt_tokens,
            logprobs=None if self._logprobs is None else tuple(self._logprobs),
            trace=None if self._trace is None else self._trace.trace(),
            score=self._score,
        )

    def _finish(self, reason: FinishReason) -> None:
        self.finish_reason = reason
        self._text.finish()
        if self._text.stopped:  # the last bytes may have completed a stop string
            self.finish_reason = "stop_string"

    def _watch_thinking(self, token_id: int, *, counted: bool) -> None:
        if self._think is None:
            return
        if token_id == self._think.start:
            self._thinking, self._thought_tokens = True, 0
        elif token_id == self._think.end:
            self._thinking = False
        elif self._thinking and counted:
            self._thought_tokens += 1
        budget = self._options.thinking_budget
        used_up = budget is not None and self._thought_tokens >= budget
        if self._thinking and used_up and not self._closing():
            self._forced.extend(self._think.closing)

    def _closing(self) -> bool:
        return self._think is not None and self._think.end in self._forced


def members(generations: Sequence[Generation]) -> Generation:
    """The answers of one request as one: the first, with the others as its alternatives."""
    first, *others = generations
    return replace(first, alternatives=tuple(others))
