"""Drawing by shares: names and how often each comes, in numbers that need not add up to one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def choose(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    """One of the names, by its share."""
    names = sorted(shares)
    weights = np.array([shares[n] for n in names], float)
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]
