"""What travels through the data engine: recordings, segments, tool results, captions.

All are frozen and turn into plain JSON and back without loss, so that every step's shards can be
read with any JSONL tool. Seconds are floats; times inside a segment count from its start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from moss_audio.annotate.words import words
from moss_audio.errors import MossAudioError

BranchName = Literal["segment", "speech", "music", "general"]

# The nine coarse classes of a segment's profile (specification 3.2).
COARSE_CLASSES = (
    "speech",
    "human sounds",
    "singing",
    "music",
    "natural sounds",
    "source-ambiguous sounds",
    "sounds of things",
    "environment",
    "animal",
)


@dataclass(frozen=True)
class Span:
    """Something between two moments of a segment."""

    label: str
    start_s: float
    end_s: float
    score: float | None = None  # 0 to 1, where the tool gives one
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolResult:
    """What one tool found in one segment; `words.toml` says what each kind holds."""

    tool: str
    version: str  # of the tool and its weights: another version redoes what depends on it
    branch: BranchName
    kind: str
    text: str = ""
    score: float | None = None
    spans: tuple[Span, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in (kinds := words("kinds")):
            raise MossAudioError(
                f"tool {self.tool}: unknown kind of result {self.kind!r}; one of {', '.join(kinds)}"
            )


@dataclass(frozen=True)
class Recording:
    """A file, or a member of a tar shard, that was found readable."""

    id: str  # of the decoded content: equal audio has an equal id
    path: str
    duration_s: float
    sample_rate: int  # of the file
    channels: int
    member: str | None = None  # name inside a tar
    provenance: Mapping[str, Any] = field(default_factory=dict)  # manifest fields, licence, source


@dataclass(frozen=True)
class SegmentCaption:
    """The unified caption of a segment."""

    text: str
    writer: str  # which writer's text it is: "grounded", or the name of a language model
    plan: tuple[str, ...] = ()  # which evidence leads and which is background, in order
    warnings: tuple[str, ...] = ()
    rejected: int = 0  # texts of a language model that did not pass the grounding check


@dataclass(frozen=True)
class AudioSegment:
    """A part of a recording with everything that is known of it."""

    id: str
    recording: Recording
    start_s: float  # in the recording
    end_s: float
    audio: str = ""  # its own sound file, relative to the output folder
    flags: tuple[str, ...] = ()  # "long", "short", ...: what could not be kept to
    profile: Mapping[str, float] = field(default_factory=dict)  # coarse class -> 0 to 1
    results: tuple[ToolResult, ...] = ()
    caption: SegmentCaption | None = None
    conversations: tuple[Mapping[str, Any], ...] = ()

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    def find(self, kind: str, branch: BranchName | None = None) -> tuple[ToolResult, ...]:
        """Results of a kind (and of a branch), in the order in which they came."""
        found = (one for one in self.results if one.kind == kind)
        return tuple(one for one in found if branch in (None, one.branch))

    def last(self, kind: str, branch: BranchName | None = None) -> ToolResult | None:
        """The last result of a kind (and of a branch), if there is any."""
        return next(reversed(self.find(kind, branch)), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> AudioSegment:
        """The segment that `to_dict` gave."""
        lists = {name: tuple(row.get(name, ())) for name in ("flags", "conversations")}
        results = tuple(_result(one) for one in row.get("results", ()))
        made = {"recording": Recording(**row["recording"]), "results": results}
        return cls(**{**row, **lists, **made, "caption": _caption(row.get("caption"))})


def _result(row: Mapping[str, Any]) -> ToolResult:
    spans = tuple(Span(**span) for span in row.get("spans", ()))
    return ToolResult(**{**row, "spans": spans, "warnings": tuple(row.get("warnings", ()))})


def _caption(row: Mapping[str, Any] | None) -> SegmentCaption | None:
    if row is None:
        return None
    lists = {name: tuple(row.get(name, ())) for name in ("plan", "warnings")}
    return SegmentCaption(**{**row, **lists})


@dataclass(frozen=True)
class Aside:
    """One line of `aside.jsonl`. `reason` is one of a few, for counting; `detail` is for people."""

    path: str
    reason: str
    detail: str = ""
    member: str | None = None  # inside a tar
    step: str = "ingest"
    segment: str | None = None  # its id, where only part of a recording is set aside
    audio: str | None = None  # the segment's own sound, relative to the output folder
