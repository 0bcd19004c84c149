"""Log-mel features.

The features are those of ``WhisperFeatureExtractor`` over the whole clip, not padded to 30 s
(specification, section 1.1): 25-ms Hann windows every 10 ms, slaney mel filters,
``log10(max(mel, 1e-10))``, floored 8 below the clip's maximum, then ``(x + 4) / 4``.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from moss_audio.errors import AudioError
from moss_audio.units import HOP_SAMPLES, SAMPLE_RATE, num_frames

N_FFT = 400  # 25 ms

LOG_FLOOR = 1e-10
DYNAMIC_RANGE = 8.0  # in log10 units: 80 dB below the clip's maximum
LOG_SCALE = np.float32(0.25 / math.log(10.0))  # of natural logarithms in the features
_BLOCK_FRAMES = 200  # transformed at once: what a processor's cache holds
_BANDS = 4  # a triangle covers few bins: a product over all of them multiplies mostly zeros


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    linear = hz / (200.0 / 3)
    log = 15.0 + np.log(np.maximum(hz, 1e-3) / 1000.0) / (np.log(6.4) / 27.0)
    return np.where(hz >= 1000.0, log, linear)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(
        mel >= 15.0, 1000.0 * np.exp((np.log(6.4) / 27.0) * (mel - 15.0)), mel * 200 / 3
    )


@functools.lru_cache(maxsize=8)
def mel_filters(n_mels: int) -> np.ndarray:
    """Slaney-normalised triangles from 0 to 8000 Hz, float32 `[n_fft // 2 + 1, n_mels]`."""
    bins = np.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    low, high = hz_to_mel(np.array([0.0, SAMPLE_RATE / 2]))
    edges = _mel_to_hz(np.linspace(low, high, n_mels + 2))
    rise = (bins[:, None] - edges[None, :-2]) / np.diff(edges)[None, :-1]
    fall = (edges[None, 2:] - bins[:, None]) / np.diff(edges)[None, 1:]
    filters = np.maximum(0.0, np.minimum(rise, fall))
    filters *= 2.0 / (edges[2:] - edges[:-2])  # equal area
    return filters.astype(np.float32)


@functools.lru_cache(maxsize=1)
def _window() -> np.ndarray:
    return np.hanning(N_FFT + 1)[:-1]


@functools.lru_cache(maxsize=8)
def _bands(n_mels: int) -> tuple[tuple[slice, slice, np.ndarray], ...]:
    """The filters in runs of neighbours: which mels, which parts of the spectrum, weights
    `[parts, mels]`. Each weight stands twice, for the real and the imaginary part of a bin."""
    filters = mel_filters(n_mels)
    bands = []
    for mels in np.array_split(np.arange(n_mels), min(_BANDS, n_mels)):
        own = slice(mels[0], mels[-1] + 1)
        (bins,) = np.nonzero(filters[:, own].any(1))
        # with very many filters some are narrower than a bin and hold nothing
        low, high = (bins[0], bins[-1] + 1) if len(bins) else (0, 1)
        weights = np.repeat(filters[low:high, own], 2, axis=0)
        bands.append((own, slice(2 * low, 2 * high), weights))
    return tuple(bands)


def _mel_energies(padded: np.ndarray, place: int, n_frames: int, n_mels: int) -> np.ndarray:
    """Mel energies `[n_mels, n_frames]` of padded samples; frame i of them starts at 160 i, and is
    frame `place + i` of its clip.

    The transform is in float64: float32 blurs what lies far below a frame's strongest bin. The
    product with the filters is always one of as many rows, in which a frame has the same place, so
    that it does not matter which frames are computed together: not a bit of any differs.
    """
    out = np.empty((n_mels, n_frames), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_SAMPLES]
    squares = np.zeros((_BLOCK_FRAMES, N_FFT + 2), np.float32)
    first = 0
    while first < n_frames:
        row = (place + first) % _BLOCK_FRAMES
        end = min(first + _BLOCK_FRAMES - row, n_frames)
        rows = slice(row, row + end - first)
        parts = np.fft.rfft(frames[first:end] * _window()).view(np.float64)
        np.multiply(parts, parts, out=squares[rows], casting="same_kind")
        for mels, bins, weights in _bands(n_mels):
            out[mels, first:end] = (squares[:, bins] @ weights)[rows].T
        first = end
    return out


def _as_samples(samples: Any) -> np.ndarray:
    array = np.asarray(samples, dtype=np.float32)
    if array.ndim != 1:
        raise AudioError(f"features need mono samples of shape [n], got shape {array.shape}")
    return array


def log_mel(samples: Any, n_mels: int = 128) -> np.ndarray:
    """Log-mel features of a whole clip.

    Args:
        samples: float mono samples `[n]` at 16 kHz: an array, or a tensor on the CPU.
        n_mels: mel bins (128 in the released models).

    Returns:
        float32 `[n_mels, n // 160]`; no frame at all below 160 samples.

    Raises:
        AudioError: if the samples are not one-dimensional.

    Source: specification section 1.1.
    """
    clip = _as_samples(samples)
    n_frames = num_frames(len(clip))
    if n_frames == 0:
        return np.empty((n_mels, 0), np.float32)
    energies = frame_energies(clip, 0, n_frames, n_mels)
    # The extractor takes the maximum over one frame more than it keeps only on its padded input;
    # over a whole clip both drop the last frame first.
    return floored_logs(energies, float(energies.max()))


def frame_energies(clip: np.ndarray, first: int, end: int, n_mels: int) -> np.ndarray:
    """Mel energies of some frames of a clip: bit for bit those that all of it has there.

    Args:
        clip: float32 samples `[n]` at 16 kHz.
        first, end: the frames; at most `n // 160`.

    Returns:
        float32 `[n_mels, end - first]`. As long as `160 * end + 40 <= n`, more samples behind the
        clip do not change them: they are not mirrored at its end yet.
    """
    half = N_FFT // 2
    begin, stop = HOP_SAMPLES * first - half, HOP_SAMPLES * (end - 1) + half
    ends = max(0, -begin), max(0, stop - len(clip))
    low = max(0, begin)
    part = clip[low:stop]
    if ends[1]:  # the mirror needs what lies before it
        low = max(0, min(low, len(clip) - half - 1))
        part = np.pad(clip[low:], (half if low == 0 else 0, ends[1]), mode="reflect")
        part = part[begin - low + (half if low == 0 else 0) :]
    elif ends[0]:
        part = np.pad(clip[: max(stop, half + 1)], (half, 0), mode="reflect")[begin + half :]
    return _mel_energies(part, first, end - first, n_mels)


def energy_floor(maximum: float) -> float:
    """The energy below which nothing is told apart in a clip whose largest is `maximum`."""
    return max(LOG_FLOOR, maximum * 10.0**-DYNAMIC_RANGE)


def floored_logs(energies: np.ndarray, maximum: float) -> np.ndarray:
    """Log-mel features of a clip whose largest energy is `maximum`; in the place of `energies`."""
    logs = np.log(np.maximum(energies, energy_floor(maximum), out=energies), out=energies)
    # floored and scaled in fewer passes: (log10(e) + 4) / 4 = 1 + ln(e) / (4 ln 10)
    logs *= LOG_SCALE
    logs += np.float32(1.0)
    return logs


class LogMelStream:
    """Log-mel features of samples that arrive in blocks of any size.

    `push` and `finish` return the log10 energies of the frames that have become certain; the
    concatenation of all blocks, floored `DYNAMIC_RANGE` below `maximum` and scaled to
    `(x + 4) / 4`, equals `log_mel` of the whole clip. The floor depends on the clip's maximum,
    which only the end of the clip knows, so a caller that cannot wait takes the maximum so far.
    """

    def __init__(self, n_mels: int = 128) -> None:
        self.n_mels = n_mels
        self.maximum = float("-inf")
        self.n_samples = 0
        self._frames_out = 0
        self._pending = np.empty(0, np.float32)  # not yet fully used, without the left padding
        self._started = False

    def push(self, samples: Any) -> np.ndarray:
        """Add samples `[n]`; returns log10 mel frames `[n_mels, k]`, k >= 0."""
        block = _as_samples(samples)
        self.n_samples += len(block)
        self._pending = np.concatenate([self._pending, block])
        if not self._started:
            # the left reflection needs the first 200 samples and one more
            if len(self._pending) <= N_FFT // 2:
                return np.empty((self.n_mels, 0), np.float32)
            self._pending = np.pad(self._pending, (N_FFT // 2, 0), mode="reflect")
            self._started = True
        ready = max(0, (len(self._pending) - N_FFT) // HOP_SAMPLES + 1)
        return self._emit(min(ready, num_frames(self.n_samples) - self._frames_out))

    def finish(self) -> np.ndarray:
        """No more samples: the remaining frames `[n_mels, k]`."""
        left = num_frames(self.n_samples) - self._frames_out
        if left:
            ends = (0 if self._started else N_FFT // 2, N_FFT // 2)
            self._pending = np.pad(self._pending, ends, mode="reflect")
            self._started = True
        return self._emit(left)

    def _emit(self, count: int) -> np.ndarray:
        if count <= 0:
            return np.empty((self.n_mels, 0), np.float32)
        energies = _mel_energies(self._pending, self._frames_out, count, self.n_mels)
        frames = np.log10(np.maximum(energies, LOG_FLOOR, out=energies), out=energies)
        # Keep what the right reflection at the end may need: 200 samples and one more.
        used = min(count * HOP_SAMPLES, max(0, len(self._pending) - N_FFT // 2 - 1))
        used -= used % HOP_SAMPLES
        if used != count * HOP_SAMPLES:
            raise AssertionError("a frame was emitted whose samples must be kept")
        self._pending = self._pending[used:]
        self._frames_out += count
        self.maximum = max(self.maximum, float(frames.max()))
        return frames
