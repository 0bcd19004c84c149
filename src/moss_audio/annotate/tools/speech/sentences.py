"""Words with times -> sentences with times: ends at full stops, pauses and after 15 s.

The rule is that of the transcription task (`moss_audio.tasks.transcribe`), so that training data
and answers are cut alike.
"""

from __future__ import annotations

import numpy as np

from moss_audio import settings
from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import SpeechTool
from moss_audio.result import Word
from moss_audio.tasks.transcribe import SEGMENT_GAP_S, SEGMENT_MAX_S, segments_from_words


class SentencesTool(SpeechTool):
    """Gathers the aligned words of a segment: kind `sentences`."""

    kind = "sentences"
    name = "sentences"

    @property
    def version(self) -> str:
        return settings.digest([SEGMENT_GAP_S, SEGMENT_MAX_S], 12)

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """The sentences; nothing without words."""
        words = aligned_words(segment)
        if not words:
            return []
        spans = tuple(Span(s.text, s.start, s.end) for s in segments_from_words(words))
        return self.found(
            text=" ".join(span.label for span in spans),
            spans=spans,
        )


def aligned_words(segment: AudioSegment) -> list[Word]:
    """The aligned words of a segment's speech, in order."""
    found = segment.find("words", "speech")
    return [Word(s.label, s.start_s, s.end_s) for s in found[-1].spans] if found else []
