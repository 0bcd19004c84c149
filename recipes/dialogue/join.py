"""Joins neighbouring lines of one speaker to clips of 8 to 15 s, with the times of all their words.

The lines of the games last two or three seconds; whoever reads or talks goes on for longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from moss_audio.annotate.tools.speech.speakers import SpeakersConfig
from moss_audio.result import Word, moved
from moss_audio.units import SAMPLE_RATE

SHORTEST_S, LONGEST_S, MOST = 8.0, 15.0, 4
_PAUSE_S = (0.15, 0.7)

Alike = Callable[[np.ndarray, np.ndarray], bool]  # whether two lines have one speaker


@dataclass(frozen=True)
class SpokenLine:
    """A transcribed line: samples float32 [n] at 16 kHz, its words in time."""

    name: str
    samples: np.ndarray
    text: str
    words: tuple[Word, ...]


def joined(lines: Sequence[SpokenLine], alike: Alike, seed: int = 0) -> Iterator[SpokenLine]:
    """Clips of 2 to 4 lines that follow each other and have one speaker, none of them twice."""
    rng = np.random.default_rng(seed)
    group: list[SpokenLine] = []
    seconds, wanted = 0.0, float(rng.uniform(SHORTEST_S, LONGEST_S))
    for line in lines:
        own = len(line.samples) / SAMPLE_RATE
        fits = len(group) < MOST and seconds + own + _PAUSE_S[1] <= LONGEST_S
        if group and not (fits and alike(group[-1].samples, line.samples)):
            group, seconds = [], 0.0
        group.append(line)
        seconds += own + (_PAUSE_S[1] if len(group) > 1 else 0.0)
        if len(group) > 1 and seconds >= min(wanted, LONGEST_S - _PAUSE_S[1]):
            yield _one(group, rng)
            group, seconds, wanted = [], 0.0, float(rng.uniform(SHORTEST_S, LONGEST_S))
    # what is left of the last speaker is in the single lines


def _one(lines: Sequence[SpokenLine], rng: np.random.Generator) -> SpokenLine:
    parts: list[np.ndarray] = []
    words: list[Word] = []
    at = 0
    for number, line in enumerate(lines):
        if number:
            pause = np.zeros(int(rng.uniform(*_PAUSE_S) * SAMPLE_RATE), np.float32)
            parts.append(pause)
            at += len(pause)
        shift = at / SAMPLE_RATE
        words += moved(line.words, lambda t, s=shift: round(t + s, 3))  # type: ignore[misc]
        parts.append(line.samples)
        at += len(line.samples)
    name = f"{lines[0].name}-and-{len(lines) - 1}"
    text = " ".join(line.text for line in lines)
    return SpokenLine(name, np.concatenate(parts), text, tuple(words))


def one_speaker() -> Alike:
    """By speaker embeddings, as annotation tells speakers apart. Raises CheckpointError without
    their weights."""
    from moss_audio.annotate.tools.speech.voice_encoder import load_voice_encoder
    from moss_audio.annotate.tools.speech.voice_weights import raised

    encoder, most = load_voice_encoder(), SpeakersConfig().threshold

    def alike(one: np.ndarray, other: np.ndarray) -> bool:
        a, b = encoder.embed([raised(one), raised(other)])
        return 1.0 - float(a @ b) <= most

    return alike
