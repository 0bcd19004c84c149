"""Pieces of a text -> pieces that end where words do, and are never taken back."""

from __future__ import annotations

from moss_audio.text import is_cjk


def agreed(before: str, now: str) -> int:
    """Characters of the words with which two texts begin alike."""
    shorter = min(len(before), len(now))
    end = next((i for i in range(shorter) if before[i] != now[i]), shorter)
    while end and not all(_ends(text, end) for text in (before, now)):
        end -= 1
    return end


def _ends(text: str, end: int) -> bool:
    return end == len(text) or text[end].isspace() or is_cjk(text[end])


class WholeWords:
    """Clients add up what they get: half a word would be seen as one."""

    def __init__(self) -> None:
        self._held = ""
        self._begun = False

    def push(self, piece: str) -> str:
        """The words that are whole with a further piece. White space goes before a word."""
        self._held += piece
        if not self._begun:
            self._held = self._held.lstrip()
        end = len(self._held)
        while end and not (self._held[end - 1].isspace() or is_cjk(self._held[end - 1])):
            end -= 1
        return self._given(len(self._held[:end].rstrip()))

    def finish(self) -> str:
        """The last word."""
        return self._given(len(self._held.rstrip()))

    def _given(self, end: int) -> str:
        given, self._held = self._held[:end], self._held[end:]
        self._begun = self._begun or bool(given)
        return given


class SpokenWords:
    """What a client was told of a turn: words that are told once, and never taken back."""

    def __init__(self) -> None:
        self.told = ""

    def more(self, text: str) -> str:
        """The whole words that a text has behind those that were told; none where it does not begin
        with them."""
        end = len(self.told)
        if not text.startswith(self.told) or (end and not _ends(text, end)):
            return ""
        self.told = text
        return text[end:]

    def contradicted(self, text: str) -> int:
        """Words that were told and are not there in the whole text."""
        return len(self.told[agreed(self.told, text) :].split())
