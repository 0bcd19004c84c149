"""The word piece that each audio token should say, and the loss of an adapter against them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from moss_audio.data.batch import IGNORE, Batch
from moss_audio.engine.aligner import QUIET
from moss_audio.result import Event, Word
from moss_audio.scenes.reader import Scene
from moss_audio.train.data import KnownClip
from moss_audio.units import TOKENS_PER_SECOND, num_tokens

QUIET_WEIGHT = 0.25  # quiet tokens are many and easy

Encode = Callable[[str], list[int]]  # a text's word pieces, without any others


def _pieces(index: int, word: Word, encode: Encode) -> list[int]:
    return encode((" " if index else "") + word.text)


def frame_targets(
    words: Sequence[Word] | None, sounds: Sequence[Event] | None, n_tokens: int, encode: Encode
) -> list[int]:
    """The target of each audio token: the word piece spoken at its middle, else a piece of the
    label of the event that sounds there, else a line feed for quiet. `[n_tokens]` ids.

    Where words or sounds are unknown (None), a token without a target may be anything, so that it
    is `IGNORE` instead of quiet.
    """
    known = words is not None and sounds is not None
    quiet = encode(QUIET)[0] if known else IGNORE
    targets = [quiet] * n_tokens

    def fill(pieces: list[int], start: float, end: float) -> None:
        first = round(start * TOKENS_PER_SECOND - 0.5)
        last = max(first + 1, round(end * TOKENS_PER_SECOND - 0.5) + 1)
        for at in range(max(0, first), min(n_tokens, last)):
            share = (at - first) / (last - first)
            targets[at] = pieces[min(len(pieces) - 1, int(share * len(pieces)))]

    for sound in sounds or ():
        # a label is one idea: its last word names the sound from beginning to end
        fill(encode(" " + sound.label)[-1:], sound.start, sound.end)
    for index, word in enumerate(words or ()):
        fill(_pieces(index, word, encode), word.start, word.end)
    return targets


class SpokenPieces(nn.Module):
    """The word pieces of a set of clips, and the loss of adapter outputs against them."""

    index: torch.Tensor
    table: torch.Tensor
    unit: torch.Tensor
    size: torch.Tensor

    def __init__(
        self,
        clips: Sequence[Scene | KnownClip],
        tokenizer: Any,
        embedding: torch.Tensor,
        scale: float,
    ) -> None:
        super().__init__()
        self.scale = scale
        # Each text once: the same words return in every epoch.
        self.encode: Encode = cache(partial(tokenizer.encode, add_special_tokens=False))
        pieces: set[int] = set()
        for clip in clips:
            for i, word in enumerate(clip.words):
                pieces.update(_pieces(i, word, self.encode))
            for sound in clip.events:
                pieces.update(self.encode(" " + sound.label)[-1:])
        pieces.update(self.encode(QUIET)[:1])
        seen = torch.tensor(sorted(pieces), dtype=torch.long)  # clips may have no word
        index = torch.full((embedding.shape[0],), IGNORE)
        index[seen] = torch.arange(len(seen))
        table = embedding.detach()[seen]
        unit = F.normalize(table.float(), dim=-1).to(embedding.dtype)
        tensors = {"table": table, "unit": unit, "size": table.float().square().mean()}
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.clone(), persistent=False)
        self.rows = index  # stays on the CPU, where targets are made
        self.quiet = int(index[self.encode(QUIET)[0]])

    def targets(self, batch: Batch) -> torch.Tensor:
        """Row of `table` for each audio token of a batch `[N]`; `IGNORE` where none is known, and
        in clips that are made of words instead of sound."""
        return self._rows(batch, made=False)

    def drill_targets(self, batch: Batch) -> torch.Tensor:
        """The same for the clips that are made of words `[N]`, and `IGNORE` in all others."""
        return self._rows(batch, made=True)

    def _rows(self, batch: Batch, made: bool) -> torch.Tensor:
        out: list[int] = []
        flags = batch.made or [False] * len(batch.words)
        for words, sounds, n_frames, own in zip(
            batch.words, batch.sounds, batch.audio_data_seqlens.tolist(), flags, strict=True
        ):
            n_tokens = num_tokens(n_frames)
            if own != made:
                out += [IGNORE] * n_tokens
            else:
                out += frame_targets(words, () if made else sounds, n_tokens, self.encode)
        ids = torch.tensor(out, dtype=torch.long)
        rows = torch.where(ids == IGNORE, IGNORE, self.rows[ids.clamp(min=0)])
        if made:  # nothing of such a clip is heard: a piece that is not known is quiet
            rows = torch.where((ids != IGNORE) & (rows == IGNORE), self.quiet, rows)
        return rows

    def weights(self, target: torch.Tensor) -> torch.Tensor:
        """How much each token counts `[N]`; one whose piece is in none of the clips does not."""
        weights = torch.where(target == self.quiet, QUIET_WEIGHT, 1.0)
        return torch.where(target == IGNORE, 0.0, weights)

    def loss(
        self, predicted: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weighted sum of cosine cross-entropies, and of squared distances (each the mean over
        the width) in units of the embedding's own size."""
        target = target.to(predicted.device)
        unit = F.normalize(predicted.float(), dim=-1).to(self.unit.dtype)
        each = F.cross_entropy((unit @ self.unit.T).float() * self.scale, target, reduction="none")
        cross_entropy = (each * self.weights(target)).sum()
        known = (target != IGNORE).float()
        distance = (predicted.float() - self.table[target.clamp(min=0)].float()).square().mean(-1)
        return cross_entropy, (distance * known).sum() / self.size
