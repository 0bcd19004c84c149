"""Pitched sounds made from parameters: each takes a generator, gives float32 [n] at 16 kHz."""

from __future__ import annotations

import numpy as np

from moss_audio.units import SAMPLE_RATE as SR

Rng = np.random.Generator


def time_axis(seconds: float) -> np.ndarray:
    """Sample times in seconds, float64 [n]."""
    return np.arange(int(seconds * SR)) / SR


def fade(x: np.ndarray, ms: float = 5.0) -> np.ndarray:
    """Short linear fades at both edges, so that a sound starts without a click."""
    n = min(int(ms * SR / 1000), x.size // 2)
    out = x.astype(np.float32)
    if n:
        ramp = np.linspace(0, 1, n, dtype=np.float32)
        out[:n] *= ramp
        out[-n:] *= ramp[::-1]
    return out


def tone(
    hz: float | np.ndarray, seconds: float, harmonics: tuple[float, ...] = (1.0,)
) -> np.ndarray:
    """A sum of harmonics on a constant or moving pitch; hz: a number or [n]."""
    n = int(seconds * SR)
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hz, (n,))) / SR
    out = np.zeros(n)
    top = float(np.max(hz))
    for i, gain in enumerate(harmonics, 1):
        if gain and top * i < SR / 2:
            out += gain * np.sin(i * phase)
    return fade(out)


def gated(x: np.ndarray, on_s: float, off_s: float) -> np.ndarray:
    """Switch a sound on and off; ends with its last `on` part complete."""
    period, on = int((on_s + off_s) * SR), int(on_s * SR)
    out = np.zeros_like(x)
    for start in range(0, max(1, x.size - on // 2), period):
        out[start : start + on] = fade(x[start : start + on])
    return out


def beep(rng: Rng) -> np.ndarray:
    wave = (1.0,) if rng.random() < 0.6 else (1.0, 0.0, 0.33, 0.0, 0.2)
    return tone(rng.uniform(500, 2500), rng.uniform(0.1, 0.8), wave)


def double_beep(rng: Rng) -> np.ndarray:
    on, off = rng.uniform(0.08, 0.25), rng.uniform(0.06, 0.2)
    return gated(tone(rng.uniform(600, 2200), 2 * on + off), on, off)


def alarm(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(1.5, 5)
    step = int(rng.uniform(0.1, 0.3) * SR)
    low = rng.uniform(500, 1200)
    high = low * rng.uniform(1.15, 1.7)
    turn = (np.arange(int(seconds * SR)) // step) % 2
    return tone(np.where(turn == 0, low, high), seconds, (1.0, 0.3, 0.4, 0.1))


def siren(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(2.5, 7)
    t = time_axis(seconds)
    low, high = rng.uniform(350, 600), rng.uniform(900, 1500)
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * t * rng.uniform(0.2, 2.0))
    return tone(low * (high / low) ** sweep, seconds, (1.0, 0.5, 0.3, 0.15))


def dial_tone(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(1.5, 4)
    return tone(350, seconds) + tone(440, seconds)


def busy_tone(rng: Rng) -> np.ndarray:
    on = 0.5 if rng.random() < 0.7 else 0.25
    seconds = on * 2 * rng.integers(3, 6)
    return gated(tone(480, seconds) + tone(620, seconds), on, on)


def ringback(rng: Rng) -> np.ndarray:
    return gated(tone(440, 6.0) + tone(480, 6.0), rng.uniform(0.9, 1.6), rng.uniform(1.2, 1.8))


def keypad(rng: Rng) -> np.ndarray:
    rows, columns = (697, 770, 852, 941), (1209, 1336, 1477)
    on, off = rng.uniform(0.08, 0.2), rng.uniform(0.06, 0.2)
    parts = []
    for _ in range(int(rng.integers(3, 10))):
        parts += [tone(rng.choice(rows), on) + tone(rng.choice(columns), on)]
        parts += [np.zeros(int(off * SR), np.float32)]
    return np.concatenate(parts[:-1])


def telephone_bell(rng: Rng) -> np.ndarray:
    on, off = rng.uniform(0.8, 2), rng.uniform(0.5, 1.2)
    seconds = (on + off) * rng.integers(1, 4)
    t = time_axis(seconds)
    f = rng.uniform(900, 1700)
    struck = np.abs(np.sin(np.pi * t * rng.uniform(16, 24))) ** 0.4
    x = (np.sin(2 * np.pi * f * t) + 0.6 * np.sin(2 * np.pi * f * 1.27 * t)) * struck
    return gated(x.astype(np.float32), on, off)


def bell(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(1, 3)
    t = time_axis(seconds)
    f = rng.uniform(350, 1400)
    partials = ((0.5, 0.6), (1.0, 1.0), (1.19, 0.5), (1.5, 0.35), (2.0, 0.6), (2.74, 0.3))
    x = sum(g * np.sin(2 * np.pi * f * r * t) * np.exp(-t * (1.2 + r) * 1.6) for r, g in partials)
    return fade(np.asarray(x), 2)


def chime(rng: Rng) -> np.ndarray:
    notes = [rng.uniform(500, 900)]
    for _ in range(int(rng.integers(1, 4))):
        notes.append(notes[-1] * rng.choice((1.25, 1.335, 1.5, 0.8, 0.75)))
    gap = rng.uniform(0.12, 0.4)
    out = np.zeros(int((gap * len(notes) + 0.8) * SR))
    t = time_axis(0.8)
    for i, f in enumerate(notes):
        a = int(i * gap * SR)
        out[a : a + t.size] += (
            np.sin(2 * np.pi * f * t) + 0.3 * np.sin(4 * np.pi * f * t)
        ) * np.exp(-t * 5)
    return fade(out, 3)


def hum(rng: Rng) -> np.ndarray:
    f = rng.choice((50.0, 60.0, 100.0, 120.0))
    return tone(f, rng.uniform(2, 5), tuple(rng.uniform(0.1, 1, 8)))


def buzzer(rng: Rng) -> np.ndarray:
    f = rng.uniform(90, 220)
    return tone(f, rng.uniform(0.4, 1.6), tuple(1 / k for k in range(1, 25)))


def rising_tone(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(0.5, 3)
    low = rng.uniform(150, 600)
    return tone(np.geomspace(low, low * rng.uniform(3, 8), int(seconds * SR)), seconds, (1, 0.2))


def falling_tone(rng: Rng) -> np.ndarray:
    return np.ascontiguousarray(rising_tone(rng)[::-1])


def laser(rng: Rng) -> np.ndarray:
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        s = rng.uniform(0.12, 0.35)
        f = np.geomspace(rng.uniform(2500, 5500), rng.uniform(120, 300), int(s * SR))
        parts += [
            tone(f, s, (1, 0.5, 0.3)),
            np.zeros(int(rng.uniform(0.05, 0.2) * SR), np.float32),
        ]
    return np.concatenate(parts[:-1])


def whistle(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(0.5, 1.8)
    t = time_axis(seconds)
    f = rng.uniform(1100, 2400) * (1 + 0.2 * np.sin(2 * np.pi * t * rng.uniform(0.3, 1.2)))
    return tone(f, seconds, (1.0, 0.05)) + fade(rng.normal(0, 0.03, t.size))


def referee_whistle(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(0.4, 1.5)
    t = time_axis(seconds)
    trill = 0.55 + 0.45 * np.sin(2 * np.pi * t * rng.uniform(25, 45))
    f = rng.uniform(2300, 3100)
    return (tone(f, seconds) + tone(f * 1.07, seconds)) * trill.astype(np.float32)


def birds(rng: Rng) -> np.ndarray:
    parts = []
    for _ in range(int(rng.integers(3, 9))):
        s = rng.uniform(0.05, 0.22)
        n = int(s * SR)
        t = np.linspace(0, 1, n)
        f = rng.uniform(2200, 5200) * (
            1 + rng.uniform(-0.35, 0.35) * t + 0.1 * np.sin(2 * np.pi * t * rng.uniform(0, 6))
        )
        parts += [tone(f, s) * np.hanning(n), np.zeros(int(rng.uniform(0.03, 0.3) * SR))]
    return np.concatenate(parts[:-1]).astype(np.float32)


def crickets(rng: Rng) -> np.ndarray:
    seconds = rng.uniform(2, 5)
    t = time_axis(seconds)
    pulses = (np.sin(2 * np.pi * t * rng.uniform(22, 40)) > 0) * (
        np.sin(2 * np.pi * t * rng.uniform(1, 2.5)) > -0.3
    )
    smooth = np.convolve(pulses, np.hanning(64) / 32, "same")
    return fade(np.sin(2 * np.pi * rng.uniform(3600, 5000) * t) * smooth)


def morse(rng: Rng) -> np.ndarray:
    unit = rng.uniform(0.05, 0.09)
    f = rng.uniform(500, 900)
    parts = []
    for _ in range(int(rng.integers(8, 24))):
        parts.append(tone(f, unit * rng.choice((1, 3))))
        parts.append(np.zeros(int(unit * rng.choice((1, 1, 3)) * SR), np.float32))
    return np.concatenate(parts[:-1])


def horn(rng: Rng) -> np.ndarray:
    f, s = rng.uniform(280, 480), rng.uniform(0.3, 1.6)
    saw = tuple(1 / k for k in range(1, 15))
    return fade(tone(f, s, saw) + tone(f * 1.26, s, saw), 20)


def reversing(rng: Rng) -> np.ndarray:
    on = rng.uniform(0.35, 0.6)
    return gated(tone(rng.uniform(900, 1400), on * 2 * rng.integers(3, 6), (1, 0, 0.3)), on, on)


TONES = {
    "beep": beep, "double beep": double_beep, "alarm": alarm, "siren": siren,
    "dial tone": dial_tone, "busy tone": busy_tone, "ringback tone": ringback,
    "keypad tones": keypad, "phone ringing": telephone_bell, "bell": bell, "chime": chime,
    "hum": hum, "buzzer": buzzer, "rising tone": rising_tone, "falling tone": falling_tone,
    "laser": laser, "whistle": whistle, "referee whistle": referee_whistle,
    "birds chirping": birds, "crickets": crickets, "morse code": morse, "car horn": horn,
    "reversing beeps": reversing,
}  # fmt: skip
