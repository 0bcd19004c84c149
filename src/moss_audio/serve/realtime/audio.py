"""Sound as clients append it -> samples at 16 kHz, with state across appends."""

from __future__ import annotations

import numpy as np
import soxr

from moss_audio.serve.realtime.config import AudioFormat
from moss_audio.units import SAMPLE_RATE

_EMPTY = np.empty(0, np.float32)


class AppendedAudio:
    """One stream of bytes: a sample may be split between two appends, and one resampler goes
    through all of them, so that it does not matter where they are cut."""

    def __init__(self, form: AudioFormat) -> None:
        self._table = _TABLES.get(form.type)
        self._rate = form.hertz
        self._rest = b""
        self._resampler: soxr.ResampleStream | None = None
        self._begin()

    def push(self, data: bytes) -> np.ndarray:
        """The next samples, float32 `[n]` at 16 kHz; the resampler keeps the last few."""
        if self._table is not None:
            samples = self._table[np.frombuffer(data, np.uint8)]
        else:
            data = self._rest + data
            whole = len(data) & ~1
            self._rest = data[whole:]
            samples = np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32768)
        if self._resampler is None or not len(samples):
            return samples
        return self._resampler.resample_chunk(samples)

    def n_samples(self, data: bytes) -> int:
        """Samples at 16 kHz that are in data."""
        count = len(data) if self._table is not None else (len(self._rest) + len(data)) // 2
        return round(count * SAMPLE_RATE / self._rate)

    @property
    def n_kept(self) -> int:
        """Samples that `finish` would give."""
        return 0 if self._resampler is None else round(self._resampler.delay())

    def finish(self) -> np.ndarray:
        """The samples that were kept. What is pushed after that is another stream."""
        kept = _EMPTY
        if self._resampler is not None:
            kept = self._resampler.resample_chunk(_EMPTY, last=True)
        self._begin()
        return kept

    def _begin(self) -> None:
        self._rest = b""
        if self._rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(self._rate, SAMPLE_RATE, 1, dtype="float32")


def encoded(samples: np.ndarray, form: AudioFormat) -> bytes:
    """Samples `[n]` at 16 kHz as a client would have sent them."""
    if form.hertz != SAMPLE_RATE:
        samples = soxr.resample(samples, SAMPLE_RATE, form.hertz)
    if form.type not in _TABLES:
        return (np.clip(samples, -1, 1 - 2**-15) * 32768).round().astype("<i2").tobytes()
    table = _TABLES[form.type]
    order = np.argsort(table, kind="stable").astype(np.uint8)
    values = table[order]
    above = np.searchsorted(values, samples).clip(1, len(values) - 1)
    nearer = samples - values[above - 1] < values[above] - samples
    return order[above - nearer].tobytes()


def _mu_law() -> np.ndarray:
    code = ~np.arange(256) & 0xFF
    size = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -size, size)


def _a_law() -> np.ndarray:
    code = np.arange(256) ^ 0x55
    exponent = (code & 0x70) >> 4
    size = ((code & 0x0F) << 4) + 8 + np.where(exponent, 0x100, 0)
    size <<= np.maximum(exponent - 1, 0)
    return np.where(code & 0x80, size, -size)


# Samples of the codes of G.711.
_TABLES = {
    name: (values / 32768).astype(np.float32)
    for name, values in (("audio/pcmu", _mu_law()), ("audio/pcma", _a_law()))
}
