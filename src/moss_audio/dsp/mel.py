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
_BLOCK_FRAMES = 256  # transformed at once: what a processor's cache holds
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


def _mel_energies(padded: np.ndarray, n_frames: int, n_mels: int) -> np.ndarray:
    """Mel energies `[n_mels, n_frames]` of padded samples; frame i starts at 160 i.

    The transform is in float64: float32 blurs what lies far below a frame's strongest bin.
    """
    out = np.empty((n_mels, n_frames), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_SAMPLES]
    squares = np.empty((min(n_frames, _BLOCK_FRAMES), N_FFT + 2), np.float32)
    for first in range(0, n_frames, _BLOCK_FRAMES):
        block = frames[first : min(first + _BLOCK_FRAMES, n_frames)]
        parts = np.fft.rfft(block * _window()).view(np.float64)
        own = np.multiply(parts, parts, out=squares[: len(block)], casting="same_kind")
        for mels, bins, weights in _bands(n_mels):
            out[mels, first : first + len(block)] = (own[:, bins] @ weights).T
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
    energies = _mel_energies(np.pad(clip, N_FFT // 2, mode="reflect"), n_frames, n_mels)
    # The extractor takes the maximum over one frame more than it keeps only on its padded input;
    # over a whole clip both drop the last frame first.
    floor = max(LOG_FLOOR, float(energies.max()) * 10.0**-DYNAMIC_RANGE)
    logs = np.log(np.maximum(energies, floor, out=energies), out=energies)
    # floored and scaled in fewer passes: (log10(e) + 4) / 4 = 1 + ln(e) / (4 ln 10)
    logs *= np.float32(0.25 / math.log(10.0))
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
        energies = _mel_energies(self._pending, count, self.n_mels)
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
