"""Reader drills: audio tokens made of text, which the decoder learns to read to the letter.

A sentence becomes the tokens that a good adapter would give for it: for each 80 ms the embedding of
the word piece being spoken, or of a line feed in quiet. They are spoilt as the adapter spoils them:
pieces give way to, or are blended with, those that it confuses them with; noise is added, and the
lengths are those of its own outputs. No sound is needed, so there are as many as there is text.

What the adapter confuses is found once, when the stage starts, from the weights that it starts
from; the mergers are silent in a drill.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import nn
from torch.nn import functional as F

from moss_audio.data.batch import IGNORE, Batch
from moss_audio.model.features import AudioFeatures
from moss_audio.model.modeling import MossAudioModel
from moss_audio.settings import AtLeastOne, Between, Share
from moss_audio.train.objective import mixed_precision
from moss_audio.train.pieces import SpokenPieces

_NEAREST = 10  # confusions of a piece that are kept


@dataclass(frozen=True)
class DrillConfig:
    """How the made audio tokens are spoilt."""

    replaced: Share = 0.15  # of the tokens: a confusion in the piece's place
    blended: Share = 0.6  # of the weight of a confusion in the other tokens, at most
    noise: Annotated[float, Between(0)] = 0.5  # Gaussian, relative to the embedding's own size
    tokens: AtLeastOne = 8000  # of training data from which confusions and lengths are taken


class ReaderDrills(nn.Module):
    """Makes the audio tokens of a batch's drills.

    Args:
        spoken: the pieces that are known, and the targets of clips.
        confusions: for each row of `spoken.table` the rows it is confused with `[P, 10]`.
        mean, spread: of the lengths of the adapter's outputs.
    """

    confusions: torch.Tensor

    def __init__(
        self,
        config: DrillConfig,
        spoken: SpokenPieces,
        confusions: torch.Tensor,
        mean: float,
        spread: float,
    ) -> None:
        super().__init__()
        self.config, self.spoken, self.mean, self.spread = config, spoken, mean, spread
        self.register_buffer("confusions", confusions, persistent=False)

    def forward(self, batch: Batch, features: AudioFeatures) -> AudioFeatures:
        """The features of a batch's clips with those of its drills in their places."""
        if not any(batch.made):
            return features
        pieces = self.spoken.drill_targets(batch).to(features.embeds.device)
        at = (pieces != IGNORE).nonzero().squeeze(1)
        made = self._made(pieces[at]).to(features.embeds.dtype)
        silent = features.embeds.new_zeros(())
        drilled = torch.zeros_like(pieces, dtype=torch.bool)
        drilled[at] = True
        return replace(
            features,
            embeds=features.embeds.index_copy(0, at, made),
            deepstack=tuple(torch.where(drilled[:, None], silent, d) for d in features.deepstack),
        )

    def _made(self, pieces: torch.Tensor) -> torch.Tensor:
        """Audio tokens `[n, H]` for rows of the table `[n]`."""
        table = self.spoken.table.float()
        n = len(pieces)
        drawn = torch.randint(self.confusions.shape[1], (n,), device=pieces.device)
        other = self.confusions[pieces, drawn]
        replaced = torch.rand(n, device=pieces.device) < self.config.replaced
        share = torch.rand(n, device=pieces.device) * self.config.blended
        share = torch.where(replaced, torch.ones_like(share), share)[:, None]
        mixed = table[pieces] * (1 - share) + table[other] * share
        mixed = mixed + torch.randn_like(mixed) * self.spoken.size.sqrt() * self.config.noise
        length = self.mean + self.spread * torch.randn(n, 1, device=pieces.device)
        return F.normalize(mixed, dim=-1) * length.clamp(min=0.1 * self.mean)


@torch.no_grad()
def drills_of(
    model: MossAudioModel,
    spoken: SpokenPieces,
    batches: Iterable[Batch],
    config: DrillConfig,
    dtype: torch.dtype,
) -> ReaderDrills:
    """Drills that are spoilt as the model's adapter spoils the clips of some batches.

    dtype: what to compute in. A piece that none of them holds is confused with those whose
    embeddings are nearest.
    """
    width = spoken.table.shape[1]
    outputs, targets = [torch.zeros(0, width)], [torch.zeros(0, dtype=torch.long)]
    seen = 0
    for batch in batches:
        target = spoken.targets(batch)
        heard = (target != IGNORE) & (target != spoken.quiet)
        if heard.any():
            with mixed_precision(batch.audio_data.device, dtype):
                encoded = model.audio_encoder(
                    batch.audio_data, batch.audio_data_seqlens, batch.longest
                )
                outputs.append(model.audio_adapter(encoded.tokens).float()[heard])
            targets.append(target[heard])
        seen += len(target)
        if seen >= config.tokens:
            break
    unit = spoken.unit.float()
    kept = min(_NEAREST, len(unit) - 1)
    confusions = torch.empty(len(unit), kept, dtype=torch.long)
    for start in range(0, len(unit), 1024):  # the nearest embedding of all is the piece itself
        near = (unit[start : start + 1024] @ unit.T).topk(kept + 1).indices
        confusions[start : start + 1024] = near[:, 1:]
    heard_as, asked = torch.cat(outputs), torch.cat(targets)
    lengths = heard_as.norm(dim=-1)
    for piece in asked.unique().tolist():
        mine = F.normalize(heard_as[asked == piece], dim=-1)
        scores = (F.softmax(mine @ unit.T * spoken.scale, dim=-1)).mean(0)
        scores[piece] = 0
        confusions[piece] = scores.topk(kept).indices
    mean, spread = (float(lengths.mean()), float(lengths.std())) if len(lengths) > 1 else (
        float(spoken.table.float().norm(dim=-1).mean()), 0.0)  # fmt: skip
    return ReaderDrills(config, spoken, confusions, mean, spread)
