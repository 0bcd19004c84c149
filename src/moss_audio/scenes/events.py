"""A bank of sound events with labels; every event is trimmed to where it can be heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moss_audio.dsp.loudness import audible_frames
from moss_audio.scenes.sounds.noises import NOISES
from moss_audio.scenes.sounds.recorded import SoundSource, files_by_label, name_of, read
from moss_audio.scenes.sounds.tones import TONES, fade
from moss_audio.scenes.voices.base import to_16k
from moss_audio.units import SAMPLE_RATE

_LONGEST_S = 6.0


@dataclass(frozen=True)
class EventSound:
    """One event: samples float32 [n] at 16 kHz, peak 1, audible from first to last sample."""

    label: str
    samples: np.ndarray
    source: str


def trim(samples: np.ndarray, *, floor_db: float = -38.0) -> np.ndarray:
    """Cut the silent edges: before and after 10-ms frames within `floor_db` of the loudest."""
    hop = SAMPLE_RATE // 100
    if samples.size < hop:
        return samples
    heard = np.flatnonzero(audible_frames(samples, hop, floor_db))
    if heard.size == 0:
        return samples[:0]
    return samples[int(heard[0]) * hop : (int(heard[-1]) + 1) * hop]


class EventBank:
    """Draws events for one split; recorded files are read once and kept."""

    def __init__(self, split: str, sources: Sequence[SoundSource]) -> None:
        self._sources = sources
        self._files = files_by_label(split, sources)
        self._kept: dict[Path, np.ndarray] = {}
        self._makers = {**TONES, **NOISES}
        self.labels = tuple(sorted({*self._files, *self._makers}))

    def draw(self, rng: np.random.Generator, *, longest_s: float = _LONGEST_S) -> EventSound:
        """One random event, every label as likely as another."""
        while True:
            label = self.labels[int(rng.integers(len(self.labels)))]
            recorded = self._files.get(label)
            maker = self._makers.get(label)
            if recorded and (maker is None or rng.random() < 0.5):
                path = recorded[int(rng.integers(len(recorded)))]
                samples = to_16k(self._read(path), SAMPLE_RATE * float(rng.uniform(0.92, 1.09)))
                source = name_of(path, self._sources)
            elif maker is not None:
                samples, source = maker(rng), "synthesised"
            else:
                continue
            samples = trim(np.asarray(samples, np.float32))
            if samples.size > longest_s * SAMPLE_RATE:
                samples = trim(fade(samples[: int(longest_s * SAMPLE_RATE)], 30))
            peak = float(np.max(np.abs(samples))) if samples.size else 0.0
            if peak > 1e-4 and samples.size >= SAMPLE_RATE // 50:
                return EventSound(label, (samples / peak).astype(np.float32), source)

    def _read(self, path: Path) -> np.ndarray:
        if path not in self._kept:
            self._kept[path] = read(path)
        return self._kept[path]
