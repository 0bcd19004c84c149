"""Sections: where the music becomes unlike what it was, and which parts sound alike."""

from __future__ import annotations

import string
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np

from moss_audio.annotate.records import Span
from moss_audio.annotate.tools.music.features import LibrosaTool, MusicFeatures, block_means
from moss_audio.settings import Between, Share, check

_BLOCK_S = 0.5


@dataclass(frozen=True)
class SectionsConfig:
    """Lengths in seconds; novelty lies between 0 (nothing changes) and about 0.5."""

    min_duration_s: float = 12.0  # below it a segment is one section
    min_section_s: Annotated[float, Between(_BLOCK_S)] = 5.0
    reach_s: Annotated[float, Between(_BLOCK_S)] = 8.0  # compared around a boundary
    min_novelty: float = 0.1
    harmony: Share = 0.3  # weight of the pitch classes against timbre's
    alike: float = 0.9  # how far apart sections of a letter may lie: see `letters`

    def __post_init__(self) -> None:
        check(self)


class SectionsTool(LibrosaTool):
    """Kind `sections`: spans that cover the segment, labelled A, B, ... by likeness."""

    kind = "sections"
    name = "music/sections"
    config: SectionsConfig

    def hear(self, features: MusicFeatures) -> dict[str, Any]:
        """One section in a short segment."""
        spans = find_sections(features, self.config)
        return {"spans": spans, "values": {"form": " ".join(span.label for span in spans)}}


def find_sections(features: MusicFeatures, config: SectionsConfig) -> tuple[Span, ...]:
    """Sections from the start to the end; the score of a span is the novelty at its start."""
    duration_s = features.duration_s
    if duration_s < config.min_duration_s:
        return (Span("A", 0.0, duration_s),)
    blocks = round(duration_s / _BLOCK_S)
    edges_s = np.linspace(0.0, duration_s, blocks + 1)
    described = _describe(features, edges_s, config.harmony)
    novelty = checkerboard_novelty(described, round(config.reach_s / _BLOCK_S))
    bounds = [0, *_peaks(novelty, config), blocks]
    labels = letters(described, bounds, config.alike)
    return tuple(
        Span(
            label,
            float(edges_s[a]),
            float(edges_s[b]),
            float(np.clip(novelty[a], 0.0, 1.0)) if a else None,
        )
        for label, (a, b) in zip(labels, pairwise(bounds), strict=True)
    )


def _describe(features: MusicFeatures, edges_s: np.ndarray, harmony: float) -> np.ndarray:
    """[dimensions, blocks]: timbre and pitch classes, each part of mean square about 1."""
    from scipy.ndimage import gaussian_filter1d

    chroma = block_means(features.chroma, edges_s)
    chroma = chroma - chroma.mean(axis=1, keepdims=True)
    chroma = chroma / max(float(chroma.std()), 1e-6)
    timbre = block_means(features.timbre, edges_s)
    timbre = timbre - timbre.mean(axis=1, keepdims=True)
    timbre = timbre / np.maximum(timbre.std(axis=1, keepdims=True), 1e-3)
    parts = [
        harmony * chroma / np.sqrt(len(chroma)),
        (1.0 - harmony) * timbre / np.sqrt(len(timbre)),
    ]
    smooth: np.ndarray = gaussian_filter1d(np.concatenate(parts), sigma=1.0, axis=1)
    return smooth


def checkerboard_novelty(described: np.ndarray, reach: int) -> np.ndarray:
    """How unlike the `reach` blocks before and after each edge are, and how alike among
    themselves: a checkerboard along the diagonal of the self-similarity (Foote 2000).

    Args:
        described: [dimensions, blocks].

    Returns: [blocks + 1], one value an edge.
    """
    blocks = described.shape[1]
    squared = np.square(described[:, :, None] - described[:, None, :]).sum(axis=0)
    typical = float(np.median(squared[squared > 0])) if np.any(squared > 0) else 1.0
    similarity = np.exp(-squared / typical)
    at = np.arange(-reach, reach) + 0.5
    taper = np.exp(-0.5 * (at / (reach / 2)) ** 2) * np.sign(at)
    kernel = np.outer(taper, taper)
    kernel /= np.abs(kernel).sum()
    # Beyond the ends the piece is mirrored, so that they are not new by themselves.
    padded = np.pad(similarity, reach, mode="symmetric")
    return np.array(
        [
            float((padded[i : i + 2 * reach, i : i + 2 * reach] * kernel).sum())
            for i in range(blocks + 1)
        ]
    )


def _peaks(novelty: np.ndarray, config: SectionsConfig) -> list[int]:
    from scipy.signal import find_peaks

    shortest = max(1, round(config.min_section_s / _BLOCK_S))
    peaks, _ = find_peaks(
        novelty,
        height=config.min_novelty,
        prominence=config.min_novelty / 2,
        distance=shortest,
    )
    last = novelty.size - 1
    return [int(peak) for peak in peaks if shortest <= peak <= last - shortest]


def letters(described: np.ndarray, bounds: list[int], alike: float) -> list[str]:
    """A letter a section, in order of appearance; sections of a letter sound alike.

    Sections whose mean descriptions are nearer than `alike` times the typical distance of a
    block from its own section's mean count as alike (average linkage).
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    pairs = list(pairwise(bounds))
    if len(pairs) == 1:
        return ["A"]
    means = np.stack([described[:, a:b].mean(axis=1) for a, b in pairs])
    within = np.concatenate(
        [
            np.linalg.norm(described[:, a:b] - mean[:, None], axis=0)
            for (a, b), mean in zip(pairs, means, strict=True)
        ]
    )
    groups = fcluster(linkage(means, "average"), alike * float(within.mean()), "distance")
    names: dict[int, str] = {}
    for group in groups:
        names.setdefault(int(group), string.ascii_uppercase[len(names) % 26])
    return [names[int(group)] for group in groups]
