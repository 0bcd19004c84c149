"""The page: statistics and cards through one template that escapes everything from the data."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from moss_audio import __version__
from moss_audio.annotate.records import COARSE_CLASSES
from moss_audio.annotate.reporting.cards import Card
from moss_audio.annotate.reporting.charts import Bar, Chart, bars, histogram, number
from moss_audio.annotate.reporting.counting import Tally
from moss_audio.annotate.reporting.drawing import mel_height
from moss_audio.annotate.reporting.statistics import DECISIONS, GROUPS, PRESENT, Statistics

_MAX_BARS = 12
_MAX_ROWS = 40  # of a table of reasons or tools
_HERTZ = (("4 kHz", 4000.0), ("2 kHz", 2000.0), ("1 kHz", 1000.0), ("500 Hz", 500.0))


@dataclass(frozen=True)
class Figure:
    """A chart with its heading; `note` says what is counted."""

    heading: str
    note: str
    chart: Chart | None
    legend: tuple[tuple[str, str], ...] = ()  # (style, name)


@dataclass(frozen=True)
class Tile:
    """A number that matters."""

    value: str
    name: str
    note: str = ""


def render_page(statistics: Statistics, cards: Sequence[Card], *, seed: int) -> str:
    """The whole HTML file, the same for the same arguments."""
    script, style = _resource("script.js"), _resource("style.css")
    # The browser itself then refuses the network, and every script but ours.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"amount": amount, "count": _count, "number": number}
    template = environment.from_string(_resource("template.html.j2"))
    return template.render(
        version=__version__,
        script=Markup(script),
        style=Markup(style),
        script_hash=digest,
        statistics=statistics,
        tiles=_tiles(statistics),
        figures=_figures(statistics),
        tables=_tables(statistics),
        steps=_steps(statistics),
        cards=cards,
        groups=[name for name in GROUPS if any(card.group == name for card in cards)],
        hertz=[(text, round(100 * mel_height(hz), 1)) for text, hz in _HERTZ],
        seed=seed,
    )


def _tiles(s: Statistics) -> list[Tile]:
    kept = s.decisions.get("keep").count
    tiles = [
        Tile(amount(s.audio_s), "of audio"),
        Tile(_count(s.segments), "segments"),
        Tile(("over " if s.more_recordings else "") + _count(s.recordings), "recordings"),
        Tile(_count(s.aside.total), "set aside", "not annotated at all"),
    ]
    if s.decisions.total:
        share = f"{100 * kept / s.decisions.total:.0f} % of {_count(s.decisions.total)}"
        tiles.append(Tile(_count(kept), "transcripts kept", share))
    tiles.append(Tile(_count(s.captions), "captions", f"{_count(s.rejected)} texts rejected"))
    tiles.append(Tile(_count(s.conversations.total), "conversations"))
    return tiles


def _figures(s: Statistics) -> list[Figure]:
    return [
        Figure(
            "Hours by class",
            f"Thick: segments that the class leads. Thin: all segments where its score is at "
            f"least {PRESENT:g}.",
            _class_chart(s),
        ),
        Figure(
            "Segment length",
            f"Median {number(s.durations.quantile(0.5))} s.",
            histogram(s.durations, ("one",), "seconds", "Histogram of segment lengths"),
        ),
        Figure(
            "Agreement of recognisers",
            "Mean pairwise word error rate of a segment's transcripts.",
            histogram(
                s.agreement, DECISIONS, "word error rate",
                "Histogram of word error rates between recognisers, by decision",
            ),
            tuple((name, f"{name} ({_count(s.decisions.get(name).count)})") for name in DECISIONS),
        ),
        Figure(
            "Word rate",
            "Words over the time from the first word to the last, pauses included.",
            histogram(s.word_rates, ("one",), "words a minute", "Histogram of word rates"),
        ),
        Figure(
            "Caption length",
            f"Median {number(s.caption_words.quantile(0.5))} words.",
            histogram(s.caption_words, ("one",), "words", "Histogram of caption lengths"),
        ),
        Figure("Conversations by task", "The most frequent ones.", _task_chart(s)),
    ]  # fmt: skip


def _task_chart(s: Statistics) -> Chart | None:
    rows = [
        Bar(name[0].replace("_", " "), entry.count, 0, _count(entry.count))
        for name, entry in s.conversations.most_common()[:_MAX_BARS]
    ]
    return bars(rows, "one", "Conversations by task", ("task", "conversations"))


def _class_chart(s: Statistics) -> Chart | None:
    rows = []
    for name in (*COARSE_CLASSES, "silence"):
        leads, heard = s.leads.get(name).audio_s / 3600, s.heard.get(name).audio_s / 3600
        rows.append(Bar(name, leads, heard, amount(leads * 3600)))
    columns = ("class", "hours led", f"hours with a score of {PRESENT:g}")
    return bars(rows, "one", "Hours of audio by coarse class", columns) if s.segments else None


def _tables(s: Statistics) -> list[dict[str, Any]]:
    """Tables of counts: heading, what an empty one says, columns, rows, rows left out."""
    return [
        _table("Set aside", s.aside, ("reason",), "Nothing was set aside.", hours=False),
        _table("Transcripts flagged or dropped", s.doubts, ("decision", "reason"), "None."),
        _table("Flags of segments", s.flags, ("flag",), "None."),
        _table("Writers of captions", s.writers, ("writer",), "No captions.", examples=False),
        _table("Warnings", s.warnings, ("tool", "warning"), "None.", hours=False),
        _table("Conversations", s.conversations, ("task",), "None.", hours=False, examples=False),
        _table(
            "Tools", s.tools, ("branch", "result", "tool", "version"), "No tool found anything.",
            examples=False,
        ),
    ]  # fmt: skip


def _table(
    heading: str,
    tally: Tally,
    names: tuple[str, ...],
    empty: str,
    *,
    hours: bool = True,
    examples: bool = True,
) -> dict[str, Any]:
    entries = tally.most_common()
    with_examples = examples and any(entry.example for _, entry in entries)
    rows = []
    for name, entry in entries[:_MAX_ROWS]:
        row: list[tuple[str, str]] = [("text", one) for one in name]
        row.append(("value", _count(entry.count)))
        if hours:
            row.append(("value", amount(entry.audio_s)))
        if with_examples:
            row.append(("example", entry.example))
        rows.append(row)
    columns = [*(("text", one) for one in names), ("value", "count")]
    if hours:
        columns.append(("value", "of audio"))
    if with_examples:
        columns.append(("example", "for example"))
    return {
        "heading": heading,
        "empty": empty,
        "columns": columns,
        "rows": rows,
        "left_out": max(0, len(entries) - _MAX_ROWS),
    }


def _steps(s: Statistics) -> list[dict[str, Any]]:
    longest = max((wall for _, wall in s.steps.values()), default=0.0) or 1.0
    return [
        {
            "name": name,
            "audio": amount(audio),
            "wall": amount(wall),
            "rate": number(audio / wall) if wall > 0 else "–",
            "share": round(100 * wall / longest, 1),
        }
        for name, (audio, wall) in s.steps.items()
    ]


def amount(seconds: float) -> str:
    """A length of time in the unit that reads best."""
    if seconds >= 3600:
        return f"{number(seconds / 3600)} h"
    return f"{number(seconds / 60)} min" if seconds >= 60 else f"{number(seconds)} s"


def _count(value: int) -> str:
    return f"{value:,}"


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
