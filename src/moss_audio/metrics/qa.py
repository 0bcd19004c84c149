"""Answers to questions of count, time, interval and order, each against its truth.

Definitions are ours: free text in, one readable value out, unreadable is wrong and counted.
`constant_baseline` is what always giving the best constant answer would score.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.metrics.counts import Counts, ratio
from moss_audio.metrics.mentions import Synonyms, find_mentions, label_key, told_order
from moss_audio.metrics.numbers import find_numbers, find_times
from moss_audio.text import normalize_words, split_thinking

_NONE = re.compile(r"\b(?:none|never|no|not)\b", re.IGNORECASE)
_EDGE_S = 1e-9


@dataclass(frozen=True)
class QaCounts(Counts):
    """Right answers among `total`; `unparsed` held no readable value and are wrong."""

    rates: ClassVar[tuple[str, ...]] = ("accuracy",)

    correct: int = 0
    total: int = 0
    unparsed: int = 0

    @property
    def accuracy(self) -> float | None:
        """`correct` over `total`; None of nothing."""
        return ratio(self.correct, self.total)


@dataclass(frozen=True)
class IntervalCounts(Counts):
    """Sum of the overlaps of `total` intervals with their truths; an unparsed one adds 0."""

    rates: ClassVar[tuple[str, ...]] = ("mean_iou",)

    iou_sum: float = 0.0
    total: int = 0
    unparsed: int = 0

    @property
    def mean_iou(self) -> float | None:
        """Mean intersection over union; None of nothing."""
        return ratio(self.iou_sum, self.total)


@dataclass(frozen=True)
class Baseline:
    """The best constant `answer` to all of `total` questions and its accuracy (or mean IoU)."""

    answer: Any
    accuracy: float | None
    total: int

    def to_dict(self) -> dict[str, Any]:
        answer = list(self.answer) if isinstance(self.answer, tuple) else self.answer
        return {"answer": answer, "accuracy": self.accuracy, "total": self.total}


def names_answer(answer_text: str, truth: str) -> QaCounts:
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
    return QaCounts(int(right), 1)


def _bare_words(text: str) -> list[str]:
    words = normalize_words(text)
    # An answer may be an article, as the letter of a choice is.
    return [word for word in words if word not in ("a", "an", "the")] or words


def count_correct(answer_text: str | None, truth: int) -> QaCounts:
    """Whether the answer to "how many times" is `truth`.

    The count is the number with "times" ("3 times", "twice"), else the one number that is no time
    or tempo; several different ones are unparsed. Without a number, "none", "no", "never" are 0.
    """
    found = parse_count(answer_text)
    return QaCounts(int(found == truth), 1, int(found is None))


def time_correct(answer_text: str | None, truth_s: float, tolerance_s: float) -> QaCounts:
    """Whether the first time that the answer names is within `tolerance_s` of `truth_s`."""
    if not tolerance_s >= 0:
        raise MossAudioError(f"tolerance_s must be 0 or more seconds, got {tolerance_s!r}")
    times = find_times(_answer(answer_text))
    right = bool(times) and abs(times[0].value - truth_s) <= tolerance_s + _EDGE_S
    return QaCounts(int(right), 1, int(not times))


def interval_iou(answer_text: str | None, start_s: float, end_s: float) -> IntervalCounts:
    """Intersection over union of the interval that the answer's first two times span.

    Fewer than two times are unparsed; a reversed interval is turned round. Two intervals without
    length score 1 if they are the same point. Raises MossAudioError for a reversed truth.
    """
    if not end_s >= start_s:
        raise MossAudioError(f"the true interval {start_s!r} to {end_s!r} s ends before it starts")
    times = [t.value for t in find_times(_answer(answer_text))[:2]]
    if len(times) < 2:
        return IntervalCounts(0.0, 1, 1)
    return IntervalCounts(_iou((min(times), max(times)), (start_s, end_s)), 1)


def order_correct(
    answer_text: str | None,
    truth: Sequence[str],
    *,
    vocabulary: Iterable[str] = (),
    synonyms: Synonyms | None = None,
) -> QaCounts:
    """Whether the answer names the labels of `truth` in that order, and no other.

    Labels are found by `mentions.find_mentions`; a label's first mention counts. `vocabulary`:
    further labels that the answer might name wrongly. Unparsed: no label is named, or the order
    told is unclear.
    """
    text = _answer(answer_text)
    labels = dict.fromkeys((*truth, *vocabulary))
    told = told_order(text, find_mentions(text, labels, synonyms))
    if not told:
        return QaCounts(0, 1, 1)
    wanted = list(dict.fromkeys(label_key(label) for label in truth))
    named: list[str] = []
    for mention in told:
        # A phrase that fits several labels stands for the one that is true, if any is.
        label = min(mention.labels, key=lambda name: (name not in wanted, name))
        if label not in named:
            named.append(label)
    return QaCounts(int(named == wanted), 1)


def constant_baseline(
    truths: Sequence[Any],
    kind: Literal["count", "label", "time", "interval"],
    *,
    tolerance_s: float = 0.0,
) -> Baseline:
    """The best constant answer to all questions of a kind.

    "count", "label": the most frequent truth (the smallest of several). "time": the time with most
    truths within `tolerance_s`. "interval": the true (start, end) with the best mean IoU over all,
    which bounds a constant's score from below. Raises MossAudioError for another kind.
    """
    if kind not in ("count", "label", "time", "interval"):
        raise MossAudioError(f"unknown kind {kind!r}: use count, label, time or interval")
    if not truths:
        return Baseline(None, None, 0)
    if kind == "time":
        ordered = np.sort(np.asarray(truths, np.float64))
        ends = np.searchsorted(ordered, ordered + 2 * tolerance_s + _EDGE_S, side="right")
        inside = ends - np.arange(len(ordered))
        first = int(np.argmax(inside))
        middle = float(ordered[first] + ordered[ends[first] - 1]) / 2
        return Baseline(middle, int(inside[first]) / len(truths), len(truths))
    if kind == "interval":
        spans = [(float(start), float(end)) for start, end in truths]
        means = {a: sum(_iou(a, b) for b in spans) / len(spans) for a in sorted(set(spans))}
        best = max(means, key=lambda span: means[span])
        return Baseline(best, means[best], len(spans))
    counted = Counter(truths)
    answer = min(counted, key=lambda value: (-counted[value], value))
    return Baseline(answer, counted[answer] / len(truths), len(truths))


def parse_count(answer_text: str | None) -> int | None:
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


def _answer(text: str | None) -> str:
    return "" if text is None else split_thinking(text)[1]


def _iou(a: tuple[float, float], b: tuple[float, float]) -> float:
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (a[1] - a[0]) + (b[1] - b[0]) - shared
    return min(1.0, shared / union) if union > 0 else float(a == b)
