"""Alignment: the adapter learns to turn what the encoder hears into what the decoder reads.

Source: pretraining stage 1 of the MOSS-Audio report (arXiv 2606.01802): only adapter and mergers
learn, from speech recognition and captions, without plain text. Two objectives:

- `decoder`, the paper's: cross-entropy of the answers through the frozen decoder.
- `dense`: times are exact in composed scenes, so every 80-ms audio token has a target: the
  decoder's own embedding of the word piece spoken at that moment, of the name of the event that
  sounds, or of a line feed in quiet. No decoder pass is needed, which makes it about twenty times
  faster than learning the same through the decoder's loss. The encoder can learn with it, through
  LoRA, and recorded lines with word times take part; of held-out clips it is told how many tokens
  say the right piece.

Deviations: with `dense` the mergers are not trained (they act inside the decoder) and captions
take no part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from moss_audio.data.batch import IGNORE, Batch
from moss_audio.data.config import SourceConfig, source_name
from moss_audio.engine.aligner import SCALE
from moss_audio.errors import MossAudioError
from moss_audio.model.checkpoint import is_embedded
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano.parts import EMBEDDING
from moss_audio.settings import AtLeastOne, load_config
from moss_audio.train.answers import AnswerObjective, clips_of
from moss_audio.train.checkpoint import latest
from moss_audio.train.data import known_clips, loading, only
from moss_audio.train.export import MODEL, write_result
from moss_audio.train.flops import frames_of, step_flops
from moss_audio.train.held_out import PieceAccuracy, held_out_batches
from moss_audio.train.loop import run
from moss_audio.train.lora import ENCODER_LAYERS, LoraConfig, add_lora, resume_lora
from moss_audio.train.objective import Objective, mixed_precision
from moss_audio.train.pieces import SpokenPieces
from moss_audio.train.progress import log_to
from moss_audio.train.setup import (
    ADAPTER,
    ENCODER,
    MERGERS,
    learn,
    load_for_training,
    settle,
    source_folder,
)
from moss_audio.train.stage import Stage, StageConfig

STANDARDISED = 2.0  # ratio of column norms: random ones differ by a few per cent only


@dataclass(frozen=True, kw_only=True)
class AlignConfig(StageConfig):
    """Alignment. Of `data`, the objective `dense` takes the transcription of composed scenes."""

    output: str | None = None  # without it the result goes into `model`, an embedded folder
    objective: Literal["dense", "decoder"] = "dense"
    learning_rate: float = 7e-4
    scale: float = SCALE  # dense: of the cosine in the softmax
    regression: float = 0.1  # dense: weight of the distance to the embedding itself
    # of an adapter that is new: its first layers are scaled by what the encoder gives, once
    standardise: bool = False
    encoder: Literal["frozen", "lora"] = "frozen"  # dense: whether it learns too
    lora_lr: float = 3e-4
    lora_rank: int = 16
    # stored: the LoRA of an embedded folder is trained further; new: another one is added to it
    lora_start: Literal["new", "stored"] = "new"
    # dense: of their words `loop.evaluate_every` tells how many tokens say the right piece
    held_out: tuple[SourceConfig, ...] = ()
    held_out_clips: AtLeastOne = 100  # of each

    def __post_init__(self) -> None:
        if self.objective != "dense" and (self.encoder != "frozen" or self.held_out):
            raise MossAudioError("encoder and held_out are for objective: dense")


def standardise_inputs(model: MossAudioModel, batch: Batch) -> None:
    """Scale the first layers so that every encoder channel has the same weight at the start.

    Whisper's residual stream has a few channels hundreds of times stronger than the rest. For
    adapters at random values only: in a trained one it destroys what was learnt. One whose columns
    differ much was scaled before, and is left as it is.
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
    also_kept = (MODEL + MERGERS,)

    def __init__(
        self,
        model: MossAudioModel,
        spoken: SpokenPieces,
        dtype: torch.dtype,
        learning_rate: float,
        regression: float,
        encoder_lr: float | None = None,  # None: it does not learn
    ) -> None:
        super().__init__(model)
        self.spoken, self.dtype = spoken, dtype
        self.learning_rate, self.regression = learning_rate, regression
        self.encoder_lr = encoder_lr

    def rates(self) -> Mapping[str, float]:
        rates = {"": self.learning_rate}
        return rates if self.encoder_lr is None else {**rates, MODEL + ENCODER: self.encoder_lr}

    def counts(self, batch: Batch) -> list[float]:
        target = self.spoken.targets(batch)
        return [float(self.spoken.weights(target).sum()), float((target != IGNORE).sum())]

    def flops(self, batch: Batch) -> float:
        return step_flops(self.model, frames_of(batch), [], 0, decodes=False)

    def forward(self, batch: Batch, counts: torch.Tensor) -> torch.Tensor:
        clips = clips_of(batch, self.model.config.audio_config.num_mel_bins)
        device = batch.input_ids.device
        learns = self.encoder_lr is not None
        dtype = self.dtype if learns else torch.float32
        with torch.set_grad_enabled(learns), mixed_precision(device, dtype):
            encoded = self.model.audio_encoder(*clips).tokens
        with mixed_precision(device, self.dtype):
            predicted = self.model.audio_adapter(encoded)
            if not batch.audio_data_seqlens.numel():  # silence in their place teaches nothing
                return predicted.float().sum() * torch.zeros_like(counts)
            cross_entropy, distance = self.spoken.loss(predicted, self.spoken.targets(batch))
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
        data = only(data, ["transcribe"], whole=["jsonl"])  # lines that people spoke
        kept = {source_name(source) for source in data.sources}
        left = [n for n in map(source_name, config.data.sources) if n not in kept]
        if left:
            log(f"align: left out, transcripts of scenes and jsonl are learnt: {', '.join(left)}")
    loader = loading(data, model, tokenizer, spec)

    if config.encoder == "lora":
        lora = LoraConfig(config.lora_rank)
        add_lora(model, ENCODER_LAYERS, lora, config.seed)
        if config.lora_start == "stored":
            resume_lora(model, source, lora)
    learn(model, [ADAPTER] if config.objective == "dense" else [ADAPTER, MERGERS])
    dtype = settle(model, keep=MERGERS)  # scaled below, which must not round them
    if config.standardise and latest(Path(config.loop.output_dir)) is None:
        first = (b for b in loader(None, 0, 1) if b.audio_data_seqlens.numel())
        standardise_inputs(model, next(first))
    objective: Objective
    evaluate = None
    if config.objective == "dense":
        clips = known_clips(replace(data, sources=(*data.sources, *config.held_out), groups={}))
        if not clips:
            raise MossAudioError(f"{config_path}: objective: dense needs a source of scenes")
        log(f"align: {len(clips)} clips")
        spoken = SpokenPieces(clips, tokenizer, model.get_parameter(EMBEDDING), config.scale)
        log(f"align: {len(spoken.table)} word pieces")
        objective = DenseObjective(
            model, spoken, dtype, config.learning_rate, config.regression,
            config.lora_lr if config.encoder == "lora" else None,
        )  # fmt: skip
        batches = held_out_batches(
            config.held_out, data, config.held_out_clips,
            lambda one: loading(one, model, tokenizer, spec),
        )  # fmt: skip
        evaluate = PieceAccuracy(model, spoken, batches, dtype) if batches else None
    else:
        objective = AnswerObjective(model, spec, dtype, {"": config.learning_rate}, rows=False)

    def finish(weights: dict[str, torch.Tensor]) -> None:
        output = write_result(
            source, Path(config.output or source), weights,
            continued=config.lora_start == "stored",
        )  # fmt: skip
        log(f"align: wrote {output}")

    return run(Stage(objective, loader, finish, evaluate), config.loop, log, config.seed)
