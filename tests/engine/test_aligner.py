"""Word times from audio tokens: the best monotonic path, in which each word has a token."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.engine.aligner import WordAligner, best_path
from moss_audio.engine.torch_engine import TorchEngine


def _brute(scores: np.ndarray, quiet: np.ndarray) -> float:
    """The best total over all monotonic labelings in which every word occurs."""
    n_tokens, n_words = scores.shape
    best = -np.inf
    for labels in itertools.product(range(-1, n_words), repeat=n_tokens):
        order = [k for k, _ in itertools.groupby(labels) if k >= 0]
        if order != list(range(n_words)):  # each once, in one stretch, in order
            continue
        total = sum(quiet[t] if k < 0 else scores[t, k] for t, k in enumerate(labels))
        best = max(best, total)
    return best


@given(st.integers(1, 3), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_the_path_is_the_best_of_all(n_words: int, more: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_tokens = n_words + more
    scores, quiet = rng.normal(size=(n_tokens, n_words)), rng.normal(size=n_tokens)
    path = best_path(scores, quiet)
    total = sum(quiet[t] if k < 0 else scores[t, k] for t, k in enumerate(path))
    assert np.isclose(total, _brute(scores, quiet))
    assert [k for k, _ in itertools.groupby(path) if k >= 0] == list(range(n_words))


def test_clear_words_are_found_where_they_are() -> None:
    scores = np.full((10, 2), -9.0)
    scores[2:4, 0] = scores[7:9, 1] = 0.0
    path = best_path(scores, np.full(10, -1.0))
    assert path.tolist() == [-1, -1, 0, 0, -1, -1, -1, 1, 1, -1]


def test_more_words_than_tokens_are_not_aligned(shared_engine: TorchEngine) -> None:
    """A runaway answer on a short clip: its words keep the times that the decoder wrote."""
    align = WordAligner(shared_engine)
    clip = np.zeros(8_000, np.float32)
    assert align(clip, "a " * 50) == ()
    assert align(clip, "") == ()
    words = align(clip, "a b")
    assert [one.text for one in words] == ["a", "b"]
    assert 0 < words[0].start < words[0].end < words[1].start < words[1].end <= 0.5
