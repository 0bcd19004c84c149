"""A configuration -> the steps of the data engine, in the order in which they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from moss_audio.annotate.records import Recording, Segment
from moss_audio.annotate.stage import Stage


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

    def segment(self, recording: Recording, samples: np.ndarray) -> list[Segment]:
        """Segments in order, times in the recording; `samples` [n] mono float32 at 16 kHz."""


@dataclass(frozen=True)
class Part:
    """A section of the configuration, the step that it makes, and the steps which that needs."""

    section: str
    module: str
    kind: str  # the class of the step; its argument is the configuration
    config: str  # the dataclass of the section
    after: tuple[str, ...] = ()


# The branches need the profile, not each other: changing one leaves the others' results as they
# are. What merge is given holds the results of all three, in this order.
PARTS = (
    Part("segment", "moss_audio.annotate.segment", "Segmenter", "SegmentConfig"),
    Part("profile", "moss_audio.annotate.profile", "ProfileStage", "ProfileConfig", ("segment",)),
    Part("speech", "moss_audio.annotate.branches.speech", "SpeechStage", "SpeechConfig",
         ("profile",)),
    Part("music", "moss_audio.annotate.branches.music", "MusicStage", "MusicConfig", ("profile",)),
    Part("general", "moss_audio.annotate.branches.general", "GeneralStage", "GeneralConfig",
         ("profile",)),
    Part("merge", "moss_audio.annotate.merge", "MergeStage", "MergeConfig",
         ("speech", "music", "general")),
    Part("tasks", "moss_audio.annotate.tasks", "TaskStage", "TasksConfig", ("merge",)),
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A stage under the name of its section, and the names of the steps whose results it sees."""

    name: str
    stage: Stage
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


def build_pipeline(configs: Mapping[str, Any], parts: Sequence[Part] | None = None) -> Pipeline:
    """The steps of `parts` (all by default), made from each section's configuration.

    Nothing is loaded yet: models come with `setup`. Raises MissingDependencyError.
    """
    parts = PARTS if parts is None else parts
    made = [getattr(import_module(p.module), p.kind)(configs[p.section]) for p in parts]
    steps = [Step(p.section, one, p.after) for p, one in zip(parts[1:], made[1:], strict=True)]
    return Pipeline(made[0], tuple(steps))
