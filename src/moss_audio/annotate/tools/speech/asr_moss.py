"""Transcripts of a MOSS-Audio checkpoint, the embedded one or any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from moss_audio.annotate.records import AudioSegment, ToolResult
from moss_audio.annotate.tool import SpeechTool
from moss_audio.annotate.tools.speech.moss import MossConfig, SharedMoss
from moss_audio.units import SAMPLE_RATE


class MossTool(SpeechTool):
    """Speech to text by a MOSS-Audio checkpoint: kind `transcript`, without spans."""

    kind = "transcript"

    def __init__(self, shared: SharedMoss | None = None, name: str = "moss") -> None:
        self._shared = shared or SharedMoss(MossConfig())
        self.name = name

    @property
    def version(self) -> str:
        return self._shared.version

    def setup(self) -> None:
        """Load the checkpoint. Raises CheckpointError if it cannot be."""
        _ = self._shared.model

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """One transcript; what was repaired in the answer is in `warnings`."""
        return self.annotate_batch([samples], [segment])[0]

    def annotate_batch(
        self, samples: Sequence[np.ndarray], segments: Sequence[AudioSegment]
    ) -> list[list[ToolResult]]:
        """One transcript each; decoded together, the weights are read once for all of them."""
        found: Any = self._shared.model.transcribe([(one, SAMPLE_RATE) for one in samples])
        return [self.found(text=one.text, warnings=one.warnings) for one in found]
