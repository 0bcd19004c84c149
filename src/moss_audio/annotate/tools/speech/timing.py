"""Shared by all aligners: what of a transcript can be aligned, and times for what cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moss_audio.annotate.records import Span

INTERPOLATED = "interpolated"


def spans_of(
    words: Sequence[str],
    times: Mapping[int, tuple[float, float]],
    duration_s: float,
    marks: Mapping[int, Mapping[str, Any]] | None = None,
) -> tuple[Span, ...]:
    """Spans of all words, in order.

    `times` has (start, end) by index of the words that were aligned. Runs of others share the
    room between their neighbours evenly and are marked `interpolated`; `marks` are attributes of
    single words.
    """
    marks = marks or {}
    out: list[Span] = []
    index = 0
    while index < len(words):
        if index in times:
            start, end = times[index]
            out.append(Span(words[index], start, end, attributes=dict(marks.get(index, {}))))
            index += 1
            continue
        stop = index
        while stop < len(words) and stop not in times:
            stop += 1
        left = times[index - 1][1] if index else 0.0
        right = max(left, times[stop][0] if stop < len(words) else duration_s)
        step = (right - left) / (stop - index)
        for k in range(index, stop):
            at = left + (k - index) * step
            out.append(Span(words[k], at, at + step, attributes={INTERPOLATED: True}))
        index = stop
    return tuple(out)
