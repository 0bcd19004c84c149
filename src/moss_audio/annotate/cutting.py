"""A recording of any length -> segments with their sound, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from moss_audio.annotate.records import AudioSegment, Recording
from moss_audio.annotate.segment import Segmenter
from moss_audio.annotate.stage import StepFault
from moss_audio.units import SAMPLE_RATE

# Sound without a boundary in this many blocks is cut anyway: memory is limited.
_MOST_BLOCKS = 3


def cut(
    cutter: Segmenter, recording: Recording, blocks: Iterable[np.ndarray]
) -> Iterator[tuple[AudioSegment, np.ndarray]]:
    """Segments in order, times in the recording, each with its samples.

    Args:
        cutter: set up. It is given the whole recording if that fits into one block. Of a longer
            one it is given a block; what it makes of it is taken but for the last segment, which
            ends where the block does and not where an event does. The next block begins there.
        recording: as found.
        blocks: its samples in order, mono float32 at 16 kHz.

    Raises StepFault for a segment of no length, and for two that are the same.
    """
    seen: set[str] = set()
    waiting = np.zeros(0, np.float32)
    start = 0  # of `waiting` in the recording, in samples
    longest = 0
    source = iter(blocks)
    following = next(source, None)
    while following is not None:
        longest = max(longest, len(following))
        waiting = np.concatenate([waiting, following]) if len(waiting) else following
        following = next(source, None)
        heard = replace(recording, duration_s=len(waiting) / SAMPLE_RATE)
        found = cutter.segment(heard, waiting)
        if following is not None and len(waiting) < _MOST_BLOCKS * longest:
            if len(found) == 1:
                continue  # it may end later than here: read on
            kept, rest = found[:-1], found[-1:]
        else:
            kept, rest = found, []
        for segment in kept:
            placed, samples = _placed(segment, recording, waiting, start)
            if placed.id in seen:
                raise StepFault(f"step segment made the segment {placed.id} twice")
            seen.add(placed.id)
            yield placed, samples
        end = round(rest[0].start_s * SAMPLE_RATE) if rest else len(waiting)
        waiting = waiting[end:].copy()
        start += end


def _placed(
    segment: AudioSegment, recording: Recording, samples: np.ndarray, start: int
) -> tuple[AudioSegment, np.ndarray]:
    first = max(0, round(segment.start_s * SAMPLE_RATE))
    last = min(len(samples), round(segment.end_s * SAMPLE_RATE))
    if first >= last:
        raise StepFault(
            f"step segment made a segment from {segment.start_s} to {segment.end_s} s of "
            f"{len(samples) / SAMPLE_RATE} s"
        )
    start_s, end_s = (start + first) / SAMPLE_RATE, (start + last) / SAMPLE_RATE
    placed = replace(
        segment,
        # Of the recording and the times in it, in milliseconds: sorts by time.
        id=f"{recording.id}-{round(start_s * 1000):09d}-{round(end_s * 1000):09d}",
        recording=recording,
        start_s=start_s,
        end_s=end_s,
    )
    return placed, samples[first:last]
