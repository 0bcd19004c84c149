"""A report as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

_TITLES = {
    "streams": "live streams",
    "concurrency": "requests under way",
    "rate": "requests a second",
}
_FIGURES = {
    "time_to_first_token_s": "first token",
    "time_to_final_s": "final",
    "latency_s": "whole answer",
    "time_to_first_text_s": "first text",
    "word_lag_s": "word lag",
    "time_to_refusal_s": "refusal",
}
_SHOWN = ("p50", "p90", "p95", "p99")


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print the tables of a report: one for each kind of load, times in seconds."""
    levels = report["levels"]
    for kind, title in _TITLES.items():
        rows = [level for level in levels if level["kind"] == kind]
        if rows:
            console.print(_table(title, rows))
    beside = [level["beside"] for level in levels if level.get("beside")]
    if beside:
        console.print(_table("requests beside the streams", beside))


def _table(title: str, rows: list[Mapping[str, Any]]) -> Table:
    figures = [name for name in _FIGURES if any(row.get(name) for row in rows)]
    table = Table(title=title, caption="seconds: " + ", ".join(_SHOWN))
    for heading in ("n", "answered", "refused", "errors", "x real time", "sent late"):
        table.add_column(heading, justify="right")
    for name in figures:
        table.add_column(_FIGURES[name], justify="right")
    for row in rows:
        table.add_row(
            f"{row['size']:g}",
            str(row["answered"]) + (f" ({row['unfinished']} open)" if row["unfinished"] else ""),
            str(row["refused"]),
            str(row["errors"]),
            f"{row['realtime_factor']:.2f}",
            str(row["sent_late"]),
            *(_cell(row.get(name)) for name in figures),
        )
    return table


def _cell(found: Mapping[str, float] | None) -> str:
    return "  ".join(f"{found[name]:.2f}" for name in _SHOWN) if found else ""
