"""What all branches have in common: which segments, in which order, and what is let go."""

from __future__ import annotations

import numpy as np
import pytest

from moss_audio.annotate.branches.branch import Branch
from moss_audio.annotate.records import AudioSegment, Recording, ToolResult
from moss_audio.annotate.stage import StageItem
from moss_audio.annotate.tool import Tool

RATE = 16_000


class Heard(Tool):
    """Says how many results it saw before it."""

    branch = "music"
    kind = "tempo"

    def __init__(self, name: str, reason: str = "", fails: bool = False) -> None:
        self.name, self.reason, self.fails = name, reason, fails
        self.batches: list[int] = []

    def annotate(self, samples: np.ndarray, segment: AudioSegment) -> list[ToolResult]:
        if self.fails:
            raise RuntimeError("broken")
        return self.found(values={"before": len(segment.results), "reason": self.reason})

    def annotate_batch(self, samples: list, segments: list) -> list[list[ToolResult]]:
        self.batches.append(len(samples))
        return super().annotate_batch(samples, segments)


def item(number: int, seconds: float = 1.0, **profile: float) -> StageItem:
    recording = Recording("r", "r.wav", seconds, RATE, 1)
    segment = AudioSegment(f"r-{number}", recording, 0.0, seconds, profile=profile)
    return StageItem(segment, lambda: np.zeros(round(seconds * RATE), np.float32))


def branch(*tools: Tool, **options: object) -> Branch:
    return Branch("music", None, tools, settings=0.5, classes=("music", "singing"),
                  threshold=0.5, **options)  # type: ignore[arg-type]  # fmt: skip


def test_the_likeliest_class_decides_and_short_segments_pass() -> None:
    tool = Heard("a")
    found = branch(tool, least_samples=RATE).process_batch(
        [item(0, music=0.5), item(1, music=0.1, singing=0.9), item(2, music=0.4), item(3),
         item(4, seconds=0.5, music=1.0)]
    )  # fmt: skip
    assert [len(one.results) for one in found] == [1, 1, 0, 0, 0]
    assert [one.id for one in found] == [f"r-{k}" for k in range(5)]
    assert tool.batches == [2]  # asked once for all that it applies to


def test_tools_see_what_came_before_and_a_reason_ends_the_branch() -> None:
    last = Heard("c")
    (found,) = branch(Heard("a"), Heard("b", "over"), last, stop_reason="over").process_batch(
        [item(0, music=1.0)]
    )
    assert [(one.tool, one.values["before"]) for one in found.results] == [("a", 0), ("b", 1)]
    assert last.batches == []


def test_what_tools_share_is_let_go_even_where_one_fails() -> None:
    calls: list[str] = []
    broken = branch(Heard("a", fails=True), forget=lambda: calls.append("forgotten"))
    with pytest.raises(RuntimeError, match="broken"):
        broken.process_batch([item(0, music=1.0)])
    assert calls == ["forgotten"]


def test_the_fingerprint_is_of_settings_tools_and_their_order() -> None:
    one, two = Heard("a"), Heard("b")
    marks = {branch(one, two).fingerprint, branch(two, one).fingerprint, branch(one).fingerprint}
    assert len(marks) == 3
    assert branch(one, two).fingerprint == branch(Heard("a"), Heard("b")).fingerprint
