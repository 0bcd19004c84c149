"""Waveform augmentation: speed, room, colour, telephone, noise, gain. Seeded by the generator.

The configuration also holds the masks over features (`spec_mask`), drawn by the collator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from moss_audio.data.spec_mask import SpecMask
from moss_audio.errors import MossAudioError
from moss_audio.units import SAMPLE_RATE

_TELEPHONE_HZ = 8000


@dataclass(frozen=True)
class AugmentConfig:
    """How often and how strongly a clip is changed."""

    speed_share: float = 0.5
    speed_min: float = 0.85
    speed_max: float = 1.15
    telephone_share: float = 0.5
    room_share: float = 0.0  # light reverberation
    colour_share: float = 0.0  # a microphone's or a loudspeaker's frequency response
    noise_share: float = 0.5
    snr_min_db: float = 5.0
    snr_max_db: float = 40.0
    gain_min_db: float = -20.0
    gain_max_db: float = 3.0
    spec_mask_share: float = 0.0  # of clips whose features are masked (SpecAugment); 0: none
    spec_mask_bands: int = 2  # bands of mel bins
    spec_mask_bins: int = 12  # the widest band
    spec_mask_times: int = 2  # stretches of time
    spec_mask_time_s: float = 0.3  # the longest stretch
    spec_mask_time_share: float = 0.05  # of the clip, which no stretch exceeds

    def __post_init__(self) -> None:
        wrong = [
            f"{name} {getattr(self, name)} must be {what}"
            for name, what, good in (
                ("spec_mask_share", "from 0 to 1", 0 <= self.spec_mask_share <= 1),
                ("spec_mask_bands", "at least 0", self.spec_mask_bands >= 0),
                ("spec_mask_bins", "at least 0", self.spec_mask_bins >= 0),
                ("spec_mask_times", "at least 0", self.spec_mask_times >= 0),
                ("spec_mask_time_s", "at least 0", self.spec_mask_time_s >= 0),
                ("spec_mask_time_share", "from 0 to 1", 0 <= self.spec_mask_time_share <= 1),
            )
            if not good
        ]
        if wrong:
            raise MossAudioError("augment: " + "; ".join(wrong))

    def masks(self, seed: int) -> SpecMask | None:
        """The masks over an example's features; None where there are none."""
        if not self.spec_mask_share:
            return None
        return SpecMask(
            seed, self.spec_mask_share, self.spec_mask_bands, self.spec_mask_bins,
            self.spec_mask_times, self.spec_mask_time_s, self.spec_mask_time_share,
        )  # fmt: skip


def _mu_law(x: np.ndarray) -> np.ndarray:
    """A telephone's 8-bit companding and back."""
    coded = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log1p(255)
    coded = np.round(coded * 127) / 127
    return np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(255)) / 255


def _noise(n: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of a random colour: power falling as f^-a, a in 0..1.2. float32 `[n]`"""
    from scipy.fft import irfft, next_fast_len

    size = next_fast_len(n, real=True)
    bins = size // 2 + 1
    parts = rng.standard_normal((2, bins), dtype=np.float32)
    spectrum = (parts[0] + 1j * parts[1]).astype(np.complex64)
    spectrum *= np.maximum(np.arange(bins, dtype=np.float32), 1) ** np.float32(
        -rng.uniform(0.0, 1.2) / 2
    )
    noise = irfft(spectrum, size)[:n]
    return np.asarray(noise / (np.sqrt(np.mean(noise**2)) + 1e-9), dtype=np.float32)


def _room(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A direct sound that stays where it is, and a tail that dies away. `[n]` -> `[n]`"""
    from scipy.fft import irfft, next_fast_len, rfft

    n = int(rng.uniform(0.06, 0.5) * SAMPLE_RATE)
    tail = rng.standard_normal(n, dtype=np.float32)
    tail *= np.exp(np.linspace(0, -6.9, n, dtype=np.float32))
    tail[: int(rng.uniform(0.002, 0.015) * SAMPLE_RATE)] = 0
    tail *= np.float32(rng.uniform(0.1, 0.6) / (np.sqrt(np.sum(tail**2)) + 1e-9))
    tail[0] = 1.0
    size = next_fast_len(len(x) + n, real=True)
    return np.asarray(irfft(rfft(x, size) * rfft(tail, size), size)[: len(x)], dtype=np.float32)


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
    samples: np.ndarray, config: AugmentConfig, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Change a clip.

    Args:
        samples: float32 `[n]` at 16 kHz, within [-1, 1].

    Returns:
        the new clip, and the factor by which every time in it is to be multiplied.
    """
    x, stretch = samples, 1.0
    if rng.random() < config.speed_share:
        speed = float(rng.uniform(config.speed_min, config.speed_max))
        x = soxr.resample(x, SAMPLE_RATE * speed, SAMPLE_RATE, quality="LQ")
        stretch = len(x) / max(1, len(samples))
    if rng.random() < config.room_share:
        x = _room(x, rng)
    if rng.random() < config.colour_share:
        x = _colour(x, rng)
    if rng.random() < config.telephone_share:
        x = soxr.resample(x, SAMPLE_RATE, _TELEPHONE_HZ, quality="MQ")
        x = x / (np.max(np.abs(x)) + 1e-6) * rng.uniform(0.1, 0.9)
        if rng.random() < 0.7:
            x = _mu_law(x)
        x = soxr.resample(x, _TELEPHONE_HZ, SAMPLE_RATE, quality="MQ")
    if rng.random() < config.noise_share:
        level = np.sqrt(np.mean(np.square(x))) + 1e-5
        snr_db = rng.uniform(config.snr_min_db, config.snr_max_db)
        x = x + _noise(len(x), rng) * (level * 10 ** (-snr_db / 20))
    peak = np.max(np.abs(x)) + 1e-6
    gain_db = rng.uniform(config.gain_min_db, config.gain_max_db)
    x = x / max(peak, 0.05) * 0.8 * 10 ** (gain_db / 20)
    return np.clip(x, -1.0, 1.0).astype(np.float32), stretch
