"""Sound event figures: event-based and segment-based counts as in sed_eval, and timeline IoU.

Definitions: Mesaros, Heittola, Virtanen, "Metrics for polyphonic sound event detection", Applied
Sciences 6(6), 2016, and their package sed_eval, whose counts these equal (matching: its default
"optimal", a largest one-to-one matching). Two deliberate differences: a time exactly on the edge
of a collar or segment counts as inside whatever binary floats make of it (1 ns), and nothing
depends on the order of the events, so both lists are sorted before substitutions are counted.
Labels are compared by their words, without articles and a leading "sound of".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from moss_audio.errors import MissingDependencyError, MossAudioError
from moss_audio.metrics.counts import Counts, ratio
from moss_audio.result import Event, Timeline
from moss_audio.text import normalize_words

COLLAR_S = 0.2
OFFSET_SHARE = 0.5
RESOLUTION_S = 1.0
_EDGE = 1e-9


@dataclass(frozen=True)
class EventCounts(Counts):
    """Hits of `references` against `predictions`: events, or active (label, segment) cells.

    `substitutions` fit in time under another label; `deletions` and `insertions` are what is left
    on either side. Only the error rate needs these three.
    """

    rates: ClassVar[tuple[str, ...]] = ("precision", "recall", "f1", "error_rate")

    hits: int = 0
    references: int = 0
    predictions: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def precision(self) -> float | None:
        return ratio(self.hits, self.predictions)

    @property
    def recall(self) -> float | None:
        return ratio(self.hits, self.references)

    @property
    def f1(self) -> float:
        """2 hits / (references + predictions); 1 where there was nothing to find or found."""
        both = self.references + self.predictions
        return 2 * self.hits / both if both else 1.0

    @property
    def error_rate(self) -> float | None:
        """(substitutions + deletions + insertions) / references; may exceed 1."""
        return ratio(self.substitutions + self.deletions + self.insertions, self.references)


@dataclass(frozen=True)
class IouCounts(Counts):
    """Seconds that both timelines, and that either of them, call active."""

    rates: ClassVar[tuple[str, ...]] = ("iou",)

    intersection_s: float = 0.0
    union_s: float = 0.0

    @property
    def iou(self) -> float:
        """Intersection over union, in [0, 1]; 1 where neither timeline holds anything."""
        return self.intersection_s / self.union_s if self.union_s > 0 else 1.0


def normalize_label(label: str) -> str:
    """The form in which labels are compared: normalised words without articles and without a
    leading "sound of"."""
    words = [word for word in normalize_words(label) if word not in ("a", "an", "the")]
    if words[:2] in (["sound", "of"], ["sounds", "of"]):
        words = words[2:] or words
    return " ".join(words)


def event_based(
    reference: Timeline,
    hypothesis: Timeline,
    collar_s: float = COLLAR_S,
    offset: bool = True,
    *,
    labels: bool = True,
) -> EventCounts:
    """Event-based counts of one clip; add those of a corpus, then take `f1`.

    A predicted event hits when its onset is within `collar_s`, with `offset` its end within
    max(`collar_s`, half the reference's length), and with `labels` its label is the same; each
    event is used once. Raises MossAudioError for a collar below 0.
    """
    if not collar_s >= 0:
        raise MossAudioError(f"collar_s must be 0 or more seconds, got {collar_s!r}")
    ref, hyp = _sorted(reference, labels), _sorted(hypothesis, labels)
    fits = _fits(ref, hyp, collar_s, offset)
    same = np.array([[a.label == b.label for b in hyp] for a in ref], bool).reshape(fits.shape)
    pairs = _largest_matching(fits & same)
    hit_ref, hit_hyp = {i for i, _ in pairs}, {j for _, j in pairs}
    free = [j for j in range(len(hyp)) if j not in hit_hyp]
    substitutions = 0
    for i in range(len(ref)):
        other = next((j for j in free if fits[i, j]), None) if i not in hit_ref else None
        if other is not None:
            free.remove(other)
            substitutions += 1
    return EventCounts(
        len(pairs),
        len(ref),
        len(hyp),
        substitutions,
        len(ref) - len(pairs) - substitutions,
        len(hyp) - len(pairs) - substitutions,
    )


def segment_based(
    reference: Timeline,
    hypothesis: Timeline,
    resolution_s: float = RESOLUTION_S,
    *,
    labels: bool = True,
) -> EventCounts:
    """Segment-based counts of one clip: a label is active in every segment its events touch.

    References, predictions and hits count active (label, segment) cells. Raises MossAudioError
    for a resolution that is not above 0.
    """
    if not resolution_s > 0:
        raise MossAudioError(f"resolution_s must be above 0 seconds, got {resolution_s!r}")
    ref = _cells(_sorted(reference, labels), resolution_s)
    hyp = _cells(_sorted(hypothesis, labels), resolution_s)
    counts = EventCounts()
    for segment in {s for s, _ in ref | hyp}:
        wanted = {label for s, label in ref if s == segment}
        found = {label for s, label in hyp if s == segment}
        hits, n, m = len(wanted & found), len(wanted), len(found)
        counts += EventCounts(hits, n, m, min(n, m) - hits, max(0, n - m), max(0, m - n))
    return counts


def timeline_iou(reference: Timeline, hypothesis: Timeline, *, labels: bool = True) -> IouCounts:
    """Intersection and union of the active time, label by label, or (`labels` False) of any event.

    Overlapping events of one label count once.
    """
    ref, hyp = _sorted(reference, labels), _sorted(hypothesis, labels)
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


def _sorted(timeline: Timeline, labels: bool) -> list[Event]:
    """By time, with labels in the form in which they are compared, or all the same."""
    named = [
        Event(normalize_label(e.label) if labels else "", e.start, e.end) for e in timeline.events
    ]
    return sorted(named, key=lambda e: (e.start, e.end, e.label))


def _fits(ref: Sequence[Event], hyp: Sequence[Event], collar_s: float, offset: bool) -> np.ndarray:
    """bool [references, predictions]: whether the times fit."""
    a = np.array([(e.start, e.end) for e in ref], np.float64).reshape(-1, 1, 2)
    b = np.array([(e.start, e.end) for e in hyp], np.float64).reshape(1, -1, 2)
    away = np.abs(a - b)
    fits: np.ndarray = away[..., 0] <= collar_s + _EDGE
    if offset:
        length = a[..., 1] - a[..., 0]
        fits = fits & (away[..., 1] <= np.maximum(collar_s, OFFSET_SHARE * length) + _EDGE)
    return fits


def _largest_matching(fits: np.ndarray) -> list[tuple[int, int]]:
    """The largest one-to-one matching over `fits`: pairs of indices."""
    if not fits.any():
        return []
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingDependencyError("scipy", "eval", "Event-based figures") from error
    rows, columns = linear_sum_assignment(fits, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if fits[i, j]]


def _cells(events: Sequence[Event], resolution_s: float) -> set[tuple[int, str]]:
    cells: set[tuple[int, str]] = set()
    for event in events:
        first = math.floor(event.start / resolution_s + _EDGE)
        last = math.ceil(event.end / resolution_s - _EDGE)
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
