"""The events that the general branch's later tools rest on."""

from __future__ import annotations

from moss_audio.annotate.records import AudioSegment, Span


def events_heard(segment: AudioSegment, min_score: float = 0.0) -> list[Span]:
    """The branch's events from `min_score` on; one without a score is sure."""
    return [
        span
        for result in segment.find("events", "general")
        for span in result.spans
        if span.score is None or span.score >= min_score
    ]
