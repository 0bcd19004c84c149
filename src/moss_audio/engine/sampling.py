"""Choosing the next token of one row from its logits, independently of all other rows."""

from __future__ import annotations

import numpy as np

from moss_audio.engine.base import GenerationOptions, TokenLogprob

_COLUMN = 64  # scores of which only the highest is looked at first


class TokenSampler:
    """The token choice of one answer.

    One uniform number a token, drawn from a generator of its own, picks from the sorted
    distribution: the same seed gives the same answer alone and in any batch.
    """

    def __init__(self, options: GenerationOptions, seed: int) -> None:
        self.greedy = options.temperature == 0 or options.top_k == 1
        self._options = options
        self._random = np.random.default_rng(seed)

    def pick(self, logits: np.ndarray) -> int:
        """The next token from float32 logits `[V]`, audio ids already at -inf."""
        if self.greedy:
            return int(logits.argmax())
        ids, weights = self._kept(logits)
        place = self._draw(weights)
        return place if ids is None else int(ids[place])

    def pick_traced(self, logits: np.ndarray) -> tuple[int, float, np.ndarray | None]:
        """The same, with the logarithm of its probability among the ids that were kept, and these
        ids (None: all that are possible)."""
        ids, weights = self._kept(logits)
        place = self._draw(weights)
        logprob = float(np.log(weights[place]) - np.log(weights.sum()))
        return place if ids is None else int(ids[place]), logprob, ids

    def _kept(self, logits: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """The ids that top-k and top-p keep (None: all), and their weights."""
        options = self._options
        ids = _top(logits, options.top_k) if 0 < options.top_k < len(logits) else None
        scores = (logits if ids is None else logits[ids]).astype(np.float64) / options.temperature
        weights = np.exp(scores - scores.max())
        if options.top_p < 1.0:
            bound = options.top_p * weights.sum()
            # what is below this all together cannot reach beyond the bound: no need to sort it
            (likely,) = np.nonzero(weights * len(weights) >= weights.sum() - bound)
            order = likely[np.argsort(-weights[likely], kind="stable")]
            # the token that crosses the bound stays in, so there is always one
            before = np.cumsum(weights[order]) - weights[order]
            order = order[before < bound]
            weights, ids = weights[order], order if ids is None else ids[order]
        return ids, weights

    def _draw(self, weights: np.ndarray) -> int:
        """A place, with probability in proportion to its weight."""
        cumulative = np.cumsum(weights)
        drawn = self._random.random() * cumulative[-1]
        # (where rounding would go past the end, the last that is possible)
        last = np.searchsorted(cumulative, cumulative[-1])
        return int(min(np.searchsorted(cumulative, drawn, side="right"), last))


def _top(scores: np.ndarray, k: int) -> np.ndarray:
    """The places of the `k` highest, the first of equal ones."""
    columns = len(scores) // _COLUMN
    if columns > k:
        # the k-th highest of the columns' highest is at most the k-th highest of all: what is
        # below it need not be sorted, and that is nearly everything
        highest = scores[: columns * _COLUMN].reshape(_COLUMN, columns).max(0)
        (near,) = np.nonzero(scores >= np.partition(highest, -k)[-k])
    else:
        near = np.arange(len(scores))
    found = scores[near]
    least = np.partition(found, -k)[-k]
    above, equal = near[found > least], near[found == least]
    return np.concatenate([above, equal[: k - len(above)]])


def log_probs(logits: np.ndarray) -> np.ndarray:
    """Natural logarithms of the probabilities of logits `[V]`."""
    top = logits.max()
    shifted: np.ndarray = logits - top
    return shifted - np.log(np.exp(shifted, dtype=np.float64).sum()).astype(np.float32)


def likeliest(values: np.ndarray, n: int) -> list[int]:
    """The places of the `n` highest of `values` `[V]`, highest first."""
    found = _top(values, min(n, len(values))) if n else np.zeros(0, int)
    return [int(place) for place in found[np.argsort(-values[found], kind="stable")]]


def token_logprob(
    values: np.ndarray, token_id: int, n_top: int, eos_ids: frozenset[int], end: int = 0
) -> TokenLogprob:
    """What is told of a token, from the log-probabilities `[V]` in its place."""
    top = tuple((one, float(values[one])) for one in likeliest(values, n_top))
    ended = max((float(values[one]) for one in eos_ids), default=None)
    return TokenLogprob(token_id, float(values[token_id]), top, end, ended=ended)
