"""Alignment: the adapter learns to turn each 80-ms token into the word piece being spoken.

Source: the paper's pretraining stage 1 (only adapter and mergers learn), made dense. Times are
exact in composed scenes, so every audio token has a target: the decoder's own embedding of the word
piece spoken at that moment, of the name of the event that sounds, or of a line feed in quiet.
No decoder pass is needed, which makes it some twenty
times faster than learning the same through the decoder's loss.

Deviations: mergers are not trained here (they act inside the decoder); no caption data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from moss_audio.engine.aligner import QUIET, SCALE
from moss_audio.features import TOKENS_PER_SECOND, num_tokens
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.nano import EMBEDDING, TRAINED_FILE
from moss_audio.model.quantize import save_packed
from moss_audio.result import Event, Word
from moss_audio.scenes.reader import Scene, load_scenes
from moss_audio.train.augment import AugmentConfig
from moss_audio.train.loop import LoopConfig, Stage, load_config, log_to, run
from moss_audio.train.samples import IGNORE, Batch, SampleStream, batches
from moss_audio.train.setup import (
    adapter_parameters,
    exported,
    load_for_training,
    mixed_precision,
)

QUIET_WEIGHT = 0.25  # quiet tokens are many and easy
MADE_ALIKE = 2.0  # random columns differ by a few per cent, standardised ones by far more


@dataclass(frozen=True)
class AlignConfig:
    """The alignment stage."""

    model: str  # nano's folder
    scenes: str  # scenes with word times
    loop: LoopConfig
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    learning_rate: float = 7e-4
    batch_tokens: int = 1024  # audio tokens a step
    scale: float = SCALE  # of the cosine in the softmax
    regression: float = 0.1  # weight of the distance to the embedding itself
    seed: int = 0


def _pieces(index: int, word: Word, tokenizer: Any) -> list[int]:
    return tokenizer.encode((" " if index else "") + word.text, add_special_tokens=False)


def frame_targets(
    words: Sequence[Word], sounds: Sequence[Event], n_tokens: int, tokenizer: Any
) -> list[int]:
    """What each audio token should say: the word piece spoken at its middle, else a piece of the
    label of the event that sounds there, else a line feed for quiet. `[n_tokens]` ids."""
    targets = [tokenizer.encode(QUIET, add_special_tokens=False)[0]] * n_tokens

    def fill(pieces: list[int], start: float, end: float) -> None:
        first = round(start * TOKENS_PER_SECOND - 0.5)
        last = max(first + 1, round(end * TOKENS_PER_SECOND - 0.5) + 1)
        for at in range(max(0, first), min(n_tokens, last)):
            share = (at - first) / (last - first)
            targets[at] = pieces[min(len(pieces) - 1, int(share * len(pieces)))]

    for sound in sounds:
        # a label is one idea: its last word names the sound from beginning to end
        fill(tokenizer.encode(" " + sound.label, add_special_tokens=False)[-1:],
             sound.start, sound.end)  # fmt: skip
    for index, word in enumerate(words):
        fill(_pieces(index, word, tokenizer), word.start, word.end)
    return targets


class SpokenPieces:
    """The word pieces of a set of scenes, and the loss of adapter outputs against them."""

    def __init__(
        self, scenes: Sequence[Scene], tokenizer: Any, embedding: torch.Tensor, scale: float
    ) -> None:
        self.tokenizer, self.scale = tokenizer, scale
        pieces: set[int] = set()
        for scene in scenes:
            for i, word in enumerate(scene.words):
                pieces.update(_pieces(i, word, tokenizer))
            for sound in scene.events:
                pieces.update(tokenizer.encode(" " + sound.label, add_special_tokens=False)[-1:])
        pieces.update(tokenizer.encode(QUIET, add_special_tokens=False)[:1])
        seen = torch.tensor(sorted(pieces), dtype=torch.long)  # scenes may have no word
        self.index = torch.full((embedding.shape[0],), IGNORE)
        self.index[seen] = torch.arange(len(seen))
        self.quiet = int(self.index[tokenizer.encode(QUIET, add_special_tokens=False)[0]])
        self.table = embedding[seen].detach()
        self.unit = F.normalize(self.table.float(), dim=-1).to(embedding.dtype)
        self.size = self.table.float().square().mean()

    def targets(self, batch: Batch) -> torch.Tensor:
        """Row of `table` for each audio token of a batch `[N]`."""
        out: list[int] = []
        for words, sounds, n_frames in zip(
            batch.words, batch.sounds, batch.audio_data_seqlens.tolist(), strict=True
        ):
            out += frame_targets(words, sounds, num_tokens(n_frames), self.tokenizer)
        return self.index[torch.tensor(out)]

    def loss(
        self, predicted: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine cross-entropy, and squared distance in units of the embedding's own size."""
        unit = F.normalize(predicted.float(), dim=-1).to(self.unit.dtype)
        each = F.cross_entropy((unit @ self.unit.T).float() * self.scale, target, reduction="none")
        weight = torch.where(target == self.quiet, QUIET_WEIGHT, 1.0)
        cross_entropy = (each * weight).sum() / weight.sum()
        distance = (predicted.float() - self.table[target].float()).square().mean() / self.size
        return cross_entropy, distance


def standardise_inputs(model: MossAudioModel, batch: Batch) -> None:
    """Scale the first layers so that every encoder channel counts alike at the start.

    Whisper's residual stream has a few channels hundreds of times stronger than the rest. An
    adapter whose columns already differ has been through this, and is left alone.
    """
    with torch.no_grad():
        columns = model.audio_adapter.gate_proj.weight.norm(dim=0)
        if columns.max() > MADE_ALIKE * columns.median():
            return
        encoded = model.audio_encoder(batch.audio_data, batch.audio_data_seqlens)
        streams = [encoded.tokens, *encoded.taps]
        mlps = [model.audio_adapter, *model.deepstack_audio_merger_list]
        for stream, mlp in zip(streams, mlps, strict=True):
            size = stream.float().square().mean(0).sqrt().clamp(min=1e-2)
            mlp.gate_proj.weight.div_(size)
            mlp.up_proj.weight.div_(size)


def main(config_path: Path, overrides: dict[str, Any] | None = None) -> bool:
    """Run or resume the stage that `config_path` describes; True when it is complete."""
    config = load_config(config_path, AlignConfig, overrides)
    log = log_to(Path(config.loop.output_dir) / "log.txt")
    torch.manual_seed(config.seed)
    model, tokenizer, spec = load_for_training(Path(config.model))
    scenes = load_scenes(Path(config.scenes), "train")
    log(f"align: {len(scenes)} scenes")
    n_mels = model.config.audio_config.num_mel_bins
    tasks = {"transcribe": 1.0}
    spoken = SpokenPieces(scenes, tokenizer, model.get_parameter(EMBEDDING), config.scale)
    log(f"align: {len(spoken.table)} word pieces")
    # The mergers are scaled below and not trained; the checkpoint keeps them, so that a resumed
    # run exports what an unbroken one does.
    parameters = adapter_parameters(model, mergers=True)
    trained = [p for name, p in parameters.items() if name.startswith("audio_adapter.")]

    def data(position: int) -> Iterator[tuple[Batch, int]]:
        stream = SampleStream(scenes, config.seed, config.augment, tasks, position)
        return batches(stream, config.batch_tokens, tokenizer, spec, n_mels)

    if not (Path(config.loop.output_dir) / "last.safetensors").is_file():
        standardise_inputs(model, next(data(0))[0])

    def loss(batch: Batch) -> tuple[torch.Tensor, float, int]:
        targets = spoken.targets(batch)
        with torch.no_grad():
            encoded = model.audio_encoder(batch.audio_data, batch.audio_data_seqlens).tokens
        with mixed_precision(model):
            predicted = model.audio_adapter(encoded)
            cross_entropy, distance = spoken.loss(predicted, targets)
        return cross_entropy + config.regression * distance, batch.audio_s, len(targets)

    def finish() -> None:
        path = Path(config.model) / TRAINED_FILE
        save_packed(path, {n: (t, 16) for n, t in exported(model).items()})
        log(f"align: wrote {path}")

    groups = [{"params": trained, "lr": config.learning_rate}]
    return run(Stage(parameters, groups, data, loss, finish), config.loop, log)
