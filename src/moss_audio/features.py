"""Log-mel features, and the only formula between samples, frames, tokens and seconds.

The features are those of ``WhisperFeatureExtractor`` over the whole clip, not padded to 30 s
(specification, section 1.1): 25-ms Hann windows every 10 ms, slaney mel filters,
``log10(max(mel, 1e-10))``, floored 8 below the clip's maximum, then ``(x + 4) / 4``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from moss_audio.errors import AudioError

SAMPLE_RATE = 16_000
N_FFT = 400  # 25 ms
HOP_SAMPLES = 160  # 10 ms
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_SAMPLES  # 100
STEM_STRIDES = 3  # the encoder's stem halves the time axis three times
FRAMES_PER_TOKEN = 2**STEM_STRIDES  # 8 frames, 80 ms
TOKENS_PER_SECOND = FRAMES_PER_SECOND / FRAMES_PER_TOKEN  # 12.5

LOG_FLOOR = 1e-10
DYNAMIC_RANGE = 8.0  # in log10 units: 80 dB below the clip's maximum
# Frames transformed at once: large enough for the matrix product, small enough for the cache.
_BLOCK_FRAMES = 1024
_BAND_MELS = 16  # mel filters that are multiplied together


def num_frames(n_samples: int) -> int:
    """Mel frames of a clip of `n_samples` samples at 16 kHz."""
    return n_samples // HOP_SAMPLES


def num_tokens(n_frames: int) -> int:
    """Audio tokens of a clip of `n_frames` mel frames: halved (rounding up) three times."""
    length = n_frames
    for _ in range(STEM_STRIDES):
        length = (length - 1) // 2 + 1 if length > 0 else 0
    return length


def num_tokens_of_samples(n_samples: int) -> int:
    """Audio tokens of a clip of `n_samples` samples at 16 kHz."""
    return num_tokens(num_frames(n_samples))


def frames_to_seconds(n_frames: float) -> float:
    """Duration of `n_frames` mel frames, in seconds."""
    return n_frames / FRAMES_PER_SECOND


def tokens_to_seconds(n_tokens: float) -> float:
    """Duration of `n_tokens` audio tokens, in seconds."""
    return n_tokens / TOKENS_PER_SECOND


def seconds_to_samples(seconds: float) -> int:
    """Samples at 16 kHz nearest to `seconds`."""
    return round(seconds * SAMPLE_RATE)


def samples_to_seconds(n_samples: int) -> float:
    """Duration of `n_samples` samples at 16 kHz, in seconds."""
    return n_samples / SAMPLE_RATE


def _hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    linear = hz / (200.0 / 3)
    log = 15.0 + np.log(np.maximum(hz, 1e-3) / 1000.0) / (np.log(6.4) / 27.0)
    return np.where(hz >= 1000.0, log, linear)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(
        mel >= 15.0, 1000.0 * np.exp((np.log(6.4) / 27.0) * (mel - 15.0)), mel * 200 / 3
    )


@functools.lru_cache(maxsize=8)
def mel_filters(n_mels: int) -> torch.Tensor:
    """Slaney-normalised triangles from 0 to 8000 Hz, float32 `[n_fft // 2 + 1, n_mels]`."""
    bins = np.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    low, high = _hz_to_mel(np.array([0.0, SAMPLE_RATE / 2]))
    edges = _mel_to_hz(np.linspace(low, high, n_mels + 2))
    rise = (bins[:, None] - edges[None, :-2]) / np.diff(edges)[None, :-1]
    fall = (edges[None, 2:] - bins[:, None]) / np.diff(edges)[None, 1:]
    filters = np.maximum(0.0, np.minimum(rise, fall))
    filters *= 2.0 / (edges[2:] - edges[:-2])  # equal area
    return torch.from_numpy(filters.astype(np.float32))


@functools.lru_cache(maxsize=1)
def _window() -> torch.Tensor:
    return torch.hann_window(N_FFT, periodic=True, dtype=torch.float64)


@dataclass(frozen=True)
class _Band:
    """Neighbouring mel filters `[mels, 2 * bins]` and where they stand.

    A triangle covers few of the spectrum's bins, so a product over all of them would multiply
    zeros nine times out of ten. Each weight stands twice, for the real and the imaginary part.
    """

    mels: slice
    parts: slice  # of the 2 * (n_fft // 2 + 1) real and imaginary parts
    weights: torch.Tensor


@functools.lru_cache(maxsize=8)
def _bands(n_mels: int) -> tuple[_Band, ...]:
    filters = mel_filters(n_mels)
    bands = []
    for first in range(0, n_mels, _BAND_MELS):
        part = filters[:, first : first + _BAND_MELS]
        used = part.sum(1).nonzero()[:, 0]
        # very many filters are narrower than a bin, and some of them empty
        low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        weights = part[low:high].repeat_interleave(2, 0).T.contiguous()
        bands.append(
            _Band(slice(first, first + weights.shape[0]), slice(2 * low, 2 * high), weights)
        )
    return tuple(bands)


def _log_mel_frames(padded: torch.Tensor, n_frames: int, n_mels: int) -> torch.Tensor:
    """log10 mel energies `[n_mels, n_frames]` of padded samples; frame i starts at 160 i."""
    out = torch.empty(n_mels, n_frames)
    window, bands = _window(), _bands(n_mels)
    # float32 transforms blur what lies 80 dB below a pure tone by more than the features' 1e-4
    room = torch.empty(min(n_frames, _BLOCK_FRAMES), N_FFT, dtype=torch.float64)
    for first in range(0, n_frames, _BLOCK_FRAMES):
        last = min(first + _BLOCK_FRAMES, n_frames)
        block = padded[first * HOP_SAMPLES : (last - 1) * HOP_SAMPLES + N_FFT]
        frames = torch.mul(block.unfold(0, N_FFT, HOP_SAMPLES), window, out=room[: last - first])
        # real and imaginary parts side by side; their sum is left to the matrix product
        squares = torch.view_as_real(torch.fft.rfft(frames)).flatten(1)
        squares = torch.mul(squares, squares, out=squares).to(torch.float32)
        for band in bands:
            torch.mm(band.weights, squares[:, band.parts].T, out=out[band.mels, first:last])
    return out.clamp_(min=LOG_FLOOR).log10_()


def normalize_log_mel(log10_mel: torch.Tensor, maximum: float | torch.Tensor) -> torch.Tensor:
    """Floor log10 mel energies `DYNAMIC_RANGE` below the clip's `maximum` and scale them."""
    floored = torch.clamp(log10_mel, min=float(maximum) - DYNAMIC_RANGE)
    return floored.add_(4.0).mul_(0.25)


def _as_samples(samples: Any) -> torch.Tensor:
    tensor = torch.as_tensor(samples, dtype=torch.float32)
    if tensor.ndim != 1:
        raise AudioError(
            f"features need mono samples of shape [n], got shape {tuple(tensor.shape)}"
        )
    return tensor


def _reflect_pad(samples: torch.Tensor, left: int, right: int) -> torch.Tensor:
    if samples.shape[0] > max(left, right):
        # one copy, several times faster than torch's own reflection
        return torch.cat([samples[1 : left + 1].flip(0), samples, samples[-right - 1 : -1].flip(0)])
    # a reflection of more than the clip holds folds as often as it needs to
    return torch.from_numpy(np.pad(samples.numpy(), (left, right), mode="reflect"))


def log_mel(samples: np.ndarray | torch.Tensor, n_mels: int = 128) -> torch.Tensor:
    """Log-mel features of a whole clip.

    Args:
        samples: float mono samples `[n]` at 16 kHz.
        n_mels: mel bins (128 in the released models).

    Returns:
        float32 `[n_mels, n // 160]`; no frame at all below 160 samples.

    Raises:
        AudioError: if the samples are not one-dimensional.

    Source: specification section 1.1.
    """
    clip = _as_samples(samples).cpu()
    n_frames = num_frames(clip.shape[0])
    if n_frames == 0:
        return torch.empty(n_mels, 0)
    padded = _reflect_pad(clip, N_FFT // 2, N_FFT // 2)
    log10_mel = _log_mel_frames(padded, n_frames, n_mels)
    # The extractor takes the maximum over one frame more than it keeps only on its padded input;
    # over a whole clip both drop the last frame first.
    return normalize_log_mel(log10_mel, log10_mel.max())


class LogMelStream:
    """Log-mel features of samples that arrive in blocks of any size.

    `push` and `finish` return the log10 energies of the frames that have become certain; the
    concatenation of all blocks, given to `normalize_log_mel` with `maximum`, equals `log_mel` of
    the whole clip. The floor depends on the clip's maximum, which only the end of the clip knows,
    so a caller that cannot wait normalises with the maximum so far.
    """

    def __init__(self, n_mels: int = 128) -> None:
        self.n_mels = n_mels
        self.maximum = float("-inf")
        self.n_samples = 0
        self._frames_out = 0
        self._pending = torch.empty(0)  # samples not yet fully used, without the left padding
        self._started = False

    def push(self, samples: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Add samples `[n]`; returns log10 mel frames `[n_mels, k]`, k >= 0."""
        block = _as_samples(samples).cpu()
        self.n_samples += block.shape[0]
        self._pending = torch.cat([self._pending, block])
        if not self._started:
            # the left reflection needs the first 200 samples and one more
            if self._pending.shape[0] <= N_FFT // 2:
                return torch.empty(self.n_mels, 0)
            self._pending = torch.nn.functional.pad(
                self._pending[None], (N_FFT // 2, 0), mode="reflect"
            )[0]
            self._started = True
        ready = max(0, (self._pending.shape[0] - N_FFT) // HOP_SAMPLES + 1)
        return self._emit(min(ready, num_frames(self.n_samples) - self._frames_out))

    def finish(self) -> torch.Tensor:
        """No more samples: the remaining frames `[n_mels, k]`."""
        if not self._started:
            if num_frames(self.n_samples) == 0:
                return torch.empty(self.n_mels, 0)
            self._pending = _reflect_pad(self._pending, N_FFT // 2, N_FFT // 2)
            self._started = True
        else:
            tail = self._pending
            self._pending = torch.cat([tail, tail[-N_FFT // 2 - 1 : -1].flip(0)])
        return self._emit(num_frames(self.n_samples) - self._frames_out)

    def _emit(self, count: int) -> torch.Tensor:
        if count <= 0:
            return torch.empty(self.n_mels, 0)
        frames = _log_mel_frames(self._pending, count, self.n_mels)
        # Keep what the right reflection at the end may need: 200 samples and one more.
        used = min(count * HOP_SAMPLES, max(0, self._pending.shape[0] - N_FFT // 2 - 1))
        used -= used % HOP_SAMPLES
        keep_frames = count - used // HOP_SAMPLES
        if keep_frames:
            raise AssertionError("a frame was emitted whose samples must be kept")
        self._pending = self._pending[used:]
        self._frames_out += count
        self.maximum = max(self.maximum, float(frames.max()))
        return frames
