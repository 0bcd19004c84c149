"""Word times of the agreed transcript, and the sentences that they make.

What aligners that find words one by one share; sentences end at full stops, pauses and after 15 s
as in the transcription task, so that training data and answers are cut alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar

import numpy as np

from moss_audio import settings
from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import SpeechTool
from moss_audio.annotate.tools.speech.agreement import agreed_language, agreed_text
from moss_audio.annotate.tools.speech.heard import speech_alone
from moss_audio.result import Word
from moss_audio.tasks.transcribe import SEGMENT_GAP_S, SEGMENT_MAX_S, segments_from_words
from moss_audio.units import SAMPLE_RATE

INTERPOLATED = "interpolated"
_LONGEST_WORD_S = 2.5
UNALIGNED = "the transcript could not be aligned with the sound"

Times = dict[int, tuple[float, float]]  # (start, end) in seconds of words, by their index
Marks = dict[int, dict[str, Any]]  # attributes of some of them


class AlignerTool(SpeechTool):
    """Gives the agreed transcript its word times: kind `words`.

    `language`: the one that it knows; None for one that takes any.
    """

    kind = "words"
    method = "2"
    language: ClassVar[str | None] = None

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """Times of the agreed words, looked for where detectors hear speech; without spans and
        with a warning if they do not fit the sound. Nothing for a segment without agreed words."""
        text = agreed_text(segment)
        if not text:
            return []
        spoken = agreed_language(segment)
        if self.language and spoken and spoken.split("-")[0] != self.language:
            return self.found(text=text, warnings=(f"{UNALIGNED}: it is in {spoken!r}",))
        times, marks = self.align(speech_alone(samples, segment), text)
        # of a word that takes longer, a part was put where another sound is
        if not times or any(end - start > _LONGEST_WORD_S for start, end in times.values()):
            return self.found(text=text, warnings=(UNALIGNED,))
        spans = spans_of(text.split(), times, len(samples) / SAMPLE_RATE, marks)
        return self.found(text=text, spans=spans)

    def align(self, samples: np.ndarray, text: str) -> tuple[Times, Marks]:
        """Times of the words of `text` (split at white space), empty if it cannot be aligned;
        words without a sound that this aligner knows are left out."""
        raise NotImplementedError


def spans_of(
    words: Sequence[str],
    times: Mapping[int, tuple[float, float]],
    duration_s: float,
    marks: Mapping[int, Mapping[str, Any]] | None = None,
) -> tuple[Span, ...]:
    """Spans of all words, in order.

    `times` has (start, end) by index of the words that were aligned. Runs of others share the
    room between their neighbours evenly and are marked `interpolated`; `marks` are attributes of
    single words.
    """
    marks = marks or {}
    out: list[Span] = []
    for aligned, run in groupby(range(len(words)), times.__contains__):
        if aligned:
            out += [Span(words[k], *times[k], attributes=dict(marks.get(k, {}))) for k in run]
            continue
        indices = list(run)
        before, after = indices[0] - 1, indices[-1] + 1
        left = times[before][1] if before >= 0 else 0.0
        right = max(left, times[after][0] if after < len(words) else duration_s)
        step = (right - left) / len(indices)
        for k, index in enumerate(indices):
            at = left + k * step
            out.append(Span(words[index], at, at + step, attributes={INTERPOLATED: True}))
    return tuple(out)


class SentencesTool(SpeechTool):
    """Gathers the aligned words of a segment: kind `sentences`.

    Where they could not be aligned, the times are those at which the recogniser whose text was
    taken wrote its own pieces, if it did: to about half a second.
    """

    kind = "sentences"
    name = "sentences"

    @property
    def version(self) -> str:
        return settings.digest([2, SEGMENT_GAP_S, SEGMENT_MAX_S], 12)

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """The sentences; nothing without words."""
        words = aligned_words(segment) or _recognised(segment)
        if not words:
            return []
        spans = tuple(Span(s.text, s.start, s.end) for s in segments_from_words(words))
        return self.found(text=" ".join(span.label for span in spans), spans=spans)


def aligned_words(segment: AudioSegment) -> list[Word]:
    """The aligned words of a segment's speech, in order."""
    found = segment.last("words", "speech")
    return [Word(s.label, s.start_s, s.end_s) for s in found.spans] if found else []


def _recognised(segment: AudioSegment) -> list[Word]:
    """The pieces, with their times, in which the agreed transcript was written; none if it was
    written in one without."""
    text, verdict = agreed_text(segment), segment.last("agreement", "speech")
    for one in segment.find("transcript", "speech"):
        if verdict and text and one.tool == verdict.values.get("chosen") and one.text == text:
            return [Word(s.label, s.start_s, s.end_s) for s in one.spans]
    return []
