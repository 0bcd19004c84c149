"""The general branch: events with times, an anchor sentence, a fused description, a judge.

Specification 3.3 (general audio). There the description is a language model's; here it is put
together from the events, and a language model may judge it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from moss_audio.annotate.branches.branch import Branch
from moss_audio.annotate.detectors.base import Detector
from moss_audio.annotate.detectors.make import DetectorConfig, make_detectors
from moss_audio.annotate.tool import Tool
from moss_audio.annotate.tools.events import EventsConfig, EventsTool
from moss_audio.annotate.tools.general.description import (
    AnchorConfig,
    AnchorTool,
    DescriptionConfig,
    DescriptionTool,
)
from moss_audio.annotate.tools.general.judge import (
    EvidenceJudge,
    JudgeConfig,
    LlmJudge,
    LlmJudgeConfig,
)


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


def general_branch(
    config: GeneralConfig | None = None, detectors: Sequence[Detector] = ()
) -> Branch:
    """The branch for every segment: speech and music are events too. `detectors` listen besides
    those that `config.detectors` names.

    Where a judge's endpoint is does not count: a server that moves redoes nothing.
    """
    config = config or GeneralConfig()
    made = make_detectors(config.detectors)
    tools: tuple[Tool, ...] = (
        EventsTool(config.events, (*made, *detectors)),
        AnchorTool(config.anchor),
        DescriptionTool(config.description),
        EvidenceJudge(config.judge),
    )
    if config.llm_judge is not None:
        tools += (LlmJudge(config.llm_judge),)
    return Branch("general", config, tools=tools, settings={**asdict(config), "llm_judge": None})
