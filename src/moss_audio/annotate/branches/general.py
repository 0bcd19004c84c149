"""The general branch: events with times, an anchor sentence, a fused description, a judge.

Specification 3.3 (general audio). There the description is a language model's; here it is put
together from the events, and a language model may judge it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from moss_audio.annotate.detectors.make import DetectorConfig, make_detector
from moss_audio.annotate.records import Segment
from moss_audio.annotate.stage import Item
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.events import EventDetector, EventsConfig, EventsTool
from moss_audio.annotate.tools.general.anchor import AnchorConfig, AnchorTool
from moss_audio.annotate.tools.general.description import DescriptionConfig, DescriptionTool
from moss_audio.annotate.tools.general.judge import EvidenceJudge, JudgeConfig
from moss_audio.annotate.tools.general.llm_judge import LlmJudge, LlmJudgeConfig


@dataclass(frozen=True)
class GeneralConfig:
    """What listens for events besides the segmentation's detectors, and who judges.

    With `llm_judge` a language model judges too; the judge without a model always does.
    """

    detectors: tuple[DetectorConfig, ...] = ()
    events: EventsConfig = field(default_factory=EventsConfig)
    anchor: AnchorConfig = field(default_factory=AnchorConfig)
    description: DescriptionConfig = field(default_factory=DescriptionConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    llm_judge: LlmJudgeConfig | None = None


class GeneralStage:
    """Adds the general tools' results to every segment: speech and music are events too.

    Results of an earlier run of this branch are replaced.

    Args:
        config: settings.
        detectors: besides those that `config.detectors` names.
    """

    name = "general"

    def __init__(
        self, config: GeneralConfig | None = None, detectors: Sequence[EventDetector] = ()
    ) -> None:
        self.config = config or GeneralConfig()
        made = [make_detector(one) for one in self.config.detectors]
        tools: list[Tool] = [
            EventsTool(self.config.events, (*made, *detectors)),
            AnchorTool(self.config.anchor),
            DescriptionTool(self.config.description),
            EvidenceJudge(self.config.judge),
        ]
        if self.config.llm_judge is not None:
            tools.append(LlmJudge(self.config.llm_judge))
        self.tools: tuple[Tool, ...] = tuple(tools)

    @property
    def fingerprint(self) -> str:
        """Of the configuration and the tools' versions. Where a judge's endpoint is, is left out:
        a server that moves redoes nothing."""
        said = {
            "config": {**asdict(self.config), "llm_judge": None},
            "tools": [(tool.name, tool.version) for tool in self.tools],
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    def setup(self) -> None:
        """Loads the detectors."""
        for tool in self.tools:
            tool.setup()

    def process_batch(self, items: Sequence[Item]) -> list[Segment]:
        """The segments with events, anchor, description and verdict."""
        return [self._annotate(item) for item in items]

    def _annotate(self, item: Item) -> Segment:
        kept = tuple(one for one in item.segment.results if one.branch != "general")
        segment, samples = replace(item.segment, results=kept), item.samples()
        for tool in self.tools:
            found = tool.annotate(samples, segment)
            segment = replace(segment, results=(*segment.results, *found))
        return segment
