"""Where somebody speaks in a segment: between its aligned words, else by level."""

from __future__ import annotations

import numpy as np

from moss_audio.annotate.records import AudioSegment
from moss_audio.annotate.tools.speech.sentences import aligned_words
from moss_audio.dsp.loudness import frame_levels_db
from moss_audio.units import SAMPLE_RATE

FRAME_S = 0.02
# Words closer than this are one stretch of speech: the closure of a stop is no pause.
JOIN_S = 0.2
_ABOVE_FLOOR_DB, _BELOW_PEAK_DB, _LOWEST_DB = 9.0, 30.0, -65.0
_LEAST_S = 0.1


def speech_regions(samples: np.ndarray, segment: AudioSegment) -> list[tuple[float, float]]:
    """(start, end) in seconds of stretches of speech, in order and apart."""
    words = aligned_words(segment)
    if words:
        return joined([(word.start, word.end) for word in words])
    return loud_regions(samples)


def joined(spans: list[tuple[float, float]], gap_s: float = JOIN_S) -> list[tuple[float, float]]:
    """Spans with those that overlap, or are less than `gap_s` apart, made one."""
    out: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if out and start - out[-1][1] < gap_s:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        elif end > start:
            out.append((start, end))
    return out


def levels_db(samples: np.ndarray) -> np.ndarray:
    """Level of each whole frame of 20 ms, dB of full scale, -120 at least."""
    return frame_levels_db(np.asarray(samples, np.float64), round(FRAME_S * SAMPLE_RATE))


def loud_regions(samples: np.ndarray) -> list[tuple[float, float]]:
    """Stretches well above the quietest tenth of the sound and not far below its loudest."""
    level = levels_db(samples)
    if not len(level):
        return []
    floor, peak = np.percentile(level, 10), np.percentile(level, 95)
    limit = max(min(floor + _ABOVE_FLOOR_DB, peak - 3), peak - _BELOW_PEAK_DB, _LOWEST_DB)
    loud = np.flatnonzero(level > limit)
    regions = joined([(k * FRAME_S, (k + 1) * FRAME_S) for k in loud])
    return [(start, end) for start, end in regions if end - start >= _LEAST_S]
