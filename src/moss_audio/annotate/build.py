"""A configuration -> the steps of the data engine, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from moss_audio.annotate.records import AudioSegment, Recording
from moss_audio.annotate.stage import PipelineStage


class Cutter(Protocol):
    """Cuts a recording at event boundaries."""

    @property
    def name(self) -> str:
        """In messages."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever its segments may."""

    def setup(self) -> None:
        """Load models: once a worker."""

    def segment(self, recording: Recording, samples: np.ndarray) -> list[AudioSegment]:
        """Segments in order, times in the recording; `samples` [n] mono float32 at 16 kHz."""


@dataclass(frozen=True)
class PipelinePart:
    """A section of the configuration, the step that it makes, and the steps which that needs.

    `load` imports the part when it is asked for: what makes its step of a configuration, and the
    dataclass of its section.
    """

    section: str
    load: Callable[[], tuple[Callable[[Any], Any], type]]
    after: tuple[str, ...] = ()


def _segment() -> tuple[Callable[[Any], Any], type]:
    from moss_audio.annotate.segment import SegmentConfig, Segmenter

    return Segmenter, SegmentConfig


def _profile() -> tuple[Callable[[Any], Any], type]:
    from moss_audio.annotate.profile import ProfileConfig, ProfileStage

    return ProfileStage, ProfileConfig


def _speech() -> tuple[Callable[[Any], Any], type]:
    from moss_audio.annotate.branches.speech import SpeechConfig, speech_branch

    return speech_branch, SpeechConfig


def _music() -> tuple[Callable[[Any], Any], type]:
    from moss_audio.annotate.branches.music import MusicConfig, music_branch

    return music_branch, MusicConfig


def _general() -> tuple[Callable[[Any], Any], type]:
    from moss_audio.annotate.branches.general import GeneralConfig, general_branch

    return general_branch, GeneralConfig


def _merge() -> tuple[Callable[[Any], Any], type]:
    from moss_audio.annotate.merge import MergeConfig, MergeStage

    return MergeStage, MergeConfig


def _tasks() -> tuple[Callable[[Any], Any], type]:
    from moss_audio.annotate.tasks import TasksConfig, TaskStage

    return TaskStage, TasksConfig


# The branches need the profile, not each other: changing one leaves the others' results as they
# are. What merge is given holds the results of all three, in this order.
PARTS = (
    PipelinePart("segment", _segment),
    PipelinePart("profile", _profile, after=("segment",)),
    PipelinePart("speech", _speech, after=("profile",)),
    PipelinePart("music", _music, after=("profile",)),
    PipelinePart("general", _general, after=("profile",)),
    PipelinePart("merge", _merge, after=("speech", "music", "general")),
    PipelinePart("tasks", _tasks, after=("merge",)),
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

    cutter: Cutter
    steps: tuple[Step, ...]

    @property
    def last(self) -> str:
        """The step whose segments are the result."""
        return self.steps[-1].name if self.steps else "segment"


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
