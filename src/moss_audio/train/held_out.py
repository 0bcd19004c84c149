"""How many audio tokens of held-out clips say the word piece that is spoken: what alignment is for.

The loss on training clips falls on long after people who were never heard are understood no better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch.nn import functional as F

from moss_audio.data.batch import IGNORE, Batch
from moss_audio.data.config import DataConfig, SourceConfig, source_name
from moss_audio.model.modeling import MossAudioModel
from moss_audio.train.objective import mixed_precision
from moss_audio.train.pieces import SpokenPieces
from moss_audio.train.stage import LoaderOf

_NEAR = 5


def held_out_batches(
    sources: Sequence[SourceConfig],
    data: DataConfig,
    clips: int,
    loader_of: Callable[[DataConfig], LoaderOf],
) -> dict[str, list[Batch]]:
    """The first `clips` clips of each source, as they are: name -> batches."""
    found = {}
    for source in sources:
        plain = replace(
            data, sources=(source,), groups={}, augment=None, endless=False, shuffle=False,
            workers=0, buckets=1,
        )  # fmt: skip
        batches, seen = [], 0
        for batch in loader_of(plain)(None, 0, 1):
            batches.append(batch)
            seen += len(batch.ids)
            if seen >= clips:
                break
        found[source_name(source)] = batches
    return found


class PieceAccuracy:
    """Figures of held-out clips: the share of tokens within words whose nearest piece is the one
    being spoken, and among the nearest five; in %."""

    def __init__(
        self,
        model: MossAudioModel,
        spoken: SpokenPieces,
        batches: Mapping[str, Sequence[Batch]],
        dtype: torch.dtype,
    ) -> None:
        self.model, self.spoken, self.batches, self.dtype = model, spoken, batches, dtype

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """`{"people top 1": 31.2, "people top 5": ...}` of the model as it is now."""
        figures: dict[str, float] = {}
        for name, batches in self.batches.items():
            right = torch.zeros(2)
            count = 0
            for batch in batches:
                target = self.spoken.targets(batch)
                asked = (target != IGNORE) & (target != self.spoken.quiet)
                near = self._nearest(batch)[asked]
                same = near == target[asked][:, None]
                right += torch.tensor([same[:, :1].sum(), same.sum()])
                count += int(asked.sum())
            first, five = (100 * right / max(1, count)).tolist()
            figures |= {f"{name} top 1": first, f"{name} top {_NEAR}": five}
        return figures

    def _nearest(self, batch: Batch) -> torch.Tensor:
        """Rows of the table nearest to each audio token `[N, 5]`, on the CPU."""
        device = self.model.audio_adapter.gate_proj.weight.device
        moved = batch.to(device)
        with mixed_precision(device, self.dtype):
            encoded = self.model.audio_encoder(
                moved.audio_data, moved.audio_data_seqlens, moved.longest
            )
            predicted = self.model.audio_adapter(encoded.tokens)
        unit = F.normalize(predicted.float(), dim=-1).to(self.spoken.unit.dtype)
        kept = min(_NEAR, len(self.spoken.unit))
        return (unit @ self.spoken.unit.T).topk(kept).indices.cpu()
