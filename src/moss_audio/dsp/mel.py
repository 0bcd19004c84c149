"""Log-mel features.

The features are those of ``WhisperFeatureExtractor`` over the whole clip, not padded to 30 s
(specification, section 1.1): 25-ms Hann windows every 10 ms, slaney mel filters,
``log10(max(mel, 1e-10))``, floored 8 below the clip's maximum, then ``(x + 4) / 4``.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from moss_audio.errors import AudioError
from moss_audio.units import HOP_SAMPLES, SAMPLE_RATE, num_frames

N_FFT = 400  # 25 ms

LOG_FLOOR = 1e-10
DYNAMIC_RANGE = 8.0  # in log10 units: 80 dB below the clip's maximum
# Frames transformed at once: few calls, and memory that the allocator keeps between them.
_BLOCK_FRAMES = 1024
# Multiplications that a call to the matrix product and a column of its input cost beside its own.
_CALL_COST, _COLUMN_COST = 40_000, 20
# A float32 transform blurs what lies far below the frame's strongest bin. Below this share of it
# the blur may reach 4e-5 in the features, and the frame is transformed again in float64.
_FAINT = 3e-7


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
def mel_filters(n_mels: int) -> torch.Tensor:
    """Slaney-normalised triangles from 0 to 8000 Hz, float32 `[n_fft // 2 + 1, n_mels]`."""
    bins = np.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    low, high = hz_to_mel(np.array([0.0, SAMPLE_RATE / 2]))
    edges = _mel_to_hz(np.linspace(low, high, n_mels + 2))
    rise = (bins[:, None] - edges[None, :-2]) / np.diff(edges)[None, :-1]
    fall = (edges[None, 2:] - bins[:, None]) / np.diff(edges)[None, 1:]
    filters = np.maximum(0.0, np.minimum(rise, fall))
    filters *= 2.0 / (edges[2:] - edges[:-2])  # equal area
    return torch.from_numpy(filters.astype(np.float32))


@functools.lru_cache(maxsize=2)
def _window(dtype: torch.dtype) -> torch.Tensor:
    return torch.hann_window(N_FFT, periodic=True, dtype=torch.float64).to(dtype)


@dataclass(frozen=True)
class _Band:
    """Neighbouring mel filters `[mels, 2 * bins]` and where they stand.

    A triangle covers few of the spectrum's bins, so a product over all of them would multiply
    zeros nine times out of ten. Each weight stands twice, for the real and the imaginary part.
    """

    mels: slice
    parts: slice  # of the 2 * (n_fft // 2 + 1) real and imaginary parts
    weights: torch.Tensor


@dataclass(frozen=True)
class _Filters:
    """The mel filters as they are multiplied, and what a strong bin does to the faint ones.

    Attributes:
        bands: together all filters, cut where the products cost least.
        whole: the filters in one piece, `[mels, 2 * bins]`.
        peaks: `[mels, 1]`; a filter's energy times this is at least its strongest bin's.
        faint: `[mels, 1]`; a strongest bin's energy times this is a filter's trusted energy.
        most_faint: the largest `peaks` times the largest `faint`: a first, coarse test.
    """

    bands: tuple[_Band, ...]
    whole: torch.Tensor
    peaks: torch.Tensor
    faint: torch.Tensor
    most_faint: float


@functools.lru_cache(maxsize=8)
def _filters(n_mels: int) -> _Filters:
    weights = mel_filters(n_mels)
    used = [weights[:, mel].nonzero()[:, 0].tolist() for mel in range(n_mels)]
    bands = []
    for first, last in _cheapest_cuts(used):
        bins = [b for mel in range(first, last) for b in used[mel]]
        low, high = (min(bins), max(bins) + 1) if bins else (0, 1)
        part = weights[low:high, first:last].repeat_interleave(2, 0).T.contiguous()
        bands.append(_Band(slice(first, last), slice(2 * low, 2 * high), part))
    # with very many filters some are narrower than a bin and hold nothing
    largest = weights.amax(0)[:, None]
    peaks = torch.where(largest > 0, 1.0 / largest, 0.0)
    faint = _FAINT * weights.sum(0)[:, None]
    whole = weights.repeat_interleave(2, 0).T.contiguous()
    return _Filters(tuple(bands), whole, peaks, faint, float(peaks.max() * faint.max()))


def _cheapest_cuts(used: list[list[int]]) -> list[tuple[int, int]]:
    """Runs of filters `(first, last)` whose products cost least in all (dynamic programming)."""
    best, start = [0.0], [0]
    for last in range(1, len(used) + 1):
        costs = []
        low, high = N_FFT, 0
        for first in range(last - 1, -1, -1):
            if used[first]:
                low, high = min(low, used[first][0]), max(high, used[first][-1] + 1)
            columns = 2 * max(high - low, 1) * _BLOCK_FRAMES
            products = columns * (last - first + _COLUMN_COST)
            costs.append((best[first] + _CALL_COST * _COLUMN_COST + products, first))
        cost, first = min(costs)
        best.append(cost)
        start.append(first)
    cuts = []
    last = len(used)
    while last:
        cuts.append((start[last], last))
        last = start[last]
    return cuts[::-1]


def _squares(frames: torch.Tensor) -> torch.Tensor:
    """Windowed frames `[n, N_FFT]` to squared real and imaginary parts `[n, N_FFT + 2]`, side by
    side: their sum is left to the matrix product."""
    parts = torch.view_as_real(torch.fft.rfft(frames)).flatten(1)
    return torch.mul(parts, parts, out=parts)


def _mel_energies(padded: torch.Tensor, n_frames: int, n_mels: int) -> torch.Tensor:
    """Mel energies `[n_mels, n_frames]` of padded samples; frame i starts at 160 i."""
    out = torch.empty(n_mels, n_frames)
    window, bands = _window(torch.float32), _filters(n_mels).bands
    frames = padded.unfold(0, N_FFT, HOP_SAMPLES)
    room = torch.empty(min(n_frames, _BLOCK_FRAMES), N_FFT)
    for first in range(0, n_frames, _BLOCK_FRAMES):
        last = min(first + _BLOCK_FRAMES, n_frames)
        squares = _squares(torch.mul(frames[first:last], window, out=room[: last - first]))
        for band in bands:
            torch.mm(band.weights, squares[:, band.parts].T, out=out[band.mels, first:last])
    return out


def _refine(energies: torch.Tensor, padded: torch.Tensor, maximum: float) -> float:
    """Replace in `energies` `[n_mels, n_frames]` what float32 cannot tell from a stronger bin.

    Only what lies above the clip's floor is looked at: beside a pure tone, or the loudest vowels
    of a very clean recording.

    Args:
        maximum: the largest energy of the frames before these.

    Returns:
        The largest energy so far.
    """
    filters = _filters(energies.shape[0])
    strongest = energies.amax(0)
    maximum = max(maximum, float(strongest.max()))
    floor = _floor(maximum)
    if maximum * filters.most_faint <= floor:
        return maximum
    suspects = (energies.amin(0).clamp_(min=floor) < strongest * filters.most_faint).nonzero()[:, 0]
    if not len(suspects):
        return maximum
    part = energies.index_select(1, suspects)
    bad = part.clamp(min=floor) < (part * filters.peaks).amax(0) * filters.faint
    some = bad.any(0).nonzero()[:, 0]
    suspects, part, bad = suspects[some], part.index_select(1, some), bad.index_select(1, some)
    frames = padded.unfold(0, N_FFT, HOP_SAMPLES)
    for first in range(0, len(suspects), _BLOCK_FRAMES):
        block = slice(first, first + _BLOCK_FRAMES)
        windowed = frames.index_select(0, suspects[block]) * _window(torch.float64)
        exact = filters.whole @ _squares(windowed).to(torch.float32).T
        better = torch.where(bad[:, block], exact, part[:, block])
        energies.index_copy_(1, suspects[block], better)
    return maximum


def _floor(maximum: float) -> float:
    """The energy below which features are cut off."""
    return max(LOG_FLOOR, maximum * 10.0**-DYNAMIC_RANGE)


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
    energies = _mel_energies(padded, n_frames, n_mels)
    # The extractor takes the maximum over one frame more than it keeps only on its padded input;
    # over a whole clip both drop the last frame first.
    maximum = _refine(energies, padded, 0.0)
    # floored and scaled in fewer passes: (log10(e) + 4) / 4 = 1 + ln(e) / (4 ln 10)
    logs = energies.clamp_(min=_floor(maximum)).log_()
    return logs.mul_(0.25 / math.log(10.0)).add_(1.0)


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
        self._loudest = 0.0  # the largest energy so far: 10 to the `maximum`
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
        energies = _mel_energies(self._pending, count, self.n_mels)
        self._loudest = _refine(energies, self._pending, self._loudest)
        frames = energies.clamp_(min=LOG_FLOOR).log10_()
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
