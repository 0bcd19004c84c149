"""What a caption claims: quotations, times beside labels, stated counts, facts of music."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from moss_audio.metrics.mentions import Mention, find_mentions, label_key, sentences
from moss_audio.metrics.numbers import find_numbers

INSTRUMENTS = (
    "piano", "electric piano", "music box", "marimba", "organ", "accordion", "guitar", "violin",
    "cello", "harp", "strings", "choir", "trumpet", "saxophone", "clarinet", "flute", "drums",
    "bass", "xylophone", "banjo", "trombone", "oboe", "synthesizer",
)  # fmt: skip
# Sentences in which "fast" or "minor" speak of music and not of, say, fast knocking.
_ABOUT_MUSIC = re.compile(
    r"\b(?:music|musical|song|melody|tune|tempo|key|bpm|instrumental|played on|chords?)\b",
    re.IGNORECASE,
)
_TEMPO: Mapping[str, tuple[str, ...]] = {
    "slow": ("slow", "slowly"),
    "medium": ("medium", "moderate", "moderately", "mid-tempo"),
    "fast": ("fast", "quick", "quickly", "rapid"),
}
_MODE: Mapping[str, tuple[str, ...]] = {"major": ("major",), "minor": ("minor",)}
_BPM_SHARE = 0.1
_QUOTE = re.compile(r"\"([^\"]*)\"|\u201c([^\u201d]*)\u201d|\u00ab([^\u00bb]*)\u00bb")
_TO = re.compile(r"\s*(?:-|\u2013|\u2014|to|and|until|till|through)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class TimeClaim:
    """A start, and perhaps an end, in seconds, said of a sound that may be any of `labels`."""

    labels: frozenset[str]
    start_s: float
    end_s: float | None


def quotations(text: str) -> list[tuple[int, int, str]]:
    """Start, end (characters, marks included) and content of what stands in quotation marks."""
    return [(m.start(), m.end(), m[1] or m[2] or m[3] or "") for m in _QUOTE.finditer(text)]


def without(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """`text` with those spans blanked; positions stay."""
    for start, end, _ in spans:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def time_claims(text: str, mentions: Sequence[Mention]) -> list[TimeClaim]:
    """Times bound to sounds: to the last label before them in the sentence, else to the next one.

    A sentence that opens with a time ("From 1 to 2 s a bell, from 3 to 4 s a dog") binds forwards.
    A bare number counts only in a range or behind "at", "from", "around".
    """
    claims = []
    for start, end in sentences(text):
        inside = [m for m in mentions if start <= m.start < end and not m.negated]
        spans = _times(text, start, end)
        forwards = bool(inside and spans) and spans[0][2] < inside[0].start
        for start_s, end_s, at in spans:
            after = [m for m in inside if m.start >= at]
            before = [m for m in inside if m.end <= at]
            near = (after[:1] or before[-1:]) if forwards else (before[-1:] or after[:1])
            claims += [TimeClaim(m.labels, start_s, end_s) for m in near]
    return claims


def stated_counts(text: str, mentions: Sequence[Mention]) -> dict[str, set[int]]:
    """Numbers said of each label: right before it ("three beeps"), or with "times" behind it."""
    numbers = find_numbers(text)
    stated: dict[str, set[int]] = {}
    for k, mention in enumerate(mentions):
        if mention.negated or len(mention.labels) != 1:
            continue
        (label,) = mention.labels
        following = mentions[k + 1].start if k + 1 < len(mentions) else len(text)
        for number in numbers:
            gap = text[number.end : mention.start] if number.end <= mention.start else None
            before = gap is not None and re.fullmatch(r"\s+(?:\w+\s+)?", gap) and not number.unit
            behind = number.unit == "times" and mention.end <= number.start < following
            same = behind and not re.search(r"[.!?;]\s", text[mention.end : number.start])
            if (before or same) and number.value == int(number.value):
                stated.setdefault(label, set()).add(int(number.value))
    return stated


def music_claims(
    text: str, instruments: Iterable[str], tempo_bpm: float | None
) -> dict[str, set[str]]:
    """Tempo bands, modes and instruments claimed in sentences about music.

    A stated bpm within 10 % of `tempo_bpm` is the claim "right", another one is itself.
    """
    names = {label_key(name): name for name in instruments}
    claims: dict[str, set[str]] = {"tempo": set(), "mode": set(), "instrument": set()}
    for start, end in sentences(text):
        sentence = text[start:end]
        if not _ABOUT_MUSIC.search(sentence):
            continue
        for what, values in (("tempo", _TEMPO), ("mode", _MODE)):
            claims[what] |= {
                min(m.labels) for m in find_mentions(sentence, values, values) if not m.negated
            }
        claims["instrument"] |= {
            names[min(m.labels)] for m in find_mentions(sentence, names.values()) if not m.negated
        }
        for number in find_numbers(sentence):
            if number.unit == "bpm":
                near = tempo_bpm and abs(number.value - tempo_bpm) <= _BPM_SHARE * tempo_bpm
                claims["tempo"].add("right" if near else f"{number.value:g} bpm")
    return claims


def _times(text: str, start: int, end: int) -> list[tuple[float, float | None, int]]:
    """Start, end or None, and position of every time or range of a sentence."""
    numbers = [
        n
        for n in find_numbers(text[start:end])
        if n.unit == "s" or (not n.unit and _introduced(text[start:end], n.start, n.end))
    ]
    out: list[tuple[float, float | None, int]] = []
    k = 0
    while k < len(numbers):
        first = numbers[k]
        second = numbers[k + 1] if k + 1 < len(numbers) else None
        if second and _TO.fullmatch(text, start + first.end, start + second.start):
            out.append((first.value, second.value, start + first.start))
            k += 2
        else:
            out.append((first.value, None, start + first.start))
            k += 1
    return out


def _introduced(sentence: str, start: int, end: int) -> bool:
    """Whether a bare number is a time: a decimal in a range, or behind "at", "from", "around"."""
    before = re.search(r"\b(?:at|from|around|about|until|till)\s+(?:about\s+)?$", sentence[:start])
    decimal = "." in sentence[start:end]
    ranged = re.match(r"\s*(?:-|\u2013|\u2014|to)\s*\d", sentence[end:]) or re.search(
        r"\d\s*(?:-|\u2013|\u2014|to)\s*$", sentence[:start]
    )
    return bool(before) or (decimal and bool(ranged))
