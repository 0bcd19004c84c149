"""The `events` of one of our own checkpoints as a detector; labels are free text."""

from __future__ import annotations

from typing import Any

import numpy as np

from moss_audio import __version__
from moss_audio.annotate.detectors.base import ModelDetector, check_samples, in_order
from moss_audio.annotate.records import Span
from moss_audio.recordings import Audio
from moss_audio.units import SAMPLE_RATE


class CheckpointDetector(ModelDetector):
    """Asks a MOSS-Audio checkpoint for the event timeline.

    Recordings longer than the checkpoint's window are walked in windows cut at silences.
    """

    kind = "checkpoint"
    vocabulary = "text"

    @property
    def version(self) -> str:
        """Of the package and the checkpoint. Raises CheckpointError if there is none."""
        from moss_audio import api

        return f"{__version__} {api.open_checkpoint(self.source).fingerprint[:16]}"

    def load(self) -> Any:
        """The checkpoint. Raises CheckpointError if there is none of this name."""
        from moss_audio import api

        return api.load(self.source, device=self.device)

    def detect(self, samples: np.ndarray) -> list[Span]:
        check_samples(samples)
        if not len(samples):
            return []
        audio = Audio(np.asarray(samples, np.float32), "segment")
        timeline = self.model.events(audio)
        longest_s = len(samples) / SAMPLE_RATE
        found = [
            Span(event.label, max(0.0, event.start), min(longest_s, event.end))
            for event in timeline.events
            if event.start < longest_s and event.end > event.start
        ]
        return in_order(found)
