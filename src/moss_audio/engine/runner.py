"""What runs the model under an engine: encoder, prefill, decode step, and all that is kept of them.

An engine owns requests, batches and rows; a runner owns weights, keys and values and audio
encodings, and knows nothing of options, texts or the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from moss_audio.engine.prompts import EncodedClip, HashedClip, Prompt


class Decoding(Protocol):
    """The rows of one batch, after their prompts. Rows leave as they finish.

    Shapes: B rows that are left, V vocabulary.
    """

    def likeliest(self) -> list[int]:
        """The likeliest next token of each row `[B]`."""

    def logits(self, row: int) -> Any:
        """Float32 logits `[V]` of a row's next token as a tensor on the CPU; ids that cannot be
        generated are at -inf."""

    def advance(self, tokens: Sequence[int]) -> None:
        """Append a token to each row `[B]` and compute what comes next."""

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these, in this order."""


class Runner(Protocol):
    """Runs a model.

    Attributes:
        batch_size, batch_tokens: rows, and prompt positions with padding, that suit the device.
        max_positions: of a prompt and its answer together.
        chunk_frames: mel frames that the encoder sees at once.
        eos_ids: tokens that end an answer, as the checkpoint says.
    """

    batch_size: int
    batch_tokens: int
    max_positions: int
    chunk_frames: int
    eos_ids: frozenset[int]

    def encode(self, clips: Sequence[HashedClip], *, keep: bool) -> list[EncodedClip]:
        """Encodings of clips, kept from before or computed; `keep` them for later calls."""

    def start(self, prompts: Sequence[Prompt]) -> Decoding:
        """Run prompts up to their last position, a row each."""

    def hold(self, prompt: Prompt) -> Callable[[], None]:
        """Run the part of a prompt that only depends on its clips, and keep it for later prompts
        until the returned function is called."""

    def piece_scores(self, clip: EncodedClip, scale: float) -> np.ndarray:
        """Log-probabilities `[audio tokens, V]` of the word piece that each audio token says: of
        `scale` times the cosine between its embedding and that of the piece."""

    def forget(self) -> None:
        """Give the memory of everything that is kept back."""
