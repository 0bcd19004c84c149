"""A request on its way through the torch engine: clips, hashed or encoded, and rendered ids."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from moss_audio.engine.base import Request
from moss_audio.model.modeling import AudioFeatures


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """A clip as the decoder sees it; stands for its samples in requests.

    `samples` are kept of a clip shorter than a chunk: beside a longer clip it is encoded anew.
    """

    key: str
    n_tokens: int
    features: AudioFeatures
    n_frames: int
    longest: int
    samples: np.ndarray | None

    @property
    def n_bytes(self) -> int:
        tensors = (self.features.embeds, *self.features.deepstack)
        held = 0 if self.samples is None else self.samples.nbytes
        return held + sum(t.numel() * t.element_size() for t in tensors)


@dataclass(frozen=True, eq=False)
class HashedClip:
    """A clip of a request: its content's hash, and what is known of it.

    `longest`: frames of the longest clip of the prompt, or of a chunk if that is less; the only
    thing beside its own samples that its encoding depends on.
    """

    key: str
    n_tokens: int
    n_frames: int
    samples: np.ndarray | None
    encoded: EncodedClip | None
    longest: int

    @property
    def encoding_key(self) -> tuple[str, int]:
        return self.key, self.longest

    def beside(self, longest: int) -> HashedClip:
        """The clip in a prompt whose longest clip has so many frames."""
        if longest == self.longest:
            return self
        encoded = self.encoded if self.encoded and self.encoded.longest == longest else None
        return replace(self, longest=longest, encoded=encoded)


@dataclass(frozen=True, eq=False)
class Prompt:
    """A rendered request."""

    request: Request
    input_ids: list[int]
    audio_mask: list[bool]
    clips: tuple[HashedClip, ...]
    prefix_length: int
    prefix_key: Hashable
    max_new_tokens: int


def similar_lengths(lengths: Sequence[int], pass_cost: int) -> list[list[int]]:
    """Places of `lengths` in groups that are padded to their longest, so that all positions and
    `pass_cost` more a group are fewest."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    best: list[tuple[int, int]] = [(0, 0)]  # cost of the longest n, where their last group begins
    for end in range(1, len(order) + 1):
        best.append(
            min(
                (best[first][0] + lengths[order[first]] * (end - first) + pass_cost, first)
                for first in range(end)
            )
        )
    groups = []
    end = len(order)
    while end:
        first = best[end][1]
        groups.append(order[first:end])
        end = first
    return groups[::-1]
