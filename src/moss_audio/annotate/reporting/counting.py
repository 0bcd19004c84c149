"""Counts whose memory does not grow with what is counted."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

_MAX_NAMES = 1000
_OTHERS = "(others)"
_NAME_CHARS = 300
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_TAIL = 0.99  # of the values lie in bins of their own; the last bin takes the rest


def general(text: str, name: str = "") -> str:
    """A reason without its numbers and without the `name` of what it is about, so that equal
    reasons are counted together."""
    if name:
        text = text.replace(name, "")
    text = " ".join(_NUMBER.sub("N", text).split()).strip(" :;,")
    return text[:_NAME_CHARS] or "(no reason given)"


def fair_limit(needs: Sequence[float], room: float) -> float:
    """The highest limit under which all needs fit into the room together: small ones are met in
    full and leave their part of the room to large ones. The largest need if everything fits."""
    for at, need in enumerate(sorted(needs)):
        share = room / (len(needs) - at)
        if need > share:
            return share
        room -= need
    return max(needs, default=0.0)


@dataclass
class TallyEntry:
    """How often a name came, and for how much audio; `example` came first."""

    count: int = 0
    audio_s: float = 0.0
    example: str = ""


class Tally:
    """Entries by name; names beyond the first thousand share one."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, ...], TallyEntry] = {}

    def add(self, *name: str, audio_s: float = 0.0, example: str = "") -> None:
        """Count `name`, which has the same number of parts each time."""
        if name not in self._entries and len(self._entries) >= _MAX_NAMES:
            name = (_OTHERS,) * len(name)
        entry = self._entries.setdefault(name, TallyEntry(example=example[:_NAME_CHARS]))
        entry.count += 1
        entry.audio_s += audio_s

    @property
    def total(self) -> int:
        return sum(entry.count for entry in self._entries.values())

    def get(self, *name: str) -> TallyEntry:
        """The entry of `name`, an empty one if it never came."""
        return self._entries.get(name, TallyEntry())

    def most_common(self) -> list[tuple[tuple[str, ...], TallyEntry]]:
        """By count, equal counts by name."""
        return sorted(self._entries.items(), key=lambda item: (-item[1].count, item[0]))


@dataclass(frozen=True)
class Bin:
    """Values from `low` to below `high` (infinite: all above), counted by series."""

    low: float
    high: float
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.counts)


class Histogram:
    """Counts of values from 0 at a fixed fine resolution; values above `highest` are one.

    Args:
        resolution: width of the fine bins, in units of the values.
        highest: where they end.
        series: names of what is counted apart.
    """

    def __init__(self, resolution: float, highest: float, series: Sequence[str] = ("",)) -> None:
        self.resolution, self.series = resolution, tuple(series)
        self.counts = np.zeros((round(highest / resolution) + 1, len(self.series)), int)

    def add(self, value: float, series: str = "") -> None:
        """Count a value; one that is not finite, negative or of another series is left out."""
        if math.isfinite(value) and value >= 0 and series in self.series:
            # The small addend keeps 0.15 in the bin that starts there despite binary rounding.
            fine = min(int(value / self.resolution + 1e-6), len(self.counts) - 1)
            self.counts[fine, self.series.index(series)] += 1

    def quantile(self, share: float) -> float:
        """The value below which about `share` of all lie, to the resolution; 0 without values."""
        return self._fine_quantile(share) * self.resolution

    def bins(self, most: int = 20) -> list[Bin]:
        """At most `most` bins of a round width from 0 on; the last one is open where a few values
        lie far above the others."""
        if not self.counts.any():
            return []
        top = int(np.flatnonzero(self.counts.any(axis=1))[-1])
        # A tail is cut off only where it would squeeze all others together.
        tail = self._fine_quantile(_TAIL)
        reach = tail if top > 2 * tail + 1 else top
        width = round_width((reach + 1) / most)
        number = reach // width + 1
        is_open = top >= number * width or top == len(self.counts) - 1
        totals = np.zeros((number, len(self.series)), int)
        np.add.at(totals, np.minimum(np.arange(len(self.counts)) // width, number - 1), self.counts)
        edges = [k * width * self.resolution for k in range(number + 1)]
        edges[-1] = math.inf if is_open else edges[-1]
        return [Bin(edges[k], edges[k + 1], tuple(totals[k].tolist())) for k in range(number)]

    def _fine_quantile(self, share: float) -> int:
        reached = self.counts.sum(axis=1).cumsum()
        return int(np.searchsorted(reached, share * reached[-1]))


def round_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... that is not below `least`."""
    widths = (step * 10**power for power in count() for step in (1, 2, 5))
    return next(width for width in widths if width >= least)
