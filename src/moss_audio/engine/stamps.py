"""A guess that costs nothing: where one word ends, the next mostly begins.

In an answer with word times, `[0.42]hello[0.78][0.78]there[1.11]`, a third of the tokens repeat
the time stamp before them. They are guessed, and checked in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StampIds:
    """The ids of which time stamps consist."""

    between: tuple[
        int, ...
    ]  # of "][", which ends a word's last stamp and begins the next word's first
    close: int
    digits: frozenset[int]

    @classmethod
    def of(cls, tokenizer: Any) -> StampIds | None:
        """None for a tokenizer that writes stamps in another way."""
        between, *ids = (
            tokenizer.encode(text, add_special_tokens=False) for text in ("][", "]", *"0123456789.")
        )
        if any(len(one) != 1 for one in ids):
            return None
        close, *digits = (one for (one,) in ids)
        return cls(tuple(between), close, frozenset(digits))

    def guess(self, tokens: Sequence[int]) -> list[int]:
        """What follows the tokens of an answer, if its last stamp comes once more."""
        end = len(tokens) - len(self.between)
        if end < 1 or tuple(tokens[end:]) != self.between:
            return []
        first = end
        while first and tokens[first - 1] in self.digits:
            first -= 1
        stamp = list(tokens[first:end])
        return [*stamp, self.close] if stamp else []
