"""What a general detector hears that the detectors with names have not named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from moss_audio.annotate.detectors.base import join
from moss_audio.annotate.records import Span


def unexplained(
    sounds: Sequence[Span], named: Sequence[Span], *, margin_s: float = 0.3, shortest_s: float = 0.1
) -> list[Span]:
    """The parts of `sounds` that lie outside all `named` spans by more than `margin_s`.

    A breath before a sentence and the echo after it belong to the sentence; parts of less than
    `shortest_s` are nothing of their own, unless the sound was that short.
    """
    cover = join(sorted((s.start_s - margin_s, s.end_s + margin_s) for s in named), 0.0)
    out, first = [], 0
    for sound in sorted(sounds, key=lambda s: s.start_s):
        while first < len(cover) and cover[first][1] <= sound.start_s:
            first += 1
        at, index = sound.start_s, first
        least = min(shortest_s, sound.end_s - sound.start_s)
        while at < sound.end_s:
            free_to = min(sound.end_s, cover[index][0]) if index < len(cover) else sound.end_s
            if free_to - at >= least and free_to > at:
                out.append(replace(sound, start_s=at, end_s=free_to))
            if index >= len(cover):
                break
            at = max(at, cover[index][1])
            index += 1
    return out


def union(spans: Sequence[Span]) -> list[tuple[float, float]]:
    """Where any of the spans is: disjoint stretches in order, in seconds. Spans that only touch
    stay apart: between them nothing is cut."""
    out: list[tuple[float, float]] = []
    for start, end in sorted((s.start_s, s.end_s) for s in spans):
        if out and start < out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out
