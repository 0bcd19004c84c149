"""Transcribes recorded lines with Whisper tiny.en, many lines in one window.

Whisper always works on 30 seconds, and lines last about three. So they are joined with pauses
between them, and every word goes to the line in which its middle lies. Lines of which the model is
not sure are left out: in training data, a wrong transcript costs more than a missing one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio.result import Word
from moss_audio.units import SAMPLE_RATE

PAUSE_S = 0.7
WINDOW_S = 28.5
SHORTEST_S, LONGEST_S = 0.25, 14.0
_QUIETEST = 0.02  # the peak below which a line holds nothing
_PEAK = 0.7
# Of the model's own probabilities of its words: the mean, the least, the least of a short line.
_SURE, _LEAST, _LEAST_SHORT = 0.72, 0.15, 0.5
_OUTSIDE_S = 0.45  # that the first and the last word may reach beyond the line
_FEWEST_PER_S, _MOST_PER_S = 0.4, 6.0
_PLAIN = re.compile(r"[A-Za-z0-9 ,.?!'\-;:\"$%&]+")


@dataclass(frozen=True)
class HeardWord:
    """A word as the model wrote it, with its space; times from the start of the line."""

    text: str
    start: float
    end: float
    probability: float


def levelled(samples: np.ndarray) -> np.ndarray | None:
    """A line at a common level, float32 [n]; None if it is too short, too long or silent."""
    peak = float(np.abs(samples).max(initial=0.0))
    n_least, n_most = SHORTEST_S * SAMPLE_RATE, LONGEST_S * SAMPLE_RATE
    if peak < _QUIETEST or not n_least <= len(samples) <= n_most:
        return None
    return (samples * (_PEAK / peak)).astype(np.float32)


def grouped(lines: Iterable[tuple[str, np.ndarray]]) -> Iterator[list[tuple[str, np.ndarray]]]:
    """Lines in groups that fill a window, in their order."""
    group: list[tuple[str, np.ndarray]] = []
    seconds = 0.0
    for name, samples in lines:
        own = len(samples) / SAMPLE_RATE + PAUSE_S
        if group and seconds + own > WINDOW_S:
            yield group
            group, seconds = [], 0.0
        group.append((name, samples))
        seconds += own
    if group:
        yield group


def listen(model: Any, lines: Sequence[np.ndarray]) -> list[list[HeardWord]]:
    """The words of each line, by a faster-whisper model."""
    pause = np.zeros(int(PAUSE_S * SAMPLE_RATE), np.float32)
    pieces, spans, at = [pause[: len(pause) // 2]], [], len(pause) // 2
    for samples in lines:
        spans.append((at / SAMPLE_RATE, (at + len(samples)) / SAMPLE_RATE))
        pieces += [samples, pause]
        at += len(samples) + len(pause)
    heard: list[list[HeardWord]] = [[] for _ in lines]
    parts, _ = model.transcribe(
        np.concatenate(pieces),
        language="en",
        beam_size=3,
        word_timestamps=True,
        condition_on_previous_text=False,
        temperature=0.0,
    )
    for word in (word for part in parts for word in part.words or ()):
        middle = (word.start + word.end) / 2
        own = min(
            range(len(spans)), key=lambda i: max(spans[i][0] - middle, middle - spans[i][1], 0.0)
        )
        start = spans[own][0]
        heard[own].append(
            HeardWord(word.word, word.start - start, word.end - start, float(word.probability))
        )
    return heard


def doubt(words: Sequence[HeardWord], duration_s: float) -> str | None:
    """Why a transcript is not good enough to train on; None if it is."""
    if not words:
        return "no words"
    probabilities = [word.probability for word in words]
    least = min(probabilities)
    if sum(probabilities) / len(words) < _SURE or least < _LEAST:
        return "not sure"
    if len(words) < 3 and least < _LEAST_SHORT:
        return "not sure"
    if not _PLAIN.fullmatch(text_of(words)):
        return "unusual signs"
    if words[0].start < -_OUTSIDE_S or words[-1].end > duration_s + _OUTSIDE_S:
        return "words outside the line"
    if not _FEWEST_PER_S < len(words) / duration_s < _MOST_PER_S:
        return "too few or too many words"
    return None


def text_of(words: Sequence[HeardWord]) -> str:
    """The transcript."""
    return "".join(word.text for word in words).strip()


def timed(words: Sequence[HeardWord], duration_s: float) -> list[Word]:
    """Words within the line, each with some length."""
    found = []
    for word in words:
        start = min(max(0.0, word.start), duration_s)
        end = min(max(word.end, start + 0.02), duration_s)
        if end > start:
            found.append(Word(word.text.strip(), round(start, 3), round(end, 3)))
    return found


def labelled(
    model: Any,
    lines: Iterable[tuple[str, np.ndarray]],
    forget: Callable[[str], bool] = lambda text: False,
) -> Iterator[tuple[str, np.ndarray, str, list[Word], str | None]]:
    """Name, samples, text, words and the reason to leave it out, if any, of each audible line.

    `forget` tells which texts must not be trained on (the sentences of a test set).
    """
    usable = ((name, levelled(samples)) for name, samples in lines)
    for group in grouped((name, samples) for name, samples in usable if samples is not None):
        for (name, samples), words in zip(
            group, listen(model, [samples for _, samples in group]), strict=True
        ):
            duration_s = len(samples) / SAMPLE_RATE
            text = text_of(words)
            why = doubt(words, duration_s) or ("sentence of a test" if forget(text) else None)
            yield name, samples, text, timed(words, duration_s), why
