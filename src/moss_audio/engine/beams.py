"""Beam search: which beginnings of one answer go on, which are finished, and when there is an end.

The rules are those of transformers' `generate(num_beams=...)` (`GenerationMixin._beam_search`), so
that both find the same texts: of the likeliest `max(2, 1 + end tokens) * num_beams` continuations
the best `num_beams` without an end go on; those with one are kept if they are among the best
`num_beams` of them all, by their log-probability divided by `length ** length_penalty`.
`fork_below` and `beam_margin` are ours: they leave out what hardly ever wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moss_audio.engine.base import GenerationOptions, TokenLogprob
from moss_audio.engine.repetition import repeats
from moss_audio.engine.sampling import likeliest, log_probs, token_logprob


@dataclass(frozen=True, eq=False)
class Beam:
    """A beginning of an answer, or a whole one.

    Attributes:
        tokens: its ids, with the end token of a whole one.
        total: the sum of their log-probabilities.
        told: of each token, where log-probabilities are wanted.
    """

    tokens: tuple[int, ...] = ()
    total: float = 0.0
    told: tuple[TokenLogprob, ...] = ()


class BeamSearch:
    """The search for one answer.

    Args:
        options: of its request.
        eos_ids: tokens that end it.
        max_new_tokens: `options.max_new_tokens`, or fewer where the positions run out.

    Attributes:
        live: beginnings that go on, likeliest first; of as many tokens each.
        done: there is nothing more to be found.
    """

    def __init__(
        self, options: GenerationOptions, eos_ids: frozenset[int], max_new_tokens: int
    ) -> None:
        self.live = [Beam()]
        self.done = False
        self._finished: list[tuple[float, Beam]] = []  # best score first
        self._options, self._eos_ids = options, eos_ids
        self._max_new_tokens = max_new_tokens
        self._most = max(2, 1 + len(eos_ids)) * options.num_beams

    def advance(self, logits: Sequence[np.ndarray]) -> list[int]:
        """Go on by one token.

        Args:
            logits: `[V]` after each of `live`.

        Returns:
            For each of the new `live`, which of the old it goes on from.
        """
        found: list[tuple[float, int, int]] = []
        values = [log_probs(row) for row in logits]
        for parent, (beam, row) in enumerate(zip(self.live, values, strict=True)):
            found += [(beam.total + float(row[one]), parent, one) for one in self._next(row)]
        possible = [one for one in found if np.isfinite(one[0])]
        found = sorted(possible, key=lambda one: -one[0])[: self._most]
        n_beams, parents = self._options.num_beams, []
        live: list[Beam] = []
        finished = list(self._finished)
        for rank, (total, parent, token) in enumerate(found):
            before = self.live[parent]
            tokens = (*before.tokens, token)
            over = self._over(tokens)
            if (len(live) == n_beams) if not over else rank >= n_beams:
                continue
            told = before.told
            if self._options.logprobs is not None:
                n_top = self._options.logprobs
                told = (*told, token_logprob(values[parent], token, n_top, self._eos_ids))
            beam = Beam(tokens, total, told)
            if not over:
                live.append(beam)
                parents.append(parent)
            else:
                finished.append((self._score(beam.total, len(tokens)), beam))
        self._finished = sorted(finished, key=lambda one: -one[0])[:n_beams]
        self.live = live
        self._drop_those_behind(parents)
        self.done = not self.live or not self._may_improve()
        return parents

    def best(self) -> list[tuple[float, Beam]]:
        """Finished answers with their scores, best first: `num_beams` at most, one at least once
        the search is done."""
        return list(self._finished)

    @property
    def _full(self) -> bool:
        return len(self._finished) == self._options.num_beams

    def _next(self, values: np.ndarray) -> list[int]:
        """The tokens that a beginning may go on with, by their log-probabilities `[V]`."""
        top = int(values.argmax())
        if self._options.fork_below < 1.0 and np.exp(values[top]) >= self._options.fork_below:
            return [top]
        margin = self._options.beam_margin
        if margin is None:
            return likeliest(values, self._most)
        (near,) = np.nonzero(values >= values[top] - margin)
        return [int(near[one]) for one in likeliest(values[near], self._most)]

    def _over(self, tokens: Sequence[int]) -> bool:
        return (
            tokens[-1] in self._eos_ids
            or len(tokens) >= self._max_new_tokens
            or (self._options.stop_repetition and repeats(tokens))
        )

    def _score(self, total: float, length: int) -> float:
        return float(total / length**self._options.length_penalty)

    def _drop_those_behind(self, parents: list[int]) -> None:
        """Leave those out that are `beam_margin` behind the best, finished ones included."""
        if self._options.beam_margin is None:
            return
        best = max(one.total for one in (*self.live, *(beam for _, beam in self._finished)))
        kept = [
            place
            for place, beam in enumerate(self.live)
            if beam.total >= best - self._options.beam_margin
        ]
        self.live = [self.live[place] for place in kept]
        parents[:] = [parents[place] for place in kept]

    def _may_improve(self) -> bool:
        """Whether the best beginning, if it ended now, would be better than the worst of as many
        finished answers as are wanted."""
        if not self._full:
            return True
        if self._options.early_stopping:
            return False
        best = self.live[0]
        return self._score(best.total, len(best.tokens)) > self._finished[-1][0]
