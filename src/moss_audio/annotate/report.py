"""The final report of an annotation run: one HTML file that needs nothing else, not even a network.

It counts all segments in one pass with bounded memory, and shows a seeded sample of them with
sound, timeline, tool results, caption and conversations.
"""

from __future__ import annotations

from pathlib import Path

from moss_audio.annotate.reporting.cards import make_card
from moss_audio.annotate.reporting.counting import fair_limit
from moss_audio.annotate.reporting.drawing import OPUS_BITS_PER_S
from moss_audio.annotate.reporting.page import render_page
from moss_audio.annotate.reporting.reading import (
    SegmentSampler,
    read_aside,
    read_segments,
    read_timing,
)
from moss_audio.annotate.reporting.statistics import Statistics
from moss_audio.errors import MossAudioError
from moss_audio.writers import write_atomic

REPORT = "report.html"
MAX_SAMPLES = 40
# Shared by all samples, so that the page with twenty of them stays below 15 MB whatever they hold.
_SOUND_BYTES = 5_000_000  # before base64: twenty samples of 80 s each
_TIMELINE_ITEMS = 12_000
_TABLE_ROWS = 8_000


def write_report(out: Path, *, seed: int = 0, samples: int = 20) -> Path:
    """Writes `report.html` into an annotation folder, whole or not at all; equal folders and
    arguments give equal bytes.

    Args:
        out: holds `segments.jsonl` or `segments/*.jsonl`, and perhaps `aside.jsonl`
            (`path`, `reason`) and `timing.jsonl` (`step`, `audio_s`, `wall_s`).
        seed: draws the samples.
        samples: how many segments to show, at most `MAX_SAMPLES`; spread over speech, music,
            general sound and silence.

    Returns:
        The path of the file.

    Raises:
        MossAudioError: for a folder without segments, a line that cannot be read, or a number of
            samples that the page could not hold.
    """
    if not 0 <= samples <= MAX_SAMPLES:
        raise MossAudioError(f"samples {samples}: a report shows 0 to {MAX_SAMPLES} segments")
    out = Path(out)
    statistics, sampler = Statistics(), SegmentSampler(samples, seed)
    for segment in read_segments(out):
        statistics.add(segment)
        sampler.add(segment)
    for row in read_aside(out):
        statistics.add_aside(row)
    for row in read_timing(out):
        statistics.add_timing(row)
    drawn = sampler.draw()
    most_s = fair_limit([one.duration_s for one in drawn], 8 * _SOUND_BYTES / OPUS_BITS_PER_S)
    cards = [
        make_card(
            out,
            segment,
            number,
            most_s=most_s,
            most_items=_TIMELINE_ITEMS // len(drawn),
            most_rows=_TABLE_ROWS // len(drawn),
        )
        for number, segment in enumerate(drawn, 1)
    ]
    target = out / REPORT
    write_atomic(target, render_page(statistics, cards, seed=seed))
    return target
