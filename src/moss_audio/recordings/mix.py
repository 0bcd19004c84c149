"""Channels -> mono, in blocks whose borders depend on nothing but the place in the recording.

Private to the audio loader. The mix is the mean of the channels, unless they cancel each other (a
wrongly wired cable turns one of them upside down): then one channel is heard alone. That is
decided for each half second of the recording by itself, so that a part is mixed as the whole is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

CHUNK_S = 0.5

# A mix whose energy is below a hundredth of the channels' has lost the recording. Channels that
# have nothing in common keep one part in as many as there are, which are at most 64.
LOST_ENERGY = 0.01
SILENT_ENERGY = 1e-10  # of a sample: 100 dB below full scale
FADE_S = 0.01

_FULL_SCALE = {np.dtype(np.int8): 2.0**7, np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}


@dataclass(frozen=True)
class Chunk:
    """Samples [channels, n] at ``rate`` Hz, of any type that recordings have; ``first`` is the
    index of the first one in the whole source, counted at that rate."""

    rate: int
    first: int
    samples: np.ndarray


def mono_chunks(chunks: Iterable[Chunk], name: str, warnings: list[str]) -> Iterator[Chunk]:
    """Chunks of any size -> mono float32 chunks [n] of at most ``CHUNK_S``, integers divided by
    their full scale; a line in ``warnings`` where channels cancel each other."""
    before = -1  # the channel that was heard alone at the end of the block before; -1: the mean
    for block in _blocks(chunks):
        mono = downmix(block.samples)
        alone = _channel_to_hear(block.samples, mono)
        if max(alone, before) >= 0:
            mono = _faded(block, mono, before, alone)
        if alone >= 0 and not any(line.endswith(_CANCEL) for line in warnings):
            warnings.append(f"{name}: from {block.first / block.rate:.2f} s on {_CANCEL}")
        before = alone
        yield Chunk(block.rate, block.first, mono)


_CANCEL = (
    "its channels cancel each other (opposite phase), so one of them was heard instead of "
    "their mix; check the wiring"
)


def downmix(samples: np.ndarray) -> np.ndarray:
    """[channels, n] of floats or signed integers (uint8: offset 128) -> [n] float32, the mean of
    the channels; integers are divided by their full scale."""
    samples, scale = _signed(samples)
    if len(samples) == 1:
        mono = samples[0].astype(np.float64 if samples.dtype.itemsize > 2 else np.float32)
    else:
        mono = samples[0].astype(np.float64)
        for channel in samples[1:]:  # much faster than numpy's mean over interleaved channels
            mono += channel
        mono /= len(samples)
    with np.errstate(over="ignore"):  # a float64 beyond float32 turns inf, which is reported
        return (mono / scale).astype(np.float32)


def _signed(samples: np.ndarray) -> tuple[np.ndarray, float]:
    """Samples around 0, and their full scale."""
    if samples.dtype == np.uint8:
        return samples.astype(np.int16) - np.int16(128), 2.0**7
    return samples, _FULL_SCALE.get(samples.dtype.newbyteorder("="), 1.0)


def _channel_to_hear(samples: np.ndarray, mono: np.ndarray) -> int:
    """The channel to hear in the place of the mean, -1 if the mean is right."""
    if len(samples) == 1:
        return -1
    raw, scale = _signed(samples)
    with np.errstate(over="ignore"):
        single = raw.astype(np.float32, order="C")
    energies = [float(np.dot(one, one)) / len(one) / scale**2 for one in single]
    mean = sum(energies) / len(energies)
    lost = float(np.dot(mono, mono)) / len(mono) < LOST_ENERGY * mean
    if not (lost and mean > SILENT_ENERGY):  # not a number: reported where it is met
        return -1
    return next(i for i, energy in enumerate(energies) if energy >= max(energies) / 2)


def _faded(block: Chunk, mono: np.ndarray, before: int, alone: int) -> np.ndarray:
    """What is to be heard in a block, after a short fade from what the block before had."""
    new = mono if alone < 0 else downmix(block.samples[alone : alone + 1])
    if before == alone or before >= len(block.samples):
        return new
    old = mono if before < 0 else downmix(block.samples[before : before + 1])
    n = min(len(new), max(1, round(FADE_S * block.rate)))
    rising = np.arange(1, n + 1, dtype=np.float32) / np.float32(n)
    return np.concatenate([old[:n] + (new[:n] - old[:n]) * rising, new[n:]])


def _blocks(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The same samples in blocks that end at multiples of ``CHUNK_S``, and where rate, channels
    or type of the samples change."""
    waiting: list[np.ndarray] = []
    kind: tuple[int, int, np.dtype] | None = None
    first = end = stop = 0
    for chunk in chunks:
        samples, at = chunk.samples, chunk.first
        now = (chunk.rate, len(samples), samples.dtype)
        step = max(1, int(CHUNK_S * chunk.rate))
        if now != kind or at != end:
            if waiting and kind is not None:
                yield Chunk(kind[0], first, np.concatenate(waiting, axis=1))
            waiting, kind, first = [], now, at
            stop = (at // step + 1) * step
        end = at + samples.shape[1]
        while end >= stop:
            waiting.append(samples[:, : stop - at])
            yield Chunk(chunk.rate, first, np.concatenate(waiting, axis=1))
            samples, at, first = samples[:, stop - at :], stop, stop
            waiting, stop = [], stop + step
        if samples.shape[1]:
            waiting.append(samples)
    if waiting and kind is not None:
        yield Chunk(kind[0], first, np.concatenate(waiting, axis=1))
