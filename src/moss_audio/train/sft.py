"""Joint training of nano: the decoder learns to listen, through LoRA, with adapter and mergers.

Source: the paper's stage 2 and SFT in one, at nano's size: transcripts, word and sentence times,
event timelines, captions and questions from composed scenes, time markers on as in inference.

Deviations: the decoder is adapted by LoRA instead of trained in full, so that what is shipped
beside the public weights stays small; the encoder is frozen; no text-only group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from moss_audio.errors import MossAudioError
from moss_audio.model.nano import AUDIO_ROWS, EMBEDDING, TRAINED_FILE
from moss_audio.model.quantize import BITS, save_packed
from moss_audio.scenes.reader import load_scenes
from moss_audio.train.align import AlignConfig, SpokenPieces
from moss_audio.train.attention import use_packed_attention
from moss_audio.train.augment import AugmentConfig
from moss_audio.train.loop import LoopConfig, Stage, load_config, log_to, run
from moss_audio.train.lora import add_lora, lora_tensors
from moss_audio.train.samples import IGNORE, Batch, SampleStream, batches
from moss_audio.train.setup import (
    adapter_parameters,
    exported,
    load_for_training,
    mixed_precision,
)


@dataclass(frozen=True)
class SftConfig:
    """The joint stage."""

    model: str  # nano's folder, aligned
    output: str  # folder that gets the trained parts (a copy of nano's folder)
    scenes: str
    loop: LoopConfig
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    adapter_lr: float = 4e-4
    lora_lr: float = 8e-4
    lora_rank: int = 16
    align_weight: float = 0.1  # of the alignment loss, which goes on beside the decoder's
    events_repeat: int = 2  # times that a scene of events is drawn in an epoch
    batch_tokens: int = 500  # audio tokens a step
    adapter_bits: int = 5  # bits in which the parts are shipped
    merger_bits: int = 4
    lora_bits: int = 5
    seed: int = 0


def main(config_path: Path, overrides: dict[str, Any] | None = None) -> bool:
    """Run or resume the stage that `config_path` describes; True when it is complete."""
    config = load_config(config_path, SftConfig, overrides)
    for name in ("adapter_bits", "merger_bits", "lora_bits"):  # hours before they are needed
        if getattr(config, name) not in (*BITS, 16):
            raise MossAudioError(f"{config_path}: {name} must be one of {(*BITS, 16)}")
    log = log_to(Path(config.loop.output_dir) / "log.txt")
    torch.manual_seed(config.seed)
    model, tokenizer, spec = load_for_training(Path(config.model))
    scenes = [
        scene
        for scene in load_scenes(Path(config.scenes), "train")
        for _ in range(config.events_repeat if scene.kind == "events" else 1)
    ]
    log(f"sft: {len(scenes)} scenes, {sum(s.duration_s for s in scenes) / 3600:.1f} h")
    n_mels = model.config.audio_config.num_mel_bins
    audio_ids = [spec.audio_token_id, spec.audio_start_id, spec.audio_end_id]

    use_packed_attention(model.language_model)
    adapters = adapter_parameters(model, mergers=True)
    lora = add_lora(model, config.lora_rank, config.seed)
    rows = torch.nn.Parameter(model.get_parameter(EMBEDDING)[-3:].detach().float().clone())
    loras = {
        f"{name}.{part}": parameter
        for name, module in lora.items()
        for part, parameter in (("down", module.down), ("up", module.up))
    }
    parameters = {**adapters, **loras, AUDIO_ROWS: rows}
    log(f"sft: {sum(p.numel() for p in parameters.values()) / 1e6:.2f} M trained parameters")
    embedding = model.get_parameter(EMBEDDING)
    no_mask: Any = {"full_attention": None}  # the segments say it all
    spoken = SpokenPieces(scenes, tokenizer, embedding, AlignConfig.scale)

    def data(position: int) -> Iterator[tuple[Batch, int]]:
        stream = SampleStream(scenes, config.seed, config.augment, None, position)
        return batches(stream, config.batch_tokens, tokenizer, spec, n_mels)

    def loss(batch: Batch) -> tuple[torch.Tensor, float, int]:
        ids = batch.input_ids
        with torch.no_grad():
            encoded = model.audio_encoder(batch.audio_data, batch.audio_data_seqlens)
        with mixed_precision(model):
            features = model.adapt(encoded)
            # only the audio tokens' rows of the embedding learn
            table = rows.to(embedding.dtype)
            embeds = F.embedding(ids, embedding)
            for row, audio_id in zip(table, audio_ids, strict=True):
                embeds = torch.where((ids == audio_id)[..., None], row, embeds)
            hidden = model.hidden_states(
                inputs_embeds=embeds,
                position_ids=batch.position_ids,
                attention_mask=no_mask,
                segments=batch.segments,
                audio_features=features,
                audio_input_mask=batch.audio_input_mask,
                use_cache=False,
            ).last_hidden_state
            # logits only where something is learnt: the head is a fifth of the model
            labels = F.pad(batch.labels[:, 1:], (0, 1), value=IGNORE)
            learnt = labels != IGNORE
            logits = model.lm_head(hidden[learnt])
        value = F.cross_entropy(logits.float(), labels[learnt])
        if config.align_weight:
            aligned, _ = spoken.loss(features.embeds, spoken.targets(batch))
            value = value + config.align_weight * aligned
        return value, batch.audio_s, ids.shape[1]

    def finish() -> None:
        write_trained(config, model, rows, lora)
        log(f"sft: wrote {Path(config.output) / TRAINED_FILE}")

    groups = [
        {"params": [*adapters.values(), rows], "lr": config.adapter_lr},
        {"params": list(loras.values()), "lr": config.lora_lr},
    ]
    return run(Stage(parameters, groups, data, loss, finish), config.loop, log)


def write_trained(config: SftConfig, model: Any, rows: torch.Tensor, lora: Any) -> None:
    """The trained parts, in the bits they are shipped in, beside the fixed ones."""
    import shutil

    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    if output.resolve() != Path(config.model).resolve():
        for path in Path(config.model).iterdir():
            if path.is_file() and path.name != TRAINED_FILE:
                shutil.copy2(path, output / path.name)
    tensors = {**exported(model), AUDIO_ROWS: rows.detach()}
    packed = {AUDIO_ROWS: (tensors.pop(AUDIO_ROWS), 16)}
    for name, tensor in tensors.items():
        merger = name.startswith("deepstack_audio_merger_list")
        packed[name] = (tensor, config.merger_bits if merger else config.adapter_bits)
    packed.update({n: (t, config.lora_bits) for n, t in lora_tensors(lora).items()})
    save_packed(output / TRAINED_FILE, packed)
