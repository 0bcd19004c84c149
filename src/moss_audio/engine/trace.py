"""The record of what an answer's tokens were drawn from, while it is decoded."""

from __future__ import annotations

import numpy as np

from moss_audio.engine.base import Trace


class TraceRecorder:
    """Collects a `Trace`, token by token."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._kept: list[np.ndarray | None] = []
        self._forced: list[bool] = []

    def drawn(self, token_id: int, logprob: float, kept: np.ndarray | None) -> None:
        """A token that was drawn from the ids `kept` (None: all that are possible)."""
        self._add(token_id, logprob, kept, forced=False)

    def put_in(self, token_id: int) -> None:
        """A token that was not drawn."""
        self._add(token_id, 0.0, np.array([token_id]), forced=True)

    def trace(self) -> Trace:
        """All of it."""
        truncated = [kept for kept in self._kept if kept is not None]
        kept: np.ndarray | None = None
        if len(truncated) == len(self._kept):
            width = max((len(one) for one in truncated), default=1)
            kept = np.full((len(truncated), width), -1, np.int32)
            for row, one in zip(kept, truncated, strict=True):
                row[: len(one)] = one
        return Trace(
            np.array(self._ids, np.int32),
            np.array(self._logprobs, np.float32),
            kept,
            np.array(self._forced, bool),
        )

    def _add(self, token_id: int, logprob: float, kept: np.ndarray | None, *, forced: bool) -> None:
        self._ids.append(token_id)
        self._logprobs.append(logprob)
        self._kept.append(kept)
        self._forced.append(forced)
