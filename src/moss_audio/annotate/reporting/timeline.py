"""Tool results with times as lanes under one time axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.reporting.counting import fair_limit

# Lanes from top to bottom.
_ORDER = (
    "activity", "words", "sentences", "transcript", "speakers", "lyrics", "sections", "chords",
    "tempo", "dynamics", "instruments", "events",
)  # fmt: skip
_MAX_ROWS = 8  # of items that overlap; further ones share the last row
_TINTS = 4
_LABEL_CHARS = 80
_TICKS = 8


@dataclass(frozen=True)
class Lane:
    """The spans of one tool's result, each an item; `left` and `width` in percent of the time
    shown, equal labels with equal tints."""

    result: ToolResult
    rows: int
    items: tuple[Mapping[str, Any], ...]
    left_out: int


class Tick(NamedTuple):
    """A mark of the time axis; a minor one is labelled only where the axis is enlarged."""

    text: str
    left: float
    minor: bool


def lanes(segment: AudioSegment, shown_s: float, most_items: int) -> list[Lane]:
    """A lane for each result with spans inside the first `shown_s` seconds."""
    timed = [result for result in segment.results if result.spans]
    timed.sort(key=lambda one: _ORDER.index(one.kind) if one.kind in _ORDER else len(_ORDER))
    inside = [_inside(result, shown_s) for result in timed]
    most = int(fair_limit([len(spans) for spans in inside], most_items))
    pairs = zip(timed, inside, strict=True)
    return [_lane(result, spans, shown_s, most) for result, spans in pairs if spans]


def ticks(shown_s: float) -> list[Tick]:
    """Marks at round times, at most eight major ones."""
    if not shown_s > 0:
        return []
    steps = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
    step = next((one for one in steps if shown_s / one <= _TICKS), shown_s / _TICKS)
    minor = step / (5 if step in (0.5, 5) else 4 if step in (1, 2, 20) else 6 if step == 30 else 5)
    per_major = round(step / minor)
    count = math.floor(shown_s / minor + 1e-9)
    return [
        Tick(
            clock(k * minor, minor if k % per_major else step),
            100 * k * minor / shown_s,
            k % per_major != 0,
        )
        for k in range(count + 1)
    ]


def clock(seconds: float, precision_s: float = 0.1) -> str:
    """4.25 -> "0:04.2"; whole seconds for a precision of a second or more."""
    digits = 0 if precision_s >= 1 and precision_s == int(precision_s) else 1
    if not math.isfinite(seconds):
        return "–"
    tenths = round(max(seconds, 0.0) * 10**digits)
    whole, fraction = divmod(tenths, 10**digits)
    text = f"{whole // 60}:{whole % 60:02d}"
    return f"{text}.{fraction}" if digits else text


def _inside(result: ToolResult, shown_s: float) -> list[Span]:
    """The spans that can be drawn, in order; a time that is no number has no place."""
    inside = [
        span
        for span in result.spans
        if math.isfinite(span.start_s) and math.isfinite(span.end_s)
        if span.end_s >= 0 and span.start_s < shown_s
    ]
    return sorted(inside, key=lambda span: (span.start_s, span.end_s))


def _lane(result: ToolResult, spans: list[Span], shown_s: float, most: int) -> Lane:
    tints: dict[str, int] = {}
    free_from: list[float] = []
    items = []
    for span in spans[:most]:
        start = max(span.start_s, 0.0)
        end = min(max(span.end_s, start), shown_s)
        row = _row(free_from, start, end)
        label = " ".join(span.label.split()) or "(no label)"
        score = "" if span.score is None else f", score {span.score:.2f}"
        items.append({
            "label": label if len(label) <= _LABEL_CHARS else f"{label[:_LABEL_CHARS]}…",
            "times": f"{clock(start)} – {clock(end)}{score}",
            "start_s": round(start, 3),
            "end_s": round(end, 3),
            "left": round(100 * start / shown_s, 3),
            "width": round(100 * (end - start) / shown_s, 3),
            "row": row,
            "tint": tints.setdefault(label, len(tints)) % _TINTS,
        })  # fmt: skip
    return Lane(result, max(len(free_from), 1), tuple(items), len(spans) - len(items))


def _row(free_from: list[float], start: float, end: float) -> int:
    """The first row where nothing sounds any more; the last one where all are taken."""
    free = (row for row, until in enumerate(free_from) if start >= until - 1e-3)
    row = next(free, len(free_from))
    if row == _MAX_ROWS:
        row, end = row - 1, max(free_from[-1], end)
    free_from[row : row + 1] = [end]
    return row
