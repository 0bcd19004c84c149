"""Judges of a description: by the evidence, or a language model behind an endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moss_audio import settings
from moss_audio.annotate.records import AudioSegment, Span, ToolResult
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.events import events_heard
from moss_audio.annotate.words import words
from moss_audio.endpoint import Endpoint, EndpointClient, json_object
from moss_audio.errors import MossAudioError
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
    event bears out. Sounds outside the evidence and the common ones of `words.toml` are not
    recognised, so a text that makes up a rarer one is not caught here.
    """

    branch = "general"
    kind = "judge"
    name = "general/judge"
    config: JudgeConfig

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """One result for the last description; nothing without one."""
        described = segment.last("description", "general")
        if described is None:
            return []
        score, values = judge_description(described.text, events_heard(segment), self.config)
        return self.found(score=score, values={**values, "of": described.tool})


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
    return caption_facts(
        text, truth, vocabulary=words("events")["common"], tolerance_s=config.tolerance_s
    )


LOWEST, HIGHEST = 1, 5
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "score": {"type": "integer", "enum": list(range(LOWEST, HIGHEST + 1))},
        "reason": {"type": "string"},
    },
    "required": ["score", "reason"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class LlmJudgeConfig(Endpoint):
    """The endpoint and the model, and how they are asked."""

    temperature: float = 0.0
    max_tokens: int = 1024


class LlmJudge(Tool):
    """Kind `judge`: a language model's rating, 1 to 5 as a score from 0 to 1.

    If the reply is not the requested JSON, it is asked for once more; then it is a failure: a
    result without a score that says why, never a number.
    """

    branch = "general"
    kind = "judge"

    def __init__(self, config: LlmJudgeConfig) -> None:
        self.config = config
        self.name = f"general/judge {config.model_name}"

    @property
    def version(self) -> str:
        """Of what is asked and how, not of where the endpoint is."""
        config = self.config
        asked = [words("prompts")["judge"], SCHEMA, config.temperature, config.max_tokens]
        return f"2 {settings.digest(asked, 12)}"

    def load(self) -> EndpointClient:
        """The client. Raises MossAudioError without an endpoint or a model."""
        return self.config.connect("A judge over HTTP")

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        """One result for the last description; nothing without one.

        Raises MossAudioError where the endpoint cannot be asked: a run without its judge had
        better stop than keep segments unjudged as finished.
        """
        described = segment.last("description", "general")
        if described is None:
            return []
        content = request_text(described.text, events_heard(segment))
        answer = self.model.ask(
            [
                {"role": "system", "content": words("prompts")["judge"]},
                {"role": "user", "content": content},
            ],
            parse_verdict,
            schema=SCHEMA,
            temperature=self.config.temperature,
            max_tokens=self.config.max_tokens,
        )
        of = described.tool
        if answer.value is None:
            values, warning = {"failure": answer.problem, "of": of}, f"no verdict: {answer.problem}"
            return self.found(values=values, warnings=(warning,))
        rating, reason = answer.value
        score = (rating - LOWEST) / (HIGHEST - LOWEST)
        return self.found(score=score, values={"reason": reason, "of": of})


def request_text(description: str, events: Sequence[Span]) -> str:
    """What the model is shown of a segment."""
    lines = [
        f"- {event.label}: {event.start_s:.1f} to {event.end_s:.1f} s"
        + ("" if event.score is None else f", sure {event.score:.2f}")
        for event in events
    ]
    evidence = "\n".join(lines) or "- no sound"
    return f"EVIDENCE\n{evidence}\n\nDESCRIPTION\n{description}"


def parse_verdict(reply: str) -> tuple[int, str]:
    """Score (1 to 5) and reason of a reply: one JSON object with exactly these two. Raises
    MossAudioError saying what is wrong."""
    data = json_object(reply)
    if set(data) != {"score", "reason"}:
        raise MossAudioError('not an object with "score" and "reason"')
    score, reason = data["score"], data["reason"]
    if type(score) is not int or not LOWEST <= score <= HIGHEST:
        raise MossAudioError(f"score must be an integer from {LOWEST} to {HIGHEST}")
    if not isinstance(reason, str):
        raise MossAudioError("reason must be text")
    return score, reason
