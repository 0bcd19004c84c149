"""Sound level in a few mel bands, and the floor that it rises from."""

from __future__ import annotations

import functools

import numpy as np

from moss_audio.annotate.detectors.base import HOP_SAMPLES, Block
from moss_audio.units import SAMPLE_RATE

N_BANDS = 16
TILE_FRAMES = 10  # 0.1 s
_WINDOW = 400  # 25 ms
_N_FFT = 512
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 7600.0
_SILENT = 1e-14  # power of a frame that is digital silence; -140 dB


def band_levels(samples: np.ndarray, block: Block) -> np.ndarray:
    """dB in mel bands, `[block.end - block.start, N_BANDS]`, float32: frame i is centred on the
    middle of its 10 ms."""
    first = block.start * HOP_SAMPLES + HOP_SAMPLES // 2 - _WINDOW // 2
    last = (block.end - 1) * HOP_SAMPLES + HOP_SAMPLES // 2 + _WINDOW // 2
    low, high = max(0, first), min(len(samples), last)
    part = np.zeros(last - first, np.float32)
    part[low - first : high - first] = samples[low:high]
    frames = np.lib.stride_tricks.sliding_window_view(part, _WINDOW)[::HOP_SAMPLES]
    window, filters = _tables()
    out = np.empty((len(frames), N_BANDS), np.float32)
    for at in range(0, len(frames), 1000):  # spectra of a whole block would be large
        spectrum = np.fft.rfft(frames[at : at + 1000] * window, _N_FFT)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        out[at : at + 1000] = 10 * np.log10(power @ filters + _SILENT)
    return out


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """The window `[400]` and triangular mel filters `[257, N_BANDS]`, each of sum one."""
    window = np.hanning(_WINDOW).astype(np.float32)
    window /= np.sqrt(np.sum(window**2))
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(_HIGHEST_HZ), N_BANDS + 2)
    hz = 700 * (np.exp(edges / 1127) - 1)
    bins = np.arange(_N_FFT // 2 + 1) * SAMPLE_RATE / _N_FFT
    rise = (bins[:, None] - hz[:-2]) / (hz[1:-1] - hz[:-2])
    fall = (hz[2:] - bins[:, None]) / (hz[2:] - hz[1:-1])
    filters = np.clip(np.minimum(rise, fall), 0, None)
    filters[:, :] += (filters.sum(axis=0) == 0) * (
        np.abs(bins[:, None] - hz[1:-1]) == np.abs(bins[:, None] - hz[1:-1]).min(axis=0)
    )  # a band narrower than a bin takes the nearest one
    return window, (filters / filters.sum(axis=0)).astype(np.float32)


def _mel(hz: float) -> float:
    return float(1127 * np.log1p(hz / 700))


def tiles(levels: np.ndarray) -> np.ndarray:
    """Means of every `TILE_FRAMES` rows; the last ones may be fewer."""
    if not len(levels):
        return levels
    starts = np.arange(0, len(levels), TILE_FRAMES)
    counts = np.diff(np.append(starts, len(levels)))
    sums = np.add.reduceat(levels, starts, axis=0, dtype=np.float64)
    return (sums / counts[:, None]).astype(np.float32)


def moving_percentile(values: np.ndarray, percent: float, reach: int, step: int) -> np.ndarray:
    """Percentile of `values` `[n, k]` within `reach` rows on either side, at every `step`-th row:
    `[ceil(n / step), k]`. At the ends there are fewer rows; windows are never shorter than
    `reach`, if there are that many rows."""
    out = []
    for at in range(0, len(values), step):
        low, high = max(0, at - reach), min(len(values), at + reach + 1)
        low, high = max(0, min(low, high - reach)), min(len(values), max(high, low + reach))
        part = values[low:high]
        rank = min(len(part) - 1, int(percent / 100 * len(part)))
        # A view would keep every window in memory.
        out.append(np.partition(part, rank, axis=0)[rank].copy())
    return np.array(out, np.float32).reshape(-1, values.shape[1])
