"""Speech of any length for benchmarks: the spoken example over and over, never twice the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from moss_audio.recordings import load_audio
from moss_audio.units import SAMPLE_RATE

SPOKEN = Path(__file__).resolve().parent.parent / "examples" / "speech.wav"
_PAUSE_SAMPLES = SAMPLE_RATE // 2


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Samples `[n]` float32 at 16 kHz: speech with pauses and a little noise, no stretch of it
    equal to another, so that nothing can be answered from memory."""
    rng = np.random.default_rng(seed)
    spoken = load_audio(SPOKEN).samples
    n_samples = round(seconds * SAMPLE_RATE)
    out = np.zeros(n_samples + len(spoken) + _PAUSE_SAMPLES, np.float32)
    at = 0
    while at < n_samples:
        out[at : at + len(spoken)] = np.roll(spoken, int(rng.integers(len(spoken))))
        at += len(spoken) + _PAUSE_SAMPLES
    out = out[:n_samples]
    out *= np.float32(rng.uniform(0.5, 1.0))
    out += rng.standard_normal(n_samples, dtype=np.float32) * np.float32(1e-3)
    return out
