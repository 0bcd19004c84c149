"""A configuration -> the steps of the data engine, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from moss_audio.annotate.stage import PipelineStage

if TYPE_CHECKING:
    from moss_audio.annotate.segment import Segmenter


@dataclass(frozen=True)
class PipelinePart:
    """A section of the configuration, the step that it makes, and the steps which that needs.

    `load` imports the part when it is asked for: what makes its step of a configuration, and the
    dataclass of its section.
    """

    section: str
    load: Callable[[], tuple[Callable[[Any], Any], type]]
    after: tuple[str, ...] = ()


def _load(section: str) -> tuple[Callable[[Any], Any], type]:
    match section:
        case "segment":
            from moss_audio.annotate.segment import SegmentConfig, Segmenter

            return Segmenter, SegmentConfig
        case "profile":
            from moss_audio.annotate.profile import ProfileConfig, ProfileStage

            return ProfileStage, ProfileConfig
        case "speech":
            from moss_audio.annotate.branches.speech import SpeechConfig, speech_branch

            return speech_branch, SpeechConfig
        case "music":
            from moss_audio.annotate.branches.music import MusicConfig, music_branch

            return music_branch, MusicConfig
        case "general":
            from moss_audio.annotate.branches.general import GeneralConfig, general_branch

            return general_branch, GeneralConfig
        case "merge":
            from moss_audio.annotate.merge import MergeConfig, MergeStage

            return MergeStage, MergeConfig
        case _:
            from moss_audio.annotate.tasks import TasksConfig, TaskStage

            return TaskStage, TasksConfig


# The branches need the profile, not each other: changing one leaves the others' results as they
# are. What merge is given holds the results of all three, in this order.
PARTS = (
    PipelinePart("segment", partial(_load, "segment")),
    PipelinePart("profile", partial(_load, "profile"), after=("segment",)),
    PipelinePart("speech", partial(_load, "speech"), after=("profile",)),
    PipelinePart("music", partial(_load, "music"), after=("profile",)),
    PipelinePart("general", partial(_load, "general"), after=("profile",)),
    PipelinePart("merge", partial(_load, "merge"), after=("speech", "music", "general")),
    PipelinePart("tasks", partial(_load, "tasks"), after=("merge",)),
)


@dataclass(frozen=True)
class Step:
    """A stage under the name of its section, and the names of the steps whose results it sees."""

    name: str
    stage: PipelineStage
    after: tuple[str, ...]


@dataclass(frozen=True)
class Pipeline:
    """The cutter and the steps after it, in order; each comes after all that it needs."""

    cutter: Segmenter
    steps: tuple[Step, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the cutter and the steps, in order."""
        return ("segment", *(step.name for step in self.steps))

    @property
    def last(self) -> str:
        """The step whose segments are the result."""
        return self.names[-1]


def build_pipeline(
    configs: Mapping[str, Any], parts: Sequence[PipelinePart] | None = None
) -> Pipeline:
    """The steps of `parts` (all by default), made from each section's configuration.

    Nothing is loaded yet: models come with `setup`. Raises MissingDependencyError.
    """
    parts = PARTS if parts is None else parts
    made = [part.load()[0](configs[part.section]) for part in parts]
    steps = [Step(p.section, one, p.after) for p, one in zip(parts[1:], made[1:], strict=True)]
    return Pipeline(made[0], tuple(steps))
