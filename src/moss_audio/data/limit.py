"""When a batch is full. Lhotse's own rule takes the next cut to be no longer than those before."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from lhotse.cut import Cut
from lhotse.dataset.sampling.base import TimeConstraint


@dataclass
class BatchLimit(TimeConstraint):  # type: ignore[misc]
    """Full as soon as the longest cut of the bucket would no longer fit.

    `edges_s` are the longest cuts of the buckets, ascending; () if there are no buckets. With
    `concatenate_cuts` a batch is as long as its cuts together, else as the longest times their
    number.
    """

    edges_s: tuple[float, ...] = ()

    def add(self, example: Cut) -> None:
        super().add(example)
        if self.edges_s:
            at = bisect_left(self.edges_s, example.duration)
            edge_s = self.edges_s[min(at, len(self.edges_s) - 1)]
            seen_s: float = self.longest_seen
            self.longest_seen: float = max(seen_s, edge_s)

    def close_to_exceeding(self) -> bool:
        if self.concatenate_cuts:
            return bool(self.current + self.longest_seen > self.max_duration)
        return bool(super().close_to_exceeding())
