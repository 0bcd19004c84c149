"""Drawing one of several things by how often each is to come."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def choose(weights: Mapping[str, float], rng: np.random.Generator) -> str:
    """One of the names, by its weight."""
    names = sorted(weights)
    values = np.array([weights[n] for n in names], float)
    return names[int(rng.choice(len(names), p=values / values.sum()))]
