"""The description: what is heard when, in the order in which it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moss_audio.annotate.english import capital, listed
from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.events import events_heard
from moss_audio.units import SAMPLE_RATE


@dataclass(frozen=True)
class DescriptionConfig:
    """Which events are told, and what counts as sounding all the while."""

    min_score: float = 0.5
    throughout: float = 0.9  # share of the segment


class DescriptionTool(Tool):
    """Kind `description`: a sentence a sound, with all its times to a tenth of a second."""

    branch = "general"
    kind = "description"
    name = "general/description"

    def __init__(self, config: DescriptionConfig) -> None:
        self.config = config

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Nothing where no event is sure enough to be told."""
        events = events_heard(segment, self.config.min_score)
        if not events:
            return []
        text = describe(events, samples.size / SAMPLE_RATE, self.config)
        return self.found(text=text)


def describe(events: Sequence[Span], duration_s: float, config: DescriptionConfig) -> str:
    """Sentences in order of the sounds' first start; times in seconds from the segment's start."""
    by_label: dict[str, list[Span]] = {}
    for event in sorted(events, key=lambda one: (one.start_s, one.end_s, one.label)):
        by_label.setdefault(event.label, []).append(event)
    sentences = []
    for label, spans in by_label.items():
        name, times = capital(label), [_time(span) for span in spans]
        length_s = spans[0].end_s - spans[0].start_s
        if len(spans) > 1:
            sentences.append(f"{name} {len(spans)} times: {listed(times)}.")
        elif length_s >= config.throughout * duration_s:
            sentences.append(f"{name} throughout, {times[0]}.")
        else:
            sentences.append(f"{name} {times[0]}.")
    return " ".join(sentences)


def _time(span: Span) -> str:
    start, end = f"{span.start_s:.1f}", f"{span.end_s:.1f}"
    return f"at {start} s" if start == end else f"from {start} to {end} s"
