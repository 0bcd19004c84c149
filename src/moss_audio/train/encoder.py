"""The encoder from scratch: it learns to hear by having to tell.

Source: encoder pretraining of the MOSS-Audio report (arXiv 2606.01802): recognition, speech
translation and captions jointly, no off-the-shelf front end. The tasks are those of the `data:`
table. A small decoder reads the same prompts as the large one will, time markers included, through
an adapter of its own; when the stage is done, decoder and adapter are thrown away.

Two auxiliary losses join the decoder's: CTC on the word pieces of a clip whose words are known, and
for composed scenes the piece spoken (or the sound heard) at each 80-ms token.

Deviations: the paper does not describe the head and mentions no auxiliary losses. Translations are
questions with an answer like any other (`recipes.translations` makes a small set).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from moss_audio.data.batch import Batch
from moss_audio.data.config import DataConfig
from moss_audio.errors import MossAudioError
from moss_audio.model.config import MossAudioConfig
from moss_audio.model.encoder import MossAudioEncoder
from moss_audio.model.modeling import MossAudioModel
from moss_audio.prompt import PromptSpec
from moss_audio.settings import AtLeastOne, check, load_config
from moss_audio.train.answers import AnswerObjective
from moss_audio.train.checkpoint import latest
from moss_audio.train.data import known_scenes, loading
from moss_audio.train.export import MODEL, write_result
from moss_audio.train.loop import run
from moss_audio.train.objective import mixed_precision
from moss_audio.train.pieces import SpokenPieces
from moss_audio.train.progress import log_to
from moss_audio.train.setup import (
    ADAPTER,
    DECODER,
    ENCODER,
    learn,
    load_for_training,
    settle,
    source_folder,
    trained_millions,
)
from moss_audio.train.stage import Stage, StageConfig

_HEAD_DIM = 32


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(StageConfig):
    """Encoder pretraining, from random weights in the sizes of `model`'s encoder."""

    output: str  # gets the files of `model` with the trained encoder in place of its own
    head_layers: AtLeastOne = 2  # of the small decoder
    head_width: int = 192
    ctc_weight: float = 0.3
    ctc_steps: AtLeastOne = 2  # output steps a token of 80 ms: more where pieces are letters
    pieces_weight: float = 0.3
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.head_width < _HEAD_DIM or self.head_width % _HEAD_DIM:
            raise MossAudioError(
                f"head_width {self.head_width} must be a positive multiple of {_HEAD_DIM}"
            )
        check(self)


def headed(model: MossAudioModel, layers: int, width: int) -> MossAudioModel:
    """A model with the same encoder and a small decoder instead of the large one."""
    config = MossAudioConfig(
        audio_config=model.config.audio_config.to_dict(),
        language_config={
            "model_type": "qwen3",
            "vocab_size": model.config.language_config.vocab_size,
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": width // _HEAD_DIM,
            "num_key_value_heads": width // _HEAD_DIM,
            "head_dim": _HEAD_DIM,
            "max_position_embeddings": model.config.language_config.max_position_embeddings,
        },
        adapter_hidden_size=2 * width,
        deepstack_num_inject_layers=0,  # the last layer has to hold it all
        audio_token_id=model.config.audio_token_id,
        audio_start_id=model.config.audio_start_id,
        audio_end_id=model.config.audio_end_id,
        tie_word_embeddings=True,
    )
    return MossAudioModel(config).requires_grad_(False).train()


def fresh(encoder: MossAudioEncoder, mel: torch.Tensor) -> None:
    """Reset an encoder to random weights, with a stem whose output has unit variance on `mel`
    `[n, M, F]`.

    With torch's default initialisation the stem's output is so small that the position embeddings,
    which are added to it, drown it, and the layers learn to tell time instead of sound.
    """
    depth = (2 * len(encoder.layers)) ** -0.5  # the residual stream sums up this many parts
    with torch.no_grad():
        for name, module in encoder.named_modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
                if name.endswith(("out_proj", "fc2")):
                    module.weight.mul_(depth)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        conv2d = encoder.config.stem == "conv2d"
        x = mel.unsqueeze(1) if conv2d else mel
        for conv in encoder.children():
            if isinstance(conv, nn.Conv1d | nn.Conv2d):
                x = F.gelu(_unit(conv, x, 1))
        if conv2d:
            _unit(encoder.stem_proj, x.permute(0, 3, 1, 2).flatten(2), -1)


def _unit(layer: Any, x: torch.Tensor, channels: int) -> torch.Tensor:
    """Scale and shift a layer so that its outputs on `x` have unit variance and no mean."""
    y = layer(x)
    rest = [i for i in range(y.ndim) if i != channels % y.ndim]
    mean, scale = y.mean(rest), (y - y.mean(rest, keepdim=True)).std().clamp(min=1e-6)
    layer.weight.div_(scale)
    layer.bias.copy_(-mean / scale)
    return layer(x)


class EncoderObjective(AnswerObjective):
    """The small decoder's loss, CTC and the piece at each token."""

    terms = ("answers", "ctc", "pieces")

    def __init__(
        self,
        model: MossAudioModel,
        spec: PromptSpec,
        dtype: torch.dtype,
        config: EncoderConfig,
        spoken: SpokenPieces,
    ) -> None:
        super().__init__(model, spec, dtype, {"": config.learning_rate}, rows=False)
        self.settings, self.spoken = config, spoken
        width, classes = model.config.audio_config.output_dim, len(spoken.table)
        self.ctc = nn.Linear(width, config.ctc_steps * (classes + 1))  # the last one: blank
        self.pieces = nn.Linear(width, classes)

    def rates(self) -> Mapping[str, float]:
        return {"": self.settings.learning_rate}

    def transcripts(self, batch: Batch) -> list[list[int]]:
        """The word pieces of each clip, as rows of the table; none where one is not in it."""
        found = []
        for words in batch.words:
            text = " ".join(word.text for word in words or ())
            ids = self.spoken.encode(text) if text else []
            rows = self.spoken.rows[torch.tensor(ids, dtype=torch.long)].tolist()
            found.append(rows if min(rows, default=-1) >= 0 else [])
        return found

    def counts(self, batch: Batch) -> list[float]:
        weights = self.spoken.weights(self.spoken.targets(batch)).sum()
        spelt = sum(len(t) for t in self.transcripts(batch))
        return [*super().counts(batch), float(spelt), float(weights)]

    def forward(self, batch: Batch, counts: torch.Tensor) -> torch.Tensor:
        encoded, heard = self.encode(batch)
        with mixed_precision(batch.input_ids.device, self.dtype):
            answers = self.answer_loss(batch, self.model.adapt(encoded), heard, counts[0])
            spelt, named = self.ctc(encoded.tokens).float(), self.pieces(encoded.tokens).float()
        if not heard:
            return torch.stack([answers, spelt.sum() * 0.0, named.sum() * 0.0])
        target = self.spoken.targets(batch).to(named.device)
        each = F.cross_entropy(named, target, reduction="none")
        pieces = (each * self.spoken.weights(target)).sum() / counts[2]
        ctc = self._ctc(spelt, encoded.lengths, self.transcripts(batch)) / counts[1]
        return torch.stack(
            [answers, self.settings.ctc_weight * ctc, self.settings.pieces_weight * pieces]
        )

    def _ctc(
        self, spelt: torch.Tensor, lengths: tuple[int, ...], transcripts: list[list[int]]
    ) -> torch.Tensor:
        """Summed CTC loss of the clips with known words that are long enough for them."""
        steps = self.settings.ctc_steps
        scores = spelt.view(spelt.shape[0] * steps, -1).log_softmax(-1)
        clips = scores.split([n * steps for n in lengths])
        chosen = [(c, t) for c, t in zip(clips, transcripts, strict=True) if t]
        if not chosen:
            return scores.sum() * 0.0
        padded = nn.utils.rnn.pad_sequence([c for c, _ in chosen])  # [steps, clips, classes]
        return F.ctc_loss(
            padded,
            torch.tensor([i for _, t in chosen for i in t], device=spelt.device),
            torch.tensor([len(c) for c, _ in chosen]),
            torch.tensor([len(t) for _, t in chosen]),
            blank=scores.shape[1] - 1,
            reduction="sum",
            zero_infinity=True,
        )


def build(
    config: EncoderConfig, source: Path, data: DataConfig
) -> tuple[EncoderObjective, Any, PromptSpec]:
    """The objective, the tokenizer and the prompt; the encoder is reset by `_begin`."""
    torch.manual_seed(config.seed)
    whole, tokenizer, spec = load_for_training(source)
    model = headed(whole, config.head_layers, config.head_width)
    table = torch.zeros(whole.config.language_config.vocab_size, 1)  # only the pieces matter
    spoken = SpokenPieces(known_scenes(data), tokenizer, table, 1.0)
    learn(model, [ENCODER, ADAPTER, *DECODER])
    dtype = settle(model)
    return EncoderObjective(model, spec, dtype, config, spoken), tokenizer, spec


def _begin(objective: EncoderObjective, batches: Iterable[Batch]) -> None:
    """Reset the encoder, scaled on the first chunk of the first batch."""
    encoder = objective.model.audio_encoder
    first = next(b for b in batches if b.audio_data_seqlens.numel())
    longest = int(first.audio_data_seqlens.argmax())
    frames = min(int(first.audio_data_seqlens[longest]), encoder.config.chunk_frames)
    fresh(encoder, first.audio_data[longest : longest + 1, :, :frames])


def started(config: EncoderConfig) -> MossAudioEncoder:
    """The encoder as it is before the first step of a run."""
    objective, tokenizer, spec = build(config, source_folder(config.model), config.data)
    _begin(objective, loading(config.data, objective.model, tokenizer, spec)(None, 0, 1))
    return objective.model.audio_encoder


def main(config_path: Path, overrides: dict[str, Any] | None = None) -> bool:
    """Run or resume the stage that `config_path` describes; True when it is complete."""
    config = load_config(config_path, EncoderConfig, overrides)
    source = source_folder(config.model)
    log = log_to(Path(config.loop.output_dir) / "log.txt")
    objective, tokenizer, spec = build(config, source, config.data)
    log(f"encoder: {trained_millions(objective.model.audio_encoder):.2f} M parameters")
    loader = loading(config.data, objective.model, tokenizer, spec)
    if latest(Path(config.loop.output_dir)) is None:
        _begin(objective, loader(None, 0, 1))

    def finish(weights: dict[str, torch.Tensor]) -> None:
        encoder = {n: t for n, t in weights.items() if n.startswith(MODEL + ENCODER)}
        log(f"encoder: wrote {write_result(source, Path(config.output), encoder)}")

    return run(Stage(objective, loader, finish), config.loop, log, config.seed)
