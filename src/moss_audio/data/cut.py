"""A clip of speech cut close to its words, as a voice detector or a push-to-talk button cuts it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from moss_audio.data.conversation import texts_of
from moss_audio.data.raw import RawExample, Truth
from moss_audio.result import Word, moved
from moss_audio.units import SAMPLE_RATE


def spoken(entry: RawExample) -> bool:
    """Whether somebody speaks in the only clip of an entry, and nothing else is asked about it."""
    if len(entry.clips) != 1:
        return False
    if entry.truth is None:
        return any(entry.words)
    if entry.truth.scene is not None:
        return entry.truth.scene.kind in ("speech", "human")
    return bool(entry.truth.text) and entry.truth.question is None


def words_of(entry: RawExample) -> tuple[Word, ...]:
    """The words of an entry whose times can all be moved together; () where they cannot."""
    if not spoken(entry):
        return ()
    if entry.truth is not None:
        scene = entry.truth.scene
        words = entry.truth.words if scene is None else scene.words
        return () if scene is not None and scene.events else tuple(words)
    if any(re.search(r"\d", text) for text in texts_of(entry.messages or ())):
        return ()  # a finished answer that may tell times
    return entry.words[0]


def bounds(
    words: Sequence[Word], n_samples: int, most_s: float, rng: np.random.Generator
) -> tuple[int, int]:
    """First and last sample (exclusive) of a clip that keeps at most `most_s` seconds before its
    first and after its last word, at 16 kHz."""
    before, after = rng.uniform(0.0, most_s, 2)
    first = int((min(w.start for w in words) - before) * SAMPLE_RATE)
    last = int((max(w.end for w in words) + after) * SAMPLE_RATE) + 1
    return max(0, first), min(n_samples, last)


def earlier(entry: RawExample, first: int, last: int) -> RawExample:
    """The entry after only the samples from `first` to `last` of its clip were kept."""

    def shift(t: float) -> float:
        return min(max(0.0, t - first / SAMPLE_RATE), (last - first) / SAMPLE_RATE)

    truth: Truth | None = entry.truth
    if truth is not None:
        truth = moved(truth, shift)
        if truth.scene is not None:
            truth = replace(truth, scene=replace(truth.scene, num_samples=last - first))
    return replace(entry, truth=truth, words=moved(entry.words, shift))
