"""How loud a segment is, by ITU-R BS.1770 (pyloudnorm)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from moss_audio.errors import MissingDependencyError
from moss_audio.units import SAMPLE_RATE

GATE_LUFS = -70.0  # the standard's: what is quieter counts as silence


def measure_loudness(samples: np.ndarray) -> float | None:
    """Integrated loudness in LUFS, at least -70 (the gate of the standard); None for less than
    0.4 s, of which it says nothing."""
    if samples.size < 0.4 * SAMPLE_RATE or not np.isfinite(samples).all():
        return None
    meter = import_meter()(SAMPLE_RATE)
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
