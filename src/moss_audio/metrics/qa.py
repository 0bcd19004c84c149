"""Answers to questions of count, time, interval and order, each against its truth.

Definitions are ours: free text in, one readable value out, unreadable is wrong and counted.
`constant_hits` is what always giving the best constant answer would score.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from moss_audio.metrics.counts import AnswerCounts
from moss_audio.metrics.mentions import find_mentions, label_key, told_order
from moss_audio.metrics.numbers import find_numbers, find_times
from moss_audio.text import normalize_words, split_thinking, without_articles

_NONE = re.compile(r"\b(?:none|never|no|not)\b", re.IGNORECASE)
_EDGE_S = 1e-9


def names_answer(answer_text: str, truth: str) -> AnswerCounts:
    """Whether the words of the true answer occur in a row, articles left out. A plain yes or no
    has to come first, since both words turn up in explanations."""
    found, wanted = _bare_words(answer_text), _bare_words(truth)
    if wanted in (["yes"], ["no"]):
        right = found[:1] == wanted
    else:
        n = len(wanted)
        right = found == wanted or (
            n > 0 and any(found[i : i + n] == wanted for i in range(len(found) - n + 1))
        )
    return AnswerCounts(int(right), 1)


def _bare_words(text: str) -> list[str]:
    words = normalize_words(text)
    return without_articles(words) or words  # it may be an article, as the letter of a choice is


def count_correct(answer_text: str, truth: int) -> AnswerCounts:
    """Whether the answer to "how many times" is `truth`.

    The count is the number with "times" ("3 times", "twice"), else the one number that is no time
    or tempo; several different ones are unparsed. Without a number, "none", "no", "never" are 0.
    """
    found = parse_count(answer_text)
    return AnswerCounts(int(found == truth), 1, int(found is None))


def time_correct(answer_text: str, truth_s: float, tolerance_s: float) -> AnswerCounts:
    """Whether the first time that the answer names is within `tolerance_s` of `truth_s`."""
    times = find_times(_answer(answer_text))
    right = bool(times) and abs(times[0].value - truth_s) <= tolerance_s + _EDGE_S
    return AnswerCounts(int(right), 1, int(not times))


def interval_iou(answer_text: str, start_s: float, end_s: float) -> float | None:
    """Intersection over union of the interval that the answer's first two times span.

    None for fewer than two times; a reversed interval is turned round. Two intervals without
    length score 1 if they are the same point.
    """
    times = [t.value for t in find_times(_answer(answer_text))[:2]]
    if len(times) < 2:
        return None
    low, high = min(times), max(times)
    shared = max(0.0, min(high, end_s) - max(low, start_s))
    union = (high - low) + (end_s - start_s) - shared
    return min(1.0, shared / union) if union > 0 else float((low, high) == (start_s, end_s))


def order_correct(
    answer_text: str,
    truth: Sequence[str],
    *,
    vocabulary: Iterable[str] = (),
) -> AnswerCounts:
    """Whether the answer names the labels of `truth` in that order, and no other.

    Labels are found by `mentions.find_mentions`; a label's first mention counts. `vocabulary`:
    further labels that the answer might name wrongly. Unparsed: no label is named, or the order
    told is unclear.
    """
    text = _answer(answer_text)
    labels = dict.fromkeys((*truth, *vocabulary))
    told = told_order(text, find_mentions(text, labels))
    if not told:
        return AnswerCounts(0, 1, 1)
    wanted = list(dict.fromkeys(label_key(label) for label in truth))
    named: list[str] = []
    for mention in told:
        # A phrase that fits several labels stands for the one that is true, if any is.
        label = min(mention.labels, key=lambda name: (name not in wanted, name))
        if label not in named:
            named.append(label)
    return AnswerCounts(int(named == wanted), 1)


def constant_hits(truths: Sequence[str | int | float], tolerance_s: float) -> int:
    """How many questions the best constant answer gets right (`hit_by_constant`)."""
    return len(hit_by_constant(truths, tolerance_s))


def hit_by_constant(
    truths: Sequence[str | int | float], tolerance_s: float, tolerance_share: float = 0.0
) -> list[int]:
    """Places of the truths that the best constant answer gets right: the most frequent truth; where
    all are seconds (floats), the time to which most truths are near: within `tolerance_s`, or
    `tolerance_share` of the truth where that is more."""
    if not truths:
        return []
    if not all(isinstance(truth, float) for truth in truths):
        ((most, _),) = Counter(truths).most_common(1)
        return [place for place, truth in enumerate(truths) if truth == most]
    seconds = np.asarray(truths, np.float64)
    near = np.maximum(tolerance_s, tolerance_share * np.abs(seconds)) + _EDGE_S / 2
    lowest, highest = seconds - near, seconds + near
    # as an answer rises, it comes near to another truth where a lowest one is: the best is at one
    begun = np.searchsorted(np.sort(lowest), lowest, side="right")
    best = lowest[int(np.argmax(begun - np.searchsorted(np.sort(highest), lowest)))]
    return [int(place) for place in np.flatnonzero((lowest <= best) & (best <= highest))]


def parse_count(answer_text: str) -> int | None:
    """The count that an answer states, None if there is none or it is unclear."""
    text = _answer(answer_text)
    numbers = find_numbers(text)
    values = {n.value for n in numbers if n.unit == "times"} or {
        n.value for n in numbers if not n.unit
    }
    if not values:
        return 0 if not numbers and _NONE.search(text) else None
    value = values.pop()
    return int(value) if not values and value == int(value) else None


def _answer(text: str) -> str:
    return split_thinking(text)[1]
