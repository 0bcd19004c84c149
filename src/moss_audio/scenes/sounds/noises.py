"""Noise-like sounds made from parameters: each takes a generator, gives float32 [n] at 16 kHz."""

from __future__ import annotations

import numpy as np

from moss_audio.dsp.loudness import rms
from moss_audio.dsp.noise import shaped_noise
from moss_audio.scenes.sounds.tones import Rng, fade, time_axis, tone
from moss_audio.units import SAMPLE_RATE as SR


def shaped(
    rng: Rng, seconds: float, low_hz: float, high_hz: float, slope: float = 0.0
) -> np.ndarray:
    """Gaussian noise between two frequencies; power falls by `slope` * 3 dB an octave. [n]"""

    def gain(hz: np.ndarray) -> np.ndarray:
        passed = np.where((hz >= low_hz) & (hz <= high_hz), 1.0, 0.02)
        return np.asarray(passed * np.maximum(hz, 20.0) ** (-slope / 2))

    x = shaped_noise(int(seconds * SR), rng, gain)
    return x / (rms(x) + 1e-9) * 0.2


def burst(rng: Rng, seconds: float, low: float, high: float, decay: float) -> np.ndarray:
    """A hit: shaped noise that dies away with `decay` per second."""
    return shaped(rng, seconds, low, high) * np.exp(-time_axis(seconds) * decay)


def sequence(rng: Rng, hits: list[np.ndarray], gap: float, jitter: float) -> np.ndarray:
    """Hits one after the other, `gap` seconds apart, each gap off by up to `jitter` of it."""
    at = [0]
    for _ in hits[1:]:
        at.append(at[-1] + int(gap * (1 + rng.uniform(-jitter, jitter)) * SR))
    out = np.zeros(at[-1] + max(h.size for h in hits))
    for a, h in zip(at, hits, strict=True):
        out[a : a + h.size] += h
    return out.astype(np.float32)


def rain(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(3, 7)
    x = shaped(rng, seconds, 400, 7500, 0.4)
    for at in rng.integers(0, x.size - 400, int(seconds * rng.uniform(20, 60))):
        x[at : at + 200] += rng.normal(0, 0.6, 200) * np.exp(-np.arange(200) / 30)
    return fade(x, 60)


def wind(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(3, 7)
    t = time_axis(seconds)
    gust = 0.4 + 0.6 * np.sin(2 * np.pi * t * rng.uniform(0.15, 0.5) + rng.uniform(0, 6)) ** 2
    return fade(shaped(rng, seconds, 60, rng.uniform(500, 1100), 1.0) * gust, 150)


def waves(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(4, 8)
    t = time_axis(seconds)
    swell = np.maximum(0.12, np.sin(2 * np.pi * t / rng.uniform(3, 5)) ** 3)
    return fade(shaped(rng, seconds, 150, 6000, 0.8) * swell, 150)


def static(rng: Rng) -> np.ndarray:
    return fade(shaped(rng, rng.uniform(1, 4), 50, 7900), 10)


def thunder(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(2, 5)
    t = time_axis(seconds)
    rumble = np.interp(t, np.linspace(0, seconds, 14), rng.uniform(0.2, 1, 14))
    return fade(shaped(rng, seconds, 30, 350, 1.0) * rumble * np.exp(-t * 3 / seconds), 15)


def explosion(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(1, 2.5)
    x = shaped(rng, seconds, 30, 4000, 1.2) * np.exp(-time_axis(seconds) * rng.uniform(2, 4))
    return fade(x, 2)


def gunshot(rng: Rng) -> np.ndarray:
    n = int(rng.integers(1, 4))
    return sequence(
        rng, [burst(rng, 0.5, 100, 7500, rng.uniform(12, 22)) for _ in range(n)], 0.5, 0.4
    )


def knocking(rng: Rng) -> np.ndarray:
    f = rng.uniform(120, 350)
    hits = []
    for _ in range(int(rng.integers(2, 6))):
        t = time_axis(0.15)
        hits.append(
            burst(rng, 0.15, 80, 1200, 45) + 0.5 * np.sin(2 * np.pi * f * t) * np.exp(-t * 40)
        )
    return sequence(rng, hits, rng.uniform(0.17, 0.4), 0.12)


def clicks(rng: Rng) -> np.ndarray:
    hits = [burst(rng, 0.03, 1500, 7500, 260) for _ in range(int(rng.integers(2, 9)))]
    return sequence(rng, hits, rng.uniform(0.12, 0.4), 0.3)


def typing(rng: Rng) -> np.ndarray:
    hits = [
        burst(rng, 0.06, 600, 6500, 90) * rng.uniform(0.4, 1)
        for _ in range(int(rng.integers(8, 25)))
    ]
    return sequence(rng, hits, rng.uniform(0.1, 0.2), 0.6)


def clock(rng: Rng) -> np.ndarray:
    count = int(rng.integers(4, 10))
    hits = [burst(rng, 0.05, 1800 + 900 * (i % 2), 6000, 150) for i in range(count)]
    return sequence(rng, hits, rng.choice((0.25, 0.5, 0.5, 1.0)), 0.0)


def footsteps(rng: Rng) -> np.ndarray:
    hits = [
        burst(rng, 0.14, 80, 1800, 30) * rng.uniform(0.6, 1)
        for _ in range(int(rng.integers(4, 10)))
    ]
    return sequence(rng, hits, rng.uniform(0.35, 0.65), 0.06)


def applause(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(2, 5)
    out = np.zeros(int(seconds * SR) + 800)
    for at in rng.integers(0, out.size - 800, int(seconds * rng.uniform(60, 160))):
        out[at : at + 480] += burst(rng, 0.03, 700, 4500, 130) * rng.uniform(0.3, 1)
    return fade(out, 120)


def heartbeat(rng: Rng) -> np.ndarray:
    gap = rng.uniform(0.7, 1.1)
    t = time_axis(0.16)
    thump = np.sin(2 * np.pi * rng.uniform(45, 70) * t) * np.exp(-t * 25)
    beats = [
        np.concatenate([thump, np.zeros(int(0.1 * SR)), 0.7 * thump])
        for _ in range(int(rng.integers(3, 7)))
    ]
    return sequence(rng, beats, gap, 0.03)


def engine(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(2.5, 6)
    n = int(seconds * SR)
    f = np.interp(np.arange(n), np.linspace(0, n, 5), rng.uniform(35, 110, 5))
    return fade(
        tone(f, seconds, tuple(rng.uniform(0.2, 1, 16))) * 0.3 + shaped(rng, seconds, 40, 900, 1),
        100,
    )


def helicopter(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(2.5, 6)
    t = time_axis(seconds)
    chop = np.maximum(0, np.sin(2 * np.pi * t * rng.uniform(9, 15))) ** 2
    return fade(shaped(rng, seconds, 50, 1500, 0.8) * (0.15 + chop), 150)


def water_drops(rng: Rng) -> np.ndarray:
    hits = []
    for _ in range(int(rng.integers(2, 8))):
        t = time_axis(0.09)
        f = rng.uniform(500, 1100) * (1 + 9 * t)
        hits.append(np.sin(2 * np.pi * np.cumsum(f) / SR) * np.exp(-t * 38))
    return sequence(rng, hits, rng.uniform(0.25, 0.7), 0.4)


def crackling(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(2.5, 6)
    x = shaped(rng, seconds, 60, 700, 1.0) * 0.25
    for at in rng.integers(0, x.size - 400, int(seconds * rng.uniform(8, 22))):
        x[at : at + 320] += burst(rng, 0.02, 900, 7000, 300) * rng.uniform(1, 5)
    return fade(x, 80)


def sawing(rng: Rng) -> np.ndarray:
    strokes = []
    for i in range(int(rng.integers(4, 10))):
        s = rng.uniform(0.2, 0.35)
        strokes.append(shaped(rng, s, 700 + 500 * (i % 2), 5000) * np.hanning(int(s * SR)))
    return sequence(rng, strokes, 0.36, 0.1)


NOISES = {
    "rain": rain, "wind": wind, "ocean waves": waves, "static": static, "thunder": thunder,
    "explosion": explosion, "gunshot": gunshot, "knocking": knocking, "clicking": clicks,
    "typing": typing, "clock ticking": clock, "footsteps": footsteps, "applause": applause,
    "heartbeat": heartbeat, "engine": engine, "helicopter": helicopter,
    "water dripping": water_drops, "fire crackling": crackling, "sawing": sawing,
}  # fmt: skip
