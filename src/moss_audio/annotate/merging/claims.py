"""What a caption states in numbers: spans, moments, lengths, counts, tempo and other measures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from moss_audio.metrics.numbers import Number, find_numbers

ClaimKind = Literal[
    "range", "moment", "start", "end", "length", "gap", "measure", "number", "again"
]

_ABOUT = (
    r"(?:(?:about|around|roughly|approximately|nearly|almost|just|only|some|circa|exactly|the)\s+)*"
)
_VAGUE = re.compile(
    r"(?:\b(?:about|around|roughly|approximately|nearly|almost|some|circa)\s+|~\s*)$", re.IGNORECASE
)
_TO = re.compile(rf"\s*(?:-|\u2013|\u2014|to|until|till|through|up to)\s*{_ABOUT}", re.IGNORECASE)
_AND = re.compile(rf"\s*and\s*{_ABOUT}", re.IGNORECASE)
_BETWEEN = re.compile(rf"\bbetween\s+{_ABOUT}$", re.IGNORECASE)
_MEASURE = re.compile(
    r"[\s-]*(bpm|beats?(?:\s+(?:per|a)\s+minute)?|words?|hz|hertz|db|decibels?|lufs|percent|%"
    r"|semitones?|syllables?|octaves?|years?)",
    re.IGNORECASE,
)
_LENGTH_BEFORE = re.compile(
    r"\b(?:for|lasts?|lasting|lasted|of|over|spans?|spanning|within|these|entire|full|whole|runs?"
    rf"|next|last|first|final|duration|length|a|an|after)\s+{_ABOUT}$",
    re.IGNORECASE,
)
_LENGTH_BEHIND = re.compile(
    r"[\s-]*(?:long\b|in length|in duration|of\b|clip|recording|audio)", re.I
)
_GAP_BEHIND = re.compile(r"\s+(?:later|earlier|after|before|apart)\b", re.IGNORECASE)
_START_BEFORE = re.compile(
    rf"\b(?:from|since|(?:start|begin|commenc|open|set)\w*(?:\s+in)?\s+(?:at|from|around))\s+{_ABOUT}$",
    re.IGNORECASE,
)
_END_BEFORE = re.compile(
    rf"\b(?:until|till|up to|(?:end|stop|finish|ceas|fad)\w*(?:\s+\w+)?\s+(?:at|by|around))"
    rf"\s+{_ABOUT}$",
    re.IGNORECASE,
)
_MOMENT_BEFORE = re.compile(rf"\b(?:at|around|near|by|from|until|to)\s+{_ABOUT}$", re.IGNORECASE)


_PAUSE = re.compile(
    r"\b(?:paus(?:e|es|ing|ed)|gap|break|silence|silent|falls? silent|stops?)\s+"
    r"(?:of\s+\w+\s+)?(?:from|between)\s+$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Claim:
    """A statement in numbers at characters `at` to `until`; `slack` is how far it may be off, from
    how precisely it is written."""

    kind: ClaimKind
    value: float
    other: float | None  # the end of a range
    slack: float
    at: int
    until: int
    unit: str = ""
    pause: bool = False  # a range in which something pauses


def find_claims(text: str, silent: Sequence[tuple[int, int]] = ()) -> list[Claim]:
    """All claims in order. `silent`: spans whose digits are part of a name."""
    numbers = [
        n for n in find_numbers(text) if not any(a <= n.start and n.end <= b for a, b in silent)
    ]
    out: list[Claim] = []
    k = 0
    while k < len(numbers):
        first = numbers[k]
        second = numbers[k + 1] if k + 1 < len(numbers) else None
        if second is not None and _is_range(text, first, second):
            slack = max(_slack(text, first), _slack(text, second))
            pause = bool(_PAUSE.search(text[: first.start]))
            out.append(
                Claim(
                    "range", first.value, second.value, slack, first.start, second.end, "s", pause
                )
            )
            k += 2
            continue
        out.append(_single(text, first))
        k += 1
    return out


def _is_range(text: str, first: Number, second: Number) -> bool:
    between = text[first.end : second.start]
    joins = _TO.fullmatch(between) or (
        _AND.fullmatch(between) and _BETWEEN.search(text[: first.start])
    )
    if not joins or _MEASURE.match(text, second.end) or "times" in (first.unit, second.unit):
        return False
    timed = "s" in (first.unit, second.unit)
    decimal = "." in text[first.start : first.end] and "." in text[second.start : second.end]
    introduced = re.search(rf"\b(?:from|between)\s+{_ABOUT}$", text[: first.start], re.IGNORECASE)
    return bool(timed or decimal or introduced)


def _single(text: str, number: Number) -> Claim:
    before, behind = text[: number.start], text[number.end :]
    slack = _slack(text, number)

    def claim(kind: ClaimKind, unit: str = "") -> Claim:
        return Claim(kind, number.value, None, slack, number.start, number.end, unit)

    if number.unit == "times":
        again = re.match(r"\s+(?:more|again|the|an?)\b", behind)
        return claim("again" if again else "number", "times")
    if number.unit == "bpm":
        return claim("measure", "bpm")
    if not number.unit and (measure := _MEASURE.match(behind)):
        return claim("measure", measure[1].lower())
    decimal = "." in text[number.start : number.end]
    if not number.unit and not decimal:
        # "at 3" is a time, "by two rings" is not.
        counts = re.match(r"\s+(?!and\b|to\b|until\b|on\b|then\b)[a-z]", behind)
        if counts or not _MOMENT_BEFORE.search(before):
            return claim("number")
    if _START_BEFORE.search(before):
        return claim("start", "s")
    if _END_BEFORE.search(before):
        return claim("end", "s")
    if _GAP_BEHIND.match(behind) and not _MOMENT_BEFORE.search(before):
        return claim("gap", "s")
    hyphened = re.search(r"\d-\s*[a-z]|[a-z]-sec", text[number.start : number.end], re.IGNORECASE)
    if hyphened or _LENGTH_BEFORE.search(before):
        return claim("length", "s")
    if _LENGTH_BEHIND.match(behind) and not _MOMENT_BEFORE.search(before):
        return claim("length", "s")
    return claim("moment", "s")


def _slack(text: str, number: Number) -> float:
    """Half a unit of the last written digit, and a little for rounding the other way."""
    written = re.search(r"\.(\d+)", text[number.start : number.end])
    spelled = re.search(r"\bpoint\b", text[number.start : number.end])
    digits = len(written[1]) if written else (1 if spelled else 0)
    slack = {0: 0.55, 1: 0.1}.get(digits, 0.06)
    return max(slack, 0.55) if _VAGUE.search(text[: number.start]) else slack
