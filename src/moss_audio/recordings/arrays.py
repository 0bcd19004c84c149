"""Samples in memory: what counts as an array, which axis is the channels, and its chunks.

Private to the audio loader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from moss_audio.errors import AudioError
from moss_audio.recordings.mix import CHUNK_S, Chunk
from moss_audio.recordings.names import one_line
from moss_audio.recordings.resample import MAX_CHANNELS, check_rate


def is_array(x: Any) -> bool:
    """Whether ``x`` is a bare array of samples: numpy's, or a tensor of another library's."""
    if isinstance(x, np.ndarray):
        return True
    return hasattr(x, "shape") and hasattr(x, "dtype") and hasattr(x, "__array__")


def with_rate(x: Any) -> Any:
    """(array, rate) for a row of a Hugging Face data set, {"array": ..., "sampling_rate": ...};
    anything else as it is."""
    if isinstance(x, Mapping) and "array" in x and "sampling_rate" in x:
        return x["array"], x["sampling_rate"]
    return x


def describe_array(x: Any) -> str:
    """``<array [2, 16000] float32>``."""
    return f"<array {list(x.shape)} {x.dtype}>"


class ArraySource:
    """Samples in memory: an array [n], [channels, n] or [n, channels] at ``rate`` Hz.

    Raises ``AudioError`` from the constructor for what is not a recording's samples or rate.
    """

    def __init__(self, x: Any, rate: Any, name: str) -> None:
        if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
            raise AudioError(f"{name}: sample rate {rate!r} is not a number")
        self.name = name
        self.warnings: list[str] = []
        self.flawed = False
        self._samples = _channels_first(_as_numpy(x, name), name)
        self._rate = check_rate(rate, name)

    def chunks(self, from_s: float) -> Iterator[Chunk]:
        step = max(1, int(CHUNK_S * self._rate))
        total = self._samples.shape[1]
        for first in range(min(int(from_s * self._rate), max(0, total - 1)), total, step):
            yield Chunk(self._rate, first, self._samples[:, first : first + step])

    def duration_s(self) -> float:
        return self._samples.shape[1] / self._rate

    def cut_short(self, decoded_s: float) -> str | None:
        return None


def _as_numpy(x: Any, name: str) -> np.ndarray:
    try:
        # A tensor that training watches must be let go of first.
        return np.asarray(x.detach() if callable(getattr(x, "detach", None)) else x)
    except Exception as error:  # of any library that makes tensors
        device = getattr(x, "device", "cpu")
        if str(device) != "cpu":
            raise AudioError(f"{name} is on {device}; move it to the CPU first: x.cpu()") from error
        raise AudioError(f"{name}: cannot be read as an array ({one_line(error)})") from error


def _channels_first(x: np.ndarray, name: str) -> np.ndarray:
    if x.ndim not in (1, 2):
        raise AudioError(f"{name}: expected [n], [channels, n] or [n, channels]")
    if x.size == 0:
        raise AudioError(f"{name} is empty (0 samples)")
    if x.dtype.kind != "f" and x.dtype.newbyteorder("=") not in (
        np.int8, np.uint8, np.int16, np.int32,
    ):  # fmt: skip
        # int64 and the like have no full scale that recordings use; a guess would be silence
        raise AudioError(f"{name}: convert it to float (full scale 1), int16 or int32 first")
    if x.ndim == 1:
        return x[None]
    if x.shape[0] > x.shape[1]:
        x = x.T
    if x.shape[0] > MAX_CHANNELS:
        raise AudioError(f"{name} would be {x.shape[0]} channels; at most {MAX_CHANNELS} are taken")
    return x
