"""Time stamps in answers: reading `[0.32]word[0.71]` forgivingly, and putting times in order."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from moss_audio.text import LOOP_WORDS, detect_repetition, loop_key, tail_loop

# 12, 12.3, 1:02.5 or 1:02:03; digits are bounded so that no number can overflow a float.
CLOCK = r"(?:[0-9]{1,3}:){0,2}[0-9]{1,6}(?:\.[0-9]{1,6})?"
_HUNDREDTHS = r"[0-9]{1,6}\.[0-9]{2}"
_OPEN, _CLOSE = r"[\[\uff3b\u3010]", r"[\]\uff3d\u3011]"
_STAMP = re.compile(
    rf"{_OPEN}\s*({CLOCK})\s*s?\s*{_CLOSE}"
    rf"|{_OPEN}\s*({_HUNDREDTHS})(?![0-9.:])"
    rf"|(?<![0-9.:])({_HUNDREDTHS})\s*{_CLOSE}"
)
# What is left of a stamp when the answer ran into its token limit: `[`, `[1`, `[1.`, `[1:0`.
_CUT_STAMP = re.compile(rf"{_OPEN}\s*[0-9:]*\.?[0-9]*\s*$")
# Both times in front of the text, `[0.32-0.71]word`.
_PAIR = re.compile(
    rf"{_OPEN}\s*({CLOCK})\s*s?\s*[-\u2013~,]\s*({CLOCK})\s*s?\s*{_CLOSE}([^\[\uff3b\u3010]+)"
)
# A number in brackets of its own, which is a time, perhaps a damaged one such as `[1:]` or `[.]`,
# where it has a point or a colon.
_BRACKETED = re.compile(rf"{_OPEN}\s*[0-9.:]+\s*s?\s*{_CLOSE}")
_BARE = re.compile(rf"(?<![0-9.:\w])({_HUNDREDTHS})(?![0-9.:\w])")
_BARE_END = re.compile(rf"^(.*\S)\s+({_HUNDREDTHS})$", re.DOTALL)
_BARE_START = re.compile(rf"^({_HUNDREDTHS})\s+(\S.*)$", re.DOTALL)
_EDGE = " \t\r\n[]\uff3b\uff3d\u3010\u3011"
_SEPARATORS = frozenset(",;|/-\u2013\u2014\u3001\uff0c")

# Stamps are rounded to hundredths: a move of this much is no repair worth a warning.
TOLERANCE_S = 0.02
# A rough length for the last words of an answer that lost its last stamp.
SECONDS_PER_CHAR = 0.08

WARN_NO_STAMPS = "no time stamps in the answer"
WARN_LEADING = "text before the first time stamp"
WARN_LAST = "the last time stamp is missing and was estimated"
WARN_ORDER = "time stamps out of order or outside the clip were moved"
WARN_OVERLAP = "words that ran into the next one were ended at its start"


@dataclass(frozen=True)
class StampedText:
    """A stretch of text with its times in seconds."""

    text: str
    start: float
    end: float


def clock_to_seconds(text: str) -> float:
    """ "1:02.5" -> 62.5; the text must match `CLOCK`."""
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def without_stamps(text: str) -> str:
    """A line of text without times in brackets. A whole number in brackets is a note and stays,
    unless there is nothing else: an answer of nothing but markup says nothing."""
    if not _BRACKETED.search(text) and not _CUT_STAMP.match(text):
        return text
    while (shorter := _BRACKETED.sub(_note, text)) != text:
        text = shorter
    rest = _CUT_STAMP.sub("", _BRACKETED.sub("", text)).strip(_EDGE + ".,:;-")
    return " ".join(text.split()) if rest else ""


def blank_stamps(text: str) -> str:
    """The text with spaces in the place of times in brackets; every other character stays put."""
    return _STAMP.sub(lambda stamp: " " * len(stamp[0]), text)


def _note(bracketed: re.Match[str]) -> str:
    return " " if "." in bracketed[0] or ":" in bracketed[0] else bracketed[0]


def _tokens(answer: str, duration: float) -> list[str | float]:
    """Stamps as floats, text between them as stripped, non-empty strings."""
    answer = _BRACKETED.sub(lambda m: m[0] if _STAMP.fullmatch(m[0]) else " ", answer)
    answer = _PAIR.sub(r"[\1]\3[\2]", answer)
    pattern = _STAMP
    if not _STAMP.search(answer) and _all_bare(answer, duration):
        pattern = _BARE
    tokens: list[str | float] = []
    position = 0
    for match in pattern.finditer(answer):
        tokens += _chunk(answer[position : match.start()])
        stamp = next(group for group in match.groups() if group is not None)
        tokens.append(clock_to_seconds(stamp))
        position = match.end()
    return tokens + _chunk(_CUT_STAMP.sub("", answer[position:]))


def _chunk(text: str) -> list[str | float]:
    text = " ".join(text.strip(_EDGE).split())
    return [text] if text else []


def _all_bare(answer: str, duration: float) -> bool:
    """Whether every bracket was left out: stamps lead, are two or more, in order, in the clip.
    Prices and versions in ordinary speech do not look like that."""
    answer = answer.strip()
    stamps = [float(match[1]) for match in _BARE.finditer(answer)]
    return (
        len(stamps) >= 2
        and _BARE.match(answer) is not None
        and stamps == sorted(stamps)
        and stamps[-1] <= duration + TOLERANCE_S
    )


def read_stamped(answer: str, duration: float) -> tuple[list[StampedText], list[str]]:
    """Reads `[start]text[end][start]text[end]...` from any text; never raises.

    A chunk starts at the nearest stamp before it and ends at the nearest after it, so one shared
    stamp between two chunks will do. Missing brackets, stray white space, clock times and a last
    stamp cut off are accepted. Times come out inside [0, duration], each start at or after the
    one before. Without any stamp the list is empty. Second item: warnings.
    """
    tokens = _tokens(answer, duration)
    if not any(isinstance(token, float) for token in tokens):
        return [], [WARN_NO_STAMPS] if tokens else []
    warnings: list[str] = []
    spans: list[StampedText] = []
    closing = False  # whether the stamp just before already ended a chunk
    for i, token in enumerate(tokens):
        if isinstance(token, float):
            closing = i > 0 and isinstance(tokens[i - 1], str)
            continue
        start = tokens[i - 1] if i > 0 else None
        end = tokens[i + 1] if i + 1 < len(tokens) else None
        assert not isinstance(start, str)
        assert not isinstance(end, str)
        if closing and end is not None and _SEPARATORS.issuperset(token.replace(" ", "")):
            continue  # punctuation between `...end]` and `[start...`
        if start is None:
            warnings.append(WARN_LEADING)
            if token.endswith((":", "\uff1a")):
                continue  # an announcement, "Here is the transcript:"
            start = 0.0
        shared = i + 2 < len(tokens) and isinstance(tokens[i + 2], str)
        if (shared or end is None) and (match := _BARE_END.match(token)):
            limit = duration + TOLERANCE_S if end is None else end
            if start <= float(match[2]) <= limit:
                token, end = match[1], float(match[2])
        if (
            closing
            and end is not None
            and (match := _BARE_START.match(token))
            and start <= float(match[1]) <= end
        ):
            token, start = match[2], float(match[1])
        if end is None:
            warnings.append(WARN_LAST)
            end = start + max(0.1, len(token) * SECONDS_PER_CHAR)
            end = max(start, min(end, duration))
        spans.append(StampedText(token, start, end))
    spans, moved = put_in_order(spans, duration)
    if moved:
        warnings.append(WARN_ORDER)
    return spans, warnings


def put_in_order(spans: Sequence[StampedText], duration: float) -> tuple[list[StampedText], bool]:
    """Times inside [0, duration], start <= end, starts non-decreasing; True if any was moved.

    The most starts that are already in order stay as they are (longest non-decreasing
    subsequence), so that one wild stamp does not push all later ones to the end of the clip.
    """
    starts = [min(max(span.start, 0.0), duration) for span in spans]
    kept = _longest_non_decreasing(starts)
    upper = duration
    limits = [0.0] * len(starts)
    for i in range(len(starts) - 1, -1, -1):
        limits[i] = upper
        if i in kept:
            upper = starts[i]
    ordered: list[StampedText] = []
    moved, floor = False, 0.0
    for i, span in enumerate(spans):
        start = min(max(starts[i], floor), limits[i])
        end = min(max(span.end, start), duration)
        far = max(abs(start - span.start), abs(end - span.end))
        moved = moved or far > TOLERANCE_S
        ordered.append(replace(span, start=start, end=end))
        floor = start
    return ordered, moved


def without_overlap(spans: Sequence[StampedText]) -> tuple[list[StampedText], bool]:
    """Spans in order, ended where the next one starts if they run past it by more than
    `TOLERANCE_S`; True if any was."""
    apart = list(spans)
    for i, (span, later) in enumerate(pairwise(spans)):
        begun = later.start > span.start  # or nothing would be left of it
        if begun and round(span.end - later.start, 6) > TOLERANCE_S:
            apart[i] = replace(span, end=later.start)
    return apart, apart != list(spans)


def _longest_non_decreasing(values: Sequence[float]) -> set[int]:
    tails: list[float] = []  # smallest last value of a run of each length
    tail_index: list[int] = []
    previous: list[int] = []
    for i, value in enumerate(values):
        length = bisect_right(tails, value)
        previous.append(tail_index[length - 1] if length else -1)
        tails[length:] = [value] if length == len(tails) else [value, *tails[length + 1 :]]
        tail_index[length:] = [i, *tail_index[length + 1 :]]
    kept: set[int] = set()
    i = tail_index[-1] if tail_index else -1
    while i >= 0:
        kept.add(i)
        i = previous[i]
    return kept


def cut_runaway(spans: Sequence[StampedText]) -> tuple[list[StampedText], bool]:
    """Cuts a loop of words at the end of the spans' running text; True if there was one.

    The stamps of a runaway answer go on counting, so the words alone are compared.
    """
    cut = list(spans)
    flagged = False
    while cut:
        owners = [(i, word) for i, span in enumerate(cut) for word in span.text.split()]
        keep = tail_loop([loop_key(word) for _, word in owners], max_period=LOOP_WORDS)
        if keep is None:
            clean, looped = detect_repetition(cut[-1].text)
            if not looped:
                break
            cut[-1] = replace(cut[-1], text=clean)
        else:
            last = owners[keep - 1][0]
            words = [word for i, word in owners[:keep] if i == last]
            cut = [*cut[:last], replace(cut[last], text=" ".join(words))]
        flagged = True
    return cut, flagged
