"""Questions whose answer is one fact: whether it was given, and how far one gets without listening.

By the score of `moss_audio.tasks.ask`: a label has to be named and no other label of its kind;
a count is read in digits or words; a time or a length is right within `TOLERANCE_S`.
"""

from __future__ import annotations

from collections.abc import Sequence

from moss_audio.evaluate.item import Item
from moss_audio.evaluate.plan import Outcome, Share
from moss_audio.metrics.counts import AnswerCounts
from moss_audio.metrics.qa import constant_hits
from moss_audio.result import Answer
from moss_audio.tasks.ask import TOLERANCE_S, Ask


def _counts(outcome: Outcome) -> AnswerCounts:
    """Whether an answer gives the item's truth: a label, a whole number, or seconds."""
    result, item = outcome.result, outcome.item
    answer = result if isinstance(result, Answer) else Answer("")
    truth = item.truth if isinstance(item.truth, float | int) else str(item.truth)
    counts: AnswerCounts = Ask().score(answer, truth, labels=item.choices).counts["answers"]
    return counts


def right_share(outcome: Outcome) -> Share:
    """One of one for a right answer; no answer is a wrong one."""
    found = _counts(outcome)
    return found.correct, found.total


def unread_share(outcome: Outcome) -> Share:
    """One of one for an answer in which no fact of the kind can be read."""
    found = _counts(outcome)
    return found.unparsed, found.total


def best_constant(items: Sequence[Item]) -> float | None:
    """Percent right of whoever gives the best single answer to each kind of question."""
    if not items:
        return None
    hits = 0
    for kind in sorted({item.category for item in items}):
        truths = [item.truth for item in items if item.category == kind]
        hits += constant_hits(truths, TOLERANCE_S)
    return 100 * hits / len(items)


def uniform_chance(items: Sequence[Item]) -> float | None:
    """Percent right of whoever draws among the choices, or the labels that there are for a kind;
    without any, nothing is drawn."""
    if not items:
        return None
    return 100 * sum(1 / len(item.choices) for item in items if item.choices) / len(items)
