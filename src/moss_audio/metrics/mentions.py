"""Where a text names one of the known sounds, whatever the inflection, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from moss_audio.text import normalize_words, without_articles

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_NEGATIONS = frozenset(("no", "not", "without", "never", "neither", "nor"))
_TRANSPARENT = frozenset(("a", "an", "the", "any", "sound", "sounds", "of", "or", "distinct"))
_VOWEL = re.compile(r"[aeiouy]")
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|[\n;]")
_REVERSING = re.compile(r"\b(?:after|following|preceded by)\b", re.IGNORECASE)
# "After that" names nothing; "that" may belong to the sound behind it, though ("after that bell").
_IT = re.compile(r"\s+it\b", re.IGNORECASE)
_THAT = re.compile(r"\s+th(?:at|is)\b\s*", re.IGNORECASE)
_BEGUN = re.compile(r"(?:[,;:]|\b(?:and|then))\s*$", re.IGNORECASE)
_BEFORE = re.compile(r"\bbefore\b", re.IGNORECASE)

Synonyms = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Mention:
    """A phrase from `start` to `end` (characters) that may stand for any of `labels`."""

    labels: frozenset[str]
    start: int
    end: int
    negated: bool = False


def label_words(label: str) -> list[str]:
    """Normalised words of a label, without articles and without a leading "sound of"."""
    words = without_articles(normalize_words(label))
    if words[:2] in (["sound", "of"], ["sounds", "of"]):
        words = words[2:] or words
    return words


def label_key(label: str) -> str:
    """The form in which labels are compared here: normalised words, uninflected."""
    return " ".join(_phrase(label))


def find_mentions(
    text: str, labels: Iterable[str], synonyms: Synonyms | None = None
) -> list[Mention]:
    """Mentions of `labels` (returned as `label_key`s) or of their synonyms in `text`, in order.

    Words are compared without case and endings (-s, -ing, -ed, -e); the longest phrase wins and
    mentions do not overlap. A "no", "not", "without" before a mention makes it `negated`.
    """
    phrases: dict[tuple[str, ...], set[str]] = {}
    for label in labels:
        for name in (label, *(synonyms or {}).get(label, ())):
            if phrase := _phrase(name):
                phrases.setdefault(phrase, set()).add(label_key(label))
    words = [(m.group().lower(), m.start(), m.end()) for m in _WORD.finditer(text)]
    stems = [_stem(word) for word, _, _ in words]
    longest = max(map(len, phrases), default=0)
    found: list[Mention] = []
    at = 0
    while at < len(words):
        for length in range(min(longest, len(words) - at), 0, -1):
            named = phrases.get(tuple(stems[at : at + length]))
            if named:
                first = at - 1
                while first >= 0 and words[first][0] in _TRANSPARENT:
                    first -= 1
                negated = first >= 0 and words[first][0] in _NEGATIONS
                start, end = words[at][1], words[at + length - 1][2]
                found.append(Mention(frozenset(named), start, end, negated))
                at += length - 1
                break
        at += 1
    return found


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences of `text`; a decimal point ends none."""
    ends = [m.end() for m in _SENTENCE_END.finditer(text)]
    starts = [0, *ends]
    return [(a, b) for a, b in zip(starts, [*ends, len(text)], strict=True) if text[a:b].strip()]


def told_order(text: str, mentions: Sequence[Mention]) -> list[Mention] | None:
    """Mentions in the order in which the text says that they happen; None if that is unclear.

    That is the order of mention, but for "B after A" and "before B, A" in a sentence of two
    mentions; with more mentions around such a word the order is unclear. "After A, B", "A before B"
    and "A, after that B" are the order of mention already.
    """
    out: list[Mention] = []
    for start, end in sentences(text):
        inside = [m for m in mentions if start <= m.start < end and not m.negated]
        turned = _turns(text, _REVERSING, start, inside, between=True)
        turned += _turns(text, _BEFORE, start, inside, between=False)
        if turned and len(inside) != 2:
            return None
        out += reversed(inside) if turned else inside
    return out


def _turns(
    text: str, pattern: re.Pattern[str], start: int, inside: Sequence[Mention], *, between: bool
) -> int:
    """How many words of `pattern` stand between (or in front of) the mentions of a sentence."""
    if len(inside) < 2:
        return 0
    low, high = (inside[0].end, inside[-1].start) if between else (start, inside[0].start)
    found = pattern.finditer(text, low, high)
    return sum(1 for m in found if not _points_back(text, m, inside))


def _points_back(text: str, word: re.Match[str], inside: Sequence[Mention]) -> bool:
    """Whether "after" is followed by "it" or "that", which stands for what was named before."""
    if _IT.match(text, word.end()):
        return True
    that = _THAT.match(text, word.end())
    if that is None:
        return False
    alone = all(mention.start != that.end() for mention in inside)
    return alone or _BEGUN.search(text, 0, word.start()) is not None


@lru_cache(maxsize=4096)
def _phrase(text: str) -> tuple[str, ...]:
    return tuple(_stem(word) for word in label_words(text))


def _stem(word: str) -> str:
    """A word without its ending; equal for the forms of regular verbs and nouns."""
    word = word.removesuffix("'s")
    if word.endswith("s") and not word.endswith("ss") and len(word) > 3:
        word = word[:-1]
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and _VOWEL.search(rest):
            word = rest
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word
