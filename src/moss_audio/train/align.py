"""Alignment: the adapter learns to turn what the encoder hears into what the decoder reads.

Source: pretraining stage 1 of the MOSS-Audio report (arXiv 2606.01802): only adapter and mergers
learn, from speech recognition and captions, without plain text. Two objectives:

- `decoder`, the paper's: cross-entropy of the answers through the frozen decoder.
- `dense`: times are exact in composed scenes, so every 80-ms audio token has a target: the
  decoder's own embedding of the word piece spoken at that moment, of the name of the event that
  sounds, or of a line feed in quiet. No decoder pass is needed, which makes it about twenty times
  faster than learning the same through the decoder's loss.

Deviations: with `dense` the mergers are not trained (they act inside the decoder) and captions
take no part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from moss_audio.data.batch import IGNORE, Batch
from moss_audio.engine.aligner import QUIET, SCALE
from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import is_embedded
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano.parts import EMBEDDING
from moss_audio.result import Event, Word
from moss_audio.scenes.reader import Scene
from moss_audio.settings import load_config
from moss_audio.train.answers import AnswerObjective
from moss_audio.train.checkpoint import latest
from moss_audio.train.data import KnownClip, known_clips, loading, only
from moss_audio.train.export import write_result
from moss_audio.train.flops import frames_of, step_flops
from moss_audio.train.loop import run
from moss_audio.train.objective import Objective, mixed_precision
from moss_audio.train.progress import log_to
from moss_audio.train.setup import ADAPTER, MERGERS, learn, load_for_training, settle, source_folder
from moss_audio.train.stage import Stage, StageConfig
from moss_audio.units import TOKENS_PER_SECOND, num_tokens

QUIET_WEIGHT = 0.25  # quiet tokens are many and easy
STANDARDISED = 2.0  # ratio of column norms: random ones differ by a few per cent only


@dataclass(frozen=True, kw_only=True)
class AlignConfig(StageConfig):
    """Alignment. Of `data`, the objective `dense` takes the transcription of composed scenes."""

    output: str | None = None  # without it the result goes into `model`, an embedded folder
    objective: Literal["dense", "decoder"] = "dense"
    learning_rate: float = 7e-4
    scale: float = SCALE  # dense: of the cosine in the softmax
    regression: float = 0.1  # dense: weight of the distance to the embedding itself


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


def standardise_inputs(model: MossAudioModel, batch: Batch) -> None:
    """Scale the first layers so that every encoder channel has the same weight at the start.

    Whisper's residual stream has a few channels hundreds of times stronger than the rest. An
    adapter whose columns already differ was scaled before, and is left as it is.
    """
    with torch.no_grad():
        columns = model.audio_adapter.gate_proj.weight.norm(dim=0)
        if columns.max() > STANDARDISED * columns.median():
            return
        encoded = model.audio_encoder(batch.audio_data, batch.audio_data_seqlens, batch.longest)
        streams = [encoded.tokens, *encoded.taps]
        mlps = [model.audio_adapter, *model.deepstack_audio_merger_list]
        for stream, mlp in zip(streams, mlps, strict=False):
            size = stream.float().square().mean(0).sqrt().clamp(min=1e-2)
            mlp.gate_proj.weight.div_(size)
            mlp.up_proj.weight.div_(size)


class DenseObjective(Objective):
    """Each audio token predicts the word piece spoken there."""

    terms = ("pieces", "distance")
    # The mergers are scaled and not trained; a checkpoint keeps them, so that a resumed run
    # exports what an uninterrupted one does.
    also_kept = ("model." + MERGERS,)

    def __init__(
        self,
        model: MossAudioModel,
        spoken: SpokenPieces,
        dtype: torch.dtype,
        learning_rate: float,
        regression: float,
    ) -> None:
        super().__init__(model)
        self.spoken, self.dtype = spoken, dtype
        self.learning_rate, self.regression = learning_rate, regression

    def rates(self) -> Mapping[str, float]:
        return {"": self.learning_rate}

    def counts(self, batch: Batch) -> list[float]:
        target = self.spoken.targets(batch)
        return [float(self.spoken.weights(target).sum()), float((target != IGNORE).sum())]

    def flops(self, batch: Batch) -> float:
        return step_flops(self.model, frames_of(batch), [], 0, decodes=False)

    def forward(self, batch: Batch, counts: torch.Tensor) -> torch.Tensor:
        targets = self.spoken.targets(batch)
        with torch.no_grad():
            encoded = self.model.audio_encoder(
                batch.audio_data, batch.audio_data_seqlens, batch.longest
            ).tokens
        with mixed_precision(encoded.device, self.dtype):
            predicted = self.model.audio_adapter(encoded)
            cross_entropy, distance = self.spoken.loss(predicted, targets)
        return torch.stack([cross_entropy, self.regression * distance]) / counts


def main(config_path: Path, overrides: dict[str, Any] | None = None) -> bool:
    """Run or resume the stage that `config_path` describes; True when it is complete."""
    config = load_config(config_path, AlignConfig, overrides)
    source = source_folder(config.model)
    in_place = is_embedded(source) and source == Path(config.model)  # not nano, not a hub's cache
    if config.output is None and not in_place:
        raise MossAudioError(f"{config_path}: output is missing: a folder for the result")
    log = log_to(Path(config.loop.output_dir) / "log.txt")
    torch.manual_seed(config.seed)
    model, tokenizer, spec = load_for_training(source)
    data = config.data
    if config.objective == "dense":
        data = only(data, ["transcribe"])
    loader = loading(data, model, tokenizer, spec)

    learn(model, [ADAPTER] if config.objective == "dense" else [ADAPTER, MERGERS])
    dtype = settle(model, keep=MERGERS)  # scaled below, which must not round them
    if latest(Path(config.loop.output_dir)) is None:
        standardise_inputs(model, next(iter(loader(None, 0, 1))))
    objective: Objective
    if config.objective == "dense":
        clips = known_clips(data)
        if not clips:
            raise MossAudioError(f"{config_path}: objective: dense needs a source of scenes")
        log(f"align: {len(clips)} clips")
        spoken = SpokenPieces(clips, tokenizer, model.get_parameter(EMBEDDING), config.scale)
        log(f"align: {len(spoken.table)} word pieces")
        objective = DenseObjective(model, spoken, dtype, config.learning_rate, config.regression)
    else:
        objective = AnswerObjective(model, spec, dtype, {"": config.learning_rate}, rows=False)

    def finish(weights: dict[str, torch.Tensor]) -> None:
        output = write_result(source, Path(config.output or source), weights)
        log(f"align: wrote {output}")

    return run(Stage(objective, loader, finish), config.loop, log, config.seed)
