"""An answer that is written piece by piece, parted into thinking and what comes after it."""

from __future__ import annotations

from moss_audio.text import THINK_CLOSE, THINK_OPEN, split_thinking


class ReasoningSplitter:
    """Takes pieces of an answer; gives what is new of its thinking and of the answer proper.

    Args:
        begun: how the answer begins, which is not new.
    """

    def __init__(self, begun: str = "") -> None:
        self._text = begun
        thinking, answer, closed = split_thinking(begun)
        self._reasoning, self._answer = thinking or "", answer
        if begun and closed:  # what goes on after white space has none of its own
            self._answer = begun.rpartition(THINK_CLOSE)[2].lstrip()
        elif begun:
            self._reasoning = begun.partition(THINK_OPEN)[2].lstrip()

    def push(self, piece: str) -> tuple[str, str]:
        """What is certain with a further piece: (thinking, answer)."""
        self._text += piece
        return self._new(self._text[: len(self._text) - _begun_mark(self._text)])

    def finish(self) -> tuple[str, str]:
        """What was held back: (thinking, answer)."""
        return self._new(self._text)

    def _new(self, text: str) -> tuple[str, str]:
        thinking, answer, _ = split_thinking(text)
        before = self._reasoning, self._answer
        self._reasoning, self._answer = _kept(before[0], thinking or ""), _kept(before[1], answer)
        return _grown(before[0], self._reasoning), _grown(before[1], self._answer)


def _kept(before: str, now: str) -> str:
    """`now`, unless it only lacks the white space that `before` ends with."""
    return before if now == before.rstrip() else now


def _grown(before: str, now: str) -> str:
    return now[len(before) :] if now.startswith(before) else ""


def _begun_mark(text: str) -> int:
    """Characters at the end that may be the beginning of a mark."""
    longest = max(len(THINK_OPEN), len(THINK_CLOSE)) - 1
    for n in range(min(longest, len(text)), 0, -1):
        if THINK_OPEN.startswith(text[-n:]) or THINK_CLOSE.startswith(text[-n:]):
            return n
    return 0
