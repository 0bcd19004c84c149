"""What was set aside: a recording, or a segment, and the reason."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Aside:
    """One line of `aside.jsonl`. `reason` is one of few, to be counted; `detail` is for people."""

    path: str
    reason: str
    detail: str = ""
    member: str | None = None  # inside a tar
    step: str = "ingest"
    segment: str | None = None  # the id, where it is only a part of a recording
    audio: str | None = None  # the segment's own sound, relative to the output folder

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)
