"""Words that a caption shares with a reference caption, whatever their order.

For references we know ourselves; published caption benchmarks use a judge model instead.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from moss_audio.metrics.counts import Counts, f1
from moss_audio.text import normalize_words, without_articles


@dataclass(frozen=True)
class WordCounts(Counts):
    """Words of `references` and `predictions` texts, and those that are in both."""

    shared: int = 0
    references: int = 0
    predictions: int = 0

    @property
    def precision(self) -> float:
        """Shared words over those of the caption; without any, 1 if the reference has none."""
        return self.shared / self.predictions if self.predictions else float(not self.references)

    @property
    def recall(self) -> float:
        """Shared words over those of the reference; without any, 1 if the caption has none."""
        return self.shared / self.references if self.references else float(not self.predictions)

    @property
    def f1(self) -> float:
        """Of precision and recall; 1 of nothing."""
        return f1(self.shared, self.references, self.predictions)


def shared_words(reference: str, caption: str) -> WordCounts:
    """Normalised words, articles left out, each as often as it occurs on both sides."""
    wanted, found = (
        Counter(without_articles(normalize_words(text))) for text in (reference, caption)
    )
    return WordCounts((wanted & found).total(), wanted.total(), found.total())
