"""The sound events of a clip, one a line: `0.00 - 2.50: dog barking`.

Wording: the released checkpoints' own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from moss_audio.errors import MossAudioError
from moss_audio.metrics.events import event_based
from moss_audio.result import Event, Timeline
from moss_audio.tasks.base import (
    WARN_LOOP,
    Score,
    Task,
    answer_part,
    centiseconds,
    check_duration,
    joined_notes,
)
from moss_audio.tasks.confidence import label_probabilities
from moss_audio.tasks.times import CLOCK, TOLERANCE_S, WARN_ORDER, clock_to_seconds, without_stamps
from moss_audio.text import LOOP_WORDS, detect_repetition, single_line, tail_loop

PROMPT = (
    "Analyze the audio and describe the main sound events in chronological order. "
    "Output one event per line using this format:\n"
    "start_sec - end_sec: event description\n"
    "Use plain decimal seconds for start_sec and end_sec. "
    "Cover the full timeline from beginning to end when possible."
)

# Two events with one label on both sides of a cut are one event, if they come this close to it.
_JOIN_S = 0.25

WARN_NO_EVENTS = "no event could be read from the answer"
WARN_MISSING_END = "an event without an end time ends at the next one's start"

_TO = r"\s*(?:-|\u2010|\u2011|\u2012|\u2013|\u2014|~|\uff5e|to\b)\s*"
_UNIT = r"\s*(?:s|sec|seconds)?\b"
_BULLET = r"\s*(?:[-*\u2022]\s*|[0-9]{1,3}[.)]\s+)?[\[(*]*\s*"
# A range opens an event at the start of a line, or after another on the same line, where it must
# be unmistakable: decimals on both sides and a colon, so that "3-4 people" stays a description.
_RANGE = rf"({CLOCK}){_UNIT}{_TO}({CLOCK}){_UNIT}"
_TIMES = re.compile(_RANGE)
_LINE = re.compile(rf"^{_BULLET}{_RANGE}")
_OPEN_END = re.compile(rf"^{_BULLET}({CLOCK}){_UNIT}(?:{_TO}(?![0-9]))?\s*[\])]?\s*:\s*")
_DECIMAL = r"[0-9]{1,6}\.[0-9]{1,6}"
_INLINE = re.compile(rf"(?<![0-9.:])({_DECIMAL}){_UNIT}{_TO}({_DECIMAL}){_UNIT}\s*:")
_TRAILING = re.compile(rf"[\[(]\s*{_RANGE}\s*[\])]\s*[.;]?$")
_LEADING_BULLET = re.compile(rf"^{_BULLET}")
# What may stand between a range and its description: `]:`, `**:`, ` - `.
_AFTER_RANGE = re.compile(r"^[\])*\s]*(?::|[-\u2013\u2014](?=\s))?\s*")


@dataclass(frozen=True)
class Events(Task[Timeline]):
    """The event timeline task. A cut may divide an event, so windows mean nothing by themselves."""

    windowed: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "events"

    @property
    def prompt(self) -> str:
        return PROMPT

    def render_answer(self, truth: Timeline) -> str:
        """One event a line, by start time. Raises MossAudioError for an event without a label."""
        lines = []
        for event in sorted(truth.events, key=lambda event: event.start):
            label = clean_label(event.label)
            if not label:
                raise MossAudioError(f"the event at {event.start:.2f} s has no label: name it")
            lines.append(f"{centiseconds(event.start)} - {centiseconds(event.end)}: {label}")
        return "\n".join(lines)

    def parse(self, text: str, duration: float) -> Timeline:
        """Reads any answer: bullets, brackets, clock times, other dashes, a missing end, several
        events on a line. Events come out sorted by start and inside the clip; lines that are no
        event are counted in `warnings` and stay in `raw`.

        Raises MossAudioError only for a `duration` that is not a length in seconds.
        """
        duration = check_duration(duration)
        answer, warnings = answer_part(text)
        written, unread = _read_lines(answer)
        found = [(label, s, e) for one, s, e in written if (label := without_stamps(one))]
        unread += len(written) - len(found)
        notes: list[str] = []
        if unread:
            notes.append(f"{unread} line{'s' * (unread > 1)} could not be read as an event")
        if answer and not found:
            notes.append(WARN_NO_EVENTS)
        found, looped = _cut_loops(found, duration)
        events, moved, open_ended = _settle(found, duration)
        if open_ended:
            notes.append(WARN_MISSING_END)
        if moved:
            notes.append(WARN_ORDER)
        if looped:
            notes.append(WARN_LOOP)
        return Timeline(tuple(events), duration, text, (*warnings, *notes))

    def with_confidence(self, result: Timeline, tokens: Sequence[tuple[int, float]]) -> Timeline:
        """Each event with the probability of its label."""
        answer, _ = answer_part(result.raw)
        written, _ = _read_lines(answer)
        # Figures of a label are not to be found among those of the times.
        text = _TIMES.sub(lambda times: " " * len(times[0]), result.raw)
        sure = label_probabilities(text, tokens, [label for label, _, _ in written])
        known = {
            (without_stamps(label), min(start, result.duration)): probability
            for (label, start, _), probability in zip(written, sure, strict=True)
        }
        events = (
            replace(event, probability=known.get((event.label, event.start)))
            for event in result.events
        )
        return replace(result, events=tuple(events))

    def answer_tokens(self, duration_s: float) -> int:
        return 256 + round(8.0 * duration_s)

    def silent(self, duration_s: float) -> Timeline:
        return Timeline((), duration_s)

    def join(self, parts: Sequence[tuple[float, Timeline]]) -> Timeline:
        """Events of all windows; one that a cut divided is one again."""
        if len(parts) == 1:
            return parts[0][1]
        joined: list[Event] = []
        for cut, result in parts:
            for event in result.shifted(cut).events:
                first = _first_half(joined, event, cut)
                if first is None:
                    joined.append(event)
                else:
                    joined[first] = _whole(joined[first], event)
        start_s, last = parts[-1]
        events = tuple(sorted(joined, key=lambda event: (event.start, event.end)))
        return Timeline(events, start_s + last.duration, **joined_notes(parts))

    def score(self, result: Timeline, truth: Timeline) -> Score:
        """`events`: event-based counts at 200 ms; the reward is their F1."""
        counts = event_based(truth, result)
        return Score(counts.f1, {"events": counts})


def _first_half(events: Sequence[Event], second: Event, cut: float) -> int | None:
    """The place of the event that goes on as `second` after a cut at `cut` seconds, if any does."""
    if cut <= 0 or second.start - cut > _JOIN_S:
        return None
    for i, first in enumerate(events):
        same = first.label.casefold() == second.label.casefold()
        if same and first.start < cut and cut - _JOIN_S <= first.end <= cut:
            return i
    return None


def _whole(first: Event, second: Event) -> Event:
    """An event that a cut divided: as sure as its surer half, unless one of them is unknown."""
    halves = (first.probability, second.probability)
    sure = [one for one in halves if one is not None]
    return replace(first, end=second.end, probability=max(sure) if len(sure) == 2 else None)


def clean_label(label: str) -> str:
    """A label on one line that cannot be mistaken for the start of another event."""
    label = single_line(label)
    while (shorter := _INLINE.sub(lambda m: m.group().rstrip(": "), label)) != label:
        label = shorter
    return without_stamps(label).lstrip(": ").strip()


# An event as written: label, start, end or None where it was left out.
_Raw = tuple[str, float, float | None]


def _read_lines(answer: str) -> tuple[list[_Raw], int]:
    """All events of the answer as written, and how many non-empty lines held none."""
    events: list[_Raw] = []
    unread = 0
    waiting: tuple[float, float] | None = None  # a range whose label is on the next line
    for line in answer.splitlines():
        line = " ".join(line.split())
        if not line:
            continue
        opening = _LINE.match(line)
        if waiting and not opening:
            events.append((_label(line), *waiting))
            waiting = None
            continue
        if waiting:
            unread += 1
            waiting = None
        if opening:
            start, end = clock_to_seconds(opening[1]), clock_to_seconds(opening[2])
            rest = line[opening.end() :]
            *full, (label, start, end) = _split_inline(start, end, rest)
            events += full
            if label:
                events.append((label, start, end))
            else:
                waiting = (start, end)
        elif (match := _closing_range(line)) and (label := _before_range(line, match)):
            events.append((label, clock_to_seconds(match[1]), clock_to_seconds(match[2])))
        elif (match := _OPEN_END.match(line)) and line[match.end() :]:
            events.append((line[match.end() :], clock_to_seconds(match[1]), None))
        else:
            first = _INLINE.search(line)
            if first is None:
                unread += 1
                continue
            start, end = float(first[1]), float(first[2])
            pieces = _split_inline(start, end, line[first.end() :])
            events += [piece for piece in pieces if piece[0]]
    return events, unread + (waiting is not None)


def _closing_range(line: str) -> re.Match[str] | None:
    """A range in brackets at the end of the line, `dog barking (0.0 - 2.5)`. Only the last bracket
    is tried: a search over all of them would take time squared on a line of nothing else."""
    return _TRAILING.match(line, max(0, line.rfind("("), line.rfind("[")))


def _before_range(line: str, closing: re.Match[str]) -> str:
    label = line[: closing.start()]
    return _LEADING_BULLET.sub("", label, count=1).rstrip(": ")


def _label(rest: str) -> str:
    """The description after a range, without the punctuation that joins the two."""
    return _AFTER_RANGE.sub("", rest, count=1).strip()


def _split_inline(start: float, end: float, rest: str) -> list[tuple[str, float, float]]:
    """The event whose range stands before `rest`, and any further ones inside it."""
    pieces: list[tuple[str, float, float]] = []
    position = 0
    for match in _INLINE.finditer(rest):
        pieces.append((_label(rest[position : match.start()]).rstrip(" ,;"), start, end))
        start, end, position = float(match[1]), float(match[2]), match.end()
    pieces.append((_label(rest[position:]), start, end))
    return pieces


def _settle(found: Sequence[_Raw], duration: float) -> tuple[list[Event], bool, bool]:
    """Events by start and inside [0, duration]; whether any time was moved; whether any end was
    missing."""
    by_start = sorted(found, key=lambda event: event[1])
    moved = by_start != list(found)
    open_ended = False
    events: list[Event] = []
    for i, (label, start, end) in enumerate(by_start):
        if end is None:
            open_ended = True
            end = by_start[i + 1][1] if i + 1 < len(by_start) else max(start, duration)
        inside_start = min(start, duration)
        inside_end = max(inside_start, min(end, duration))
        far = max(abs(inside_start - start), abs(inside_end - end))
        moved = moved or far > TOLERANCE_S
        events.append(Event(label, inside_start, inside_end))
    return events, moved, open_ended


def _cut_loops(found: Sequence[_Raw], duration: float) -> tuple[list[_Raw], bool]:
    """Cuts identical events at the end of the answer down to one; True if there were some.

    A dog may bark ten times, so the times must be equal too. Beyond the end of the clip all times
    are: a runaway answer goes on counting there.
    """
    cut = list(found)
    flagged = False
    while cut:
        keys = [
            (label, min(start, duration), None if end is None else min(end, duration))
            for label, start, end in cut
        ]
        keep = tail_loop(keys, max_period=LOOP_WORDS)
        if keep is None:
            label, start, end = cut[-1]
            clean, looped = detect_repetition(label)
            if not looped:
                break
            cut[-1] = (clean, start, end)
        else:
            cut = cut[:keep]
        flagged = True
    return cut, flagged
