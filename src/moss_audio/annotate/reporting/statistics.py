"""What the report counts, added up segment by segment with bounded memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from moss_audio.annotate.records import COARSE_CLASSES, AudioSegment
from moss_audio.annotate.reporting.counting import Histogram, Tally, general

PRESENT = 0.5  # a class with this score is heard in a segment,
LEADING = 0.2  # and one below this does not lead it: the segment counts as silence
DECISIONS = ("keep", "flag", "drop")
GROUPS = ("speech", "music", "general", "silence")
_MIN_WORDS = 3  # fewer have no rate
_MAX_RECORDINGS = 500_000  # counted exactly up to here; about 40 MB


def leading_class(segment: AudioSegment) -> str | None:
    """The coarse class with the highest score, None where none reaches `LEADING`."""
    name = max(COARSE_CLASSES, key=lambda one: segment.profile.get(one, 0.0))
    return name if segment.profile.get(name, 0.0) >= LEADING else None


def group_of(segment: AudioSegment) -> str:
    """One of `GROUPS`, by the leading class."""
    groups = {None: "silence", "speech": "speech", "singing": "music", "music": "music"}
    return groups.get(leading_class(segment), "general")


class Statistics:
    """Sums and counts over all segments, everything set aside, and all measured times."""

    def __init__(self) -> None:
        self.segments = 0
        self.audio_s = 0.0
        self.leads = Tally()  # class, or "silence" -> segments and seconds it leads
        self.heard = Tally()  # class -> segments and seconds with a score of `PRESENT`
        self.flags = Tally()
        self.durations = Histogram(1.0, 3600.0)
        self.word_rates = Histogram(1.0, 600.0)
        self.agreement = Histogram(0.01, 1.5, DECISIONS)
        self.decisions = Tally()
        self.doubts = Tally()  # (decision, reason) of transcripts that were not simply kept
        self.writers = Tally()
        self.captions = 0
        self.rejected = 0  # texts of language models
        self.caption_words = Histogram(1.0, 1000.0)
        self.conversations = Tally()
        self.tools = Tally()  # (branch, kind, tool, version)
        self.warnings = Tally()  # (where, warning)
        self.aside = Tally()
        self.steps: dict[str, tuple[float, float]] = {}  # step -> seconds of audio, of work
        self._recordings: set[int] = set()

    @property
    def recordings(self) -> int:
        return len(self._recordings)

    @property
    def more_recordings(self) -> bool:
        """Whether there may be more recordings than `recordings` says."""
        return len(self._recordings) >= _MAX_RECORDINGS

    def add(self, segment: AudioSegment) -> None:
        """Count a segment."""
        seconds = segment.duration_s
        self.segments += 1
        self.audio_s += seconds
        self.durations.add(seconds)
        if not self.more_recordings:
            digest = hashlib.blake2b(segment.recording.id.encode("utf-8", "replace"), digest_size=8)
            self._recordings.add(int.from_bytes(digest.digest(), "big"))
        self.leads.add(leading_class(segment) or "silence", audio_s=seconds)
        for name in COARSE_CLASSES:
            if segment.profile.get(name, 0.0) >= PRESENT:
                self.heard.add(name, audio_s=seconds)
        for flag in segment.flags:
            self.flags.add(flag, audio_s=seconds)
        self._add_results(segment)
        self._add_caption(segment)
        for conversation in segment.conversations:
            self.conversations.add(str(conversation.get("task", "(no task named)")))

    def add_aside(self, row: Mapping[str, Any]) -> None:
        """Count what was set aside: `path`, `reason`."""
        path = str(row.get("path", ""))
        self.aside.add(general(str(row.get("reason", "")), path), example=path)

    def add_timing(self, row: Mapping[str, Any]) -> None:
        """Add up `audio_s` and `wall_s` of a `step`; a row without them is left out."""
        audio_s, wall_s = _number(row.get("audio_s")), _number(row.get("wall_s"))
        if "step" in row and audio_s is not None and wall_s is not None:
            audio, wall = self.steps.get(str(row["step"]), (0.0, 0.0))
            self.steps[str(row["step"])] = (audio + audio_s, wall + wall_s)

    def _add_results(self, segment: AudioSegment) -> None:
        for result in segment.results:
            self.tools.add(
                result.branch, result.kind, result.tool, result.version, audio_s=segment.duration_s
            )
            for warning in result.warnings:
                self.warnings.add(result.tool, general(warning), example=segment.id)
        for result in segment.find("agreement"):
            decision = str(result.values.get("decision", ""))
            self.decisions.add(decision, audio_s=segment.duration_s)
            if result.score is not None:
                self.agreement.add(result.score, decision)
            if decision in ("flag", "drop"):
                reason = general(str(result.values.get("reason", "")))
                self.doubts.add(decision, reason, audio_s=segment.duration_s, example=segment.id)
        for result in segment.find("words", "speech")[:1]:
            if len(result.spans) >= _MIN_WORDS:
                spoken = result.spans[-1].end_s - result.spans[0].start_s
                if spoken > 0:
                    self.word_rates.add(60 * len(result.spans) / spoken)

    def _add_caption(self, segment: AudioSegment) -> None:
        caption = segment.caption
        if caption is None:
            return
        self.captions += 1
        self.rejected += caption.rejected
        self.writers.add(caption.writer, audio_s=segment.duration_s)
        self.caption_words.add(len(caption.text.split()))
        for warning in caption.warnings:
            self.warnings.add("caption", general(warning), example=segment.id)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
