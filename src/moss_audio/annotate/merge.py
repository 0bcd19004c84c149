"""Merge: the branches' results of a segment become one caption with times (specification 3.4).

Evidence is normalised, a plan says what leads, a writer writes. The deterministic writer's text is
made of the evidence and nothing else. A language model words sentences around slots that hold the
evidence; a text that fails the check is asked for once more with the reasons, then replaced by the
deterministic writer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Literal

from moss_audio import settings
from moss_audio.annotate.merging.draft import caption_slots
from moss_audio.annotate.merging.gather import gather, in_order
from moss_audio.annotate.merging.grounded_writer import GroundedWriter
from moss_audio.annotate.merging.llm_writer import LlmConfig, LlmWriter
from moss_audio.annotate.merging.plan import caption_items, make_plan
from moss_audio.annotate.records import AudioSegment, SegmentCaption
from moss_audio.annotate.stage import StageItem
from moss_audio.endpoint import EndpointError
from moss_audio.settings import Between, Share, check

# Goes up whenever the same evidence may give another caption.
_VERSION = 3


@dataclass(frozen=True)
class MergeConfig:
    """How captions are made.

    Attributes:
        writer: "grounded" (deterministic, offline) or "llm".
        strong_score: findings with this score, or without one, must be named.
        weak_score: events below this score do not count at all; those between are not named.
        flagged_words: whether words that recognisers disagree on in part ("flag") are quoted.
        list_at_most: a sound heard more often is told by number and extent.
        llm: the language model of the writer "llm".
    """

    writer: Literal["grounded", "llm"] = "grounded"
    strong_score: Share = 0.5
    weak_score: Share = 0.3
    flagged_words: bool = True
    list_at_most: Annotated[int, Between(1)] = 5
    llm: LlmConfig = field(default_factory=LlmConfig)

    def __post_init__(self) -> None:
        """Raises MossAudioError for values outside their range."""
        check(self)
        in_order(self.weak_score, self.strong_score)


class MergeStage:
    """The step after the branches; see `annotate.stage.Stage`."""

    name = "merge"

    def __init__(self, config: MergeConfig | None = None) -> None:
        self.config = config or MergeConfig()
        self._plain = GroundedWriter(self.config.list_at_most)
        self._llm = LlmWriter(self.config.llm) if self.config.writer == "llm" else None

    @property
    def fingerprint(self) -> str:
        """Of what captions depend on; addresses, time limits and threads are no part of it."""
        told = {k: v for k, v in asdict(self.config).items() if k not in ("llm", "writer")}
        writer = self._llm or self._plain
        return settings.digest([_VERSION, told, writer.name, writer.version, self._plain.version])

    def setup(self) -> None:
        """Raises MossAudioError when a language model is configured without an address."""
        if self._llm is not None:
            self._llm.setup()

    def process_batch(self, items: Sequence[StageItem]) -> list[AudioSegment]:
        """The segments with their captions, in order. Sound is not read."""
        segments = [item.segment for item in items]
        workers = min(self.config.llm.workers, len(segments))
        if self._llm is None or workers < 2:
            captions = [self.caption(segment) for segment in segments]
        else:
            with ThreadPoolExecutor(workers) as pool:
                captions = list(pool.map(self.caption, segments))
        pairs = zip(segments, captions, strict=True)
        return [replace(segment, caption=caption) for segment, caption in pairs]

    def caption(self, segment: AudioSegment) -> SegmentCaption:
        """The caption of one segment. Raises MossAudioError when the endpoint refuses to work at
        all; what goes wrong with one segment is a warning."""
        evidence = gather(
            segment,
            strong_score=self.config.strong_score,
            weak_score=self.config.weak_score,
            flagged=self.config.flagged_words,
        )
        plan = make_plan(evidence, segment.profile)
        items = caption_items(evidence)
        warnings: list[str] = []
        rejected = 0
        if self._llm is not None and items:
            slots = caption_slots(evidence, items, list_at_most=self.config.list_at_most)
            try:
                answer = self._llm.write(evidence, plan, items, slots)
            except EndpointError as error:
                warnings.append(str(error))
            else:
                rejected = len(answer.replies) - (answer.value is not None)
                name = self._llm.name
                if answer.value is not None:
                    return SegmentCaption(answer.value, name, plan.lines, rejected=rejected)
                warnings.append(f"{name}: not grounded: {answer.problem}")
        written = self._plain.write(evidence, plan, items, segment.id)
        missing = [item.id for item in items if item.id not in written.cited]
        warnings += [f"grounding check: {name} is not named" for name in missing]
        return SegmentCaption(written.text, self._plain.name, plan.lines, tuple(warnings), rejected)
