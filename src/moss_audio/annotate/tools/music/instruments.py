"""Instruments: those among the classes that a tagger, or another detector, has heard."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from moss_audio.annotate.records import AudioSegment, ToolResult
from moss_audio.annotate.tools.events import DetectingTool, EventsConfig, merge_events
from moss_audio.annotate.words import words
from moss_audio.settings import Share, check
from moss_audio.units import SAMPLE_RATE


@dataclass(frozen=True)
class InstrumentsConfig:
    """`min_score`: taggers of hundreds of classes are modest, 0.3 is a lot."""

    min_score: Share = 0.3

    def __post_init__(self) -> None:
        check(self)


class InstrumentsTool(DetectingTool):
    """Kind `instruments`: spans in which a detector hears one, from the segment's `activity`
    results and detectors of its own. Nothing is guessed without them."""

    branch = "music"
    kind = "instruments"
    name = "music/instruments"

    config: InstrumentsConfig

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Nothing where no instrument was heard."""
        called, plain = words("instruments")["called"], words("instruments")["plain"]
        named = [
            (source, span, span.label.lower()) for source, span in self.heard(samples, segment)
        ]
        played = [
            (source, replace(span, label=called.get(name, name), attributes={}))
            for source, span, name in named
            if name in called or name in plain
        ]
        merging = EventsConfig(min_score=self.config.min_score)
        spans = merge_events(played, samples.size / SAMPLE_RATE, merging)
        return self.found(spans=spans) if spans else []
