"""Noise that is the same on every machine: added to a recording, or a clip by itself.

The generator is seeded by a text, the id of the item, so that an item's noise depends neither on
its place in the list nor on a limit.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.evaluate.item import Sound
from moss_audio.recordings import Audio
from moss_audio.units import SAMPLE_RATE

COLOURS = ("white", "pink", "brown")
_SLOPES = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # amplitude falls as 1 / f ** slope
_LOWEST_HZ = 20.0


def rng_of(text: str) -> np.random.Generator:
    """A generator seeded by a text."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def noise(n_samples: int, colour: str, rng: np.random.Generator) -> np.ndarray:
    """float32 [n_samples] with a root mean square of 1. Raises MossAudioError for no colour."""
    if colour not in _SLOPES:
        raise MossAudioError(f"noise {colour!r}: choose one of {', '.join(COLOURS)}")
    if n_samples < 1:
        return np.zeros(0, np.float32)
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    hz = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE)
    shaped = np.fft.irfft(spectrum / np.maximum(hz, _LOWEST_HZ) ** _SLOPES[colour], n_samples)
    rms = float(np.sqrt(np.mean(shaped**2)))
    return (shaped / rms).astype(np.float32) if rms > 0 else np.zeros(n_samples, np.float32)


def add_noise(samples: np.ndarray, snr_db: float, colour: str, seed: str) -> np.ndarray:
    """`samples` float32 [n] with noise at a signal-to-noise ratio over the whole clip.

    Silence stays silence: it has no level to be relative to.
    """
    level = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0
    added = noise(len(samples), colour, rng_of(seed)) * np.float32(level / 10 ** (snr_db / 20))
    mixed = samples + added
    peak = float(np.abs(mixed).max(initial=0.0))
    scaled: np.ndarray = (mixed / peak if peak > 1.0 else mixed).astype(np.float32)
    return scaled


@dataclass(frozen=True)
class Noisy:
    """A recording with noise of `colour` at `snr_db`."""

    sound: Sound
    snr_db: float
    colour: str
    seed: str

    @property
    def identity(self) -> str:
        """Of the recording, and of the noise."""
        return f"{self.sound.identity} + {self.colour} {self.snr_db:.3f} dB {self.seed}"

    @property
    def duration_s(self) -> float | None:
        """That of the recording."""
        return self.sound.duration_s

    def load(self) -> Audio:
        """The samples. Raises AudioError as the recording's own does."""
        audio = self.sound.load()
        return Audio(add_noise(audio.samples, self.snr_db, self.colour, self.seed), audio.source)


@dataclass(frozen=True)
class NoiseClip:
    """`seconds` of noise at `level_db` (full scale is 0)."""

    seconds: float
    colour: str
    level_db: float
    seed: str

    @property
    def identity(self) -> str:
        """All that it is made from."""
        return f"{self.colour} {self.seconds:g} s {self.level_db:g} dB {self.seed}"

    @property
    def duration_s(self) -> float:
        """Its length."""
        return self.seconds

    def load(self) -> Audio:
        """The samples."""
        n_samples = round(self.seconds * SAMPLE_RATE)
        made = noise(n_samples, self.colour, rng_of(self.seed)) * 10 ** (self.level_db / 20)
        return Audio(np.clip(made, -1, 1).astype(np.float32), self.identity)
