"""What all metric results share: they are counts first, so a corpus is the sum of its clips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class Counts:
    """Base of a metric's result: every field is a number or a tuple, and adds up.

    `a + b` adds field by field (tuples are joined), `sum(results)` works, and `merge(results)`
    does the same in one pass.
    """

    def __add__(self, other: Self | int) -> Self:
        if isinstance(other, int) and other == 0:  # the start of sum()
            return self
        if type(other) is not type(self):
            return NotImplemented
        return type(self).merge((self, other))

    __radd__ = __add__

    @classmethod
    def merge(cls, results: Iterable[Self]) -> Self:
        """The sum of `results`; of none, the empty result."""
        kept = list(results)
        summed: dict[str, Any] = {}
        for field in fields(cls):
            values = [getattr(result, field.name) for result in kept]
            if isinstance(getattr(cls(), field.name), tuple):
                summed[field.name] = tuple(item for value in values for item in value)
            else:
                summed[field.name] = sum(values)
        return cls(**summed)


@dataclass(frozen=True)
class AnswerCounts(Counts):
    """Right answers among `total`; `unparsed` ones held nothing that could be read."""

    correct: int = 0
    total: int = 0
    unparsed: int = 0


@dataclass(frozen=True)
class MatchCounts(Counts):
    """`hits` between `references` and `predictions`, such as events or words."""

    hits: int = 0
    references: int = 0
    predictions: int = 0

    @property
    def precision(self) -> float:
        """Hits over predictions; without any, 1 if there are no references either."""
        return self.hits / self.predictions if self.predictions else float(not self.references)

    @property
    def recall(self) -> float:
        """Hits over references; without any, 1 if there are no predictions either."""
        return self.hits / self.references if self.references else float(not self.predictions)

    @property
    def f1(self) -> float:
        """2 hits / (references + predictions); 1 where there was nothing to find or found."""
        both = self.references + self.predictions
        return 2 * self.hits / both if both else 1.0


def ratio(part: float, whole: float) -> float | None:
    """`part / whole`, None of nothing."""
    return part / whole if whole else None
