"""Supervised fine-tuning: a checkpoint learns the tasks of a set of conversations.

Source: SFT of the MOSS-Audio report (arXiv 2606.01802): audio questions, captions, recognition and
timed recognition, time markers on as in inference. For nano it is stage 2 and SFT in one:
transcripts, word and sentence times, event timelines, captions and questions from composed scenes.

Which parts learn is a choice: the decoder in full, through LoRA or not at all; the encoder
likewise; adapter and mergers or not. The result is a complete folder: packed parts where the run
started from such a folder (and the decoder did not learn in full), else the plain layout, merged.

Deviations: LoRA is the default, so that what is shipped beside public weights stays small; the
alignment loss can be added to the decoder's (`align_weight`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from moss_audio.data.batch import Batch
from moss_audio.errors import MossAudioError
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano.parts import EMBEDDING
from moss_audio.prompt import PromptSpec
from moss_audio.settings import load_config
from moss_audio.train.align import AlignConfig
from moss_audio.train.answers import AnswerObjective
from moss_audio.train.data import known_clips, loading
from moss_audio.train.drills import DrillConfig, ReaderDrills, drills_of
from moss_audio.train.export import (
    MODEL,
    ROWS,
    SHIPPED_BITS,
    THINK,
    Form,
    PackedBits,
    packs,
    write_result,
)
from moss_audio.train.loop import run
from moss_audio.train.lora import DECODER_LAYERS, ENCODER_LAYERS, LoraConfig, add_lora, resume_lora
from moss_audio.train.objective import mixed_precision
from moss_audio.train.pieces import SpokenPieces
from moss_audio.train.progress import log_to
from moss_audio.train.setup import (
    ADAPTER,
    DECODER,
    ENCODER,
    MERGERS,
    learn,
    load_for_training,
    settle,
    source_folder,
    trained_millions,
)
from moss_audio.train.stage import Stage, StageConfig

Way = Literal["frozen", "lora", "full"]
Start = Literal["new", "stored"]


@dataclass(frozen=True, kw_only=True)
class SftConfig(StageConfig):
    """The fine-tuning stage."""

    output: str  # the folder of the result
    decoder: Way = "lora"
    encoder: Way = "frozen"
    adapter: bool = True  # learns
    mergers: bool = True
    adapter_lr: float = 4e-4  # of adapter, mergers and the audio ids' embeddings
    lora_lr: float = 8e-4
    decoder_lr: float = 2e-5  # where it learns in full
    encoder_lr: float = 2e-5
    lora_rank: int = 16
    lora_alpha: float | None = None  # default: the rank, which is a scale of 1
    lora_dropout: float = 0.0
    # stored: the LoRA of an embedded folder is trained further (same rank, scale 1); new: another
    # one is added to it
    lora_start: Start = "new"
    align_weight: float = 0.1  # of the alignment loss, which is added to the decoder's
    drills: DrillConfig = field(default_factory=DrillConfig)  # of sources of that kind
    form: Form = "auto"  # of the result: packed, plain
    adapter_bits: int = SHIPPED_BITS.adapter  # bits in which packed parts are stored
    merger_bits: int = SHIPPED_BITS.merger
    lora_bits: int = SHIPPED_BITS.lora
    encoder_bits: int = SHIPPED_BITS.encoder

    def __post_init__(self) -> None:
        _ = self.bits  # raises now, not hours later, if they cannot be stored

    @property
    def bits(self) -> PackedBits:
        return PackedBits(self.adapter_bits, self.merger_bits, self.lora_bits, self.encoder_bits)

    @property
    def lora(self) -> LoraConfig:
        return LoraConfig(self.lora_rank, self.lora_alpha, self.lora_dropout)


class SftObjective(AnswerObjective):
    """The loss of the answers, which may be those of reader drills, plus the alignment loss."""

    def __init__(
        self,
        *args: Any,
        spoken: SpokenPieces | None,
        weight: float,
        drills: ReaderDrills | None = None,
        **kw: Any,
    ) -> None:
        super().__init__(*args, **kw)
        self.spoken, self.weight, self.drills = spoken, weight, drills
        if spoken is not None:
            self.terms = ("answers", "pieces")

    def counts(self, batch: Batch) -> list[float]:
        counts = super().counts(batch)
        if self.spoken is not None:
            counts.append(float(self.spoken.weights(self.spoken.targets(batch)).sum()))
        return counts

    def forward(self, batch: Batch, counts: torch.Tensor) -> torch.Tensor:
        encoded, heard = self.encode(batch)
        with mixed_precision(batch.input_ids.device, self.dtype):
            features = self.model.adapt(encoded)
            read = features if self.drills is None else self.drills(batch, features)
            answers = self.answer_loss(batch, read, heard, counts[0])
            if self.spoken is None:
                return answers.reshape(1)
            pieces = features.embeds.float().sum() * 0.0
            if heard:
                pieces, _ = self.spoken.loss(features.embeds, self.spoken.targets(batch))
            return torch.stack([answers, self.weight * pieces / counts[1]])


def prepare(model: MossAudioModel, config: SftConfig, source: Path) -> torch.dtype:
    """Set what learns, and the type to compute in. `source` is the folder of the model."""
    parts = [name for name, on in ((ADAPTER, config.adapter), (MERGERS, config.mergers)) if on]
    layers = []
    for way, full, lora in (
        (config.decoder, DECODER, DECODER_LAYERS),
        (config.encoder, (ENCODER,), ENCODER_LAYERS),
    ):
        if way == "full":
            parts += full
        elif way == "lora":
            layers.append(lora)
    if layers:
        add_lora(model, "|".join(f"({one})" for one in layers), config.lora, config.seed)
        if config.lora_start == "stored":
            resume_lora(model, source, config.lora)
    learn(model, parts)
    return settle(model)


def rates_of(config: SftConfig) -> Mapping[str, float]:
    """Peak learning rates by prefix of an objective's names."""
    return {
        ROWS: config.adapter_lr,
        THINK: config.adapter_lr,
        MODEL + ADAPTER: config.adapter_lr,
        MODEL + MERGERS: config.adapter_lr,
        MODEL + ENCODER: config.lora_lr if config.encoder == "lora" else config.encoder_lr,
        MODEL + DECODER[0]: config.lora_lr if config.decoder == "lora" else config.decoder_lr,
        MODEL + DECODER[1]: config.decoder_lr,
    }


def learns_rows(config: SftConfig) -> bool:
    """Whether the embeddings of the audio ids learn."""
    return config.decoder != "full" and (config.adapter or config.decoder == "lora")


def objective_of(
    model: MossAudioModel,
    spec: PromptSpec,
    dtype: torch.dtype,
    config: SftConfig,
    spoken: SpokenPieces | None,
    drills: ReaderDrills | None = None,
    think_ids: Sequence[int] = (),
) -> SftObjective:
    """The stage's objective over a prepared model; `think_ids`: of think marks that learn."""
    return SftObjective(
        model, spec, dtype, rates_of(config), rows=learns_rows(config),
        spoken=spoken if config.align_weight else None, weight=config.align_weight, drills=drills,
        think_ids=think_ids,
    )  # fmt: skip


def export(config: SftConfig, source: Path, weights: Mapping[str, torch.Tensor]) -> Path:
    """Write the folder of what was learnt; returns it."""
    return write_result(
        source, Path(config.output), weights,
        scaling=config.lora.scaling, bits=config.bits, form=config.form,
        continued=config.lora_start == "stored",
    )  # fmt: skip


def check_form(config: SftConfig, source: Path, objective: AnswerObjective) -> None:
    """Raise MossAudioError where the stored LoRA, which goes on learning, would be written merged
    into weights that hold it already."""
    if config.lora_start == "stored" and not packs(source, config.form, objective.trained()):
        raise MossAudioError(
            "lora_start: stored writes packed parts again; leave out form: plain, and let decoder "
            "and encoder be frozen or lora"
        )


def main(config_path: Path, overrides: dict[str, Any] | None = None) -> bool:
    """Run or resume the stage that `config_path` describes; True when it is complete."""
    config = load_config(config_path, SftConfig, overrides)
    source = source_folder(config.model)
    log = log_to(Path(config.loop.output_dir) / "log.txt")
    torch.manual_seed(config.seed)
    model, tokenizer, spec = load_for_training(source)
    dtype = prepare(model, config, source)
    loader = loading(config.data, model, tokenizer, spec)
    spoken, drills = None, None
    drilled = any(source.kind == "drills" for source in config.data.sources)
    if config.align_weight or drilled:
        clips, embedding = known_clips(config.data), model.get_parameter(EMBEDDING)
        spoken = SpokenPieces(clips, tokenizer, embedding, AlignConfig.scale)
    if drilled and spoken is not None:
        drills = drills_of(model, spoken, loader(None, 0, 1), config.drills, dtype)
        log(f"sft: reader drills, adapter's outputs {drills.mean:.2f} +- {drills.spread:.2f} long")
    objective = objective_of(model, spec, dtype, config, spoken, drills)
    check_form(config, source, objective)
    log(f"sft: {trained_millions(objective):.2f} M trained parameters")

    def finish(weights: dict[str, torch.Tensor]) -> None:
        log(f"sft: wrote {export(config, source, weights)}")

    return run(Stage(objective, loader, finish), config.loop, log, config.seed)
