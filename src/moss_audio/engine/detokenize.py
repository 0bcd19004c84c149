"""Token ids to text as they arrive: whole characters only, and stop strings that never show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_BROKEN = "\ufffd"  # what a decoder shows for bytes that are no whole character yet
_MAX_PENDING_TOKENS = 16  # a character has at most 4 bytes: more pending ones are really broken


class Detokenizer:
    """The text of one answer, grown token by token.

    Args:
        tokenizer: decodes ids; control tokens are left out.
        stop: the text ends before the first of these.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._ids: list[int] = []
        self._start = 0  # first token of the window that is decoded again
        self._read = 0  # tokens whose text is out
        self.text = ""
        self._given = 0  # characters that `take` has returned
        self.stopped = False

    def push(self, token_id: int) -> None:
        """Add a token; `stopped` turns True when a stop string is complete."""
        self._ids.append(token_id)
        self._advance(final=False)

    def finish(self) -> None:
        """No more tokens: what is pending becomes text, broken bytes as U+FFFD."""
        self._advance(final=True)

    def take(self, *, final: bool = False) -> str:
        """The text that is certain and was not taken yet; all of it when `final`."""
        end = len(self.text)
        if not final and not self.stopped:
            end -= self._possible_stop()
        piece = self.text[self._given : end] if end > self._given else ""
        self._given = max(self._given, end)
        return piece

    def _advance(self, *, final: bool) -> None:
        if self.stopped or self._read == len(self._ids):
            return
        # A token's text may depend on the one before it (a leading space): the difference of two
        # decodings from a token that is out already is right for every tokenizer.
        before = self._decode(self._ids[self._start : self._read])
        after = self._decode(self._ids[self._start :])
        pending = len(self._ids) - self._read
        if after.endswith(_BROKEN) and not final and pending < _MAX_PENDING_TOKENS:
            return
        new = after[len(before) :]
        self._start, self._read = self._read, len(self._ids)
        if new:
            self._append(new)

    def _append(self, new: str) -> None:
        longest = max(map(len, self._stop), default=0)
        search_from = max(0, len(self.text) - longest)
        self.text += new
        places = [self.text.find(stop, search_from) for stop in self._stop]
        found = [place for place in places if place >= 0]
        if found:
            self.text = self.text[: min(found)]
            self.stopped = True

    def _possible_stop(self) -> int:
        """Characters at the end that may be the beginning of a stop string."""
        held = 0
        for stop in self._stop:
            for length in range(min(len(stop) - 1, len(self.text)), held, -1):
                if self.text.endswith(stop[:length]):
                    held = length
                    break
        return held

    def _decode(self, ids: Sequence[int]) -> str:
        if not ids:
            return ""
        text: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text
