"""Charts as inline SVG. Colours come from the page's style sheet, by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from moss_audio.annotate.reporting.counting import Bin, Histogram

# As wide as a telephone's screen, where a larger picture's text would shrink.
_WIDTH = 360
_LEFT, _RIGHT, _TOP, _PLOT, _BOTTOM = 40, 16, 10, 150, 40
_LABEL, _VALUE, _ROW = 168, 58, 26
_LABEL_CHARS = 24
_LETTER = 6.6  # of a tick label, with room beside the label


@dataclass(frozen=True)
class Chart:
    """A picture, and its numbers as a table for whoever cannot or would rather not see it."""

    svg: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart: a thin `second` value lies below the first one."""

    label: str
    first: float
    second: float
    text: str


def histogram(found: Histogram, styles: Sequence[str], unit: str, title: str) -> Chart | None:
    """Stacked columns, a style class for each series. None without values.

    Args:
        unit: of the values, below the horizontal axis.
        title: said aloud instead of the picture.
    """
    bins = found.bins()
    if not bins:
        return None
    ticks = _count_ticks(max(one.total for one in bins))
    highest = ticks[-1]
    step = (_WIDTH - _LEFT - _RIGHT) / len(bins)
    parts = []
    for tick in ticks:
        y = _TOP + _PLOT * (1 - tick / highest)
        parts.append(
            _svg(
                '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>', _LEFT, _WIDTH - _RIGHT, y, y
            )
            + _svg('<text class="tick end" x="{}" y="{}">{}</text>', _LEFT - 6, y + 4, f"{tick:,}")
        )
    for at, one in enumerate(bins):
        parts.append(_column(one, at, step, highest, styles, unit))
    every = _label_every(bins, step)
    # Where the last bin is open, its label belongs to its left edge like all the others.
    last = len(bins) if math.isfinite(bins[-1].high) else len(bins) - 1
    for at in range(0, last + 1, every):
        edge = bins[at].low if at < len(bins) else bins[-1].high
        x = _LEFT + at * step
        parts.append(
            _svg(
                '<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>',
                x,
                x,
                _TOP + _PLOT,
                _TOP + _PLOT + 4,
            )
            + _svg(
                '<text class="tick middle" x="{}" y="{}">{}</text>',
                x,
                _TOP + _PLOT + 17,
                number(edge),
            )
        )
    parts.append(
        _svg(
            '<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>',
            _LEFT,
            _WIDTH - _RIGHT,
            _TOP + _PLOT,
            _TOP + _PLOT,
        )
        + _svg(
            '<text class="unit middle" x="{}" y="{}">{}</text>',
            (_LEFT + _WIDTH - _RIGHT) / 2,
            _TOP + _PLOT + 34,
            unit,
        )
    )
    height = _TOP + _PLOT + _BOTTOM
    rows = tuple((_range(one, unit), *(f"{count:,}" for count in one.counts)) for one in bins)
    names = [name or "segments" for name in found.series]
    return Chart(_frame(parts, height, title), (unit, *names), rows)


def bars(rows: Sequence[Bar], style: str, title: str, columns: tuple[str, ...]) -> Chart | None:
    """Horizontal bars on one scale, each with its label and its value. None without rows.

    Args:
        columns: of the table: of the labels, of the first values, and perhaps of the second ones.
    """
    if not rows:
        return None
    widest = max(max(row.first, row.second) for row in rows) or 1.0
    room = _WIDTH - _LABEL - _VALUE
    parts = []
    for at, row in enumerate(rows):
        y = at * _ROW
        parts.append(
            Markup("<g>")
            + _svg("<title>{}: {}</title>", row.label, row.text)
            + _svg(
                '<text class="label end" x="{}" y="{}">{}</text>',
                _LABEL - 8,
                y + 17,
                _cut(row.label),
            )
            + _svg(
                '<rect class="{}" x="{}" y="{}" width="{}" height="11" rx="1"/>',
                style,
                _LABEL,
                y + 5,
                room * row.first / widest,
            )
            + _svg(
                '<rect class="{} faint" x="{}" y="{}" width="{}" height="4" rx="1"/>',
                style,
                _LABEL,
                y + 17,
                room * row.second / widest,
            )
            + _svg('<text class="tick end" x="{}" y="{}">{}</text>', _WIDTH - 2, y + 17, row.text)
            + Markup("</g>")
        )
    table = tuple(
        (row.label, *(number(v) for v in (row.first, row.second)[: len(columns) - 1]))
        for row in rows
    )
    return Chart(_frame(parts, len(rows) * _ROW + 2, title), ("class", *columns), table)


def number(value: float) -> str:
    """A number as short as it can be read: 12,300, 4.5, 0.25."""
    if not math.isfinite(value):
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _column(
    one: Bin, at: int, step: float, highest: int, styles: Sequence[str], unit: str
) -> Markup:
    y, drawn = float(_TOP + _PLOT), Markup("")
    for count, style in zip(one.counts, styles, strict=True):
        height = _PLOT * count / highest
        y -= height
        if count:
            drawn += _svg(
                '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>',
                style, _LEFT + at * step + 0.75, y, max(step - 1.5, 0.75), height,
            )  # fmt: skip
    if not drawn:
        return drawn
    return _svg("<g><title>{}: {}</title>{}</g>", _range(one, unit), f"{one.total:,}", drawn)


def _label_every(bins: Sequence[Bin], step: float) -> int:
    """Label every which edge, so that labels have room and stand at round values."""
    longest = max(len(number(one.low)) for one in bins)
    leading = f"{bins[0].high - bins[0].low:.0e}"[0] if math.isfinite(bins[0].high) else "1"
    choices = {"2": (1, 5, 10), "5": (1, 2, 4, 10)}.get(leading, (1, 2, 5, 10))
    return next((one for one in choices if one * step >= _LETTER * (longest + 1)), 20)


def _cut(label: str) -> str:
    return label if len(label) <= _LABEL_CHARS else f"{label[: _LABEL_CHARS - 1]}…"


def _range(one: Bin, unit: str) -> str:
    if math.isinf(one.high):
        return f"{number(one.low)} and more {unit}"
    return f"{number(one.low)} – {number(one.high)} {unit}"


def _count_ticks(highest: int) -> list[int]:
    """Whole numbers from 0 to at least `highest`, four or five of them."""
    scale = 1
    while True:
        for step in (1, 2, 5):
            if 4 * step * scale >= highest:
                width = step * scale
                return list(range(0, -(-highest // width) * width + 1, width))
        scale *= 10


def _frame(parts: Sequence[Markup], height: int, title: str) -> Markup:
    return _svg(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        _WIDTH, height, title, Markup("").join(parts),
    )  # fmt: skip


def _svg(template: str, *values: object) -> Markup:
    """Fills a template; numbers are rounded, everything else is escaped."""
    return Markup(template).format(
        *(
            f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
            for value in values
        )
    )
