"""From outcomes to figures: sums over items, with bootstrap intervals over the same items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from moss_audio.evaluate.plan import Mean, Measure, Outcome, Plan, Share
from moss_audio.metrics.bootstrap import ratio_interval
from moss_audio.settings import packaged

ALL = "all"


@dataclass(frozen=True)
class Figure:
    """One number of a report.

    `low` and `high` bound it at 95 %; `items` took part; `whole` is what they are shares of in all
    (words, questions, minutes). `paper` is the paper's own line for it.
    """

    part: str
    name: str
    group: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    better: str
    items: int
    whole: float
    baseline: float | None = None
    baseline_name: str = ""
    bar: float | None = None
    aim: float | None = None
    paper: str = ""


def figures(plan: Plan, outcomes: Sequence[Sequence[Outcome]]) -> list[Figure]:
    """All figures of a suite, then its means over parts."""
    found = [
        figure
        for part, rows in zip(plan.parts, outcomes, strict=True)
        for measure in part.measures
        for figure in of_measure(part.name, measure, rows)
    ]
    found += [_mean(mean, found) for mean in plan.means]
    return [
        replace(one, paper=_reported(plan.suite, one)) if one.group == ALL else one for one in found
    ]


def _reported(suite: str, one: Figure) -> str:
    """What the paper reports for a figure of ours; empty where it says nothing."""
    parts = packaged(__package__, "paper.toml").get(suite, {})
    of_part = parts.get(one.part.lower(), {})
    return str(of_part.get(one.name, parts.get("*", {}).get(one.name, "")))


def of_measure(part: str, measure: Measure, outcomes: Sequence[Outcome]) -> list[Figure]:
    """The figure of a measure under the name of its part, and, where it is grouped, by category."""
    chosen = [
        outcome
        for outcome in outcomes
        if measure.where(outcome.item) and (measure.failed or outcome.result is not None)
    ]
    rows = [_figure(part, measure, ALL, chosen)]
    groups = sorted({outcome.item.category for outcome in chosen})
    if measure.grouped and len(groups) > 1:
        rows += [
            _figure(part, measure, group, [o for o in chosen if o.item.category == group])
            for group in groups
        ]
    return rows


def _figure(part: str, measure: Measure, group: str, outcomes: Sequence[Outcome]) -> Figure:
    pairs = [(outcome, share) for outcome in outcomes if (share := measure.share(outcome))]
    shares = [share for _, share in pairs]
    whole = math.fsum(share[1] for share in shares)
    value = measure.scale * math.fsum(share[0] for share in shares) / whole if whole else None
    bounds = ratio_interval(_clustered(measure, pairs)) if whole else None
    low, high = (measure.scale * bound for bound in bounds) if bounds else (None, None)
    baseline = None
    if measure.baseline is not None and pairs:
        baseline = measure.baseline([outcome.item for outcome, _ in pairs])
    return Figure(
        part,
        measure.name,
        group,
        value,
        low,
        high,
        measure.unit,
        measure.better,
        len(shares),
        whole,
        baseline,
        measure.baseline_name if baseline is not None else "",
        measure.bar,
        measure.aim,
    )


def _clustered(measure: Measure, pairs: Sequence[tuple[Outcome, Share]]) -> list[Share]:
    """The shares that intervals are drawn over: of items, or summed over what these have in
    common."""
    if measure.cluster is None:
        return [share for _, share in pairs]
    sums: dict[str, Share] = {}
    for outcome, (part, whole) in pairs:
        key = measure.cluster(outcome.item)
        before = sums.get(key, (0.0, 0.0))
        sums[key] = (before[0] + part, before[1] + whole)
    return list(sums.values())


def _mean(mean: Mean, figures: Sequence[Figure]) -> Figure:
    """The mean; None unless every part has been measured. Its interval takes the parts as
    independent: the half-widths add as squares."""
    rows = [
        figure
        for part, measure in mean.figures
        for figure in figures
        if (figure.part, figure.name, figure.group) == (part, measure, ALL)
    ]
    values = [row.value for row in rows if row.value is not None]
    unit, better = (rows[0].unit, rows[0].better) if rows else ("%", "higher")
    made = Figure(mean.name, mean.measure, ALL, None, None, None, unit, better, 0, 0.0)
    if len(values) < len(mean.figures):
        return made
    centre = sum(values) / len(values)
    widths = [
        (row.value - row.low, row.high - row.value)
        for row in rows
        if row.value is not None and row.low is not None and row.high is not None
    ]
    below = math.hypot(*(width for width, _ in widths)) / len(rows)
    above = math.hypot(*(width for _, width in widths)) / len(rows)
    items, whole = sum(row.items for row in rows), math.fsum(row.whole for row in rows)
    return replace(
        made, value=centre, low=centre - below, high=centre + above, items=items, whole=whole
    )
