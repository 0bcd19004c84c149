"""What a finished annotation folder holds, and which segments of it the report shows."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from moss_audio.annotate.records import AudioSegment
from moss_audio.annotate.reporting.statistics import GROUPS, group_of
from moss_audio.errors import MossAudioError


def read_segments(out: Path) -> Iterator[AudioSegment]:
    """The segments of `segments.jsonl` or, without it, of `segments/*.jsonl` by name.

    Raises:
        MossAudioError: for a folder without either, and for a line that is no segment.
    """
    if not out.is_dir():
        raise MossAudioError(f"{out}: no such folder; name the output folder of an annotation run")
    whole = out / "segments.jsonl"
    files = [whole] if whole.is_file() else sorted((out / "segments").glob("*.jsonl"))
    if not files:
        raise MossAudioError(
            f"{out}: neither segments.jsonl nor segments/*.jsonl is there; "
            "finish the annotation run first"
        )
    for file in files:
        for number, row in _rows(file):
            try:
                yield AudioSegment.from_dict(row)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise MossAudioError(
                    f"{file}:{number}: not an annotated segment ({error}); run annotate again"
                ) from error


def read_aside(out: Path) -> Iterator[dict[str, Any]]:
    """Rows `{"path", "reason"}` of what was set aside; none if nothing was."""
    file = out / "aside.jsonl"
    return (row for _, row in _rows(file)) if file.is_file() else iter(())


def read_timing(out: Path) -> Iterator[dict[str, Any]]:
    """Rows `{"step", "audio_s", "wall_s"}`, one a shard and step, of what the work took; none once
    the work folder is deleted."""
    for file in sorted((out / "work" / "stats").glob("*/*.json")):
        for _, row in _rows(file):
            yield {**row, "step": file.parent.name}


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line) if line.strip() else None
            except ValueError as error:
                raise MossAudioError(
                    f"{file}:{number}: not JSON ({error}); run annotate again"
                ) from error
            if not isinstance(row, dict | None):
                raise MossAudioError(f"{file}:{number}: not a JSON object; run annotate again")
            if row is not None:
                yield number, row


class SegmentSampler:
    """Draws `number` segments, spread evenly over `GROUPS` as far as they have any.

    A segment's rank is a hash of the seed and its id, and each group keeps its lowest ranks. That
    is a uniform draw in one pass, and it does not depend on the order of segments in their shards.
    """

    def __init__(self, number: int, seed: int) -> None:
        self._number = number
        self._seed = seed
        self._arrived = 0
        # Heaps with the highest rank first: (-rank, -arrival, segment).
        self._kept: dict[str, list[tuple[int, int, AudioSegment]]] = {group: [] for group in GROUPS}

    def add(self, segment: AudioSegment) -> None:
        """Offer a segment."""
        key = f"{self._seed}:{segment.id}".encode("utf-8", "replace")
        rank = int.from_bytes(hashlib.sha256(key).digest()[:8], "big")
        self._arrived += 1  # no two are equal, so segments are never compared
        heap = self._kept[group_of(segment)]
        heapq.heappush(heap, (-rank, -self._arrived, segment))
        if len(heap) > self._number:
            heapq.heappop(heap)

    def draw(self) -> list[AudioSegment]:
        """The drawn segments by group, within a group by id."""
        shares = _share(self._number, {group: len(heap) for group, heap in self._kept.items()})
        drawn: list[AudioSegment] = []
        for group, heap in self._kept.items():
            best = heapq.nlargest(shares[group], heap)
            drawn += sorted((one[2] for one in best), key=lambda segment: segment.id)
        return drawn


def _share(number: int, available: dict[str, int]) -> Counter[str]:
    """One each in turn, until all are given out or nothing is left."""
    turns = [(turn, group) for group, most in available.items() for turn in range(most)]
    return Counter(group for _, group in sorted(turns, key=itemgetter(0))[:number])
