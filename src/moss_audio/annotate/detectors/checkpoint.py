"""The `events` of one of our own checkpoints as a detector; labels are free text.

A checkpoint has a name for every sound, also for those it never learnt, and writes most names as if
it were sure. So the score of an event is what the probability of its label has been found to be
worth: Platt's scaling, Advances in Large Margin Classifiers (1999), on the logarithm of the odds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio import __version__
from moss_audio.annotate.detectors.base import ModelDetector, check_samples, in_order
from moss_audio.annotate.records import Span
from moss_audio.errors import MossAudioError
from moss_audio.recordings import Audio
from moss_audio.result import Timeline
from moss_audio.units import SAMPLE_RATE

_EDGE = 1e-6  # of a probability; an answer's product of tokens is rounded about as much
_DOUBTFUL = 0.49


@dataclass(frozen=True)
class CheckpointConfig:
    """What the probability of a label is worth.

    Attributes:
        even: a label of this probability is as often wrong as right.
        slope: how fast the score rises from one half there, on the logarithm of the odds.
        vague: labels that it also gives to sounds it never learnt, and so often that their
            probability says little: they stay doubtful. Nano's is noise of any kind (rain, a
            collapsing house, a mine).
    """

    even: float = 0.98
    slope: float = 0.17
    vague: tuple[str, ...] = ("vinyl crackle",)

    def __post_init__(self) -> None:
        if not (0 < self.even < 1 and self.slope > 0):
            raise MossAudioError(
                f"checkpoint detector: even {self.even} must lie between 0 and 1, slope "
                f"{self.slope} above 0"
            )

    def score(self, probability: float, label: str = "") -> float:
        """0 to 1, one half at `even`; below one half for a vague label."""
        odds, even = (
            math.log(p / (1 - p)) for p in (min(max(probability, _EDGE), 1 - _EDGE), self.even)
        )
        score = round(1 / (1 + math.exp(self.slope * (even - odds))), 4)
        return min(_DOUBTFUL, score) if label.lower() in self.vague else score


class CheckpointDetector(ModelDetector):
    """Asks a MOSS-Audio checkpoint for the event timeline.

    Recordings longer than the checkpoint's window are walked in windows cut at silences.
    """

    kind = "checkpoint"
    vocabulary = "text"
    defaults = CheckpointConfig
    config: CheckpointConfig

    @property
    def version(self) -> str:
        """Of the package and the checkpoint. Raises CheckpointError if there is none."""
        from moss_audio import api

        mark = api.open_checkpoint(self.source).fingerprint[:16]
        return f"{__version__} {self.config} {mark}"

    def load(self) -> Any:
        """The checkpoint. Raises CheckpointError if there is none of this name."""
        from moss_audio import api

        return api.load(self.source, device=self.device)

    def detect(self, samples: np.ndarray) -> list[Span]:
        return self.detect_batch([samples])[0]

    def detect_batch(self, samples: Sequence[np.ndarray]) -> list[list[Span]]:
        """Decoded together, the weights are read once for all of them."""
        for one in samples:
            check_samples(one)
        clips = [Audio(np.asarray(one, np.float32), "segment") for one in samples if len(one)]
        heard = iter(self.model.events(clips, logprobs=0) if clips else ())
        return [self._spans(next(heard), one) if len(one) else [] for one in samples]

    def _spans(self, timeline: Timeline, samples: np.ndarray) -> list[Span]:
        longest_s = len(samples) / SAMPLE_RATE
        found = []
        for event in timeline.events:
            if event.start < longest_s and event.end > event.start:
                sure = None
                if event.probability is not None:
                    sure = self.config.score(event.probability, event.label)
                start_s, end_s = max(0.0, event.start), min(longest_s, event.end)
                found.append(Span(event.label, start_s, end_s, sure))
        return in_order(found)
