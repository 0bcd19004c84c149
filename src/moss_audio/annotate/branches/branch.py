"""A branch of the annotation: tools that listen, one after the other, to what concerns them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from moss_audio import settings
from moss_audio.annotate.records import AudioSegment, BranchName
from moss_audio.annotate.stage import StageItem
from moss_audio.annotate.tool import Tool


@dataclass(frozen=True)
class Branch:
    """Runs `tools`, in their order, on the segments that it applies to. The others pass unchanged,
    their sound unread; results of an earlier run of the same branch are replaced.

    Attributes:
        name: of the branch, in its results too.
        config: its section of the configuration.
        tools: what runs; each sees the results of those before it.
        settings: what the results depend on besides the tools, see `fingerprint`.
        classes: the profile's classes that it is for; () for all segments.
        threshold: of the profile's score for the likeliest of `classes`.
        least_samples: shorter segments pass unchanged, too.
        stop_reason: of a result (`values["reason"]`) after which no further tool hears the segment.
        forget: called after each batch, to let go of what the tools shared.
    """

    name: BranchName
    config: Any
    tools: tuple[Tool, ...]
    settings: Any
    classes: tuple[str, ...] = ()
    threshold: float = 0.0
    least_samples: float = 0.0
    stop_reason: str | None = None
    forget: Callable[[], None] | None = None

    @property
    def fingerprint(self) -> str:
        """Of the settings and of the tools in their order; options that none of them uses do not
        count."""
        return settings.digest([self.settings, [(t.name, t.version) for t in self.tools]], 12)

    def setup(self) -> None:
        """Load all models. Raises CheckpointError or MissingDependencyError for one that is not
        there."""
        for tool in self.tools:
            tool.setup()

    def process_batch(self, items: Sequence[StageItem]) -> list[AudioSegment]:
        """The segments with the branch's results, in order. Raises MossAudioError when a server
        that the configuration names cannot be asked."""
        segments = [item.segment for item in items]
        sounds = enumerate(map(self._sound, items))
        heard = {i: sound for i, sound in sounds if sound is not None}
        for i in heard:
            others = tuple(one for one in segments[i].results if one.branch != self.name)
            segments[i] = replace(segments[i], results=others)
        try:
            for tool in self.tools:
                if heard:
                    self._run(tool, segments, heard)
        finally:
            if self.forget is not None:
                self.forget()
        return segments

    def _run(self, tool: Tool, segments: list[AudioSegment], heard: dict[int, np.ndarray]) -> None:
        found = tool.annotate_batch(list(heard.values()), [segments[i] for i in heard])
        for i, results in zip(list(heard), found, strict=True):
            segments[i] = replace(segments[i], results=(*segments[i].results, *results))
            if self.stop_reason and any(
                r.values.get("reason") == self.stop_reason for r in results
            ):
                del heard[i]

    def _sound(self, item: StageItem) -> np.ndarray | None:
        """The sound of a segment that the branch applies to, None for others."""
        profile = item.segment.profile
        if self.classes and max(profile.get(c, 0.0) for c in self.classes) < self.threshold:
            return None
        samples = item.samples()
        return samples if len(samples) >= self.least_samples else None
