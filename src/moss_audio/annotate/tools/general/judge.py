"""The judge by default: how much of the evidence a description names, and what it makes up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.events import COMMON_SOUNDS, events_heard
from moss_audio.metrics.caption import CaptionFacts, caption_facts
from moss_audio.result import Event, Segment

_REASONS_AT_MOST = 20


@dataclass(frozen=True)
class JudgeConfig:
    """What a description has to name, and how exactly."""

    min_score: float = 0.5  # events from this score on must be named; the others may be
    tolerance_s: float = 0.5


class EvidenceJudge(Tool):
    """Kind `judge`: the harmonic mean of coverage and precision, without any model.

    The facts are those of `metrics.caption` (sounds, times, order, counts). Coverage: the share
    of the sure events' facts that the text names. Precision: the share of its claims that some
    event bears out. Sounds outside the evidence and `COMMON_SOUNDS` are not recognised, so a text
    that makes up a rarer one is not caught here.
    """

    branch = "general"
    kind = "judge"
    name = "general/judge"

    def __init__(self, config: JudgeConfig) -> None:
        self.config = config

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """One result for the last description; nothing without one."""
        described = segment.find("description", "general")
        if not described:
            return []
        score, values = judge_description(described[-1].text, events_heard(segment), self.config)
        return self.found(score=score, values={**values, "of": described[-1].tool})


def judge_description(
    text: str, events: Sequence[Span], config: JudgeConfig
) -> tuple[float, dict[str, object]]:
    """The score, 0 to 1, and its reasons: coverage, precision, what is missing and made up."""
    sure = [e for e in events if e.score is None or e.score >= config.min_score]
    of_sure = _facts(text, sure, config)
    of_all = _facts(text, events, config)
    # What is right without the unsure events (two barks) or with them (three) is not made up.
    wrong = [
        {f.statement for f in one.details if f.outcome == "invented"} for one in (of_sure, of_all)
    ]
    invented = sorted(set.intersection(*wrong))
    missing = [fact.statement for fact in of_sure.details if fact.outcome == "missed"]
    coverage = 1.0 if of_sure.recall is None else of_sure.recall
    borne_out = max(of_sure.named, of_all.named)
    claims = borne_out + len(invented)
    precision = borne_out / claims if claims else 0.0
    total = coverage + precision
    values: dict[str, object] = {
        "coverage": coverage,
        "precision": precision,
        "missing": missing[:_REASONS_AT_MOST],
        "invented": invented[:_REASONS_AT_MOST],
    }
    return (2.0 * coverage * precision / total if total else 0.0), values


@dataclass(frozen=True)
class _HeardScene:
    """The evidence as `caption_facts` takes it; words and music are not judged here."""

    events: tuple[Event, ...]
    sentences: tuple[Segment, ...] = ()
    music: None = None


def _facts(text: str, events: Sequence[Span], config: JudgeConfig) -> CaptionFacts:
    truth = _HeardScene(tuple(Event(e.label, e.start_s, e.end_s) for e in events))
    return caption_facts(text, truth, vocabulary=COMMON_SOUNDS, tolerance_s=config.tolerance_s)
