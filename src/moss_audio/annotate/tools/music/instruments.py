"""Instruments: those among the classes that a tagger, or another detector, has heard."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from moss_audio.annotate.detectors.base import Detector
from moss_audio.annotate.records import AudioSegment, ToolResult
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.events import EventsConfig, merge_events
from moss_audio.annotate.words import words
from moss_audio.settings import Share, check
from moss_audio.units import SAMPLE_RATE


@dataclass(frozen=True)
class InstrumentsConfig:
    """`min_score`: taggers of hundreds of classes are modest, 0.3 is a lot."""

    min_score: Share = 0.3

    def __post_init__(self) -> None:
        check(self)


class InstrumentsTool(Tool):
    """Kind `instruments`: spans in which a detector hears one, from the segment's `activity`
    results and, where one is given, a detector of its own. Nothing is guessed without them."""

    branch = "music"
    kind = "instruments"
    name = "music/instruments"

    def __init__(self, config: InstrumentsConfig, detector: Detector | None = None) -> None:
        self.config = config
        self.detector = detector

    @property
    def version(self) -> str:
        """Of the settings and of the detector."""
        own = f" {self.detector.name} {self.detector.version}" if self.detector else ""
        return f"1 {self.config}{own}"

    def setup(self) -> None:
        """Loads the detector."""
        if self.detector is not None:
            self.detector.setup()

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Nothing where no instrument was heard."""
        heard = [
            (result.tool, span) for result in segment.find("activity") for span in result.spans
        ]
        if self.detector is not None:
            heard += [(self.detector.name, span) for span in self.detector.detect(samples)]
        called, plain = words("instruments")["called"], words("instruments")["plain"]
        named = [(source, span, span.label.lower()) for source, span in heard]
        played = [
            (source, replace(span, label=called.get(name, name), attributes={}))
            for source, span, name in named
            if name in called or name in plain
        ]
        merging = EventsConfig(min_score=self.config.min_score)
        spans = merge_events(played, samples.size / SAMPLE_RATE, merging)
        if not spans:
            return []
        return self.found(spans=spans)
