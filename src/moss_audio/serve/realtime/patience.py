"""`semantic_vad`: how long a silence ends a turn, by what seems to have been said."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from moss_audio.text import is_cjk

# Milliseconds after which a turn has ended whatever was said, by eagerness, as OpenAI's.
LONGEST_MS: Mapping[str, int] = MappingProxyType(
    {"low": 8000, "medium": 4000, "auto": 4000, "high": 2000}
)
# Of the longest: after a whole sentence, after words that may be all, and where nothing is known.
_WHOLE, _PERHAPS, _UNKNOWN = 0.15, 0.35, 0.25
_ENDS = ".?!。？！…"
_OPEN = ",;:-—–、，；："
_QUOTES = "\"'”’»)]）】」』"
# Hardly anybody ends with these, though transcripts put a full stop behind them.
_WORDS = """
a an the and or but because if although unless until than of to from with without into onto
my your their our i we they um uh er hmm mm
und oder aber weil dass der die das ein eine einen dem den des im von zu für äh ähm
et ou mais que le la les un une des du de en dans avec pour sur euh
y o pero porque si el los las una del al con para por eh
"""
_UNFINISHED = frozenset(_WORDS.split())
_UNFINISHED_CJK = (*"的和在是把被就那这嗯呃", "因为", "所以", "但是", "如果")


def silence_ms(text: str | None, eagerness: str) -> int:
    """Milliseconds of silence that end a turn.

    Args:
        text: what is heard of it so far; None where nobody knows, "" where nothing is understood.
        eagerness: low, medium, high, or auto, which is medium.
    """
    longest = LONGEST_MS[eagerness]
    return round(longest * _share(text))


def _share(text: str | None) -> float:
    if text is None:
        return _UNKNOWN
    said = text.strip().rstrip(_QUOTES).rstrip()
    if not said:
        return _PERHAPS
    if said[-1] in _OPEN or said.endswith(("...", "…")):
        return 1.0
    if said[-1] in "?!？！":
        return _WHOLE
    last = said.rstrip(_ENDS).split()[-1:] or [""]
    word = last[0].lower().strip(_QUOTES + "¿¡\"'(")
    if word in _UNFINISHED or (is_cjk(word[-1:] or " ") and word.endswith(_UNFINISHED_CJK)):
        return 1.0
    return _WHOLE if said[-1] in _ENDS else _PERHAPS
