"""Rooms: the impulse response of a shoebox by the image-source method, and simple echoes.

A shoebox's first reflections come from mirrored sources (Allen and Berkley, 1979); what follows is
noise that decays with the room's reverberation time. A simple echo is that noise alone. The direct
sound is at sample 0 in both: a room delays nothing, so times stay as they were.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from moss_audio.units import SAMPLE_RATE

_SOUND_M_PER_S = 343.0
_EARLY_S = 0.06
_LONGEST_TAIL_S = 0.9
_SIXTY_DB = 6.9  # nepers


@dataclass(frozen=True)
class Room:
    """A shoebox in metres with a source and a microphone in it."""

    size_m: tuple[float, float, float]
    source_m: tuple[float, float, float]
    microphone_m: tuple[float, float, float]
    rt60_s: float

    @property
    def distance_m(self) -> float:
        """From the source to the microphone."""
        return float(np.linalg.norm(np.subtract(self.source_m, self.microphone_m)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "distance_m": round(self.distance_m, 2)}


def draw_room(rng: np.random.Generator) -> Room:
    """From a bathroom to a hall, the source 0.3 m or more from the microphone."""
    size = np.array([rng.uniform(2.2, 12.0), rng.uniform(2.0, 9.0), rng.uniform(2.3, 4.5)])
    # A small room with a long echo would need walls of stone: the time grows with the volume.
    rt60 = float(rng.uniform(0.12, 0.3) + 0.5 * rng.random() * (np.prod(size) / 486.0) ** (1 / 3))
    while True:
        source = rng.uniform(0.2, size - 0.2)
        microphone = rng.uniform(0.2, size - 0.2)
        if np.linalg.norm(source - microphone) >= 0.3:
            break

    def metres(values: np.ndarray) -> tuple[float, float, float]:
        x, y, z = (round(float(v), 2) for v in values)
        return x, y, z

    return Room(metres(size), metres(source), metres(microphone), round(rt60, 3))


def impulse_response(room: Room, rng: np.random.Generator) -> np.ndarray:
    """float64 [n] at 16 kHz; the direct sound is 1 at sample 0. `rng` draws the late tail."""
    size = np.array(room.size_m)
    volume = float(np.prod(size))
    surface = 2 * float(size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    # Sabine's formula, solved for the mean absorption; a room cannot absorb more than all.
    absorption = min(0.95, 0.161 * volume / (surface * room.rt60_s))
    reflection = float(np.sqrt(1 - absorption))
    direct = room.distance_m
    n = int(min(room.rt60_s, _LONGEST_TAIL_S) * SAMPLE_RATE) + 1
    early = min(n, int(_EARLY_S * SAMPLE_RATE))
    out = np.zeros(n)
    reach = direct + _SOUND_M_PER_S * _EARLY_S
    axes = [
        _images(room.source_m[i], room.microphone_m[i], room.size_m[i], reach) for i in range(3)
    ]
    d2 = sum(
        (offset**2).reshape([-1 if i == j else 1 for j in range(3)])
        for i, (offset, _) in enumerate(axes)
    )
    bounces = sum(
        count.reshape([-1 if i == j else 1 for j in range(3)]) for i, (_, count) in enumerate(axes)
    )
    distance = np.sqrt(np.asarray(d2)).ravel()
    gain = (reflection ** np.asarray(bounces)).ravel() * direct / np.maximum(distance, 0.1)
    delay = (distance - direct) / _SOUND_M_PER_S * SAMPLE_RATE
    inside = (delay >= 0) & (delay < early - 1)
    whole = delay[inside].astype(int)
    part = delay[inside] - whole
    np.add.at(out, whole, gain[inside] * (1 - part))
    np.add.at(out, whole + 1, gain[inside] * part)
    if n > early:
        last = out[early - early // 4 : early]
        level = float(np.sqrt(np.mean(last**2)))
        t = np.arange(n - early) / SAMPLE_RATE
        out[early:] = rng.standard_normal(n - early) * level * 10 ** (-3 * t / room.rt60_s)
    out[0] = 1.0
    return out


def _images(
    source: float, microphone: float, length: float, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Along one axis: distances of the mirrored sources and the walls that each has met."""
    order = int(np.ceil(reach / (2 * length))) + 1
    n = np.arange(-order, order + 1)
    offsets = np.concatenate([2 * n * length + source, 2 * n * length - source]) - microphone
    bounces = np.concatenate([2 * np.abs(n), np.abs(n - 1) + np.abs(n)])
    return offsets, bounces


def placed(samples: np.ndarray, room: Room, rng: np.random.Generator) -> np.ndarray:
    """The sound as it arrives at the microphone. float32 [n] -> float32 [n]."""
    from scipy.signal import fftconvolve

    if not samples.size:
        return samples
    response = impulse_response(room, rng)
    return np.asarray(fftconvolve(samples, response)[: samples.size], dtype=np.float32)


def reverberated(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The sound with a light echo of 80 to 450 ms. float32 `[n]` -> float32 `[n]`."""
    from scipy.signal import fftconvolve

    n = int(rng.uniform(0.08, 0.45) * SAMPLE_RATE)
    tail = rng.standard_normal(n) * np.exp(-_SIXTY_DB * np.arange(n) / n)
    tail[: int(rng.uniform(0.002, 0.012) * SAMPLE_RATE)] = 0
    tail *= float(rng.uniform(0.1, 0.45)) / (np.sqrt(np.sum(tail**2)) + 1e-9)
    tail[0] = 1.0
    return np.asarray(fftconvolve(samples, tail)[: samples.size], dtype=np.float32)


def quickly_reverberated(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The sound with an echo of 60 to 500 ms. float32 `[n]` -> float32 `[n]`.

    In single precision throughout, for training: half the time of `reverberated`.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    n = int(rng.uniform(0.06, 0.5) * SAMPLE_RATE)
    tail = rng.standard_normal(n, dtype=np.float32)
    tail *= np.exp(np.linspace(0, -_SIXTY_DB, n, dtype=np.float32))
    tail[: int(rng.uniform(0.002, 0.015) * SAMPLE_RATE)] = 0
    tail *= np.float32(rng.uniform(0.1, 0.6) / (np.sqrt(np.sum(tail**2)) + 1e-9))
    tail[0] = 1.0
    size = next_fast_len(len(samples) + n, real=True)
    heard = irfft(rfft(samples, size) * rfft(tail, size), size)
    return np.asarray(heard[: len(samples)], dtype=np.float32)
