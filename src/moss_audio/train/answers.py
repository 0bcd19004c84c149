"""The decoder's loss: cross-entropy of the answers, given the encoded audio.

Shared by every stage whose loss goes through the decoder; which parts learn is up to the stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from moss_audio.data.batch import IGNORE, Batch
from moss_audio.model.encoder import EncoderOutput
from moss_audio.model.features import AudioFeatures
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano.parts import EMBEDDING
from moss_audio.prompt import PromptSpec
from moss_audio.train.attention import NAME as PACKED
from moss_audio.train.attention import use_packed_attention
from moss_audio.train.flops import frames_of, step_flops
from moss_audio.train.objective import Objective, mixed_precision
from moss_audio.train.setup import sharded

_SILENT_FRAMES = 8  # one audio token


def clips_of(batch: Batch, n_mels: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the encoder takes of a batch: features `[clips, mels, frames]`, frames of each, and of
    the longest that each was beside. Of a batch without clips those of a silent one."""
    if batch.audio_data_seqlens.numel():
        return batch.audio_data, batch.audio_data_seqlens, batch.longest
    device = batch.input_ids.device
    lengths = torch.full((1,), _SILENT_FRAMES, device=device)
    return torch.zeros(1, n_mels, _SILENT_FRAMES, device=device), lengths, lengths


class AnswerObjective(Objective):
    """The loss of a model's answers.

    Args:
        model: with `requires_grad` set where it is to learn.
        spec: ids of the audio tokens.
        dtype: what it computes in.
        rates: peak learning rate by prefix of the parameters' names (the model's begin with
            `model.`).
        rows: learn the embeddings of the audio ids, as a table of their own `[3, H]`; for a
            decoder whose embedding is frozen.
        think_ids: ids of the think marks whose rows learn, in the embedding and in the head that
            is tied to it, as a table of their own `[2, H]`; likewise.
    """

    def __init__(
        self,
        model: MossAudioModel,
        spec: PromptSpec,
        dtype: torch.dtype,
        rates: Mapping[str, float],
        *,
        rows: bool,
        think_ids: Sequence[int] = (),
    ) -> None:
        super().__init__(model)
        self.dtype, self._rates = dtype, dict(rates)
        self.audio_ids = [spec.audio_token_id, spec.audio_start_id, spec.audio_end_id]
        self.think_ids = list(think_ids)
        self.rows = _table(model, self.audio_ids) if rows else None
        self.think = _table(model, self.think_ids) if think_ids else None
        if next(model.parameters()).device.type == "cpu" and not torch.cuda.is_available():
            use_packed_attention(model.language_model)
        self.encoder_learns = any(p.requires_grad for p in model.audio_encoder.parameters())

    def rates(self) -> Mapping[str, float]:
        return self._rates

    def counts(self, batch: Batch) -> list[float]:
        """Labels that are learnt."""
        return [float(batch.num_items)]

    def flops(self, batch: Batch) -> float:
        segments = [n for row in batch.segments for n in row]
        return step_flops(self.model, frames_of(batch), segments, int(self.counts(batch)[0]), True)

    def encode(self, batch: Batch) -> tuple[EncoderOutput, bool]:
        """Encoder output of a batch's clips. A batch of text alone gets a silent clip in their
        place, so that each step runs the same modules on every process; the flag is then False."""
        data, lengths, longest = clips_of(batch, self.model.config.audio_config.num_mel_bins)
        heard = batch.audio_data_seqlens.numel() > 0
        if self.encoder_learns:
            with mixed_precision(data.device, self.dtype):
                return self.model.audio_encoder(data, lengths, longest), heard
        with torch.no_grad():
            if sharded():  # frozen parts are float32 then
                with mixed_precision(data.device, self.dtype):
                    return self.model.audio_encoder(data, lengths, longest), heard
            return self.model.audio_encoder(data, lengths, longest), heard

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings `[R, L, H]`; of the audio ids and the think marks the learnt rows."""
        embedding = self.model.get_parameter(EMBEDDING)
        embeds = F.embedding(ids, embedding)
        for rows, row_ids in ((self.rows, self.audio_ids), (self.think, self.think_ids)):
            if rows is not None:
                for row, row_id in zip(rows.to(embeds.dtype), row_ids, strict=True):
                    embeds = torch.where((ids == row_id)[..., None], row, embeds)
        return embeds

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The head's `[N, V]` of `[N, H]`, with the learnt rows of the think marks."""
        logits: torch.Tensor = self.model.lm_head(hidden)
        if self.think is None:
            return logits
        ids = torch.tensor(self.think_ids, device=logits.device)
        return logits.index_copy(1, ids, F.linear(hidden, self.think).to(logits.dtype))

    def in_place(self, table: torch.Tensor) -> torch.Tensor:
        """An embedding `[V, H]` with the learnt rows in their places; the same where none learn."""
        learnt = [(self.rows, self.audio_ids), (self.think, self.think_ids)]
        if all(rows is None for rows, _ in learnt):
            return table
        table = table.clone()
        for rows, ids in learnt:
            if rows is not None:
                table[ids] = rows.detach().to(table.dtype)
        return table

    def borders(self, batch: Batch) -> dict[str, Any]:
        """What tells the decoder where samples begin and end, beside the positions."""
        if self.model.language_model.config._attn_implementation == PACKED:
            return {"attention_mask": {"full_attention": None}, "segments": batch.segments}
        return {}

    def decoded(
        self, batch: Batch, features: AudioFeatures, heard: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The decoder's output `[R, L, H]`, and a nought that has to be added to the loss."""
        unused = torch.zeros((), device=batch.input_ids.device)
        if not heard:  # the silent clip's modules take part in the gradient, with zeros
            unused = features.embeds.sum() * 0.0
            unused = unused + sum(d.sum() * 0.0 for d in features.deepstack)
        hidden = self.model.hidden_states(
            inputs_embeds=self.embed(batch.input_ids),
            position_ids=batch.position_ids,
            audio_features=features if heard else None,
            audio_input_mask=batch.audio_input_mask if heard else None,
            use_cache=False,
            **self.borders(batch),
        ).last_hidden_state
        return hidden, unused.float()

    def predicted(
        self, batch: Batch, features: AudioFeatures, heard: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits `[N, V]` where a label is predicted, these labels `[N]`, and a nought that has to
        be added to the loss."""
        hidden, unused = self.decoded(batch, features, heard)
        # logits only where there is a label: the head is a fifth of a small model
        labels = F.pad(batch.labels[:, 1:], (0, 1), value=IGNORE)  # each where it is predicted
        learnt = labels != IGNORE
        return self.logits(hidden[learnt]), labels[learnt], unused

    def answer_loss(
        self, batch: Batch, features: AudioFeatures, heard: bool, count: torch.Tensor
    ) -> torch.Tensor:
        """Summed cross-entropy of the answers over `count`."""
        logits, labels, unused = self.predicted(batch, features, heard)
        value = F.cross_entropy(logits.float(), labels, reduction="sum")
        return value / count + unused

    def forward(self, batch: Batch, counts: torch.Tensor) -> torch.Tensor:
        encoded, heard = self.encode(batch)
        with mixed_precision(batch.input_ids.device, self.dtype):
            features = self.model.adapt(encoded)
            return self.answer_loss(batch, features, heard, counts[0]).reshape(1)


def _table(model: MossAudioModel, ids: Sequence[int]) -> nn.Parameter:
    """Rows of the embedding as a table of their own, float32."""
    return nn.Parameter(model.get_parameter(EMBEDDING)[list(ids)].detach().float().clone())
