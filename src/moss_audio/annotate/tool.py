"""The one protocol of everything that listens to a segment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from moss_audio.annotate.records import Segment, ToolResult


@runtime_checkable
class Tool(Protocol):
    """A recogniser, an aligner, a tempo tracker, ...

    A branch runs its tools in order; each sees the results of those before it in
    `segment.results`. A tool that does not apply to a segment returns nothing.
    """

    @property
    def name(self) -> str:
        """Stands in each of its results."""

    @property
    def version(self) -> str:
        """Changes whenever its results may: package version, weights, settings."""

    def setup(self) -> None:
        """Load models: once a worker, before the first segment. May be called again."""

    def annotate(self, samples: np.ndarray, segment: Segment) -> list[ToolResult]:
        """Results for one segment.

        Args:
            samples: mono float32 at 16 kHz, `[duration_s * 16000]`.
            segment: with the profile and the results so far.
        """


@runtime_checkable
class BatchTool(Tool, Protocol):
    """A tool that is faster on several segments at once, with the same results."""

    def annotate_batch(
        self, samples: Sequence[np.ndarray], segments: Sequence[Segment]
    ) -> list[list[ToolResult]]:
        """`annotate` of each segment, in order."""
