"""What a loader has given out, and what it had to leave out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from moss_audio.data.batch import Batch, SetAside

_LISTED = 100


@dataclass
class LoaderReport:
    """Counts over the batches taken so far, those before a resumed state included.

    `set_aside` counts by reason; `listed` holds the first hundred of this process, one by one.
    `bad_lines` counts lines of manifests that were skipped.
    """

    batches: int = 0
    examples: int = 0
    tokens: int = 0
    positions: int = 0  # tokens and padding
    frames: int = 0
    frame_places: int = 0  # frames and padding
    audio_s: float = 0.0
    bad_lines: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)
    listed: list[SetAside] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """Counts a batch that is being given out."""
        self.set_aside.update(item.reason for item in batch.set_aside)
        self.listed += batch.set_aside[: _LISTED - len(self.listed)]
        if not batch.ids:
            return
        self.batches += 1
        self.examples += len(batch.ids)
        self.tokens += batch.num_tokens
        self.positions += batch.input_ids.numel()
        self.frames += int(batch.audio_data_seqlens.sum())
        self.frame_places += batch.audio_data.shape[0] * batch.audio_data.shape[2]
        self.audio_s += batch.audio_s

    @property
    def padding(self) -> float:
        """Share of the ids that is padding."""
        return 1.0 - self.tokens / self.positions if self.positions else 0.0

    @property
    def audio_padding(self) -> float:
        """Share of the feature frames that is padding."""
        return 1.0 - self.frames / self.frame_places if self.frame_places else 0.0

    def state_dict(self) -> dict[str, Any]:
        """The counts as plain JSON types."""
        names = [n for n, v in vars(self).items() if isinstance(v, int | float)]
        counts = {n: getattr(self, n) for n in names if n != "bad_lines"}
        return {**counts, "set_aside": dict(self.set_aside)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, Counter(value) if name == "set_aside" else value)

    def __str__(self) -> str:
        lines = [
            f"{self.batches} batches, {self.examples} examples, {self.audio_s / 3600:.2f} h, "
            f"{self.tokens} tokens; padding: {self.padding:.1%} of ids, "
            f"{self.audio_padding:.1%} of frames"
        ]
        if self.bad_lines:
            lines.append(f"{self.bad_lines} bad lines of manifests skipped")
        for reason, count in sorted(self.set_aside.items()):
            shown = [item for item in self.listed if item.reason == reason][:3]
            named = "; ".join(f"{item.id}: {item.detail}" for item in shown)
            lines.append(f"{count} set aside, {reason}" + (f": {named}" if named else ""))
        return "\n".join(lines)
