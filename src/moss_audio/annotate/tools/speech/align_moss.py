"""Word times by aligning the transcript with a MOSS-Audio checkpoint's own audio tokens.

For checkpoints that learnt to be aligned (`moss_audio.engine.aligner`); steps of 80 ms.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import SpeechTool
from moss_audio.annotate.tools.speech.agreement import agreed_text
from moss_audio.annotate.tools.speech.moss import MossConfig, SharedMoss


class MossAligner(SpeechTool):
    """Gives the agreed transcript its word times: kind `words`."""

    kind = "words"
    name = "align-moss"

    def __init__(self, shared: SharedMoss | None = None) -> None:
        self._shared = shared or SharedMoss(MossConfig())
        self._align: Any = None

    @property
    def version(self) -> str:
        return self._shared.version

    def setup(self) -> None:
        """Load the checkpoint. Raises CheckpointError if it cannot be."""
        if self._align is None:
            from moss_audio.engine.aligner import WordAligner

            self._align = WordAligner(self._shared.model.engine)

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Times of the agreed words; nothing for a segment without any."""
        text = agreed_text(segment)
        if not text:
            return []
        self.setup()
        words = self._align(np.ascontiguousarray(samples, np.float32), text)
        return self.found(
            text=text,
            spans=tuple(Span(word.text, word.start, word.end) for word in words),
        )
