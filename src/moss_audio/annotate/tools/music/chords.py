"""Chords: major and minor triads fitted to the pitch classes of short blocks, smoothed in time.

Blocks of a quarter of a second did better than beats: a beat that is found late, or half as often
as it should be, takes the chords with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tools.music.features import (
    PITCH_CLASSES,
    block_means,
)
from moss_audio.annotate.tools.music.librosa_tool import LibrosaTool
from moss_audio.errors import MossAudioError

_SHORTEST_S = 2.0
CHORDS = (*PITCH_CLASSES, *(f"{name} minor" for name in PITCH_CLASSES))


@dataclass(frozen=True)
class ChordsConfig:
    """`sharpness`: by how much a better fit counts against staying with the chord."""

    block_s: float = 0.25
    sharpness: float = 25.0
    stay: float = 0.5  # probability that the next block has the same chord
    no_chord_fit: float = 0.5  # a cosine that "no chord" is taken to have

    def __post_init__(self) -> None:
        if self.block_s <= 0 or self.sharpness <= 0:
            raise MossAudioError("chords: block_s and sharpness must be above 0")
        if not 0.0 < self.stay < 1.0:
            raise MossAudioError(f"chords: stay must lie between 0 and 1, got {self.stay!r}")


class ChordsTool(LibrosaTool[ChordsConfig]):
    """Kind `chords`: spans with the chord's name; the score of a span is its mean fit.

    Sevenths and other chords come out as the triad next to them. Where nothing fits (drums
    alone, silence) there is no span.
    """

    kind = "chords"
    name = "music/chords"

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Nothing for less than two seconds or where no chord is heard."""
        features = self._features.of(samples)
        if not features.is_usable or features.duration_s < _SHORTEST_S:
            return []
        blocks = round(features.duration_s / self.config.block_s)
        edges_s = np.linspace(0.0, features.duration_s, blocks + 1)
        chroma = block_means(features.chord_chroma, edges_s)
        spans = fit_chords(chroma, edges_s, self.config)
        if not spans:
            return []
        return self.found(spans=spans)


def fit_chords(chroma: np.ndarray, edges_s: np.ndarray, config: ChordsConfig) -> tuple[Span, ...]:
    """Chords of blocks: chroma [12, blocks], the times between them [blocks + 1]."""
    # Silence fits no chord, whatever its noise.
    chroma = np.where(chroma.sum(axis=0) > 1e-2 * chroma.sum(axis=0).max(), chroma, 0.0)
    fits = _templates() @ (chroma / np.maximum(np.linalg.norm(chroma, axis=0), 1e-9))
    states = np.vstack([fits, np.full(fits.shape[1], config.no_chord_fit)])
    path = _smooth(config.sharpness * states, config.stay)
    spans: list[Span] = []
    begin = 0
    for i in range(1, len(path) + 1):
        if i == len(path) or path[i] != path[begin]:
            if path[begin] < len(CHORDS):
                fit = float(fits[path[begin], begin:i].mean())
                label, start_s, end_s = CHORDS[path[begin]], edges_s[begin], edges_s[i]
                spans.append(Span(label, float(start_s), float(end_s), min(1.0, max(0.0, fit))))
            begin = i
    return tuple(spans)


def _templates() -> np.ndarray:
    """[24, 12] of length 1: the three notes of each triad."""
    rows = []
    for third in (4, 3):
        for root in range(12):
            row = np.zeros(12)
            row[[root, (root + third) % 12, (root + 7) % 12]] = 1 / np.sqrt(3)
            rows.append(row)
    return np.stack(rows)


def _smooth(log_fit: np.ndarray, stay: float) -> np.ndarray:
    """The likeliest path (Viterbi) through [states, blocks], each change of state being alike."""
    states, blocks = log_fit.shape
    log_stay, log_move = np.log(stay), np.log((1 - stay) / (states - 1))
    came_from = np.zeros((blocks, states), int)
    total = log_fit[:, 0].copy()
    for block in range(1, blocks):
        best = int(np.argmax(total))
        moved = total[best] + log_move
        stays = total + log_stay >= moved
        came_from[block] = np.where(stays, np.arange(states), best)
        total = np.where(stays, total + log_stay, moved) + log_fit[:, block]
    path = np.zeros(blocks, int)
    path[-1] = int(np.argmax(total))
    for block in range(blocks - 1, 0, -1):
        path[block - 1] = came_from[block, path[block]]
    return path
