"""What runs the model under an engine: encoder, prefill, decode step, and keys and values.

A runner owns weights and knows nothing of options, texts or the queue; the scheduler owns
requests, rows and prefixes. One thread at a time calls a runner.

Shapes: L positions of a piece, V vocabulary, H decoder width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from moss_audio.engine.prompts import EncodedClip, HashedClip


class KVCache(Protocol):
    """Keys and values of one sequence."""

    @property
    def length(self) -> int:
        """Positions it holds."""

    @property
    def n_bytes(self) -> int: ...

    def crop(self, length: int) -> None:
        """Forget all positions from `length` on."""

    def fork(self) -> KVCache:
        """A copy that grows by itself."""

    def follow(self, other: Any, first: int) -> None:
        """Hold what another sequence of the same runner holds. Both hold the same up to `first`:
        what comes after it is copied."""

    def close(self) -> None:
        """Give the memory back; it is of no use afterwards."""


@dataclass(frozen=True)
class ClipRows:
    """Some tokens of a clip: rows `first` to `end` of its features."""

    clip: EncodedClip
    first: int
    end: int


@dataclass(frozen=True, eq=False)
class AudioRows:
    """Where audio stands in a piece: the rows of `parts`, in order, at the positions whose `mask`
    `[L]` is True."""

    mask: Sequence[bool]
    parts: tuple[ClipRows, ...]


@dataclass(frozen=True, eq=False)
class Piece:
    """Positions to append to a sequence: ids `[L]`, and the audio among them. With `all_logits`
    there are logits after every position, otherwise only after the last."""

    ids: Sequence[int]
    audio: AudioRows | None = None
    all_logits: bool = False


class Logits(Protocol):
    """The logits after a piece, in which ids that cannot be generated are at -inf. To be read
    before the next pass."""

    def argmax(self) -> list[int]:
        """The likeliest next token after each position that has logits."""

    def row(self, position: int = -1) -> np.ndarray:
        """Float32 `[V]`, on the CPU."""


class Runner(Protocol):
    """Runs a model.

    Attributes:
        max_rows: sequences decoded at once that suit the device.
        prefill_tokens: positions of a prompt that go into one pass.
        part_tokens: those of a prompt that has time, whose clips are encoded chunk by chunk where
            these are fewer.
        batch_tokens: positions of all sequences together, padding included, that fit into memory.
        max_positions: of a prompt and its answer together.
        chunk_frames: mel frames that the encoder sees at once.
        n_mels: bins of a frame.
        eos_ids: tokens that end an answer, as the checkpoint says.
        exact: whether hardly any token could depend on how many are computed in one pass. In
            bfloat16 and in 4 bits a near tie may fall either way.
        description: what it is, e.g. "torch bfloat16 on cpu".
        precision: the numbers it computes in, on which answers depend, e.g. "torch.bfloat16".
    """

    max_rows: int
    prefill_tokens: int
    part_tokens: int
    batch_tokens: int
    max_positions: int
    chunk_frames: int
    n_mels: int
    eos_ids: frozenset[int]
    exact: bool
    description: str
    precision: str

    def encode(self, clips: Sequence[HashedClip], *, keep: bool) -> list[EncodedClip]:
        """Encodings of clips, kept from before or computed; `keep` them for later calls."""

    def encode_mel(self, mel: np.ndarray, longest: int) -> Any:
        """Features of log-mel frames `[mels, n]` of one clip, from the beginning of a chunk on.
        `longest`: frames of the whole clip, or of a chunk if that is less."""

    def joined(self, features: Sequence[Any]) -> Any:
        """Features of the parts of a clip, one after the other, as those of the clip."""

    def cache(self) -> KVCache:
        """A new sequence without positions."""

    def forward(self, batch: Sequence[tuple[Any, Piece]]) -> Sequence[Logits]:
        """Append a piece to each of several sequences (its own `cache()`s), of whatever lengths.
        Where it raises, the sequences hold what they held before."""

    def cosines(self, clip: EncodedClip, ids: Sequence[int]) -> np.ndarray:
        """Float32 `[audio tokens, len(ids)]`: how near each audio token is to each word piece, the
        cosine between their embeddings."""

    @property
    def kept_bytes(self) -> int:
        """Memory of kept encodings; read by any thread."""

    def forget(self) -> None:
        """Give the memory of kept encodings back."""
