"""From a request to what a runner is given: clips, hashed or encoded, and rendered ids."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from moss_audio.engine.base import ClipLike, Request
from moss_audio.engine.thinking import ThinkIds, check_thinking, leaves_room
from moss_audio.errors import AudioError, PromptError
from moss_audio.prompt import ChatVocabulary, PromptSpec, render
from moss_audio.units import (
    FRAMES_PER_SECOND,
    HOP_SAMPLES,
    SAMPLE_RATE,
    num_frames,
    num_tokens,
)


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """A clip as the decoder sees it; stands for its samples in requests.

    `features` are the runner's own. `samples` are kept of a clip shorter than a chunk: beside a
    longer clip it is encoded anew; and of one that was heard live (`live`), whose prefix is kept
    as long as somebody holds it and no longer.
    """

    key: str
    n_tokens: int
    features: Any
    n_bytes: int
    n_frames: int
    longest: int
    samples: np.ndarray | None
    live: bool = False

    @property
    def encoding_key(self) -> tuple[str, int]:
        return self.key, self.longest


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
    in_thought: bool  # whether the answer goes on within a think block

    @property
    def reuse(self) -> bool:
        """Whether its prefix is worth keeping for later requests, when nobody holds it."""
        live = any(clip.encoded is not None and clip.encoded.live for clip in self.clips)
        return self.request.reuse and not live


class PromptMaker:
    """Turns requests into prompts.

    Args:
        tokenizer: a fast ChatML tokenizer.
        spec: the checkpoint's audio ids and markers.
        chunk_frames: mel frames that the encoder sees at once.
        max_positions: of a prompt and its answer together.
    """

    def __init__(
        self, tokenizer: Any, spec: PromptSpec, *, chunk_frames: int, max_positions: int
    ) -> None:
        vocabulary = ChatVocabulary(tokenizer)
        self.tokenizer = tokenizer
        self.max_positions = max_positions
        self.im_end = vocabulary.im_end
        self.think = ThinkIds.of(vocabulary)
        self._spec = spec
        self._chunk_frames = chunk_frames

    def prompt(self, request: Request) -> Prompt:
        """A request as ids and clips.

        Raises:
            MossAudioError: if it cannot be answered.
        """
        options = request.options
        check_thinking(options, self.think)
        alone = [self.clip(clip, index) for index, clip in enumerate(request.clips)]
        longest = min(self._chunk_frames, max((clip.n_frames for clip in alone), default=0))
        clips = tuple(clip.beside(longest) for clip in alone)
        rendered = render(
            request.messages,
            [clip.n_tokens for clip in clips],
            self.tokenizer,
            self._spec,
            enable_thinking=leaves_room(options.thinking, self.think),
            continue_final_message=request.continues,
        )
        ids = rendered.input_ids
        room = self.max_positions - len(ids)
        if room < 1:
            raise PromptError(
                f"the prompt has {len(ids)} positions, but this checkpoint has "
                f"{self.max_positions}: shorten the clip (start, end) or the text"
            )
        prefix_length = 0
        if clips:
            prefix_length = len(ids) - ids[::-1].index(self._spec.audio_end_id)
        key = (tuple(ids[:prefix_length]), tuple(clip.key for clip in clips))
        new_tokens = min(options.max_new_tokens, room)
        in_thought = request.continues and self.think is not None and self.think.left_open(ids)
        return Prompt(
            request, ids, rendered.audio_mask, clips, prefix_length, key, new_tokens, in_thought
        )

    def clip(self, clip: ClipLike, index: int = 0) -> HashedClip:
        """The `index`-th clip of a request, checked.

        Raises:
            AudioError: if it is no clip, or too short for an audio token.
        """
        if isinstance(clip, EncodedClip):
            return HashedClip(
                clip.key, clip.n_tokens, clip.n_frames, clip.samples, clip, clip.longest
            )
        samples = clip_samples(clip, index)
        n_frames = num_frames(len(samples))
        longest = min(n_frames, self._chunk_frames)
        return HashedClip(
            content_key(samples), num_tokens(n_frames), n_frames, samples, None, longest
        )


def content_key(samples: np.ndarray) -> str:
    """What tells samples `[n]` from all others."""
    return hashlib.blake2b(samples.data, digest_size=16).hexdigest()


def clip_seconds(clip: ClipLike) -> float:
    """Seconds of a clip of a request; of a handle without samples to 10 ms."""
    samples = getattr(clip, "samples", clip)
    if samples is None:
        return float(clip.n_frames) / FRAMES_PER_SECOND
    return len(samples) / SAMPLE_RATE


def clip_samples(clip: ClipLike, index: int = 0) -> np.ndarray:
    """The float32 samples `[n]` of the `index`-th clip of a request.

    Raises:
        AudioError: if it is no clip, or too short for an audio token.
    """
    samples = getattr(clip, "samples", clip)  # an Audio holds its samples
    if not isinstance(samples, np.ndarray) or samples.ndim != 1:
        raise AudioError(
            f"clip {index} is a {type(clip).__name__}: give 1-D samples at 16 kHz, as "
            "load_audio makes them"
        )
    if num_frames(len(samples)) < 1:
        name = getattr(clip, "source", f"clip {index}")
        raise AudioError(
            f"{name} has {len(samples)} samples, too short for an audio token: give at least "
            f"{HOP_SAMPLES} (0.01 s)"
        )
    return np.ascontiguousarray(samples, dtype=np.float32)


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
