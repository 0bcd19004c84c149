"""How loud a sound is: power, decibels of full scale, and loudness by ITU-R BS.1770."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from moss_audio.errors import MissingDependencyError
from moss_audio.units import SAMPLE_RATE

GATE_LUFS = -70.0  # the standard's: what is quieter counts as silence
BLOCK_S = 0.4  # the standard's block; of less sound it says nothing
_SILENT_POWER = 1e-12  # -120 dB, what digital silence counts as


def amplitude(gain_db: float) -> float:
    """The factor on samples that a gain in decibels is."""
    return float(10 ** (gain_db / 20))


def power(samples: np.ndarray) -> float:
    """Mean square of `[n]`; 0 for no samples."""
    return float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0


def rms(samples: np.ndarray) -> float:
    """Root mean square of `[n]`; 0 for no samples."""
    return float(np.sqrt(power(samples)))


def level_db(samples: np.ndarray) -> float:
    """Mean level of `[n]` in dB of full scale (a mean power of 1); at least -120."""
    return 10 * float(np.log10(power(samples) + _SILENT_POWER))


def frame_levels_db(samples: np.ndarray, size: int) -> np.ndarray:
    """Level of each whole frame of `size` samples, `[n // size]`, in dB of full scale.

    In the precision of the samples; at least -120.
    """
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    return np.asarray(10 * np.log10(np.mean(frames**2, axis=1) + _SILENT_POWER))


def audible_frames(samples: np.ndarray, size: int, floor_db: float) -> np.ndarray:
    """Whole frames of `size` samples above `floor_db` of the loudest: bool `[n // size]`."""
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    level = np.sqrt(np.mean(frames**2, axis=1))
    return np.asarray(level > level.max(initial=0.0) * amplitude(floor_db))


def measure_loudness(samples: np.ndarray) -> float | None:
    """Integrated loudness of `[n]` at 16 kHz in LUFS, at least -70 (the gate of the standard).

    None for less than 0.4 s, of which the standard says nothing, and for what is not finite.
    """
    if samples.size < BLOCK_S * SAMPLE_RATE or not np.isfinite(samples).all():
        return None
    meter = import_meter()(SAMPLE_RATE, block_size=BLOCK_S)
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a mean over no block, where all are silent
        loudness_lufs = float(meter.integrated_loudness(samples.astype(np.float64)))
    return max(GATE_LUFS, loudness_lufs) if np.isfinite(loudness_lufs) else GATE_LUFS


def import_meter() -> Any:
    """pyloudnorm's meter, or the error that says which extra brings it."""
    try:
        from pyloudnorm import Meter
    except ImportError as error:
        raise MissingDependencyError("pyloudnorm", "annotate", "Loudness") from error
    return Meter
