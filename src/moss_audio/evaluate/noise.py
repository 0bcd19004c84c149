"""Recordings with noise or babble, and clips of nothing but noise: the same on every machine.

The noise is seeded by a text, the id of the item, so that it depends neither on the item's place in
the list nor on a limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moss_audio.dsp.babble import babble
from moss_audio.dsp.loudness import amplitude, rms
from moss_audio.dsp.noise import at_snr, coloured_noise, rng_of, with_noise
from moss_audio.evaluate.item import Sound
from moss_audio.recordings import Audio
from moss_audio.units import SAMPLE_RATE


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

    def load(self) -> Audio:
        """The samples. Raises AudioError as the recording's own does."""
        audio = self.sound.load()
        return Audio(with_noise(audio.samples, self.snr_db, self.colour, self.seed), audio.source)


@dataclass(frozen=True)
class Babbled:
    """A recording with `others` talking behind it, `snr_db` below it over the whole clip."""

    sound: Sound
    others: tuple[Sound, ...]
    snr_db: float
    seed: str

    @property
    def identity(self) -> str:
        """Of the recording, and of those behind it."""
        behind = ", ".join(other.identity for other in self.others)
        return f"{self.sound.identity} + ({behind}) {self.snr_db:.3f} dB {self.seed}"

    def load(self) -> Audio:
        """The samples, scaled down as a whole where they would exceed full scale. Raises
        AudioError as the recordings' own do."""
        audio = self.sound.load()
        x = audio.samples
        talkers = [other.load().samples for other in self.others]
        noise = babble(len(x), talkers, rng_of(self.seed))
        mixed = x + at_snr(noise, rms(x), self.snr_db)
        peak = float(np.abs(mixed).max(initial=0.0))
        return Audio((mixed / max(1.0, peak)).astype(np.float32), audio.source)


@dataclass(frozen=True)
class Silenced:
    """Silence as long as a recording."""

    sound: Sound

    @property
    def identity(self) -> str:
        """Of the recording, and that nothing is heard of it."""
        return f"{self.sound.identity} silenced"

    def load(self) -> Audio:
        """Zeros. Raises AudioError as the recording's own does."""
        audio = self.sound.load()
        return Audio(np.zeros_like(audio.samples), audio.source)


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

    def load(self) -> Audio:
        """The samples."""
        n_samples = round(self.seconds * SAMPLE_RATE)
        made = coloured_noise(n_samples, self.colour, rng_of(self.seed)) * amplitude(self.level_db)
        return Audio(np.clip(made, -1, 1).astype(np.float32), self.identity)
