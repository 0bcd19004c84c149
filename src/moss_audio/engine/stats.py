"""What a scheduler counts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace


class PowerCounts:
    """How often a value was of which size: counts up to `unit`, twice as much, four times, ...

    Args:
        unit: the smallest bound.
        places: counts; the last one has no bound.
    """

    def __init__(self, unit: float, places: int = 16) -> None:
        self._unit = unit
        self._counts = [0] * places
        self.total = 0.0  # sum of the values

    def add(self, value: float, times: int = 1) -> None:
        """Count a value, which was seen so often."""
        place = max(0, math.ceil(value / self._unit) - 1).bit_length()
        self._counts[min(place, len(self._counts) - 1)] += times
        self.total += value * times

    def up_to(self) -> Iterator[tuple[float, int]]:
        """Bounds, the last one infinite, and how many values were no larger."""
        seen = 0
        for place, count in enumerate(self._counts):
            seen += count
            last = place == len(self._counts) - 1
            yield (math.inf if last else self._unit * 2**place), seen

    def copy(self) -> PowerCounts:
        """The same counts, which stay as they are."""
        copied = PowerCounts(self._unit)
        copied._counts, copied.total = list(self._counts), self.total
        return copied


@dataclass
class SchedulerStats:
    """What a scheduler has done and is doing.

    Attributes:
        waiting: requests that have not begun.
        filling: requests whose prompt is being computed.
        rows: answers that are being decoded.
        prefixes: beginnings of prompts in memory.
        prefix_bytes, prefix_bytes_most: that they take, and that may be kept when nobody needs
            them.
        encoding_bytes: of clips whose encodings are kept, at most `clips.KEPT_BYTES`.
        positions, room: of rows and prompts that are being computed, padding included, and how many
            there may be.
        finished, cancelled, failed: requests so far.
        prompt_tokens: positions of prompts that were computed; shared ones count once.
        asked_tokens, cached_tokens: positions of the prompts of requests that have begun, and how
            many of them were in memory already.
        generated_tokens: of all answers.
        draft_tokens, accepted_tokens: that were guessed and checked, and that were right.
        steps: with something to do.
        busy_s: seconds that they took.
        live: clips that are still being heard.
        live_chunks, repaired_chunks: chunks of such clips that were computed, and those whose
            frames turned out to be others at the end.
        step_tokens: positions in a step.
        token_gaps: seconds from one token of an answer to its next.
    """

    waiting: int = 0
    filling: int = 0
    rows: int = 0
    prefixes: int = 0
    prefix_bytes: int = 0
    prefix_bytes_most: int = 0
    encoding_bytes: int = 0
    positions: int = 0
    room: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    asked_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    draft_tokens: int = 0
    accepted_tokens: int = 0
    steps: int = 0
    busy_s: float = 0.0
    live: int = 0
    live_chunks: int = 0
    repaired_chunks: int = 0
    step_tokens: PowerCounts = field(default_factory=lambda: PowerCounts(1))
    token_gaps: PowerCounts = field(default_factory=lambda: PowerCounts(0.001))

    def snapshot(self, **now: int) -> SchedulerStats:
        """A copy with the counts of this moment."""
        return replace(
            self, step_tokens=self.step_tokens.copy(), token_gaps=self.token_gaps.copy(), **now
        )
