"""Mono blocks at 16 kHz from chunks at any rate: mixed, resampled, trimmed, in bounded memory.

Private to the audio loader. A source (encoded media, or an array in memory) gives ``Chunk``s of
samples at its own rate, from any second on; ``to_16k`` mixes them, resamples with soxr and trims.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import soxr

from moss_audio.errors import AudioError
from moss_audio.recordings.mix import Chunk, mono_chunks
from moss_audio.units import SAMPLE_RATE

MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 768_000
MAX_CHANNELS = 64

SEEK_FROM_S = 20.0  # nearer starts are reached by decoding, which needs no trust in time stamps
CODEC_PREROLL_S = 0.5  # lossy decoders need earlier packets (mp3's bit reservoir, Opus's 80 ms)
FILTER_MARGIN_S = 0.25  # far longer than the resampling filter reaches, at any rate

LOUD_PEAK = 100.0  # full scale is 1; a hundred times that is a scaling mistake, not loudness


class SampledSource(Protocol):
    """What ``to_16k`` reads. ``chunks(from_s)`` may start earlier than asked, never later."""

    name: str
    warnings: list[str]
    flawed: bool  # whether a warning says that samples are lost or wrong

    def chunks(self, from_s: float) -> Iterator[Chunk]: ...

    def cut_short(self, decoded_s: float) -> str | None:
        """How it shows that more was recorded than ``decoded_s``; None when all is there."""


def check_rate(rate: Any, name: str) -> int:
    """The number ``rate`` as an integer in Hz; ``AudioError`` if no recording has such a rate."""
    if not (math.isfinite(rate) and MIN_RATE_HZ <= rate <= MAX_RATE_HZ and rate == int(rate)):
        raise AudioError(
            f"{name}: sample rate {rate} Hz; expected a whole number "
            f"from {MIN_RATE_HZ} to {MAX_RATE_HZ}"
        )
    return int(rate)


def to_16k(source: SampledSource, start: int, end: int | None) -> Iterator[np.ndarray]:
    """Blocks of any size [n] float32 that together are samples ``start`` to ``end`` (16 kHz).

    Up to the seek threshold the result is the slice of the whole decode, bit for bit. Beyond it,
    resampling starts at an input sample that falls on an output sample, well before ``start``:
    equal bit for bit at 16 kHz, within float rounding (1e-6) at the usual rates, and within the
    resampler's own phase error (1e-4) at odd ones such as 11127 Hz.
    """
    start_s = start / SAMPLE_RATE
    # 1 s: no rate needs more to find an input sample on the 16 kHz grid (see ``_grid_start``).
    from_s = max(0.0, start_s - 1.0 - FILTER_MARGIN_S - CODEC_PREROLL_S)
    if from_s <= SEEK_FROM_S:
        from_s = 0.0
    resampler: soxr.ResampleStream | None = None
    rate = skip = 0
    position = 0  # 16 kHz index of the next sample out of the resampler
    peak = 0.0
    given = 0
    # A last empty chunk flushes the resampler.
    mono = mono_chunks(source.chunks(from_s), source.name, source.warnings)
    for chunk in itertools.chain(mono, [None]):
        outs: list[np.ndarray] = []
        if chunk is None or chunk.rate != rate:
            if resampler is not None:
                outs.append(resampler.resample_chunk(np.empty(0, np.float32), last=True))
            resampler = None
        if chunk is not None:
            samples = chunk.samples
            _check_finite(samples, chunk.first / chunk.rate, source.name)
            if not rate:
                skip, position = _grid_start(chunk, start)
            elif chunk.rate != rate:  # before the grid start was reached: go on from here
                position, skip = position - round(skip * SAMPLE_RATE / rate), 0
            samples, skip = samples[skip:], max(0, skip - len(samples))
            if chunk.rate != rate:
                rate = chunk.rate
                if rate != SAMPLE_RATE:
                    resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
            outs.append(samples if resampler is None else resampler.resample_chunk(samples))
        for out in outs:
            _check_finite(out, position / SAMPLE_RATE, source.name)
            block = out[max(0, start - position) : None if end is None else max(0, end - position)]
            position += len(out)
            if len(block):
                peak = max(peak, float(block.max()), -float(block.min()))
                given += len(block)
                yield block
        if end is not None and position >= end:
            break
    else:
        seconds = position / SAMPLE_RATE
        evidence = source.cut_short(seconds)
        if evidence:
            source.flawed = True
            source.warnings.append(
                f"{source.name} is cut short: {seconds:.2f} s could be decoded, and {evidence}"
            )
    if skip:  # the source ended before the grid start
        position -= round(skip * SAMPLE_RATE / rate)
    if position <= 0:
        raise AudioError(f"{source.name} holds no audio samples")
    if not given:
        raise AudioError(
            f"{source.name}: start {start_s:.2f} s is past the end, {position / SAMPLE_RATE:.2f} s"
        )
    if peak > LOUD_PEAK:
        source.flawed = True
        source.warnings.append(
            f"{source.name}: samples reach {peak:.4g} where full scale is 1; "
            "integer samples stored as floats must be divided by their full scale"
        )


def _grid_start(chunk: Chunk, start: int) -> tuple[int, int]:
    """Where to start resampling: (samples of ``chunk`` to skip, 16 kHz index of the next one).

    The input sample chosen lies on the output grid, so that the resampling phase is that of a
    decode from the beginning, and at least ``FILTER_MARGIN_S`` before ``start``.
    """
    if chunk.first == 0:
        return 0, 0
    common = math.gcd(chunk.rate, SAMPLE_RATE)
    step, out_step = chunk.rate // common, SAMPLE_RATE // common
    margin = math.ceil(FILTER_MARGIN_S * SAMPLE_RATE)
    k = max((start - margin) // out_step, -(-chunk.first // step))
    return k * step - chunk.first, k * out_step


def _check_finite(samples: np.ndarray, at_s: float, name: str) -> None:
    if not np.isfinite(samples).all():
        raise AudioError(
            f"{name} has NaN, infinite or overflowing samples near {at_s:.2f} s; repair it first"
        )
