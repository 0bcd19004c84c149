"""From the rewards of a group's answers to how much better each is than its group.

Source: DAPO (arXiv 2503.14476), equations 9 and 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

_EPSILON = 1e-4  # a group whose rewards hardly differ must not be blown up

Scale = Literal["group", "none"]


def advantages(rewards: Sequence[float], scale: Scale = "group") -> np.ndarray:
    """Float64 `[G]`: rewards less their mean, over their (sample) standard deviation with
    `scale` "group"."""
    values = np.asarray(rewards, np.float64)
    centred: np.ndarray = values - values.mean()
    if scale == "none" or len(values) < 2:
        return centred
    scaled: np.ndarray = centred / (values.std(ddof=1) + _EPSILON)
    return scaled


def overlong(length: int, longest: int, margin: int) -> float:
    """The soft punishment of an answer of `length` tokens, in [-1, 0]: none up to `longest -
    margin`, then linearly down, -1 beyond `longest`."""
    free = longest - margin
    if length <= free:
        return 0.0
    return -1.0 if length > longest else (free - length) / margin
