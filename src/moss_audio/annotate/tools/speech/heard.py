"""Where the segment's detectors hear speech."""

from __future__ import annotations

import numpy as np

from moss_audio.annotate.classes import coarse_classes
from moss_audio.annotate.detectors.base import join
from moss_audio.annotate.records import AudioSegment
from moss_audio.units import SAMPLE_RATE, seconds_to_samples

_MARGIN_S = 0.3  # a detector's edges are not exact
_JOIN_S = 0.2


def heard_speech(segment: AudioSegment) -> list[tuple[float, float]]:
    """(start, end) in seconds, in order and apart, of what any of them calls speech, for sure or
    not; nothing where none of them does, or none listened."""
    spans = [
        (span.start_s, span.end_s)
        for result in segment.find("activity")
        for span in result.spans
        if "speech" in coarse_classes(span.label, result.values.get("vocabulary", "text"))
    ]
    return join(sorted(spans), _JOIN_S)


def speech_alone(samples: np.ndarray, segment: AudioSegment) -> np.ndarray:
    """The sound `[n]` with silence where no detector hears speech; itself where none hears any."""
    heard = heard_speech(segment)
    if not heard:
        return samples
    alone = np.zeros_like(samples)
    for start_s, end_s in heard:
        start = seconds_to_samples(max(0.0, start_s - _MARGIN_S))
        end = seconds_to_samples(min(len(samples) / SAMPLE_RATE, end_s + _MARGIN_S))
        alone[start:end] = samples[start:end]
    return alone
