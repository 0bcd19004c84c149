"""Several people talking at once, as noise behind a speaker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moss_audio.dsp.loudness import rms


def babble(n_samples: int, talkers: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Talkers at once, equally loud: float32 `[n_samples]` with a root mean square of 1.

    talkers: recordings of speech, float32 `[m]` at one rate, one a person. Each starts at a random
    place and begins again where it ends. Silence if none of them is audible.
    """
    mixed = np.zeros(n_samples, np.float32)
    for sound in talkers:
        level = rms(sound)
        if level <= 1e-5:
            continue
        start = int(rng.integers(len(sound)))
        turned = np.roll(sound, -start)
        repeats = -(-n_samples // len(turned))
        mixed += np.tile(turned, repeats)[:n_samples] / np.float32(level)
    level = rms(mixed)
    return np.asarray(mixed / level if level > 0 else mixed, dtype=np.float32)
