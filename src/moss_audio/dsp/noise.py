"""Noise of every colour, and how much of it there is beside a sound.

Two ways to make it: `shaped_noise` filters white noise and gives the same samples on every
machine; `quick_noise` draws its spectrum, which takes a third of the time, for training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from moss_audio.dsp.loudness import amplitude, rms
from moss_audio.errors import MossAudioError
from moss_audio.units import SAMPLE_RATE

COLOURS = ("white", "pink", "brown")
_SLOPES = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # amplitude falls as 1 / f ** slope
_LOWEST_HZ = 20.0
_TELEPHONE_HZ = (250, 3600)  # the band of a telephone line or a small microphone
_MAINS_HZ = (50, 60)


def rng_of(text: str) -> np.random.Generator:
    """A generator seeded by a text, such as the id of an item: it depends on no order."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def shaped_noise(
    n_samples: int, rng: np.random.Generator, gain: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Gaussian noise, float64 `[n_samples]`, whose spectrum is multiplied by `gain(f)`, f in Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    spectrum *= gain(np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE))
    return np.fft.irfft(spectrum, n_samples)


def coloured_noise(n_samples: int, colour: str, rng: np.random.Generator) -> np.ndarray:
    """One of `COLOURS`, float32 `[n_samples]` with a root mean square of 1.

    Raises MossAudioError for another colour.
    """
    if colour not in _SLOPES:
        raise MossAudioError(f"noise {colour!r}: choose one of {', '.join(COLOURS)}")
    if n_samples < 1:
        return np.zeros(0, np.float32)
    slope = _SLOPES[colour]
    made = shaped_noise(n_samples, rng, lambda hz: 1 / np.maximum(hz, _LOWEST_HZ) ** slope)
    level = rms(made)
    return (made / level).astype(np.float32) if level > 0 else np.zeros(n_samples, np.float32)


def background_noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """The steady noise behind a recording, float32 `[n_samples]` with unit power.

    Its colour is random; some is in the band of a telephone, some hums with the mains.
    """

    def gain(hz: np.ndarray) -> np.ndarray:
        falling = np.maximum(hz, 30.0) ** (-float(rng.uniform(0, 1.1)))
        if rng.random() < 0.3:
            low, high = _TELEPHONE_HZ
            falling = falling * ((hz > low) & (hz < high))
        return np.asarray(falling)

    x = shaped_noise(n_samples, rng, gain)
    if rng.random() < 0.15:
        t = np.arange(n_samples) / SAMPLE_RATE
        loud = np.std(x) * float(rng.uniform(0.2, 0.8))
        x += loud * np.sin(2 * np.pi * rng.choice(_MAINS_HZ) * t)
    return np.asarray(x / (np.std(x) + 1e-12), dtype=np.float32)


def quick_noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of a random colour, its power falling as f^-a, a in 0..1.2.

    float32 `[n_samples]` with a root mean square of 1.
    """
    from scipy.fft import irfft, next_fast_len

    size = next_fast_len(n_samples, real=True)
    bins = size // 2 + 1
    parts = rng.standard_normal((2, bins), dtype=np.float32)
    spectrum = (parts[0] + 1j * parts[1]).astype(np.complex64)
    spectrum *= np.maximum(np.arange(bins, dtype=np.float32), 1) ** np.float32(
        -rng.uniform(0.0, 1.2) / 2
    )
    made = irfft(spectrum, size)[:n_samples]
    return np.asarray(made / (np.sqrt(np.mean(made**2)) + 1e-9), dtype=np.float32)


def at_snr(noise: np.ndarray, level: float, snr_db: float) -> np.ndarray:
    """`noise` `[n]` of unit power, `snr_db` below a sound whose root mean square is `level`."""
    return np.asarray(noise * (level * amplitude(-snr_db)))


def with_noise(samples: np.ndarray, snr_db: float, colour: str, seed: str) -> np.ndarray:
    """`samples` float32 `[n]` with noise at a signal-to-noise ratio over the whole clip.

    Silence stays silence: it has no level to be relative to. What would exceed full scale is
    scaled down as a whole. The same `seed` gives the same noise on every machine.
    """
    noise = coloured_noise(len(samples), colour, rng_of(seed))
    mixed = samples + at_snr(noise, rms(samples), snr_db)
    peak = float(np.abs(mixed).max(initial=0.0))
    return np.asarray(mixed / peak if peak > 1.0 else mixed, dtype=np.float32)
