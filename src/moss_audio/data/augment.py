"""Waveform augmentation: speed, babble, room, colour, telephone, noise, gain.

Seeded by the generator. The configuration also holds the masks over features (`spec_mask`), drawn
by the collator, and how tightly clips are cut around their words (`cut`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import soxr

from moss_audio.data.spec_mask import SpecMask
from moss_audio.dsp.babble import babble
from moss_audio.dsp.codec import mu_law
from moss_audio.dsp.loudness import amplitude
from moss_audio.dsp.noise import at_snr, quick_noise
from moss_audio.dsp.room import quickly_reverberated
from moss_audio.settings import Between, Share
from moss_audio.units import SAMPLE_RATE

_TELEPHONE_HZ = 8000

# Clips of so many other people who talk; fewer where there are none.
Talkers = Callable[[int], Sequence[np.ndarray]]


@dataclass(frozen=True)
class AugmentConfig:
    """How often and how strongly a clip is changed."""

    speed_share: Share = 0.5
    speed_min: float = 0.85
    speed_max: float = 1.15
    telephone_share: Share = 0.5
    room_share: Share = 0.0  # light reverberation
    colour_share: Share = 0.0  # a microphone's or a loudspeaker's frequency response
    noise_share: Share = 0.5
    snr_min_db: float = 5.0
    snr_max_db: float = 40.0
    # The share of the clips of speech behind which others of the same source talk.
    babble_share: Share = 0.0
    babble_fewest: Annotated[int, Between(1)] = 2  # talkers
    babble_most: Annotated[int, Between(1)] = 6
    babble_min_db: float = 0.0  # of the speech over them
    babble_max_db: float = 20.0
    cut_share: Share = 0.0  # of the clips of speech that begin and end close to their words
    cut_most_s: Annotated[float, Between(0)] = 0.3  # that may stay before and after them
    gain_min_db: float = -20.0
    gain_max_db: float = 3.0
    spec_mask_share: Share = 0.0  # of clips whose features are masked (SpecAugment); 0: none
    spec_mask_bands: Annotated[int, Between(0)] = 2  # bands of mel bins
    spec_mask_bins: Annotated[int, Between(0)] = 12  # the widest band
    spec_mask_times: Annotated[int, Between(0)] = 2  # stretches of time
    spec_mask_time_s: Annotated[float, Between(0)] = 0.3  # the longest stretch
    spec_mask_time_share: Share = 0.05  # of the clip, which no stretch exceeds

    def masks(self, seed: int) -> SpecMask | None:
        """The masks over an example's features; None where there are none."""
        if not self.spec_mask_share:
            return None
        return SpecMask(
            seed, self.spec_mask_share, self.spec_mask_bands, self.spec_mask_bins,
            self.spec_mask_times, self.spec_mask_time_s, self.spec_mask_time_share,
        )  # fmt: skip


def _colour(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A smooth random frequency response of up to about 12 dB up or down. `[n]` -> `[n]`"""
    from scipy.fft import irfft, next_fast_len, rfft

    size = next_fast_len(len(x), real=True)  # a length that is quick to transform
    spectrum = rfft(x, size)
    knots = np.array([0, 150, 400, 900, 1800, 3200, 5000, 8000])
    gains_db = rng.normal(0, 4.0, knots.size) + np.linspace(-1, 1, knots.size) * rng.normal(0, 4.0)
    f = np.linspace(0, SAMPLE_RATE / 2, 512)  # coarser than the spectrum: it is smooth
    coarse = 10 ** (np.interp(f, knots, np.clip(gains_db, -12, 12)).astype(np.float32) / 20)
    gain = np.repeat(coarse, -(-len(spectrum) // 512))[: len(spectrum)]
    return np.asarray(irfft(spectrum * gain, size)[: len(x)], dtype=np.float32)


def augment(
    samples: np.ndarray,
    config: AugmentConfig,
    rng: np.random.Generator,
    talkers: Talkers | None = None,
) -> tuple[np.ndarray, float]:
    """Change a clip.

    Args:
        samples: float32 `[n]` at 16 kHz, within [-1, 1].
        talkers: gives other people's speech, for a clip behind which others may talk.

    Returns:
        the new clip, and the factor by which every time in it is to be multiplied.
    """
    x, stretch = samples, 1.0
    if rng.random() < config.speed_share:
        speed = float(rng.uniform(config.speed_min, config.speed_max))
        x = soxr.resample(x, SAMPLE_RATE * speed, SAMPLE_RATE, quality="LQ")
        stretch = len(x) / max(1, len(samples))
    if talkers is not None and config.babble_share and rng.random() < config.babble_share:
        most = max(config.babble_fewest, config.babble_most)
        others = talkers(int(rng.integers(config.babble_fewest, most + 1)))
        snr_db = float(rng.uniform(config.babble_min_db, config.babble_max_db))
        level = float(np.sqrt(np.mean(np.square(x))))
        x = x + at_snr(babble(len(x), others, rng), level, snr_db)
    if rng.random() < config.room_share:
        x = quickly_reverberated(x, rng)
    if rng.random() < config.colour_share:
        x = _colour(x, rng)
    if rng.random() < config.telephone_share:
        x = soxr.resample(x, SAMPLE_RATE, _TELEPHONE_HZ, quality="MQ")
        x = x / (np.max(np.abs(x)) + 1e-6) * rng.uniform(0.1, 0.9)
        if rng.random() < 0.7:
            x = mu_law(x)
        x = soxr.resample(x, _TELEPHONE_HZ, SAMPLE_RATE, quality="MQ")
    if rng.random() < config.noise_share:
        level = np.sqrt(np.mean(np.square(x))) + 1e-5
        snr_db = rng.uniform(config.snr_min_db, config.snr_max_db)
        x = x + at_snr(quick_noise(len(x), rng), level, snr_db)
    peak = np.max(np.abs(x)) + 1e-6
    gain_db = rng.uniform(config.gain_min_db, config.gain_max_db)
    x = x / max(peak, 0.05) * 0.8 * amplitude(gain_db)
    return np.clip(x, -1.0, 1.0).astype(np.float32), stretch
