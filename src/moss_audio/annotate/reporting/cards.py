"""A sampled segment as the page shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moss_audio.annotate.records import AudioSegment
from moss_audio.annotate.reporting.counting import fair_limit
from moss_audio.annotate.reporting.drawing import opus_uri, spectrogram_uri, waveform_path
from moss_audio.annotate.reporting.statistics import group_of
from moss_audio.annotate.reporting.timeline import lanes, ticks
from moss_audio.errors import MossAudioError
from moss_audio.recordings import load_audio
from moss_audio.units import SAMPLE_RATE

# Characters of a transcript, a caption or a turn; of a value; of a card's conversations.
_TEXT_CHARS, _VALUE_CHARS, _TALK_CHARS = 3000, 400, 15_000
MAX_RESULTS = 60

Talk = tuple[str, tuple[tuple[str, str], ...]]  # task, turns as (role, content)


def make_card(
    out: Path, segment: AudioSegment, number: int, *, most_s: float, most_items: int, most_rows: int
) -> dict[str, Any]:
    """Reads and draws the sound of a segment and lays out its results.

    Args:
        out: the annotation folder, which `segment.audio` is relative to.
        most_s: of the sound, from its start; the rest is neither drawn nor played.
        most_items: on all lanes together.
        most_rows: in all tables together.

    Returns what the template cannot take from the segment as it is. `sound` is empty where it
    could not be read: `problem` says why. `shown_s` is how much of it is played and drawn,
    `most_spans` how many of a result's spans its table shows.
    """
    samples, problem = _load(out, segment, most_s)
    shown_s = len(samples) / SAMPLE_RATE if len(samples) else min(segment.duration_s, most_s)
    title = _title(segment)
    sizes = [len(result.spans) for result in segment.results[:MAX_RESULTS]]
    return {
        "number": number,
        "segment": segment,
        "title": title,
        "shown_s": shown_s,
        "sound": opus_uri(samples) if len(samples) else "",
        "wave": waveform_path(samples),
        "picture": spectrogram_uri(samples) if len(samples) else "",
        "problem": problem,
        "ticks": ticks(shown_s),
        "lanes": lanes(segment, shown_s, most_items) if shown_s > 0 else (),
        "most_spans": int(fair_limit(sizes, most_rows)),
        "talks": _talks(segment.conversations),
        "search": _search_text(segment, title),
    }


def readable(value: Any) -> str:
    """A value as it is read: numbers short, mappings and lists without their brackets."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        value = "; ".join(f"{key}: {readable(one)}" for key, one in value.items())
    elif isinstance(value, list | tuple):
        value = "; ".join(map(readable, value))
    elif not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return short(value, _VALUE_CHARS)


def short(text: str, most: int = _TEXT_CHARS) -> str:
    """A text, cut off after `most` characters."""
    return text if len(text) <= most else f"{text[:most]} …"


def _load(out: Path, segment: AudioSegment, most_s: float) -> tuple[np.ndarray, str]:
    """Samples, or none and why."""
    if not segment.audio:
        return np.empty(0, np.float32), "This segment has no sound file of its own."
    try:
        return load_audio(out / segment.audio, end=most_s).samples, ""
    except MossAudioError:
        # The message would name the folder, and equal runs in two places shall give equal pages.
        return np.empty(0, np.float32), f"The sound could not be read: {segment.audio}"


def _title(segment: AudioSegment) -> str:
    """What a reader recognises the segment by."""
    texts = [segment.caption.text] if segment.caption else []
    texts += [
        one.text for kind in ("description", "agreement", "anchor") for one in segment.find(kind)
    ]
    text = next((" ".join(one.split()) for one in texts if one.strip()), "(no caption)")
    return text if len(text) <= 160 else f"{text[:160].rsplit(' ', 1)[0]} …"


def _talks(rows: Sequence[Mapping[str, Any]]) -> tuple[Talk, ...]:
    """Conversations in any of the forms that training reads, up to a bound on their text."""
    made: list[Talk] = []
    room = _TALK_CHARS
    for row in rows:
        turns = row.get("messages") or row.get("conversations") or row.get("conversation") or ()
        said = tuple(
            (str(turn.get("role", turn.get("from", ""))), short(_content(turn)))
            for turn in turns
            if isinstance(turn, Mapping)
        ) or (("", readable(dict(row))),)
        room -= sum(len(content) for _, content in said)
        if room < 0 and made:
            break
        made.append((str(row.get("task", "")), said))
    return tuple(made)


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


def _search_text(segment: AudioSegment, title: str) -> str:
    """Lower-case words that a search looks through."""
    parts = [title, segment.id, segment.recording.path, group_of(segment), *segment.flags]
    for result in segment.results:
        parts += [result.kind, result.tool, result.text]
        parts += [span.label for span in result.spans if result.kind != "words"]
    return " ".join(dict.fromkeys(" ".join(parts).lower().split()))[:4000]
