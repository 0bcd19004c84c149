"""Key and chords, from the strengths of the pitch classes.

Chords are fitted to blocks of a quarter of a second, which did better than beats: a beat that is
found late, or half as often as it should be, takes the chords with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from moss_audio.annotate.records import Span
from moss_audio.annotate.tools.music.features import (
    PITCH_CLASSES,
    LibrosaTool,
    MusicFeatures,
    block_means,
)
from moss_audio.errors import MossAudioError

MODES = ("major", "minor")
# How often each pitch class comes in pieces of a key, from its tonic up: Albrecht and Shanahan
# (2013), "The use of large corpora to train a new type of key-finding algorithm", Music
# Perception 31, table of their 490 pieces.
_PROFILES = np.array(
    (
        (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
        (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
    )
)


class KeyTool(LibrosaTool):
    """Kind `key`: tonic and mode; the score is about the probability that both are right."""

    kind = "key"
    name = "music/key"
    shortest_s = 3.0

    def hear(self, features: MusicFeatures) -> dict[str, Any] | None:
        """None where no pitch class stands out."""
        found = estimate_key(features.chroma.mean(axis=1))
        if found is None:
            return None
        tonic, mode, confidence, fit = found
        values = {"tonic": tonic, "mode": mode, "fit": fit, "tuning_semitones": features.tuning}
        return {"score": confidence, "values": values}


def estimate_key(pitch_classes: np.ndarray) -> tuple[str, str, float, float] | None:
    """Tonic, mode, confidence (0 to 1) and fit (correlation) for mean strengths [12] from C.

    None where all are alike.
    """
    spread = pitch_classes - pitch_classes.mean()
    if np.linalg.norm(spread) < 1e-6:
        return None
    fits = np.array(
        [
            [np.corrcoef(pitch_classes, np.roll(profile, tonic))[0, 1] for tonic in range(12)]
            for profile in _PROFILES
        ]
    )
    order = np.argsort(-fits, axis=None, kind="stable")
    mode, tonic = divmod(int(order[0]), 12)
    first, second = fits.flat[order[0]], fits.flat[order[1]]
    # Fitted to 160 excerpts of 6 to 30 s of rendered pieces, half of them in noise.
    confidence = float(1.0 / (1.0 + np.exp(-(6.5 * first + 8.4 * (first - second) - 3.5))))
    return PITCH_CLASSES[tonic], MODES[mode], confidence, float(first)


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


class ChordsTool(LibrosaTool):
    """Kind `chords`: spans with the chord's name; the score of a span is its mean fit.

    Sevenths and other chords come out as the triad next to them. Where nothing fits (drums
    alone, silence) there is no span.
    """

    kind = "chords"
    name = "music/chords"
    config: ChordsConfig
    shortest_s = 2.0

    def hear(self, features: MusicFeatures) -> dict[str, Any] | None:
        """None where no chord is heard."""
        blocks = round(features.duration_s / self.config.block_s)
        edges_s = np.linspace(0.0, features.duration_s, blocks + 1)
        chroma = block_means(features.chord_chroma, edges_s)
        spans = fit_chords(chroma, edges_s, self.config)
        return {"spans": spans} if spans else None


def fit_chords(chroma: np.ndarray, edges_s: np.ndarray, config: ChordsConfig) -> tuple[Span, ...]:
    """Chords of blocks: chroma [12, blocks], the times between them [blocks + 1]."""
    # Silence fits no chord, whatever its noise.
    chroma = np.where(chroma.sum(axis=0) > 1e-2 * chroma.sum(axis=0).max(), chroma, 0.0)
    fits = _templates() @ (chroma / np.maximum(np.linalg.norm(chroma, axis=0), 1e-9))
    states = np.vstack([fits, np.full(fits.shape[1], config.no_chord_fit)])
    path = _smooth(config.sharpness * states, config.stay)
    changes = [0, *(np.flatnonzero(np.diff(path)) + 1), len(path)]
    return tuple(
        Span(
            CHORDS[path[begin]],
            float(edges_s[begin]),
            float(edges_s[end]),
            min(1.0, max(0.0, float(fits[path[begin], begin:end].mean()))),
        )
        for begin, end in pairwise(changes)
        if path[begin] < len(CHORDS)
    )


def _templates() -> np.ndarray:
    """[24, 12] of length 1: the three notes of each triad."""
    triads = np.zeros((2, 12))
    triads[[[0], [1]], [[0, 4, 7], [0, 3, 7]]] = 1 / np.sqrt(3)
    return np.stack([np.roll(triad, root) for triad in triads for root in range(12)])


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
