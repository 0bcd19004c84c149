"""Sound event figures: event-based and segment-based counts as in sed_eval, and timeline IoU.

Definitions: Mesaros, Heittola, Virtanen, "Metrics for polyphonic sound event detection", Applied
Sciences 6(6), 2016, and their package sed_eval, whose counts these equal (matching: its default
"optimal", a largest one-to-one matching). Two deliberate differences: a time exactly on the edge
of a collar or segment counts as inside whatever binary floats make of it (1 ns), and nothing
depends on the order of the events.
Labels are compared by their words, without articles and a leading "sound of".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moss_audio.errors import MissingDependencyError
from moss_audio.metrics.counts import Counts, MatchCounts
from moss_audio.metrics.mentions import label_words
from moss_audio.result import Event, Timeline

COLLAR_S = 0.2
OFFSET_SHARE = 0.5
RESOLUTION_S = 1.0
_EDGE = 1e-9


@dataclass(frozen=True)
class IouCounts(Counts):
    """Seconds that both timelines, and that either of them, call active."""

    intersection_s: float = 0.0
    union_s: float = 0.0


def normalize_label(label: str) -> str:
    """The form in which labels are compared: `label_words` on one line."""
    return " ".join(label_words(label))


def event_based(reference: Timeline, hypothesis: Timeline, *, labels: bool = True) -> MatchCounts:
    """Event-based counts of one clip; add those of a corpus, then take `f1`.

    A predicted event hits when its onset is within `COLLAR_S`, its end within max(`COLLAR_S`, half
    the reference's length), and with `labels` its label is the same; each event is used once.
    """
    ref, hyp = _sorted(reference, labels), _sorted(hypothesis, labels)
    return MatchCounts(_most_pairs(_fits(ref, hyp)), len(ref), len(hyp))


def segment_based(reference: Timeline, hypothesis: Timeline) -> MatchCounts:
    """Segment-based counts of one clip: a label is active in every segment of `RESOLUTION_S` that
    its events touch. References, predictions and hits count active (label, segment) cells."""
    ref, hyp = _cells(_sorted(reference)), _cells(_sorted(hypothesis))
    return MatchCounts(len(ref & hyp), len(ref), len(hyp))


def timeline_iou(reference: Timeline, hypothesis: Timeline) -> IouCounts:
    """Intersection and union of the active time, label by label. Overlapping events of one label
    count once."""
    ref, hyp = _sorted(reference), _sorted(hypothesis)
    counts = IouCounts()
    for label in sorted({event.label for event in (*ref, *hyp)}):
        a = _merged([e for e in ref if e.label == label])
        b = _merged([e for e in hyp if e.label == label])
        shared = math.fsum(
            max(0.0, min(e, f) - max(s, t)) for s, e in a for t, f in b if min(e, f) > max(s, t)
        )
        lengths = math.fsum(e - s for s, e in (*a, *b))
        # Rounding may leave the union a hair below the intersection of identical timelines.
        counts += IouCounts(shared, max(shared, lengths - shared))
    return counts


def _sorted(timeline: Timeline, labels: bool = True) -> list[Event]:
    """By time, with labels in the form in which they are compared, or all the same."""
    named = [
        Event(normalize_label(e.label) if labels else "", e.start, e.end) for e in timeline.events
    ]
    return sorted(named, key=lambda e: (e.start, e.end, e.label))


def _fits(ref: Sequence[Event], hyp: Sequence[Event]) -> np.ndarray:
    """bool [references, predictions]: whether times and labels fit."""
    a = np.array([(e.start, e.end) for e in ref], np.float64).reshape(-1, 1, 2)
    b = np.array([(e.start, e.end) for e in hyp], np.float64).reshape(1, -1, 2)
    away, length = np.abs(a - b), a[..., 1] - a[..., 0]
    fits: np.ndarray = away[..., 0] <= COLLAR_S + _EDGE
    fits &= away[..., 1] <= np.maximum(COLLAR_S, OFFSET_SHARE * length) + _EDGE
    same = np.array([[x.label == y.label for y in hyp] for x in ref], bool)
    return fits & same.reshape(fits.shape)


def _most_pairs(fits: np.ndarray) -> int:
    """The size of the largest one-to-one matching over `fits`."""
    if not fits.any():
        return 0
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingDependencyError("scipy", "eval", "Event-based figures") from error
    return int(fits[linear_sum_assignment(fits, maximize=True)].sum())


def _cells(events: Sequence[Event]) -> set[tuple[int, str]]:
    cells: set[tuple[int, str]] = set()
    for event in events:
        first = math.floor(event.start / RESOLUTION_S + _EDGE)
        last = math.ceil(event.end / RESOLUTION_S - _EDGE)
        cells.update((segment, event.label) for segment in range(first, last))
    return cells


def _merged(events: Sequence[Event]) -> list[tuple[float, float]]:
    """Sorted, disjoint spans that cover the events, which are sorted by start."""
    spans: list[tuple[float, float]] = []
    for event in events:
        if spans and event.start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], event.end))
        elif event.end > event.start:
            spans.append((event.start, event.end))
    return spans
