"""The protocol of the steps of the data engine, and what keeps their results together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from moss_audio.annotate.records import AudioSegment


@dataclass(frozen=True)
class StageItem:
    """A segment and the way to its sound (mono float32 at 16 kHz), read when it is asked for."""

    segment: AudioSegment
    samples: Callable[[], np.ndarray]


class PipelineStage(Protocol):
    """A step over segments: profile, a branch, merge, tasks. It neither drops nor adds segments."""

    @property
    def name(self) -> str:
        """Names the step's folder of shards."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the step's results may: its settings and the versions of its tools."""

    def setup(self) -> None:
        """Load models: once a worker, before the first batch."""

    def process_batch(self, items: Sequence[StageItem]) -> list[AudioSegment]:
        """The segments with this step's results added, in order."""


class StepFault(RuntimeError):
    """A step that breaks its protocol: to be fixed, not worked around."""


def check_step(name: str, before: Sequence[AudioSegment], after: Sequence[AudioSegment]) -> None:
    """Raises StepFault where it did more than add to the segments."""
    if len(before) != len(after):
        raise StepFault(f"step {name} made {len(after)} segments of {len(before)}")
    for old, new in zip(before, after, strict=True):
        same = (new.id, new.start_s, new.end_s, new.audio) == (
            old.id, old.start_s, old.end_s, old.audio
        )  # fmt: skip
        if not same or new.results[: len(old.results)] != old.results:
            raise StepFault(
                f"step {name} changed what was known of segment {old.id} instead of adding to it"
            )


def join(base: AudioSegment, branches: Sequence[AudioSegment]) -> AudioSegment:
    """What each branch added to `base`, one after the other.

    Raises StepFault where two branches say different things of what a segment has one of.
    """
    if len(branches) == 1:
        return branches[0]
    results, flags = base.results, base.flags
    changed = base
    for branch in branches:
        results += branch.results[len(base.results) :]
        flags += tuple(flag for flag in branch.flags if flag not in flags)
        for name in ("profile", "caption", "conversations"):
            value = getattr(branch, name)
            if value != getattr(base, name):
                if getattr(changed, name) not in (value, getattr(base, name)):
                    raise StepFault(f"two branches set the {name} of segment {base.id}")
                changed = replace(changed, **{name: value})
    return replace(changed, results=results, flags=flags)
