"""The one protocol of the steps of the data engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from moss_audio.annotate.records import AudioSegment


@dataclass(frozen=True)
class StageItem:
    """A segment and the way to its sound (mono float32 at 16 kHz), read when it is asked for."""

    segment: AudioSegment
    samples: Callable[[], np.ndarray]


class PipelineStage(Protocol):
    """A step over segments: profile, a branch, merge, tasks. It neither drops nor adds segments."""

    @property
    def name(self) -> str:
        """Names the step's folder of shards."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the step's results may: its settings and the versions of its tools."""

    def setup(self) -> None:
        """Load models: once a worker, before the first batch."""

    def process_batch(self, items: Sequence[StageItem]) -> list[AudioSegment]:
        """The segments with this step's results added, in order."""
