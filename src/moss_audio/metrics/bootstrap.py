"""Bootstrap confidence intervals: how much a figure depends on which clips were drawn.

Definition: Efron's percentile bootstrap. Items (clips) are drawn with replacement as often as
there are items; the interval holds the middle `LEVEL` of the figure over `RESAMPLES` such draws.
For error rates this is Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR
performance evaluation", ICASSP 2004.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 1000
SEED = 0
LEVEL = 0.95
_DRAWS_AT_ONCE = 64


def ratio_interval(shares: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Bounds of sum(part) / sum(whole) over (part, whole) of each item, such as errors and words.

    Draws whose wholes sum to 0 have no figure and are left out. None below two items, or where no
    draw has a figure. Same items, same interval.
    """
    if len(shares) < 2:
        return None
    rng = np.random.default_rng(SEED)
    even = np.full(len(shares), 1.0 / len(shares))
    table = np.array(shares, np.float64)
    values: list[float] = []
    for start in range(0, RESAMPLES, _DRAWS_AT_ONCE):
        # Counted, not copied: a row says how often each item is drawn.
        draws = rng.multinomial(len(shares), even, size=min(_DRAWS_AT_ONCE, RESAMPLES - start))
        values += [part / whole for part, whole in (draws @ table).tolist() if whole]
    if not values:
        return None
    tail = 50.0 * (1.0 - LEVEL)
    low, high = np.percentile(values, (tail, 100.0 - tail))
    return float(low), float(high)
