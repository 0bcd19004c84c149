"""The `events` of one of our own checkpoints as a detector; labels are free text."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from moss_audio import __version__
from moss_audio.annotate.detectors.base import Vocabulary, check_samples, in_order
from moss_audio.annotate.records import Span
from moss_audio.recordings import Audio
from moss_audio.units import SAMPLE_RATE


class CheckpointDetector:
    """`Detector` that asks a MOSS-Audio checkpoint for the event timeline.

    Recordings longer than the checkpoint's window are walked in windows cut at silences.
    """

    vocabulary: Vocabulary = "text"

    def __init__(self, model: str, *, device: str = "") -> None:
        self.model = model
        self._device = device

    @property
    def name(self) -> str:
        return f"checkpoint:{self.model.rstrip('/').rsplit('/', 1)[-1]}"

    @property
    def version(self) -> str:
        """Of the package and the checkpoint's files. Raises CheckpointError if there are none."""
        from moss_audio.model.checkpoint import Checkpoint

        return f"{__version__} {Checkpoint.open(self.model).fingerprint[:16]}"

    def setup(self) -> None:
        """Raises CheckpointError if there is no such checkpoint."""
        _ = self._loaded

    @cached_property
    def _loaded(self) -> Any:
        from moss_audio import api

        return api.load(self.model, device=self._device or None)

    def detect(self, samples: np.ndarray) -> list[Span]:
        check_samples(samples)
        if not len(samples):
            return []
        audio = Audio(np.asarray(samples, np.float32), "segment")
        timeline = self._loaded.events(audio)
        longest_s = len(samples) / SAMPLE_RATE
        found = [
            Span(event.label, max(0.0, event.start), min(longest_s, event.end))
            for event in timeline.events
            if event.start < longest_s and event.end > event.start
        ]
        return in_order(found)
