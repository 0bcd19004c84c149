"""Merge: the branches' results of a segment become one caption with times (specification 3.4).

Evidence is normalised, a plan says what leads, a writer writes, the grounding check reads. A
language model's text that does not pass is asked for again with the reasons, then replaced by the
deterministic writer's; how many did not pass is counted in the caption.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.gather import gather
from moss_audio.annotate.merging.grounded_writer import GroundedWriter
from moss_audio.annotate.merging.grounding import check
from moss_audio.annotate.merging.llm_writer import EndpointError, LlmConfig, LlmWriter
from moss_audio.annotate.merging.plan import Plan, make_plan
from moss_audio.annotate.merging.writer import Writer
from moss_audio.annotate.records import Caption, Segment
from moss_audio.annotate.stage import Item
from moss_audio.errors import MossAudioError

# Goes up whenever the same evidence may give another caption: the check or the evidence changed.
_VERSION = 1


@dataclass(frozen=True)
class MergeConfig:
    """How captions are made.

    Attributes:
        writer: "grounded" (deterministic, offline) or "llm".
        strong_score: findings with this score, or without one, must be named.
        weak_score: events below this score do not count at all; those between may be named by a
            language model, and are not by the deterministic writer.
        flagged_words: whether words that recognisers disagree on in part ("flag") are quoted.
        list_at_most: a sound heard more often is told by number and extent.
        llm: the language model of the writer "llm".
    """

    writer: Literal["grounded", "llm"] = "grounded"
    strong_score: float = 0.5
    weak_score: float = 0.3
    flagged_words: bool = True
    list_at_most: int = 5
    llm: LlmConfig = field(default_factory=LlmConfig)

    def __post_init__(self) -> None:
        """Raises MossAudioError for values outside their range."""
        if self.writer not in ("grounded", "llm"):
            raise MossAudioError(f"merge.writer must be grounded or llm, got {self.writer!r}")
        if not 0 <= self.weak_score <= self.strong_score <= 1:
            raise MossAudioError(
                "merge.weak_score and merge.strong_score must be between 0 and 1 in this order, "
                f"got {self.weak_score!r} and {self.strong_score!r}"
            )
        if self.list_at_most < 1:
            raise MossAudioError(f"merge.list_at_most must be 1 or more, got {self.list_at_most!r}")


class MergeStage:
    """The step after the branches; see `annotate.stage.Stage`."""

    def __init__(self, config: MergeConfig | None = None, writer: Writer | None = None) -> None:
        """`writer`: one of your own instead of the configured one."""
        self.config = config or MergeConfig()
        self._plain = GroundedWriter(self.config.list_at_most)
        self._writer: Writer = writer or (
            LlmWriter(self.config.llm) if self.config.writer == "llm" else self._plain
        )

    @property
    def name(self) -> str:
        return "merge"

    @property
    def fingerprint(self) -> str:
        """Of what captions depend on; addresses, time limits and threads are no part of it."""
        settings = {k: v for k, v in asdict(self.config).items() if k not in ("llm", "writer")}
        whole = [_VERSION, settings, self._writer.name, self._writer.version, self._plain.version]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]

    def setup(self) -> None:
        """Raises MossAudioError when a language model is configured without an address."""
        self._writer.setup()

    def process_batch(self, items: Sequence[Item]) -> list[Segment]:
        """The segments with their captions, in order. Sound is not read."""
        segments = [item.segment for item in items]
        workers = min(self.config.llm.workers, len(segments))
        if self._writer.attempts == 1 or workers < 2:
            captions = [self.caption(segment) for segment in segments]
        else:
            with ThreadPoolExecutor(workers) as pool:
                captions = list(pool.map(self.caption, segments))
        return [
            replace(segment, caption=caption)
            for segment, caption in zip(segments, captions, strict=True)
        ]

    def evidence(self, segment: Segment) -> Evidence:
        """What this step takes as the evidence of a segment."""
        return gather(
            segment,
            strong_score=self.config.strong_score,
            weak_score=self.config.weak_score,
            flagged=self.config.flagged_words,
        )

    def caption(self, segment: Segment) -> Caption:
        """The caption of one segment. Raises MossAudioError when the endpoint refuses to work at
        all; what goes wrong with one segment is a warning."""
        evidence = self.evidence(segment)
        plan = make_plan(evidence, segment.profile)
        warnings: list[str] = []
        rejected = 0
        faults: tuple[str, ...] = ()
        if self._writer is not self._plain:
            for _ in range(self._writer.attempts):
                try:
                    text = self._writer.write(evidence, plan, segment.id, faults)
                except EndpointError as error:
                    warnings.append(str(error))
                    break
                faults = tuple(fault.message for fault in check(text, evidence))
                if not faults:
                    return Caption(text, self._writer.name, plan.lines, tuple(warnings), rejected)
                rejected += 1
            if faults:
                warnings.append(f"{self._writer.name}: not grounded: {'; '.join(faults[:3])}")
        return self._grounded(segment, evidence, plan, warnings, rejected)

    def _grounded(
        self,
        segment: Segment,
        evidence: Evidence,
        plan: Plan,
        warnings: list[str],
        rejected: int,
    ) -> Caption:
        text = self._plain.write(evidence, plan, segment.id)
        # The check reads words, and no reading of words is perfect: a text that it does not
        # understand is kept, since it was written from the evidence alone, and says so.
        warnings += [f"grounding check: {fault.message}" for fault in check(text, evidence)]
        return Caption(text, self._plain.name, plan.lines, tuple(warnings), rejected)
