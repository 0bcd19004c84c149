"""What the page's charts consist of; the template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from moss_audio.annotate.reporting.counting import Bin, Histogram, round_width

# As wide as a telephone's screen, where a larger picture's text would shrink.
WIDTH = 360
LEFT, RIGHT, TOP, PLOT, BOTTOM = 40, 16, 10, 150, 40
_LETTER = 6.6  # of a tick label, with room beside the label


def histogram(found: Histogram, styles: Sequence[str], unit: str) -> dict[str, Any] | None:
    """Stacked columns, a style class for each series. None without values.

    `unit` is that of the values, below the horizontal axis. Returns `names` of the series, `ticks`
    (height, text) of the counts, `edges` (x, text) of the values, and `columns`: what each stands
    for (`range`), its `counts`, and a rectangle (style, x, y, width, height) for each that is not 0
    (`parts`).
    """
    bins = found.bins()
    if not bins:
        return None
    width = round_width(max(one.total for one in bins) / 4)  # four or five whole numbers
    highest = -(-max(one.total for one in bins) // width) * width
    step = (WIDTH - LEFT - RIGHT) / len(bins)
    # Where the last bin is open, its label belongs to its left edge like all the others.
    lows = [one.low for one in bins] + [bins[-1].high] * math.isfinite(bins[-1].high)
    labelled = range(0, len(lows), _label_every(bins, step))
    columns = [
        {
            "range": _range(one, unit),
            "counts": one.counts,
            "parts": _stack(one, LEFT + at * step, step, highest, styles),
        }
        for at, one in enumerate(bins)
    ]
    return {
        "names": [name or "segments" for name in found.series],
        "ticks": [
            (TOP + PLOT * (1 - tick / highest), f"{tick:,}")
            for tick in range(0, highest + 1, width)
        ],
        "columns": columns,
        "edges": [(LEFT + at * step, number(lows[at])) for at in labelled],
    }


def number(value: float) -> str:
    """A number as short as it can be read: 12,300, 4.5, 0.25."""
    if not math.isfinite(value):
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _stack(
    one: Bin, x: float, step: float, highest: int, styles: Sequence[str]
) -> list[tuple[str, float, float, float, float]]:
    y, parts = float(TOP + PLOT), []
    for count, style in zip(one.counts, styles, strict=True):
        height = PLOT * count / highest
        y -= height
        if count:
            parts.append((style, x + 0.75, y, max(step - 1.5, 0.75), height))
    return parts


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
