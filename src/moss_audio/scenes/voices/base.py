"""What a voice is: text in, audio with the time of every written word out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from moss_audio.dsp.loudness import audible_frames
from moss_audio.errors import MossAudioError
from moss_audio.result import Word
from moss_audio.units import SAMPLE_RATE


class UnalignedError(MossAudioError):
    """A voice cannot tell the times of this sentence's words; draw another sentence."""


@dataclass(frozen=True)
class SynthesisedSpeech:
    """Speech of one sentence: samples float32 [n] at 16 kHz and its words in order."""

    samples: np.ndarray
    words: tuple[Word, ...]
    speaker: str


class Voice(Protocol):
    """A speech engine with one or more speakers."""

    def speakers(self) -> tuple[str, ...]:
        """Names of all speakers, in a fixed order."""
        ...

    def speak(self, text: str, speaker: str, rng: np.random.Generator) -> SynthesisedSpeech:
        """Say one sentence.

        Raises UnalignedError when the engine's tokens do not match the written words.
        """
        ...


def seed_c_library(rng: np.random.Generator) -> None:
    """Seed the C library's rand(), from which some engines draw their noise."""
    import ctypes

    ctypes.CDLL(None).srand(ctypes.c_uint(int(rng.integers(1, 2**31))))


def to_16k(samples: np.ndarray, rate: float) -> np.ndarray:
    """Resample float32 mono audio [n] at `rate` Hz to 16 kHz."""
    import soxr

    x = np.ascontiguousarray(samples, dtype=np.float32)
    if abs(rate - SAMPLE_RATE) < 0.5:
        return x
    return np.asarray(soxr.resample(x, rate, SAMPLE_RATE, quality="HQ"), dtype=np.float32)


def finish(
    samples: np.ndarray,
    rate: float,
    texts: list[str],
    spans: list[tuple[float, float]],
    speaker: str,
    *,
    pitch: float = 1.0,
) -> SynthesisedSpeech:
    """Make speech of what an engine gives.

    samples: [n] at `rate` Hz; spans: (start, end) seconds per word on that clock. `pitch` > 1 plays
    the sound faster and higher, the cheapest way to another speaker; times follow.
    """
    if len(texts) != len(spans):
        raise UnalignedError(f"{speaker}: {len(spans)} spoken words for {len(texts)} written ones")
    peak = float(np.max(np.abs(samples))) if samples.size else 0.0
    if not texts or peak < 1e-4:
        raise UnalignedError(f"{speaker}: nothing was spoken")
    out = to_16k(samples, rate * pitch)
    out = out * np.float32(0.9 / max(peak, 1e-6))
    limit = out.size / SAMPLE_RATE
    spans = tighten(out, [(s / pitch, e / pitch) for s, e in spans])
    words = []
    last = 0.0
    for text, (start, end) in zip(texts, spans, strict=True):
        start = min(max(start, last), limit)
        end = min(end, limit)
        if end - start < 0.02:
            raise UnalignedError(f"{speaker}: the word {text!r} has no length")
        words.append(Word(text, start, end))
        last = end
    return SynthesisedSpeech(out, tuple(words), speaker)


def tighten(
    samples: np.ndarray, spans: list[tuple[float, float]], *, floor_db: float = -36.0
) -> list[tuple[float, float]]:
    """Move span edges to where the sound really starts and stops, in frames of 5 ms.

    Engines count the pause before a comma or at the edges into a word, or give a last consonant's
    release to the pause. An edge moves in to the first frame above `floor_db` below the peak
    level, and out over sound that continues, at most 0.2 s and never into a neighbour. What is
    inside a word (a closed stop) and an edge shared with a neighbour are not touched.
    """
    hop = SAMPLE_RATE // 200
    n = samples.size // hop
    if n == 0:
        return spans
    heard = audible_frames(samples, hop, floor_db)
    frames = [(max(0, round(s * 200)), min(n, round(e * 200))) for s, e in spans]
    out: list[tuple[float, float]] = []
    for i, (a, b) in enumerate(frames):
        lowest = frames[i - 1][1] if i else 0
        highest = frames[i + 1][0] if i + 1 < len(frames) else n
        active = np.flatnonzero(heard[a:b])
        if active.size:
            at_edges = (i == 0 or lowest < a, i + 1 == len(frames) or highest > b)
            b = a + int(active[-1]) + 1 if at_edges[1] else b
            a = a + int(active[0]) if at_edges[0] else a
        grow = 0
        while b < highest and grow < 40 and heard[b]:
            b, grow = b + 1, grow + 1
        grow = 0
        while a > lowest and grow < 40 and heard[a - 1]:
            a, grow = a - 1, grow + 1
        frames[i] = (a, b)
        out.append((a / 200, b / 200))
    return out
