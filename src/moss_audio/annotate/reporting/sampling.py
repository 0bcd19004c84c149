"""Which segments the report shows."""

from __future__ import annotations

import hashlib
import heapq

from moss_audio.annotate.records import AudioSegment
from moss_audio.annotate.reporting.statistics import GROUPS, group_of


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
        ranked = {
            group: [one[2] for one in sorted(heap, reverse=True)]
            for group, heap in self._kept.items()
        }
        shares = _share(self._number, {group: len(found) for group, found in ranked.items()})
        return [
            segment
            for group, found in ranked.items()
            for segment in sorted(found[: shares[group]], key=lambda s: s.id)
        ]


def _share(number: int, available: dict[str, int]) -> dict[str, int]:
    """One each in turn, until all are given out or nothing is left."""
    shares = dict.fromkeys(available, 0)
    while number > 0:
        open_groups = [group for group in available if shares[group] < available[group]]
        if not open_groups:
            break
        for group in open_groups[:number]:
            shares[group] += 1
        number -= len(open_groups[:number])
    return shares
