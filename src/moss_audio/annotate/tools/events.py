"""Events: what all detectors heard, under plain names, each sound once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Annotated, Any

import numpy as np

from moss_audio.annotate.classes import coarse_classes
from moss_audio.annotate.detectors.base import Detector, covered, in_order, overlap, unexplained
from moss_audio.annotate.profile import HALF_S, by_length
from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.words import words
from moss_audio.settings import Between, Share, check
from moss_audio.units import SAMPLE_RATE

# What a detector calls a sound of which it knows no more than that it is there.
UNIDENTIFIED = "unidentified sound"
_LEFT_S = 1.0
_ARTICLE = re.compile(r"^(?:an?|the|some|sounds? of)\s+", re.IGNORECASE)
_INNER = re.compile(r"\s*\([^)]*\)")


def plain_label(name: str) -> str | None:
    """A class name as a noun phrase in lower case; None for names that stand for no sound.

    AudioSet lists several names, the first of which is kept: "Vehicle horn, car horn, honking"
    becomes "vehicle horn", "Pigeon, dove" "pigeon", "Music" "music".
    """
    first = _INNER.sub("", name.replace("_", " ")).split(",")[0]
    label = _ARTICLE.sub("", " ".join(first.split()).strip(" .;:")).lower()
    known = words("events")
    if not label or label in known["nothing"]:
        return None
    if label in known["unnamed"]:
        return UNIDENTIFIED
    return next((one for one, names in known["same"].items() if label in names), label)


@dataclass(frozen=True)
class EventsConfig:
    """Which events count, and when two are one."""

    min_score: Share = 0.3  # below it an event is left out; one without a score counts
    join_s: Annotated[float, Between(0)] = 0.3  # shorter pauses do not part events
    min_event_s: Annotated[float, Between(0)] = 0.02
    sure: Share = 0.5  # what is less is doubtful: no caption names it
    explained: Share = 0.5  # an unidentified sound goes if sure ones cover this share of it
    same: Share = 0.5  # two names for stretches of which they share this much are of one sound
    clear: Share = 0.25  # so much surer is the name that a dispute leaves as it is

    def __post_init__(self) -> None:
        check(self)


class DetectingTool(Tool):
    """A tool that listens to the segment's `activity` and with detectors of its own."""

    def __init__(self, config: Any = None, detectors: Sequence[Detector] = ()) -> None:
        super().__init__(config)
        self.detectors = tuple(detectors)

    @property
    def version(self) -> str:
        """Of our method, the settings and the detectors."""
        return (
            f"3 {self.config} {'; '.join(f'{d.name} {d.version}' for d in self.detectors)}".strip()
        )

    def setup(self) -> None:
        """Loads the detectors."""
        for detector in self.detectors:
            detector.setup()

    def heard(self, samples: np.ndarray, segment: AudioSegment) -> list[tuple[str, Span]]:
        """What was heard by whom."""
        known = [(found.tool, span) for found in segment.find("activity") for span in found.spans]
        return known + [(d.name, span) for d in self.detectors for span in d.detect(samples)]


class EventsTool(DetectingTool):
    """Kind `events`: from the segment's `activity` results and the configured detectors."""

    branch = "general"
    kind = "events"
    name = "general/events"
    config: EventsConfig

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Always one result: no spans means that nothing was heard."""
        heard = self.heard(samples, segment)
        spans = merge_events(heard, samples.size / SAMPLE_RATE, self.config)
        return self.found(spans=spans)


def merge_events(
    heard: Iterable[tuple[str, Span]], duration_s: float, config: EventsConfig
) -> tuple[Span, ...]:
    """Events in order of start, each with the names of its detectors under `heard_by`.

    Spans of one plain label that overlap, or nearly, become one with the best of their scores.
    Where two detectors call one stretch by names of different classes, and neither hears the other
    one's, both have the other's name under `disputed`, and are doubtful at best, but for one that
    is clearly surer. Speech, singing and music of a moment are doubtful, too (`brief`), and make
    nothing else so. A sound without a name is left out where sure ones are there to explain it, and
    has the parts that doubtful names give it: those two have heard, and are the surer for it.

    Args:
        heard: name of the detector, and what it heard.
        duration_s: of the segment; spans are cut to it.
    """
    by_label: dict[str, list[tuple[str, Span]]] = {}
    for source, span in heard:
        start_s, end_s = max(0.0, span.start_s), min(duration_s, span.end_s)
        label = plain_label(span.label)
        weak = span.score is not None and span.score < config.min_score
        if label is None or weak or end_s - start_s < config.min_event_s:
            continue
        cut = Span(label, float(start_s), float(end_s), span.score)
        by_label.setdefault(label, []).append((source, cut))
    events = [one for label in by_label for one in _joined(by_label[label], config.join_s)]
    named = _disputed([event for event in events if event.label != UNIDENTIFIED], config)
    sure = [event for event in named if event.score is None or event.score >= config.sure]
    unnamed = [event for event in events if event.label == UNIDENTIFIED]
    kept = [event for event in unnamed if covered(event, sure) < config.explained]
    doubtful = [event for event in named if event not in sure and event.label not in HALF_S]
    parts = [part for event in kept for part in _parted(event, doubtful, sure, config)]
    return tuple(in_order([*named, *parts]))


def _parted(
    sound: Span, doubtful: Sequence[Span], sure: Sequence[Span], config: EventsConfig
) -> list[Span]:
    """A sound without a name in the parts that have doubtful ones, whose edges are finer, and what
    is left of it beyond those, the sure ones and the pauses between them."""
    inside = [one for one in doubtful if covered(one, [sound]) >= config.explained]
    parts = [
        replace(sound, start_s=one.start_s, end_s=one.end_s, score=_either(sound, one))
        for one in inside
    ]
    return [*parts, *unexplained([sound], [*inside, *sure], shortest_s=_LEFT_S)]


def _either(sound: Span, named: Span) -> float | None:
    """How sure it is that there is a sound which two heard, whatever it is."""
    if sound.score is None or named.score is None:
        return sound.score
    return 1 - (1 - sound.score) * (1 - named.score)


def _disputed(events: Sequence[Span], config: EventsConfig) -> list[Span]:
    """The events, with what others call them instead."""
    others: list[set[str]] = [set() for _ in events]
    certainty = [_certainty(event) for event in events]
    pairs = zip(events, certainty, strict=True)
    brief = [event.label in HALF_S and p < config.sure for event, p in pairs]
    beaten = list(brief)
    for (i, one), (j, other) in combinations(enumerate(events), 2):
        if _contradict(one, other, config.same):
            others[i].add(other.label)
            others[j].add(one.label)
            for mine, rival in ((i, j), (j, i)):
                near = certainty[mine] < certainty[rival] + config.clear
                beaten[mine] |= near and not brief[rival]
    doubtful = 0.98 * config.sure
    out = []
    for place, event in enumerate(events):
        more: dict[str, Any] = {"disputed": sorted(others[place])} if others[place] else {}
        more |= {"brief": True} if brief[place] else {}
        score = 1.0 if event.score is None else event.score
        out.append(
            replace(
                event,
                score=min(doubtful, score) if beaten[place] else event.score,
                attributes={**event.attributes, **more},
            )
        )
    return out


def _contradict(one: Span, other: Span, same: float) -> bool:
    """Whether two events are one sound by two names that cannot both be right."""
    heard_by = ({*span.attributes["heard_by"]} for span in (one, other))
    if overlap(one, other) < same or set.intersection(*heard_by):
        return False
    first, second = ({*coarse_classes(span.label, "text")} for span in (one, other))
    return not first & second


def _certainty(event: Span) -> float:
    """Comparable between detectors: what one calls music for a moment is often a beep."""
    score = 1.0 if event.score is None else event.score
    half_s = HALF_S.get(event.label)
    return score if half_s is None else by_length(event, half_s)


def _joined(parts: list[tuple[str, Span]], join_s: float) -> list[Span]:
    """Spans of one label, those that overlap or follow within `join_s` as one."""
    out: list[Span] = []
    for source, span in sorted(parts, key=lambda one: (one[1].start_s, one[1].end_s, one[0])):
        if not out or span.start_s > out[-1].end_s + join_s:
            out.append(replace(span, attributes={"heard_by": [source]}))
            continue
        last = out[-1]
        # One detector without scores is as sure as can be: it only says what it heard.
        sure = last.score is None or span.score is None
        out[-1] = replace(
            last,
            end_s=max(last.end_s, span.end_s),
            score=None if sure else max(last.score or 0.0, span.score or 0.0),
            attributes={"heard_by": sorted({source, *last.attributes["heard_by"]})},
        )
    return out


def events_heard(segment: AudioSegment, min_score: float = 0.0) -> list[Span]:
    """The branch's events from `min_score` on; one without a score is sure."""
    spans = (span for result in segment.find("events", "general") for span in result.spans)
    return [span for span in spans if span.score is None or span.score >= min_score]
