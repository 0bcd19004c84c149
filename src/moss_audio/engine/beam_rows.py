"""The sequences of a beam search: one for each beginning, copied where a beginning forks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from moss_audio.engine.beams import BeamSearch
from moss_audio.engine.runner import KVCache, Logits, Piece


class BeamRow:
    """A beginning that is being decoded: its sequence lacks the last token."""

    n_tried = 0

    def __init__(self, rows: BeamRows, token: int, cache: KVCache) -> None:
        self.rows, self.cache, self._token = rows, cache, token
        self.task = rows.task

    def piece(self, longest: int, *, alone: bool) -> Piece:
        """The last token."""
        return Piece((self._token,))


class BeamRows:
    """All beginnings of one answer.

    Args:
        task: whose answer it is.
        search: which of them go on.
        cache: holds the prompt; it is used by the first of them.

    Attributes:
        live: one for each of `search.live`.
        said_at: when their last token was known.
    """

    def __init__(self, task: Any, search: BeamSearch, cache: KVCache) -> None:
        self.task, self.search = task, search
        self.live: list[BeamRow] = []
        self.said_at = time.perf_counter()
        self._prompt_length = cache.length  # up to which all hold the same
        self._heard: dict[BeamRow, np.ndarray] = {}
        self._caches = [cache]

    def begin(self, logits: Logits) -> None:
        """The first tokens, from the logits after the prompt."""
        self._go_on([logits.row()])

    def take(self, row: BeamRow, logits: Logits) -> bool:
        """Note the logits of a row; True once all have theirs and have gone on."""
        self._heard[row] = logits.row()
        if len(self._heard) < len(self.live):
            return False
        heard = [self._heard[one] for one in self.live]
        self._heard.clear()
        self._go_on(heard)
        return True

    def close(self) -> None:
        """Give the memory of all sequences back."""
        for cache in self._caches:
            cache.close()
        self.live, self._caches = [], []

    def _go_on(self, logits: Sequence[np.ndarray]) -> None:
        parents = self.search.advance(logits)
        if self.search.done:
            self.close()
            return
        spare = [cache for place, cache in enumerate(self._caches) if place not in parents]
        taken: set[int] = set()
        caches = []
        for parent in parents:
            held = self._caches[parent]
            if parent not in taken:
                taken.add(parent)
                caches.append(held)
            elif spare:
                copy = spare.pop()
                copy.follow(held, self._prompt_length)
                caches.append(copy)
            else:
                caches.append(held.fork())
        for cache in spare:
            cache.close()
        self._caches = caches
        self.live = [
            BeamRow(self, beam.tokens[-1], cache)
            for beam, cache in zip(self.search.live, caches, strict=True)
        ]
