"""What the page's charts consist of; the template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from moss_audio.annotate.reporting.counting import Bin, Histogram, round_width

# As wide as a telephone's screen, where a larger picture's text would shrink.
WIDTH = 360
LEFT, RIGHT, TOP, PLOT, BOTTOM = 40, 16, 10, 150, 40
_LETTER = 6.6  # of a tick label, with room beside the label


@dataclass(frozen=True)
class Column:
    """A stack of a histogram: what it stands for, its counts, and a rectangle (style, x, y, width,
    height) for each that is not 0."""

    range: str
    counts: tuple[int, ...]
    total: int
    parts: tuple[tuple[str, float, float, float, float], ...]


@dataclass(frozen=True)
class HistogramChart:
    """`ticks`: (height, text) of the counts; `edges`: (x, text) of the values."""

    names: tuple[str, ...]
    ticks: tuple[tuple[float, str], ...]
    columns: tuple[Column, ...]
    edges: tuple[tuple[float, str], ...]


def histogram(found: Histogram, styles: Sequence[str], unit: str) -> HistogramChart | None:
    """Stacked columns, a style class for each series. None without values.

    `unit` is that of the values, below the horizontal axis.
    """
    bins = found.bins()
    if not bins:
        return None
    ticks = _count_ticks(max(one.total for one in bins))
    step = (WIDTH - LEFT - RIGHT) / len(bins)
    # Where the last bin is open, its label belongs to its left edge like all the others.
    lows = [one.low for one in bins] + [bins[-1].high] * math.isfinite(bins[-1].high)
    every = _label_every(bins, step)
    return HistogramChart(
        names=tuple(name or "segments" for name in found.series),
        ticks=tuple((TOP + PLOT * (1 - tick / ticks[-1]), f"{tick:,}") for tick in ticks),
        columns=tuple(
            Column(
                _range(one, unit), one.counts, one.total,
                _stack(one, LEFT + at * step, step, ticks[-1], styles),
            )
            for at, one in enumerate(bins)
        ),
        edges=tuple(
            (LEFT + at * step, number(lows[at])) for at in range(0, len(lows), every)
        ),
    )  # fmt: skip


def number(value: float) -> str:
    """A number as short as it can be read: 12,300, 4.5, 0.25."""
    if not math.isfinite(value):
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _stack(
    one: Bin, x: float, step: float, highest: int, styles: Sequence[str]
) -> tuple[tuple[str, float, float, float, float], ...]:
    y, parts = float(TOP + PLOT), []
    for count, style in zip(one.counts, styles, strict=True):
        height = PLOT * count / highest
        y -= height
        if count:
            parts.append((style, x + 0.75, y, max(step - 1.5, 0.75), height))
    return tuple(parts)


def _label_every(bins: Sequence[Bin], step: float) -> int:
    """Label every which edge, so that labels have room and stand at round values."""
    longest = max(len(number(one.low)) for one in bins)
    leading = f"{bins[0].high - bins[0].low:.0e}"[0] if math.isfinite(bins[0].high) else "1"
    choices = {"2": (1, 5, 10), "5": (1, 2, 4, 10)}.get(leading, (1, 2, 5, 10))
    return next((one for one in choices if one * step >= _LETTER * (longest + 1)), 20)


def _range(one: Bin, unit: str) -> str:
    if math.isinf(one.high):
        return f"{number(one.low)} and more {unit}"
    return f"{number(one.low)} – {number(one.high)} {unit}"


def _count_ticks(highest: int) -> list[int]:
    """Whole numbers from 0 to at least `highest`, four or five of them."""
    width = round_width(highest / 4)
    return list(range(0, -(-highest // width) * width + 1, width))
