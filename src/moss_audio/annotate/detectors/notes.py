"""Held notes: what tells a voice that sings from one that speaks.

A speaking voice glides; a singing one stays on a pitch and steps to the next. Pitch is the peak of
the normalised autocorrelation every 20 ms; a note is a stretch in which it stays within a third of
a semitone on either side.
"""

from __future__ import annotations

import numpy as np

from moss_audio.units import SAMPLE_RATE

_HOP, _WINDOW, _N_FFT = 320, 800, 2048
NOTES_PER_SECOND = SAMPLE_RATE // _HOP
_LOW_HZ, _HIGH_HZ = 75.0, 700.0
_VOICED = 0.6  # of the normalised autocorrelation
_WITHIN = 0.33  # semitones
_SHORTEST_FRAMES = 12  # 0.24 s


def in_notes(pitch: np.ndarray) -> np.ndarray:
    """Which frames of `semitones` lie in held notes, bool `[n]`."""
    voiced = np.isfinite(pitch)
    held = np.zeros(len(pitch), bool)
    at = 0
    while at < len(pitch):
        if not voiced[at]:
            at += 1
            continue
        low = high = pitch[at]
        end = at + 1
        while end < len(pitch) and voiced[end]:
            low, high = min(low, pitch[end]), max(high, pitch[end])
            if high - low > 2 * _WITHIN:
                break
            end += 1
        if end - at >= _SHORTEST_FRAMES:
            held[at:end] = True
            at = end
        else:
            at += 1
    return held


def semitones(samples: np.ndarray) -> np.ndarray:
    """Pitch every 20 ms in semitones above 1 Hz; NaN where there is none."""
    if len(samples) < _WINDOW:
        return np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    window = np.hanning(_WINDOW)
    weight = np.fft.irfft(np.abs(np.fft.rfft(window, _N_FFT)) ** 2)[: _WINDOW // 2]
    first, last = int(SAMPLE_RATE / _HIGH_HZ), int(SAMPLE_RATE / _LOW_HZ)
    out = np.full(len(frames), np.nan)
    for start in range(0, len(frames), 500):
        part = frames[start : start + 500]
        part = (part - part.mean(axis=1, keepdims=True)) * window
        power = np.abs(np.fft.rfft(part, _N_FFT, axis=1)) ** 2
        ac = np.fft.irfft(power, axis=1)[:, : _WINDOW // 2]
        ac = ac / np.maximum(ac[:, :1], 1e-12) * (weight[0] / np.maximum(weight, 1e-9))
        lags = ac[:, first:last]
        peak = (lags[:, 1:-1] >= lags[:, :-2]) & (lags[:, 1:-1] >= lags[:, 2:])
        inner = np.where(peak, lags[:, 1:-1], -1.0)
        best = inner.max(axis=1)
        # The first peak that is nearly as high as the highest: not an octave below.
        pick = np.argmax(inner >= 0.9 * best[:, None], axis=1)
        rows = np.arange(len(part))
        a, b, c = (lags[rows, pick + k] for k in range(3))
        shift = 0.5 * (a - c) / np.where(a - 2 * b + c == 0, -1e-9, a - 2 * b + c)
        hz = SAMPLE_RATE / (first + 1 + pick + np.clip(shift, -0.5, 0.5))
        out[start : start + len(part)] = np.where(best >= _VOICED, 12 * np.log2(hz), np.nan)
    return out
