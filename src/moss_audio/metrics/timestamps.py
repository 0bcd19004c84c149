"""AAS, the accumulated averaging shift of word times, in both published forms.

Definition: arXiv 2301.12343. Reference and hypothesis words are aligned by edit distance; over
the pairs of equal words, `sum_ms` is the mean of |start shift| + |end shift| (the form of FunASR)
and `mean_ms` its half, the mean absolute error of a time stamp. Unmatched words carry no shift, so
`match_rate` and `parse_failures` belong beside every AAS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moss_audio.metrics.counts import Counts, ratio
from moss_audio.result import Word
from moss_audio.text import align, normalize_words


@dataclass(frozen=True)
class AasResult(Counts):
    """Shifts of matched words: hypothesis minus reference, in ms, one a word.

    `references` and `hypotheses` count words; `parse_failures` are clips whose
    answer held no readable times: their words are in `references` and unmatched.
    """

    start_shifts_ms: tuple[float, ...] = ()
    end_shifts_ms: tuple[float, ...] = ()
    references: int = 0
    hypotheses: int = 0
    parse_failures: int = 0

    @property
    def matched(self) -> int:
        """Pairs of equal words."""
        return len(self.start_shifts_ms)

    @property
    def sum_ms(self) -> float | None:
        """Mean of |start shift| + |end shift|; None without a matched word."""
        return ratio(float(self._absolute().sum()), self.matched)

    @property
    def mean_ms(self) -> float | None:
        """Half of `sum_ms`: the mean absolute error of a stamp."""
        both = self.sum_ms
        return None if both is None else both / 2

    @property
    def match_rate(self) -> float | None:
        """Matched words over reference words."""
        return ratio(self.matched, self.references)

    def percentile_ms(self, percent: float) -> float | None:
        """The absolute shift that `percent` % of the stamps of matched words stay within."""
        return float(np.percentile(self._absolute(), percent)) if self.matched else None

    def _absolute(self) -> np.ndarray:
        return np.abs(np.array([self.start_shifts_ms, self.end_shifts_ms], dtype=np.float64))


def aas(reference_words: Sequence[Word], hypothesis_words: Sequence[Word] | None) -> AasResult:
    """Shifts of one clip's word times; add the results of a corpus, then take the means.

    Words are compared in normalised form (case, punctuation, spelled numbers); those without any
    letter or digit are left out on both sides. `hypothesis_words` None says that the answer could
    not be read as timed words; an empty list says that it held no words.
    """
    reference, left = _comparable(reference_words)
    hypothesis, right = _comparable(hypothesis_words or ())
    starts, ends = [], []
    for i, j in align(left, right):
        if i is not None and j is not None and left[i] == right[j]:
            starts.append(1000.0 * (hypothesis[j].start - reference[i].start))
            ends.append(1000.0 * (hypothesis[j].end - reference[i].end))
    return AasResult(
        tuple(starts),
        tuple(ends),
        references=len(reference),
        hypotheses=len(hypothesis),
        parse_failures=int(hypothesis_words is None),
    )


def _comparable(words: Sequence[Word]) -> tuple[list[Word], list[str]]:
    pairs = [(word, " ".join(normalize_words(word.text))) for word in words]
    kept = [(word, text) for word, text in pairs if text]
    return [word for word, _ in kept], [text for _, text in kept]
