"""Long recordings: windows that end in silence, cut while reading.

A window is at most so long as the checkpoint handles well. Windows are cut at the quietest moment
of their last third, which is a pause in speech almost always, and never shorter than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio.errors import MossAudioError
from moss_audio.units import SAMPLE_RATE, samples_to_seconds, seconds_to_samples

# A recording whose loudest 20 ms stay below this has no audible speech: normal speech lies above
# -40 dBFS, whispering in a badly set recording above -60; 16-bit dither lies near -93.
SILENCE_DBFS = -65.0
_FRAME_SAMPLES = SAMPLE_RATE // 50  # 20 ms
_SMOOTH_FRAMES = 15  # a pause of 0.3 s is what a cut looks for
_CUT_FROM = 2 / 3  # the cut lies in the last third of a window
_REST_S = 1.0  # and leaves at least this much for the next one
_SHORTEST_S = 3 * _REST_S


@dataclass(frozen=True, eq=False)
class Window:
    """A stretch of a recording: samples `[n]` at 16 kHz, and the second in which they begin."""

    samples: np.ndarray
    start_s: float


def frame_energy(samples: np.ndarray) -> np.ndarray:
    """Mean power of every 20 ms (the last frame may be shorter), float64 `[ceil(n / 320)]`."""
    n_frames = -(-len(samples) // _FRAME_SAMPLES)
    if n_frames == 0:
        return np.zeros(0)
    power = np.square(samples, dtype=np.float64)
    sums = np.add.reduceat(power, np.arange(0, len(power), _FRAME_SAMPLES))
    counts = np.full(n_frames, float(_FRAME_SAMPLES))
    counts[-1] = len(power) - _FRAME_SAMPLES * (n_frames - 1)
    return sums / counts


def is_silent(samples: np.ndarray, threshold_dbfs: float = SILENCE_DBFS) -> bool:
    """Whether no 20 ms of samples `[n]` reach `threshold_dbfs` (0 dBFS: mean power 1)."""
    energy = frame_energy(samples)
    return not len(energy) or bool(energy.max() < 10 ** (threshold_dbfs / 10))


def cut_point(samples: np.ndarray, first: int, last: int) -> int:
    """The sample in [first, last) where a cut hurts least: the middle of the quietest 0.3 s."""
    part = samples[first:last]
    energy = frame_energy(part)
    if len(energy) <= _SMOOTH_FRAMES:
        return (first + last) // 2
    smooth = np.convolve(energy, np.full(_SMOOTH_FRAMES, 1 / _SMOOTH_FRAMES), mode="valid")
    # of equally quiet places (digital silence) the last one, so that windows stay long
    quietest = np.flatnonzero(smooth <= smooth.min() * 1.01 + 1e-12)[-1]
    return first + int(quietest + _SMOOTH_FRAMES // 2) * _FRAME_SAMPLES


def check_window(window_s: Any) -> None:
    """Raises MossAudioError unless a window of so many seconds is of use."""
    number = isinstance(window_s, int | float) and not isinstance(window_s, bool)
    if not number or not math.isfinite(window_s) or window_s < _SHORTEST_S:
        raise MossAudioError(f"window_s={window_s!r}: give seconds, {_SHORTEST_S:g} or more")


def windows(blocks: Iterable[np.ndarray], window_s: float) -> Iterator[Window]:
    """Cut blocks `[n]` of samples into windows of at most `window_s` seconds.

    Holds little more than one window and one block. The windows join to exactly the samples.

    Raises:
        MossAudioError: if `window_s` is not at least 3 seconds.
    """
    cutter = WindowCutter(window_s)
    for block in blocks:
        yield from cutter.push(block)
    yield from cutter.finish()


class WindowCutter:
    """Cuts samples that come in blocks into windows: each as soon as its end is certain.

    Args:
        window_s: seconds of the longest.

    Raises:
        MossAudioError: if that is not at least 3.
    """

    def __init__(self, window_s: float) -> None:
        check_window(window_s)
        self._longest, self._rest = seconds_to_samples(window_s), seconds_to_samples(_REST_S)
        self._pending = np.zeros(0, np.float32)
        self._start = 0

    def push(self, block: np.ndarray) -> Iterator[Window]:
        """The windows that end with a further block `[n]`."""
        longest = self._longest
        self._pending = np.concatenate([self._pending, block]) if len(self._pending) else block
        while len(self._pending) > longest + self._rest:
            yield self._cut(cut_point(self._pending, round(longest * _CUT_FROM), longest))

    def finish(self) -> Iterator[Window]:
        """There are no more samples: the last windows."""
        longest = self._longest
        while len(self._pending) > longest:  # between one window and one window and a second
            last = min(longest, len(self._pending) - self._rest)
            first = min(round(longest * _CUT_FROM), last - 1)
            yield self._cut(cut_point(self._pending, first, last))
        if len(self._pending):
            yield self._cut(len(self._pending))

    def _cut(self, at: int) -> Window:
        window = Window(self._pending[:at].copy(), samples_to_seconds(self._start))
        self._pending, self._start = self._pending[at:], self._start + at
        return window
