"""Words that a caption shares with a reference caption, whatever their order.

For references we know ourselves; published caption benchmarks use a judge model instead.
"""

from __future__ import annotations

from collections import Counter

from moss_audio.metrics.counts import MatchCounts
from moss_audio.text import normalize_words, without_articles


def shared_words(reference: str, caption: str) -> MatchCounts:
    """Normalised words, articles left out, each as often as it occurs on both sides."""
    wanted, found = (
        Counter(without_articles(normalize_words(text))) for text in (reference, caption)
    )
    return MatchCounts((wanted & found).total(), wanted.total(), found.total())
