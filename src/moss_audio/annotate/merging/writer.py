"""What writes captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from moss_audio.annotate.merging.evidence import Evidence
from moss_audio.annotate.merging.plan import Plan


class Writer(Protocol):
    """Writes one caption from evidence; the grounding check reads it afterwards."""

    @property
    def name(self) -> str:
        """Stands in the caption."""

    @property
    def version(self) -> str:
        """Changes whenever its texts may."""

    @property
    def attempts(self) -> int:
        """How often it may be asked for the same segment; more than once only if it can learn
        from what was wrong."""

    def setup(self) -> None:
        """Once a worker, before the first caption."""

    def write(self, evidence: Evidence, plan: Plan, seed: str, faults: Sequence[str] = ()) -> str:
        """A caption.

        Args:
            evidence: all that may be said.
            plan: which part leads.
            seed: the segment's id: equal seeds give equal words.
            faults: what was wrong with this writer's text before, if there was one.
        """
