"""Tempo without pitch, and pitch without tempo, by overlapping windows (WSOLA).

Each output window may be taken up to `_SEEK` samples away from where the tempo asks for it, where
it joins the last one best. The error in time is bounded by that for the whole clip: it does not
add up. Source of the method: Verhelst and Roelands, 1993.
"""

from __future__ import annotations

import numpy as np

from moss_audio.units import SAMPLE_RATE

_HOP = SAMPLE_RATE // 100  # half a window
_SEEK = 100  # 6.25 ms to each side: a whole period of every voice above 80 Hz


def stretch(samples: np.ndarray, speed: float) -> np.ndarray:
    """`speed` times faster at the same pitch; a sound at t is then at t / speed.

    float32 [n] -> float32 [round(n / speed)].
    """
    n_out = round(samples.size / speed)
    if speed == 1.0 or samples.size < 4 * _HOP:
        return samples[:n_out].astype(np.float32)
    pad = 2 * _HOP + _SEEK
    x = np.concatenate([np.zeros(pad), samples.astype(np.float64), np.zeros(2 * pad)])
    window = np.hanning(2 * _HOP + 1)[:-1]  # two of them, a hop apart, add up to one
    out = np.zeros(n_out + 4 * _HOP)
    last = None
    for start in range(-_HOP, n_out, _HOP):
        centre = start + _HOP  # the window's middle is what keeps its time
        at = min(max(round(centre * speed), 0), samples.size) - _HOP + pad
        if last is not None:
            # What would follow the last window is what this one should look like.
            wanted = x[last + _HOP : last + 3 * _HOP]
            region = x[at - _SEEK : at + _SEEK + 2 * _HOP]
            if wanted.size == 2 * _HOP and region.size == 2 * (_HOP + _SEEK):
                at += _best_shift(region, wanted) - _SEEK
        out[start + _HOP : start + 3 * _HOP] += window * x[at : at + 2 * _HOP]
        last = at
    return out[_HOP : _HOP + n_out].astype(np.float32)


def _best_shift(region: np.ndarray, wanted: np.ndarray) -> int:
    """Where in `region` the piece most like `wanted` begins; the middle if nothing sounds."""
    products = np.correlate(region, wanted, "valid")
    squares = np.concatenate([[0.0], np.cumsum(region**2)])
    energy = squares[wanted.size :] - squares[: -wanted.size]
    middle = products.size // 2
    if energy.max() < 1e-10:
        return middle
    likeness = products / np.sqrt(energy + 1e-9 * energy.max())
    best = int(np.argmax(likeness))
    return best if likeness[best] > likeness[middle] + 1e-12 else middle


def shift_pitch(samples: np.ndarray, semitones: float) -> np.ndarray:
    """Higher or lower at the same tempo. float32 [n] -> float32 [n]."""
    import soxr

    factor = 2.0 ** (semitones / 12.0)
    slow = stretch(samples, 1.0 / factor)
    out = np.asarray(
        soxr.resample(slow, SAMPLE_RATE * factor, SAMPLE_RATE, quality="HQ"), np.float32
    )
    if out.size >= samples.size:
        return out[: samples.size]
    return np.pad(out, (0, samples.size - out.size))
