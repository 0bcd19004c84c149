"""A sampled segment as the page shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.annotate.records import COARSE_CLASSES, Caption, Segment, ToolResult
from moss_audio.annotate.reporting.counting import fair_limit
from moss_audio.annotate.reporting.drawing import opus_uri, spectrogram_uri, waveform_path
from moss_audio.annotate.reporting.statistics import group_of, leading_class
from moss_audio.annotate.reporting.timeline import Lane, Tick, clock, lanes, ticks
from moss_audio.errors import MossAudioError
from moss_audio.recordings import load_audio
from moss_audio.units import SAMPLE_RATE

# Characters of a transcript, a caption or a turn; of a value; of a card's conversations.
_TEXT_CHARS, _VALUE_CHARS, _TALK_CHARS = 3000, 400, 15_000
_MAX_RESULTS, _MAX_VALUES, _MAX_WARNINGS = 60, 40, 10


@dataclass(frozen=True)
class Row:
    """A span in a table."""

    label: str
    start_s: float
    start: str
    end: str
    score: str
    attributes: str


@dataclass(frozen=True)
class Found:
    """A tool result as a table."""

    result: ToolResult
    text: str
    score: str
    values: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: int


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """Turns that train one task."""

    task: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Card:
    """Everything a sample shows. `sound` is empty where it could not be read: `problem` says why.

    `shown_s` is how much of it is played and drawn.
    """

    number: int
    segment: Segment
    group: str
    leading: str
    title: str
    duration: str
    place: str
    shown_s: float
    cut: str
    sound: str
    wave: str
    picture: str
    problem: str
    ticks: tuple[Tick, ...]
    lanes: tuple[Lane, ...]
    profile: tuple[tuple[str, float], ...]
    caption: Caption | None
    results: tuple[Found, ...]
    conversations: tuple[Conversation, ...]
    conversations_left_out: int
    search: str


def make_card(
    out: Path, segment: Segment, number: int, *, most_s: float, most_items: int, most_rows: int
) -> Card:
    """Reads and draws the sound of a segment and lays out its results.

    Args:
        out: the annotation folder, which `segment.audio` is relative to.
        most_s: of the sound, from its start; the rest is neither drawn nor played.
        most_items: on all lanes together.
        most_rows: in all tables together.
    """
    samples, problem = _load(out, segment, most_s)
    shown_s = len(samples) / SAMPLE_RATE if len(samples) else min(segment.duration_s, most_s)
    is_cut = segment.duration_s > shown_s + 0.5
    talks, talks_left_out = _conversations(segment.conversations)
    results = _results(segment.results[:_MAX_RESULTS], most_rows)
    title = _title(segment)
    return Card(
        number=number,
        segment=segment,
        group=group_of(segment),
        leading=leading_class(segment) or "silence",
        title=title,
        duration=clock(segment.duration_s),
        place=f"{clock(segment.start_s)} – {clock(segment.end_s)}",
        shown_s=round(shown_s, 3),
        cut=f"The first {clock(shown_s)} of {clock(segment.duration_s)} are shown."
        if is_cut
        else "",
        sound=opus_uri(samples) if len(samples) else "",
        wave=waveform_path(samples),
        picture=spectrogram_uri(samples) if len(samples) else "",
        problem=problem,
        ticks=tuple(ticks(shown_s)),
        lanes=tuple(lanes(segment, shown_s, most_items)) if shown_s > 0 else (),
        profile=tuple((name, _unit(segment.profile.get(name, 0.0))) for name in COARSE_CLASSES),
        caption=_caption(segment.caption),
        results=results,
        conversations=talks,
        conversations_left_out=talks_left_out,
        search=_search_text(segment, title),
    )


def _load(out: Path, segment: Segment, most_s: float) -> tuple[np.ndarray, str]:
    """Samples, or none and why."""
    empty = np.empty(0, np.float32)
    if not segment.audio:
        return empty, "This segment has no sound file of its own."
    try:
        return load_audio(out / segment.audio, end=most_s).samples, ""
    except MossAudioError:
        # The message would name the folder, and equal runs in two places shall give equal pages.
        return empty, f"The sound could not be read: {segment.audio}"


def _title(segment: Segment) -> str:
    """What a reader recognises the segment by."""
    texts = [segment.caption.text] if segment.caption else []
    texts += [
        one.text for kind in ("description", "agreement", "anchor") for one in segment.find(kind)
    ]
    text = next((" ".join(one.split()) for one in texts if one.strip()), "(no caption)")
    return text if len(text) <= 160 else f"{text[:160].rsplit(' ', 1)[0]} …"


def _results(results: Sequence[ToolResult], most_rows: int) -> tuple[Found, ...]:
    made = []
    most = int(fair_limit([len(result.spans) for result in results], most_rows))
    for result in results:
        spans = result.spans[:most]
        made.append(
            Found(
                result=result,
                text=_short(result.text),
                score="" if result.score is None else f"{result.score:.3f}",
                values=_values(result.values),
                warnings=_warnings(result.warnings),
                rows=tuple(
                    Row(
                        label=_short(span.label, 300),
                        start_s=max(span.start_s, 0.0),
                        start=clock(span.start_s, 0.01),
                        end=clock(span.end_s, 0.01),
                        score="" if span.score is None else f"{span.score:.2f}",
                        attributes=_value(span.attributes),
                    )
                    for span in spans
                ),
                left_out=len(result.spans) - len(spans),
            )
        )
    return tuple(made)


def _values(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    known = [(str(name), _value(value)) for name, value in values.items() if value != ""]
    return tuple(known[:_MAX_VALUES])


def _warnings(warnings: Sequence[str]) -> tuple[str, ...]:
    return tuple(_short(one, _VALUE_CHARS) for one in warnings[:_MAX_WARNINGS])


def _caption(caption: Caption | None) -> Caption | None:
    if caption is None:
        return None
    return replace(caption, text=_short(caption.text), warnings=_warnings(caption.warnings))


def _value(value: Any) -> str:
    """A value as it is read: numbers short, mappings and lists without their brackets."""
    if isinstance(value, str):
        return _short(value, _VALUE_CHARS)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return _short(
            "; ".join(f"{key}: {_value(one)}" for key, one in value.items()), _VALUE_CHARS
        )
    if isinstance(value, list | tuple):
        return _short("; ".join(_value(one) for one in value), _VALUE_CHARS)
    return _short(json.dumps(value, ensure_ascii=False, default=str), _VALUE_CHARS)


def _conversations(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[Conversation, ...], int]:
    """Conversations in any of the forms that training reads, up to a bound on their text."""
    made: list[Conversation] = []
    room = _TALK_CHARS
    for row in rows:
        turns = row.get("messages") or row.get("conversations") or row.get("conversation") or ()
        said = tuple(
            Turn(str(turn.get("role", turn.get("from", ""))), _short(_content(turn)))
            for turn in turns
            if isinstance(turn, Mapping)
        ) or (Turn("", _value(dict(row))),)
        room -= sum(len(turn.content) for turn in said)
        if room < 0 and made:
            break
        made.append(Conversation(str(row.get("task", "")), said))
    return tuple(made), len(rows) - len(made)


def _content(turn: Mapping[str, Any]) -> str:
    content = turn.get("content", turn.get("value", ""))
    if turn.get("message_type") == "audio":
        return "<audio>"
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return "\n".join(
        "<audio>" if part.get("type") == "audio" else str(part.get("text", ""))
        if isinstance(part, Mapping) else str(part)
        for part in parts
    )  # fmt: skip


def _search_text(segment: Segment, title: str) -> str:
    """Lower-case words that a search looks through."""
    parts = [title, segment.id, segment.recording.path, group_of(segment), *segment.flags]
    for result in segment.results:
        parts += [result.kind, result.tool, result.text]
        parts += [span.label for span in result.spans if result.kind != "words"]
    words = dict.fromkeys(" ".join(parts).lower().split())
    return " ".join(words)[:4000]


def _short(text: str, most: int = _TEXT_CHARS) -> str:
    return text if len(text) <= most else f"{text[:most]} …"


def _unit(score: float) -> float:
    return min(max(score, 0.0), 1.0)
