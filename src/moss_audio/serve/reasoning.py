"""An answer that is written piece by piece, parted into thinking and what comes after it."""

from __future__ import annotations

from moss_audio.text import THINK_CLOSE, THINK_OPEN, split_thinking


class ReasoningSplitter:
    """Takes pieces of an answer; gives what is new of its thinking and of the answer proper."""

    def __init__(self) -> None:
        self._text = ""
        self._reasoning = ""
        self._answer = ""

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
        self._reasoning, self._answer = thinking or "", answer
        return _grown(before[0], self._reasoning), _grown(before[1], answer)


def _grown(before: str, now: str) -> str:
    return now[len(before) :] if now.startswith(before) else ""


def _begun_mark(text: str) -> int:
    """Characters at the end that may be the beginning of a mark."""
    longest = max(len(THINK_OPEN), len(THINK_CLOSE)) - 1
    for n in range(min(longest, len(text)), 0, -1):
        if THINK_OPEN.startswith(text[-n:]) or THINK_CLOSE.startswith(text[-n:]):
            return n
    return 0
