"""Masks over features: bands of mel bins and stretches of time are hidden from the model.

Source: SpecAugment (Park et al. 2019, arXiv 1904.08779), without its time warping, which would
shift exact times. Masked values become the clip's mean, as there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moss_audio.units import FRAMES_PER_SECOND

# An example's seed also drives its waveform, which has to stay the same with masks and without.
_STREAM = 0x5BEC


@dataclass(frozen=True)
class SpecMask:
    """The masks of one example; the same `seed` gives the same ones.

    Attributes:
        share: how often a clip is masked at all.
        bands: how many bands of mel bins, each of a width drawn from 0 to `bins`.
        times: how many stretches, each of a length drawn from 0 to `time_s` seconds, and never
            more than `time_share` of the clip.
    """

    seed: int
    share: float
    bands: int
    bins: int
    times: int
    time_s: float
    time_share: float

    def __call__(self, mel: np.ndarray, clip: int) -> np.ndarray:
        """Features `[n_mels, frames]` of the example's clip of this number, masked (a copy)."""
        rng = np.random.default_rng([_STREAM, self.seed, clip])
        if rng.random() >= self.share:
            return mel
        n_mels, frames = mel.shape
        mean, out = mel.mean(), mel.copy()
        for _ in range(self.bands):
            first, width = _stretch(rng, n_mels, self.bins)
            out[first : first + width] = mean
        longest = min(round(self.time_s * FRAMES_PER_SECOND), int(self.time_share * frames))
        for _ in range(self.times):
            first, width = _stretch(rng, frames, longest)
            out[:, first : first + width] = mean
        return out


def _stretch(rng: np.random.Generator, size: int, longest: int) -> tuple[int, int]:
    """First place and width of a stretch of 0 to `longest` inside 0 to `size`, ends included."""
    width = int(rng.integers(min(longest, size) + 1))
    return int(rng.integers(size - width + 1)), width
