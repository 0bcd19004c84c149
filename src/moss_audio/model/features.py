"""Clips as the decoder sees them, and how they belong to the positions of prompts.

Shapes: B prompts, L positions, H decoder width, N audio tokens of all clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from moss_audio.errors import PromptError
from moss_audio.units import num_tokens


@dataclass(frozen=True)
class AudioFeatures:
    """Clips as the decoder sees them; made once, usable in many prompts.

    Attributes:
        embeds: adapter output `[N, H]`, clip after clip.
        deepstack: merger outputs `[N, H]`, one per merger.
        lengths: tokens of each clip; they sum to N.
    """

    embeds: torch.Tensor
    deepstack: tuple[torch.Tensor, ...]
    lengths: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.embeds, *self.deepstack))

    def rows(self, index: torch.Tensor) -> AudioFeatures:
        """The tokens at `index` `[n]`, in that order (clip lengths are no longer known)."""
        return AudioFeatures(
            self.embeds[index], tuple(d[index] for d in self.deepstack), (int(index.shape[0]),)
        )


def check_count(mask: torch.Tensor | None, features: AudioFeatures | None) -> None:
    """Raises PromptError unless as many positions are marked `[B, L]` as there are tokens."""
    positions = 0 if mask is None else int(mask.sum())
    tokens = 0 if features is None else features.embeds.shape[0]
    if positions != tokens:
        raise PromptError(
            f"the prompt has {positions} audio positions, but the clips give {tokens} audio "
            "tokens; pass the processor's output unchanged"
        )


def clips_of_prompts(
    frames: list[int], mask: torch.Tensor, position_ids: torch.Tensor | None
) -> Iterator[int]:
    """How many clips each prompt has, from the audio positions `[B, L]` of each.

    A row is a prompt, or several where its `position_ids` restart.
    """
    restarts = torch.zeros_like(mask, dtype=torch.long)
    if position_ids is not None and position_ids.shape[-1] == mask.shape[1]:
        ids = position_ids.expand_as(mask)
        restarts[:, 1:] = (ids[:, 1:] < ids[:, :-1]).long()
    prompt = (
        restarts.cumsum(1)
        + torch.arange(mask.shape[0], device=mask.device)[:, None] * mask.shape[1]
    )
    _, positions = prompt[mask].unique_consecutive(return_counts=True)
    clips = iter(frames)
    for left in positions.tolist():
        count = 0
        while left > 0 and (n_frames := next(clips, None)) is not None:
            left -= num_tokens(n_frames)
            count += 1
        yield count
